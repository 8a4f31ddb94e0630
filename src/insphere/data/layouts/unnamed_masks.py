"""Masks that no name shows: files named as photographs elsewhere, with next to no grey values."""

from __future__ import annotations

import re
from collections import defaultdict

from insphere.data.layouts.content import masks_among
from insphere.data.layouts.masks import stem_of
from insphere.data.layouts.tree import Tree
from insphere.errors import DataError

LEAST = 2  # files that make a folder of masks
MOST_FOLDERS = 50  # more are classes of a large data set
_ENDING = re.compile(r"(?P<stem>.+?)[_\-. ]+(?P<word>[a-z][a-z0-9]*)")


def refuse_unnamed_masks(tree: Tree) -> None:
    """Refuse a tree in which images of a class are masks, though no name says so.

    All files of a folder, or all with one ending, have the name of an image elsewhere; those
    looked at hold two grey values, and their namesakes more.

    Raises
    ------
    DataError
        If there are such files.
    """
    for where, twins in _namesakes(tree.images).items():
        masks = masks_among(tree.files, twins)
        if masks:
            raise DataError(
                f"{tree.path} has {len(twins)} files {where} that look like masks of images of the "
                f"same names ({masks[0]} of {twins[masks[0]]}): move them into a folder masks/, or "
                "away."
            )


def _namesakes(images: list[str]) -> dict[str, dict[str, str]]:
    """Return groups of files that may be masks, and for each file the image of the same name."""
    folders: dict[str, list[str]] = defaultdict(list)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in images:
        folder, stem = _split(name)
        folders[folder].append(name)
        by_stem[stem].append(name)
    groups: dict[str, dict[str, str]] = defaultdict(dict)
    if len(folders) <= MOST_FOLDERS:
        for folder, names in folders.items():
            twins = {name: _elsewhere(name, folder, by_stem) for name in names}
            if len(names) >= LEAST and all(twins.values()):
                groups[f"in {folder}/"] = {name: twin for name, twin in twins.items() if twin}
    ended: dict[str, dict[str, str]] = defaultdict(dict)
    for name in images:
        folder, stem = _split(name)
        found = _ENDING.fullmatch(stem)
        own = [] if found is None else by_stem.get(found["stem"], [])
        twin = next((other for other in own if _split(other)[0] == folder), None)
        if found is not None and twin is not None:
            ended[f"ending in {found['word']}"][name] = twin
    return groups | {where: twins for where, twins in ended.items() if len(twins) >= LEAST}


def _elsewhere(name: str, folder: str, by_stem: dict[str, list[str]]) -> str | None:
    same = by_stem[_split(name)[1]]
    return next((other for other in same if _split(other)[0] != folder), None)


def _split(name: str) -> tuple[str, str]:
    folder, _, stem = stem_of(name).rpartition("/")
    return folder, stem.lower()
