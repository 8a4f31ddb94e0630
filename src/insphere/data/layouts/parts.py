"""Training and test parts with a folder for each class."""

from __future__ import annotations

from typing import ClassVar

from insphere.data.layouts.tree import Tree
from insphere.data.layouts.vocabulary import (
    NORMAL_NAMES,
    is_mask_folder,
    is_normal_name,
    normalised,
    only_normal,
)
from insphere.data.listing import Listing, some
from insphere.errors import DataError

GROUND_TRUTH = "ground_truth"


class Parts:
    """``train/<class>`` and ``test/<class>``."""

    name: ClassVar[str] = "parts with classes"
    form: ClassVar[str] = "`train/<class>/…`, `test/<class>/…`"
    meaning: ClassVar[str] = (
        "parts and classes; images directly in `train/` are of the test part's normal class; "
        "`val` is the test part if there is no other, else it joins the training part"
    )

    def fits(self, tree: Tree) -> bool:
        """Whether parts hold class folders."""
        return bool(tree.part_classes)

    def read(self, tree: Tree) -> Listing:
        """Take part and class from the first two folders."""
        return read_parts(tree, self.name)


def read_parts(tree: Tree, layout: str, *, leave_out: set[str] | None = None) -> Listing:
    """Read part and class from the first two folders, and the masks."""
    leave_out = leave_out or set()
    images = [name for name in tree.images if name not in leave_out]
    found = {
        parts[1] for parts in map(tree.parts, images) if parts[0] in tree.part_tops and parts[2:]
    }
    by_word = {normalised(name): name for name in sorted(found, reverse=True)}
    bare = next((by_word[name] for name in NORMAL_NAMES if name in by_word), NORMAL_NAMES[0])
    classes, beside = [], []
    for name in images:
        parts = tree.parts(name)
        if len(parts) == 1 or parts[0] not in tree.part_tops:
            beside.append(name)
            continue
        if len(parts) == 2 and tree.is_test(name):
            raise DataError(
                f"{tree.path}/{parts[0]} holds images outside class folders, such as {parts[1]}: "
                "put the images to test into folders named by their class."
            )
        classes.append((name, parts[1] if len(parts) > 2 else bare))
    _check_masked(tree, classes)
    trained = {label for name, label in classes if not tree.is_test(name)}
    return tree.listing(
        layout,
        classes,
        is_test=tree.is_test,
        normal=trained if len(trained) == 1 else only_normal(trained),
        left_out=[*beside, *sorted(leave_out)],
        notes=tree.beside_parts(beside),
    )


def _check_masked(tree: Tree, classes: list[tuple[str, str]]) -> None:
    """Refuse defective test images without a mask if others have one in the ground truth."""
    if not has_ground_truth(tree):
        return
    masks = tree.matched.masks
    unmasked = [
        name
        for name, label in classes
        if tree.is_test(name) and name not in masks and not is_normal_name(label)
    ]
    if unmasked:
        raise DataError(
            f"{tree.path} has no mask in {GROUND_TRUTH}/ for {len(unmasked)} of its defective "
            f"test images ({some(unmasked)}): add them, or move {GROUND_TRUTH}/ away to load the "
            "images without masks."
        )


def has_ground_truth(tree: Tree) -> bool:
    """Whether any mask lies in a folder of ground truth."""
    return any(depth_below_truth(mask) for mask in tree.masks)


def depth_below_truth(mask: str) -> int:
    """Return how many names follow the folder of ground truth; 0 if there is none."""
    parts = mask.split("/")
    tops = [i for i, part in enumerate(parts[:-1]) if normalised(part).startswith("ground")]
    return len(parts) - tops[0] - 1 if tops and is_mask_folder(parts[tops[0]]) else 0
