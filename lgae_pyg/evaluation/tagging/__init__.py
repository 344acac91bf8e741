"""Taggers: how well they tell kinds of jets apart."""
