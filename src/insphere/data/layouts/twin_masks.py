"""Masks beside their images under the same name with another suffix: ``7.jpg`` and ``7.png``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from insphere.data.files import ImageFiles
from insphere.data.layouts.content import masks_among
from insphere.data.layouts.masks import stem_of


def twin_masks(files: ImageFiles, names: Sequence[str]) -> set[str]:
    """Return the files that are masks of images of the same name with another suffix.

    All files of one suffix are masks if those looked at hold two grey values, and the files beside
    them more. Two photographs, such as one as JPEG and as PNG, are no image and mask.

    Parameters
    ----------
    files : ImageFiles
        The tree.
    names : sequence of str
        Images of the tree that no name shows to be masks.
    """
    twins: dict[str, list[str]] = defaultdict(list)
    for name in names:
        twins[stem_of(name).lower()].append(name)
    pairs: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for pair in twins.values():
        if len(pair) == 2:
            for mask, image in (pair, reversed(pair)):
                pairs[_suffix(mask), _suffix(image)][mask] = image
    return {mask for own in pairs.values() if masks_among(files, own) for mask in own}


def _suffix(name: str) -> str:
    return name[len(stem_of(name)) :].lower()
