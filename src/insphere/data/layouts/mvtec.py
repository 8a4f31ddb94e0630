"""The three data sets of MVTec."""

from __future__ import annotations

from typing import ClassVar

from insphere.data.layouts.parts import (
    Parts,
    depth_below_truth,
    has_ground_truth,
    read_parts,
)
from insphere.data.layouts.tree import Tree
from insphere.data.layouts.vocabulary import part_of
from insphere.data.listing import Listing


class MVTec(Parts):
    """MVTec AD (Bergmann et al., CVPR 2019)."""

    name: ClassVar[str] = "MVTec AD"
    form: ClassVar[str] = (
        "`train/good`, `test/{good,<defect>}`, `ground_truth/<defect>/<image>_mask.png`"
    )
    meaning: ClassVar[str] = "class `good` is normal; every defective image has a mask"

    def fits(self, tree: Tree) -> bool:
        """Whether there are masks in ground_truth and good images to train on."""
        return super().fits(tree) and has_ground_truth(tree) and "good" in tree.part_classes


class MVTecLOCO(MVTec):
    """MVTec LOCO AD (Bergmann et al., IJCV 2022): several masks an image."""

    name: ClassVar[str] = "MVTec LOCO AD"
    form: ClassVar[str] = (
        "`train/good`, `validation/good`, `test/{good,<defect>}`, "
        "`ground_truth/<defect>/<image>/000.png`, `001.png`, …"
    )
    meaning: ClassVar[str] = "class `good` is normal; all masks of an image are united"

    def fits(self, tree: Tree) -> bool:
        """Whether masks lie in a folder for each image."""
        return super().fits(tree) and any(depth_below_truth(mask) == 3 for mask in tree.masks)


class MVTec3D(Parts):
    """MVTec 3D-AD (Bergmann et al., VISAPP 2022): the colour images; point clouds are left out."""

    name: ClassVar[str] = "MVTec 3D-AD"
    form: ClassVar[str] = "`train/good/rgb`, `test/{good,<defect>}/{rgb,xyz,gt}`"
    meaning: ClassVar[str] = (
        "images are those in `rgb`, masks those in `gt`; `xyz` is counted and not read"
    )

    def fits(self, tree: Tree) -> bool:
        """Whether images lie in folders called rgb below part and class."""
        return super().fits(tree) and any(self._is_rgb(tree, name) for name in tree.images)

    def read(self, tree: Tree) -> Listing:
        """Read the folders called rgb alone."""
        others = [name for name in tree.images if not self._is_rgb(tree, name)]
        return read_parts(tree, self.name, leave_out=set(others))

    @staticmethod
    def _is_rgb(tree: Tree, name: str) -> bool:
        if name.count("/") < 3:
            return False
        parts = tree.parts(name)
        return len(parts) >= 4 and part_of(parts[0]) is not None and parts[2].lower() == "rgb"
