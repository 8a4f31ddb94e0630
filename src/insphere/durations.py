"""Durations in words."""

from __future__ import annotations


def duration(seconds: float | None, *, measured: bool = False) -> str:
    """Write a duration.

    Parameters
    ----------
    seconds : float or None
        The duration in seconds; None if it is not known.
    measured : bool, default=False
        Write fractions, which are left out for an estimate.

    Examples
    --------
    >>> duration(8), duration(200), duration(7300)
    ('8 s', '3 min', '2 h 2 min')
    >>> duration(0.416, measured=True), duration(8, measured=True), duration(200, measured=True)
    ('0.42 s', '8.00 s', '3.3 min')
    """
    if seconds is None:
        return "–"
    if measured and seconds < 10:
        return "<0.01 s" if seconds < 0.01 else f"{seconds:.2f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes >= 90:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{seconds / 60:.1f} min" if measured else f"{minutes} min"
