"""The list of images of a tree, with class, part and masks of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """One image to decode.

    Parameters
    ----------
    name : str
        Name of the file within its tree.
    label : int
        Index of its class.
    is_test : bool
        Whether it belongs to the test part.
    masks : tuple of str
        Names of its mask files, which are combined.
    group : int
        Images with the same number are never divided between training and test.
    box : tuple of float, optional
        The part to keep: left, upper, right and lower edge, each as a share of width or height.
    border : float
        Share of width and height to cut from every side when there is no `box`.
    """

    name: str
    label: int
    is_test: bool = False
    masks: tuple[str, ...] = ()
    group: int = -1
    box: tuple[float, float, float, float] | None = None
    border: float = 0.0


@dataclass(frozen=True)
class Listing:
    """All images of a tree, with the information of its layout.

    Parameters
    ----------
    entries : tuple of Entry
        The images.
    class_names : tuple of str
        Names of the classes.
    layout : str
        Name of the layout.
    normal_classes : tuple of str
        Classes that the layout itself calls normal; empty if it does not say.
    own_anomalies : bool
        Whether each normal class has anomalies of its own: ``a/broken`` is one of ``a``.
    has_parts, has_masks, has_groups : bool
        Whether there is a test part, are masks, are groups.
    default_size : int, optional
        Side to which images are resized by default.
    ignored : dict of str to int
        Numbers of files that are not images of the set, by type.
    unread : tuple of str
        Images that cannot be read, each with the reason.
    notes : tuple of str
        Notes for readers of results.
    """

    entries: tuple[Entry, ...]
    class_names: tuple[str, ...]
    layout: str = ""
    normal_classes: tuple[str, ...] = ()
    own_anomalies: bool = False
    has_parts: bool = False
    has_masks: bool = False
    has_groups: bool = False
    default_size: int | None = None
    ignored: dict[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def some(names: Sequence[str], limit: int = 3) -> str:
    """Return the first few names."""
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
