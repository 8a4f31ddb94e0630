"""Kinds of data: one file for each, which recognises, reads and describes its samples."""
