"""Names in the order in which people count."""

from __future__ import annotations

import re

_MOST_DIGITS = 300  # longer runs of digits, of hostile names, are text


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``"2"`` comes before ``"10"``.

    The order of images decides which of them a seed holds out, so this order never changes.

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
