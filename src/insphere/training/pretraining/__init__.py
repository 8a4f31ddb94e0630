"""Kinds of pretraining of an encoder: one file for each."""
