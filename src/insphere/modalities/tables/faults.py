"""What is wrong with a table that scikit-learn refuses, by the column."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np

from insphere.modalities.modality import Array


def fault(data: Any) -> str | None:
    """Say which column of a table holds no numbers, or not everywhere; None if none is found."""
    try:
        names = list(getattr(data, "columns", range(data.shape[1])))
        columns = [np.asarray(data[name] if hasattr(data, "columns") else data[:, name])
                   for name in names]  # fmt: skip
    except Exception:  # no table at all, which scikit-learn says
        return None
    for name, values in zip(names, columns, strict=True):
        if values.ndim != 1:
            return None
        if values.dtype.kind in "Mm":
            return f"Column {name} holds times, not numbers: convert them, or leave the column out."
        if values.dtype.kind in "OUS" and (text := _first_text(values)) is not None:
            return (
                f"Column {name} holds text ({reprlib.repr(text)}), and detectors compare numbers: "
                "encode it, for example with one column of 0 and 1 for each category, or leave it "
                "out."
            )
    for name, values in zip(names, columns, strict=True):
        missing = _missing(values)
        if missing:
            return (
                f"Column {name} holds NaN, or nothing, in {missing:,} of {len(values):,} rows: "
                "fill it, or leave those rows or the column out."
            )
    return None


def _first_text(values: Array) -> str | None:
    """Return the first text that is no number."""
    for value in values.tolist():
        if isinstance(value, str | bytes):
            try:
                float(value)
            except ValueError:
                return str(value)
    return None


def _missing(values: Array) -> int:
    try:
        return int(np.isnan(values.astype(np.float64)).sum())
    except (TypeError, ValueError):
        return 0
