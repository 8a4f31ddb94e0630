"""Figures to point at: data in, a Plotly figure out, as a plain dict of data, layout and config."""
