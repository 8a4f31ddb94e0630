"""Folders with classes and no parts, and flat folders."""

from __future__ import annotations

from typing import ClassVar

from insphere.data.layouts.tree import Tree
from insphere.data.layouts.vocabulary import only_normal, part_of
from insphere.data.listing import Listing, some
from insphere.errors import DataError
from insphere.natural_sort import natural_key

NORMAL = "normal"


class FlatParts:
    """``train`` and ``test`` with images directly in them."""

    name: ClassVar[str] = "parts without classes"
    form: ClassVar[str] = "`train/*.png`, `test/*.png`"
    meaning: ClassVar[str] = (
        "trained on `train`; `test` is scored, and not evaluated, since nothing says what is normal"
    )

    def fits(self, tree: Tree) -> bool:
        """Whether parts hold images and no folders, and are several or all that there is."""
        split = [own for own in map(tree.parts, tree.images) if own[0] in tree.part_tops]
        several = len({part_of(top) for top in tree.part_tops}) > 1
        return (
            bool(split)
            and all(len(own) == 2 for own in split)
            and (several or len(split) == len(tree.images))
        )

    def read(self, tree: Tree) -> Listing:
        """Put all images into one class."""
        inside = {name for name in tree.images if tree.parts(name)[0] in tree.part_tops}
        beside = [name for name in tree.images if name not in inside]
        return tree.listing(
            self.name,
            [(name, NORMAL) for name in tree.images if name in inside],
            is_test=tree.is_test,
            left_out=beside,
            notes=tree.beside_parts(beside),
        )


class ClassFolders:
    """One folder for each class."""

    name: ClassVar[str] = "class folders"
    form: ClassVar[str] = "`<class>/…`"
    meaning: ClassVar[str] = (
        "classes, of which one called `good`, `ok`, `normal`, … is normal; a share of each is kept "
        "for evaluation"
    )

    def fits(self, tree: Tree) -> bool:
        """Whether images lie in folders."""
        return bool(tree.tops)

    def read(self, tree: Tree) -> Listing:
        """Take the class from the first folder.

        Raises
        ------
        DataError
            If images lie beside the folders, or these are data sets of their own.
        """
        _refuse_collection(tree)
        loose = [name for name in tree.images if len(tree.parts(name)) == 1]
        if loose:
            raise DataError(
                f"{tree.path} holds {len(loose)} images beside its class folders: move them into a "
                "class folder or away."
            )
        classes = [(name, tree.parts(name)[0]) for name in tree.images]
        return tree.listing(self.name, classes, normal=only_normal(label for _, label in classes))


class Flat:
    """A folder of images."""

    name: ClassVar[str] = "plain folder"
    form: ClassVar[str] = "`*.png`"
    meaning: ClassVar[str] = "all images are of one class, `normal`"

    def fits(self, tree: Tree) -> bool:
        """Whether no image lies in a folder."""
        return not tree.tops

    def read(self, tree: Tree) -> Listing:
        """Put all images into one class."""
        return tree.listing(self.name, [(name, NORMAL) for name in tree.images])


def _refuse_collection(tree: Tree) -> None:
    """Refuse a folder of several data sets, whose names would be taken for classes."""
    found: dict[str, set[str]] = {}
    deep = False
    for parts in map(tree.parts, tree.images):
        if len(parts) > 2 and (part := part_of(parts[1])) is not None:
            found.setdefault(parts[0], set()).add(part)
            deep = deep or len(parts) > 3
    if not found or not (deep or any(len(parts) > 1 for parts in found.values())):
        return
    sets = sorted(found, key=natural_key)
    raise DataError(
        f"{tree.path} holds several data sets ({some(sets)}), each with its own train or test "
        f"folder: choose one of them, such as {tree.path}/{sets[0]}."
    )
