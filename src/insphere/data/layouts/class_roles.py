"""Classes that are each divided into normal and anomalous images (FCDD's own data)."""

from __future__ import annotations

from typing import ClassVar

from insphere.data.layouts.tree import Tree
from insphere.data.layouts.vocabulary import is_anomalous_name, is_normal_name, part_of
from insphere.data.listing import Listing, some
from insphere.errors import DataError


class ClassRoles:
    """``train/<class>/normal``, ``test/<class>/anomalous``, with parts or without."""

    name: ClassVar[str] = "normal and anomalous in each class"
    form: ClassVar[str] = (
        "`train/<class>/{normal,anomalous}`, `test/<class>/{normal,anomalous}`, or without parts"
    )
    meaning: ClassVar[str] = (
        "class `<class>` for the normal images and `<class>/anomalous` for the others; "
        "a detector of one class is tested on that class alone"
    )

    def fits(self, tree: Tree) -> bool:
        """Whether folders below the classes are called normal or anomalous."""
        return any(self._role(tree, name) is not None for name in tree.images)

    def read(self, tree: Tree) -> Listing:
        """Make a normal and an anomalous class of each; training images need no role folder."""
        classes, normal, unclear, left_out = [], set(), [], []
        for name in tree.images:
            parts = tree.parts(name)
            at = 1 if tree.part_tops else 0
            if at and parts[0] not in tree.part_tops:
                left_out.append(name)
                continue
            role = self._role(tree, name)
            if role is None:
                if at and len(parts) == 3 and not tree.is_test(name):
                    role = "normal"
                else:
                    unclear.append(name)
                    continue
            if is_normal_name(role):
                classes.append((name, parts[at]))
                normal.add(parts[at])
            else:
                classes.append((name, f"{parts[at]}/{role}"))
        if unclear:
            raise DataError(
                f"{tree.path} has classes that are divided into normal and anomalous images, and "
                f"{len(unclear)} images that are in neither ({some(unclear)}): sort them too."
            )
        has_parts = any(map(tree.is_test, tree.images))
        return tree.listing(
            self.name,
            classes,
            is_test=tree.is_test if has_parts else None,
            class_names=normal,
            normal=normal,
            own_anomalies=True,
            left_out=left_out,
        )

    @staticmethod
    def _role(tree: Tree, name: str) -> str | None:
        """Return the role folder below the class: normal or anomalous; None without one."""
        at = 2 if tree.part_tops else 1
        if name.count("/") <= at:
            return None
        parts = tree.parts(name)
        if len(parts) <= at + 1 or (at == 2 and part_of(parts[0]) is None):
            return None
        role = parts[at]
        return role if is_normal_name(role) or is_anomalous_name(role) else None
