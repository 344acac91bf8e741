"""Trained models at work: what is done with them outside of training and studies."""
