"""KolektorSDD, with a folder for each part that was photographed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

from insphere.data.layouts.masked import Masked
from insphere.data.layouts.tree import Tree
from insphere.natural_sort import natural_key

_ITEM = re.compile(r"kos\d+", re.IGNORECASE)


class KolektorSDD(Masked):
    """KolektorSDD (Tabernik et al., J. Intell. Manuf. 2020): photographs of 50 commutators."""

    name: ClassVar[str] = "KolektorSDD"
    form: ClassVar[str] = "`kosNN/PartN.jpg`, `kosNN/PartN_label.bmp`"
    meaning: ClassVar[str] = (
        "class `defective` where a mask has a pixel set, else `normal`; images of one part are "
        "never divided between training and test"
    )

    def fits(self, tree: Tree) -> bool:
        """Whether there are masks, and all images lie in folders called kosNN."""
        return bool(tree.masks) and all(
            len(parts) == 2 and _ITEM.fullmatch(parts[0]) for parts in map(tree.parts, tree.images)
        )

    def _groups(self, tree: Tree) -> Callable[[str], int]:
        items = {item: i for i, item in enumerate(sorted(tree.tops, key=natural_key))}
        return lambda name: items[tree.parts(name)[0]]
