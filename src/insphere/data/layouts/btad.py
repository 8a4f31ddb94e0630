"""BTAD, whose class folders are called ok (normal) and ko (anomalous)."""

from __future__ import annotations

from typing import ClassVar

from insphere.data.layouts.parts import Parts
from insphere.data.layouts.tree import Tree


class BTAD(Parts):
    """BTAD (Mishra et al., ISIE 2021)."""

    name: ClassVar[str] = "BTAD"
    form: ClassVar[str] = "`train/ok`, `test/{ok,ko}`, `ground_truth/ko/<image>.png`"
    meaning: ClassVar[str] = "class `ok` is normal; masks of the class `ko`"

    def fits(self, tree: Tree) -> bool:
        """Whether the classes are ok and ko."""
        return super().fits(tree) and {"ok", "ko"} == tree.part_classes
