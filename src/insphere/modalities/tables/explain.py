"""Why a row is where it is: what each column adds to its score, and the nearest normal rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.sample_set import SampleSet
from insphere.modalities.exhibit import Bar, Exhibit
from insphere.modalities.tables.frame import Frame

MOST_BARS = 8
NEAREST = 3


def row_exhibits(detector: Any, data: SampleSet, index: NDArray[np.int64]) -> list[Exhibit]:
    """Return an exhibit for each row.

    A detector with a method ``explain_rows`` says what each column adds and which training rows are
    nearest, such as `insphere.detectors.TableSVDD`; for others the values alone are shown.

    Parameters
    ----------
    detector : OneClassDetector
        Fitted to a table.
    data : TableSet
        Its rows.
    index : ndarray of int64, shape (n,)
        Places of the rows.
    """
    frame: Frame = data.take(index)
    explain = getattr(detector, "explain_rows", None)
    if explain is None or not len(index):
        return [Exhibit(head=frame.names, rows=(_cells(frame, i),)) for i in range(len(index))]
    why = explain(frame)
    return [_exhibit(why, frame, i) for i in range(len(index))]


def _exhibit(why: Any, frame: Frame, row: int) -> Exhibit:
    shares = why.shares[row]
    order = np.argsort(-shares, kind="stable")[:MOST_BARS]
    known = dict(zip(frame.names, frame.columns, strict=True))
    bars = tuple(
        Bar(
            why.columns[i],
            float(shares[i]),
            shown(known[why.columns[i]][row]) if why.columns[i] in known else "",
            why.usual[i],
        )
        for i in order.tolist()
        if shares[i] > 0
    )
    names = [why.columns[i] for i in order.tolist()]
    near = tuple(
        (f"normal, {distance:.3g} away", *(why.normal_value(place, name) for name in names))
        for place, distance in zip(why.nearest[row], why.distances[row], strict=True)
    )
    own = ("this row", *(shown(known[n][row]) if n in known else "" for n in names))
    return Exhibit(bars=bars, head=("", *names), rows=(own, *near))


def _cells(frame: Frame, row: int) -> tuple[str, ...]:
    return tuple(shown(values[row]) for values in frame.columns)


def shown(value: Any) -> str:
    """Write one value of a table; a dash is a missing one."""
    if value is None or value != value:
        return "–"
    return value if isinstance(value, str) else f"{value:.5g}"
