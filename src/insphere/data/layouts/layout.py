"""What a layout is: it knows a tree by its names, and reads classes, parts and masks off it."""

from __future__ import annotations

from typing import ClassVar, Protocol

from insphere.data.layouts.tree import Tree
from insphere.data.listing import Listing


class Layout(Protocol):
    """One way in which data sets lie in folders.

    Attributes
    ----------
    name : str
        What it is called.
    form : str
        What it looks like, for the table in the documentation.
    meaning : str
        How it is understood, for the same table.
    """

    name: ClassVar[str]
    form: ClassVar[str]
    meaning: ClassVar[str]

    def fits(self, tree: Tree) -> bool:
        """Whether the tree has this layout; layouts that are tried later are less specific."""

    def read(self, tree: Tree) -> Listing:
        """Return the images of the tree.

        Raises
        ------
        DataError
            If it has this layout and yet cannot be understood.
        """
