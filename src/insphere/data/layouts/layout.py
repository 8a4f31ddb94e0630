"""The base of layouts: a layout recognises a tree by its names, and reads classes and masks."""

from __future__ import annotations

from typing import ClassVar, Protocol

from insphere.data.layouts.tree import Tree
from insphere.data.listing import Listing


class Layout(Protocol):
    """An arrangement of a data set in folders.

    Attributes
    ----------
    name : str
        Name of the layout.
    form : str
        Description of the folders, for the table in the documentation.
    meaning : str
        Interpretation, for the same table.
    """

    name: ClassVar[str]
    form: ClassVar[str]
    meaning: ClassVar[str]

    def fits(self, tree: Tree) -> bool:
        """Whether the tree has this layout. Less specific layouts are tried later."""

    def read(self, tree: Tree) -> Listing:
        """Return the images of the tree.

        Raises
        ------
        DataError
            If it has this layout, but is ambiguous or incomplete.
        """
