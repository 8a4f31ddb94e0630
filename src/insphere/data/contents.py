"""The contents of a source: images by part, class and role, masks, and ignored files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.layouts.plain import Flat
from insphere.data.sample_set import SampleSet

SHOWN = 8  # classes of a part that are named in a sentence


@dataclass(frozen=True, slots=True)
class Group:
    """Images of one part and class.

    Parameters
    ----------
    part : str
        "train", "test", or "all" if the source defines no test part.
    class_name : str
        Their class.
    role : str
        "normal", "anomalous", "other" for classes that have anomalies of their own and were not
        asked for, or "unknown" if the normal classes are not known.
    n : int
        How many.
    """

    part: str
    class_name: str
    role: str
    n: int


@dataclass(frozen=True)
class Contents:
    """What a source holds.

    Parameters
    ----------
    layout : str
        Name of the layout of its folders; empty for other sources.
    groups : tuple of Group
        Its images.
    n_masks : int
        Images with a mask of their own.
    n_skipped : int
        Images that were seen and not read.
    ignored : dict of str to int
        Files that are no images, by type.
    """

    layout: str
    groups: tuple[Group, ...]
    n_masks: int
    n_skipped: int
    ignored: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "layout": self.layout,
            "images": [
                {"part": g.part, "class": g.class_name, "role": g.role, "n": g.n}
                for g in self.groups
            ],
            "n_masks": self.n_masks,
            "n_skipped": self.n_skipped,
            "ignored": self.ignored,
        }

    def sentence(self) -> str:
        """Return a summary in one line."""
        parts = []
        for part in dict.fromkeys(group.part for group in self.groups):
            own = [group for group in self.groups if group.part == part]
            words = [self._counted(group) for group in own[:SHOWN]]
            if len(own) > SHOWN:
                rest = sum(group.n for group in own[SHOWN:])
                words.append(f"{rest:,} of {len(own) - SHOWN} more classes")
            parts.append(("" if part == "all" else f"{part} ") + ", ".join(words))
        if self.n_masks:
            parts.append(f"{self.n_masks:,} with masks")
        if self.n_skipped:
            parts.append(f"{self.n_skipped:,} not read")
        if self.ignored:
            what = ", ".join(f"{n:,} {kind}" for kind, n in self.ignored.items())
            parts.append(f"ignored: {what}")
        start = f"{self.layout}: " if self.layout else ""
        return start + "; ".join(parts)

    def _counted(self, group: Group) -> str:
        if group.role != "unknown":
            return f"{group.n:,} {group.class_name} ({group.role})"
        # Nobody said that the images of one folder are normal.
        name = "images" if self.layout == Flat.name else group.class_name
        return f"{group.n:,} {name}"


def contents_of(data: SampleSet, normal: Sequence[str] = ()) -> Contents:
    """Count the samples of a set.

    Parameters
    ----------
    data : SampleSet
        The samples.
    normal : sequence of str
        Names of the normal classes; by default those that the source itself calls normal.
    """
    normal = tuple(normal) or data.normal_classes
    has_parts = data.is_test is not None and bool(data.is_test.any())
    parts: list[tuple[str, NDArray[np.bool_]]] = [("all", np.ones(len(data), bool))]
    if has_parts:
        assert data.is_test is not None
        parts = [("train", ~data.is_test), ("test", np.asarray(data.is_test))]
    groups = []
    concerning = data.concerning(normal)
    for part, mask in parts:
        counts = np.bincount(data.labels[mask], minlength=len(data.class_names))
        for label in np.flatnonzero(counts):
            name = data.class_names[label]
            role = "unknown" if not normal else "normal" if name in normal else "anomalous"
            if part == "test" and len(data.class_names) == 1:
                role, name = "unknown", "of no class"  # nothing says what they are
            elif not concerning[data.labels == label].any():
                role = "other"
            groups.append(Group(part, name, role, int(counts[label])))
    return Contents(data.layout, tuple(groups), data.n_masks, len(data.skipped), dict(data.ignored))
