"""Which class, part and masks each image of a folder has, told by one of the known layouts.

A layout is a class of its own with `fits` and `read` (see `insphere.data.layouts.layout`); a new
one is a file and a line in `LAYOUTS`, where the more specific stands before the more general.
"""

from __future__ import annotations

from insphere.data.file_kinds import tell_kinds
from insphere.data.files import ImageFiles
from insphere.data.layouts.btad import BTAD
from insphere.data.layouts.class_roles import ClassRoles
from insphere.data.layouts.layout import Layout
from insphere.data.layouts.masked import Masked
from insphere.data.layouts.mvtec import MVTec, MVTec3D, MVTecLOCO
from insphere.data.layouts.parts import Parts
from insphere.data.layouts.plain import ClassFolders, Flat, FlatParts
from insphere.data.layouts.tree import Tree
from insphere.data.layouts.visa import Visa
from insphere.data.listing import Listing

LAYOUTS: tuple[Layout, ...] = (
    Visa(),
    MVTec3D(),
    MVTecLOCO(),
    BTAD(),
    ClassRoles(),
    MVTec(),
    Masked(),
    FlatParts(),
    Parts(),
    ClassFolders(),
    Flat(),
)
"""The first that fits is taken."""


def list_images(files: ImageFiles) -> Listing:
    """Read the layout of a tree of images, also one below folders that hold nothing else.

    Raises
    ------
    DataError
        If there are no images, or their layout is ambiguous.
    """
    tree = Tree(files, tell_kinds(files))
    layout = next(layout for layout in LAYOUTS if layout.fits(tree))
    return layout.read(tree)
