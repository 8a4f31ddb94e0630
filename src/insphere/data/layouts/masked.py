"""Images without class folders whose masks say which are defective (KolektorSDD2, DAGM)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from insphere.data.layouts.content import is_empty_mask
from insphere.data.layouts.tree import Tree
from insphere.data.layouts.vocabulary import IMAGE_FOLDERS
from insphere.data.listing import Listing
from insphere.errors import DataError

NORMAL, DEFECTIVE = "normal", "defective"


class Masked:
    """Flat folders of images with masks beside or below them."""

    name: ClassVar[str] = "images with masks"
    form: ClassVar[str] = (
        "KolektorSDD2: `train/NNN.png` with `NNN_GT.png`; also one flat folder with masks, or "
        "`images/` with `masks/`"
    )
    meaning: ClassVar[str] = (
        "class `defective` where a mask has a pixel set, else `normal`; parts if there are any"
    )

    def fits(self, tree: Tree) -> bool:
        """Whether there are masks, and no classes."""
        if not tree.masks:
            return False
        return all(
            not folders or (len(folders) == 1 and folders[0] in tree.part_tops)
            for folders in map(self._folders, map(tree.parts, tree.images))
        )

    @staticmethod
    def _folders(parts: list[str]) -> list[str]:
        """Return the folders of an image that say more than that images lie in them."""
        return [folder for folder in parts[:-1] if folder.lower() not in IMAGE_FOLDERS]

    def read(self, tree: Tree) -> Listing:
        """Look into the masks; an image without one is normal.

        Raises
        ------
        DataError
            If no training image is normal.
        """
        classes = []
        for name in tree.images:
            masks = tree.matched.masks.get(name, ())
            empty = all(is_empty_mask(tree.files, mask) for mask in masks)
            classes.append((name, NORMAL if empty else DEFECTIVE))
        training = [kind for name, kind in classes if not tree.is_test(name)]
        if training and NORMAL not in training:
            raise DataError(
                f"All {len(training)} training images of {tree.path} have masks with pixels set, "
                "so that none of them is normal: if the masks outline objects and not defects, "
                "move them away."
            )
        return tree.listing(
            self.name,
            classes,
            is_test=tree.is_test if tree.part_tops else None,
            class_names=(NORMAL, DEFECTIVE),
            normal=(NORMAL,),
            groups=self._groups(tree),
        )

    def _groups(self, _tree: Tree) -> Callable[[str], int] | None:
        """Return a function that maps an image to its group, or None if there are no groups."""
        return None
