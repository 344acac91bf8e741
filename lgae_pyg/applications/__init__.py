"""Trained models at work: files of jets scored, one module a purpose."""
