"""Texts: strings, lines of a file, JSON lines and columns of CSV files."""
