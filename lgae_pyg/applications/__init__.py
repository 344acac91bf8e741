"""Trained models at work: what one does with them, or with their results."""
