"""Natural sorting: ``"2"`` before ``"10"``."""

from __future__ import annotations

import re

_MOST_DIGITS = 300  # longer sequences of digits, in hostile names, are sorted as text


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``"2"`` comes before ``"10"``.

    This order must never change: with a seed, it determines which images are held out.

    Examples
    --------
    >>> sorted(["b10", "b9", "a"], key=natural_key)
    ['a', 'b9', 'b10']
    """
    return tuple(
        (0, int(piece), "") if piece.isdecimal() and len(piece) <= _MOST_DIGITS else (1, 0, piece)
        for piece in re.split(r"(\d+)", text)
        if piece
    )
