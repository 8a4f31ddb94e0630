"""The question whether one model encloses all normal classes, or one each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from insphere.studio.controls import Radio

NOTE = (
    "each class has a sphere of its own, and the nearest counts, in units of its size; "
    "trained beside one model for all"
)


def show(by_class: bool, on_select: Callable[[bool], Any], *, impossible: str = "") -> None:
    """Show the question.

    Parameters
    ----------
    by_class : bool
        Whether there is one model for each class now.
    on_select : callable
        Called with the answer.
    impossible : str
        Why there can only be one model for all; empty if there can be both.
    """
    now = "each" if by_class and not impossible else "all"
    radio = Radio("Models", now, lambda key: on_select(key == "each"))
    radio.add("all", "One model for all", "it does not know which class an image is of")
    radio.add("each", "One for each class", impossible or NOTE, enabled=not impossible)
