"""Heads, which enclose the representations of normal samples: one file for each kind."""
