"""The masks of a tree, and the images that they belong to.

A file is a mask if it lies in a folder named so (``ground_truth``, ``Masks``, ``gt``, …), or if it
is named as another file with a word for masks (``000.png`` or ``img_000.png``, and ``000_GT.png``
or ``mask_000.png``). Masks are matched to images by what is left of both paths without the words
for masks, images and parts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from insphere.data.layouts.vocabulary import (
    IMAGE_FOLDERS,
    image_number,
    is_mask_folder,
    is_normal_name,
    mask_affix,
    part_of,
)

Key = tuple[str, ...]


@dataclass(frozen=True)
class Matched:
    """Masks of each image.

    Parameters
    ----------
    masks : dict of str to tuple of str
        For each image that has any, the names of its masks.
    unmatched : tuple of str
        Masks without a matching image, or with several.
    """

    masks: dict[str, tuple[str, ...]]
    unmatched: tuple[str, ...]


def is_in_mask_folder(name: str) -> bool:
    """Whether a file lies in, or below, a folder of masks."""
    return any(is_mask_folder(folder) for folder in name.split("/")[:-1])


def split_masks(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate images and masks by their names alone.

    Parameters
    ----------
    names : sequence of str
        All images of a tree, masks among them.

    Returns
    -------
    images, masks : list of str
        In the given order.
    """
    in_folder = {name for name in names if is_in_mask_folder(name)}
    stems = {stem_of(name).lower() for name in names if name not in in_folder}
    stems |= {other for other in map(_numbered, stems) if other is not None}
    suffixed: dict[str, list[str]] = defaultdict(list)
    partnered: set[str] = set()
    for name in names:
        if name in in_folder:
            continue
        folder, _, file = stem_of(name).rpartition("/")
        found = mask_affix(file)
        if found is not None:
            stem, word = found
            suffixed[word].append(name)
            if f"{folder}/{stem}".lstrip("/").lower() in stems:
                partnered.add(word)
    masks = in_folder | {name for word in partnered for name in suffixed[word]}
    return [name for name in names if name not in masks], [n for n in names if n in masks]


def match_masks(
    images: Iterable[str], masks: Iterable[str], is_test: Callable[[str], bool]
) -> Matched:
    """Find the image of each mask.

    Where a mask fits several images, the one is taken that alone is of the test part, or else
    alone of a class that is not called normal.

    Parameters
    ----------
    images, masks : iterable of str
        From `split_masks`.
    is_test : callable
        Whether an image belongs to the test part.
    """
    same_part: dict[Key, list[str]] = defaultdict(list)
    exact: dict[Key, list[str]] = defaultdict(list)
    by_file: dict[str, list[tuple[Key, str]]] = defaultdict(list)
    numbered: dict[Key, list[str]] = defaultdict(list)
    for name in images:
        key, with_part = image_key(name), image_key(name, parts=True)
        exact[key].append(name)
        same_part[with_part].append(name)
        by_file[key[-1]].append((key, name))
        if (number := image_number(key[-1])) is not None:
            numbered[(*with_part[:-1], number)].append(name)
            if with_part != key:
                numbered[(*key[:-1], number)].append(name)
    found: dict[str, list[str]] = defaultdict(list)
    unmatched = []
    for mask in masks:
        key, with_part = mask_key(mask), mask_key(mask, parts=True)
        candidates = (
            same_part.get(with_part)
            or same_part.get(with_part[:-1])
            or exact.get(key)
            or exact.get(key[:-1])
            or _by_ending(key, by_file)
            or numbered.get(with_part)
            or numbered.get(key)
            or []
        )
        selected = _only(candidates, is_test)
        if selected is None:
            unmatched.append(mask)
        else:
            found[selected].append(mask)
    return Matched({name: tuple(own) for name, own in found.items()}, tuple(unmatched))


def image_key(name: str, *, parts: bool = False) -> Key:
    """Return an image's path without words for images and, by default, parts."""
    *folders, file = stem_of(name).lower().split("/")
    kept = (f for f in folders if f not in IMAGE_FOLDERS and (parts or part_of(f) is None))
    return (*kept, file)


def mask_key(name: str, *, parts: bool = False) -> Key:
    """Return a mask's path without words for masks, images and parts."""
    *folders, file = image_key(name, parts=parts)
    split = mask_affix(file)
    return (*(f for f in folders if not is_mask_folder(f)), file if split is None else split[0])


def _by_ending(key: Key, by_file: dict[str, list[tuple[Key, str]]]) -> list[str]:
    """Return the images whose path ends with that of the mask, or the reverse."""
    for wanted in (key, key[:-1]):
        if not wanted:
            continue
        fitting = []
        for other, name in by_file.get(wanted[-1], ()):
            length = min(len(wanted), len(other))
            if other[-length:] == wanted[-length:]:
                fitting.append(name)
        if fitting:
            return fitting
    return []


def _only(candidates: Sequence[str], is_test: Callable[[str], bool]) -> str | None:
    if len(candidates) == 1:
        return candidates[0]
    for selected in (
        [name for name in candidates if is_test(name)],
        [name for name in candidates if not _in_normal_folder(name)],
        [name for name in candidates if is_test(name) and not _in_normal_folder(name)],
    ):
        if len(selected) == 1:
            return selected[0]
    return None


def _in_normal_folder(name: str) -> bool:
    return any(is_normal_name(folder) for folder in name.split("/")[:-1])


def _numbered(stem: str) -> str | None:
    """Return a path without the word for images in the name of its file; None without one."""
    folder, slash, file = stem.rpartition("/")
    number = image_number(file)
    return None if number is None else folder + slash + number


def stem_of(name: str) -> str:
    """Return the path of a file without its suffix."""
    folder, slash, file = name.rpartition("/")
    stem, dot, _ = file.rpartition(".")
    return folder + slash + (stem if dot else file)
