"""The known layouts of folders, which determine class, part and masks of each image.

A layout is a class with `fits` and `read` (see `insphere.data.layouts.layout`). A new one needs one
file and one line in `LAYOUTS`, where more specific layouts come before more general ones.
"""

from __future__ import annotations

from insphere.data.file_kinds import tell_kinds
from insphere.data.files import ImageFiles
from insphere.data.layouts.btad import BTAD
from insphere.data.layouts.class_roles import ClassRoles
from insphere.data.layouts.kolektor import KolektorSDD
from insphere.data.layouts.layout import Layout
from insphere.data.layouts.masked import Masked
from insphere.data.layouts.mvtec import MVTec, MVTec3D, MVTecLOCO
from insphere.data.layouts.parts import Parts
from insphere.data.layouts.plain import ClassFolders, Flat, FlatParts
from insphere.data.layouts.tree import Tree
from insphere.data.layouts.unnamed_masks import refuse_unnamed_masks
from insphere.data.layouts.visa import Visa
from insphere.data.listing import Listing

LAYOUTS: tuple[Layout, ...] = (
    Visa(),
    MVTec3D(),
    MVTecLOCO(),
    BTAD(),
    ClassRoles(),
    MVTec(),
    KolektorSDD(),
    Masked(),
    FlatParts(),
    Parts(),
    ClassFolders(),
    Flat(),
)
"""All layouts; the first one that fits is used."""


def list_images(files: ImageFiles) -> Listing:
    """Read the layout of a tree of images, also one below folders that hold nothing else.

    Raises
    ------
    DataError
        If there are no images, or their layout is ambiguous.
    """
    tree = Tree(files, tell_kinds(files))
    refuse_unnamed_masks(tree)
    layout = next(layout for layout in LAYOUTS if layout.fits(tree))
    return layout.read(tree)
