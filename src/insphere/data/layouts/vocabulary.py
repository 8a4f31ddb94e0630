"""The words in names of folders and files that describe their content; case is ignored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "test_public": "test",
}
"""Names of folders for parts, with the part."""

NORMAL_NAMES = ("normal", "good", "ok", "nominal", "defect_free", "non_defective")
_GOOD = (*NORMAL_NAMES, "okay", "gut", "pass")
ANOMALOUS_NAMES = (
    *("anomalous", "anomaly", "anomalies", "abnormal", "bad", "ko", "ng"),
    *("defect", "defects", "defective", "faulty"),
)
IMAGE_FOLDERS = frozenset(
    ("image", "images", "img", "imgs", "rgb", "color", "colour", "data", "jpegimages", "input")
)
"""Folders that only say that images lie in them; they do not count when masks are matched."""

_MASK = (
    r"(?:masks?|gts?|ground_?truths?|labels?|annotations?|segmentations?|segs?|seg_?masks?"
    r"|segmentation_?(?:class|object)"
    r"|(?:defect|pixel|binary|image|anomaly)_(?:masks?|labels?|gts?))"
)
_MASK_FOLDER = re.compile(rf"{_MASK}(?:_(?:png|bmp|tiff?|jpe?g|images?|imgs?|maps?|files?))?")
_MASK_SUFFIX = re.compile(rf"(?P<stem>.+?)[_\-. ]+(?P<word>{_MASK})(?:[_\-. ]?\d+)?")
_MASK_PREFIX = re.compile(rf"(?P<word>{_MASK}(?:[_\-. ]+|(?=\d)))(?P<stem>.+)")
_IMAGE = r"(?:images?|imgs?|rgb|colou?r|photos?|pictures?|inputs?)"
_IMAGE_AFFIX = re.compile(
    rf"{_IMAGE}(?:[_\-. ]+|(?=\d))(?P<behind>.+)|(?P<before>.+?)[_\-. ]+{_IMAGE}"
)


def normalised(name: str) -> str:
    """Return a name in lower case with underscores for spaces and hyphens."""
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


@lru_cache(maxsize=4096)
def is_mask_folder(name: str) -> bool:
    """Whether a folder has a name for masks: ``mask``, ``Masks``, ``ground truth``, ``gt``."""
    return _MASK_FOLDER.fullmatch(normalised(name)) is not None


def is_ground_truth(name: str) -> bool:
    """Whether a file lies in a folder called ground truth, which cannot be a class."""
    folders = map(normalised, name.split("/")[:-1])
    return any(re.fullmatch(r"ground_?truths?", folder) for folder in folders)


def mask_affix(stem: str) -> tuple[str, str] | None:
    """Split ``000_GT`` into ``000`` and ``gt``, and ``mask_000`` into ``000`` and ``mask_``.

    None for names without such an ending or beginning.

    Parameters
    ----------
    stem : str
        Name of a file without folder and suffix.
    """
    match = _MASK_SUFFIX.fullmatch(stem.lower()) or _MASK_PREFIX.fullmatch(stem.lower())
    return None if match is None else (match["stem"], match["word"])


def image_number(stem: str) -> str | None:
    """Return ``000`` of ``img_000`` or ``000_rgb``; None for names without such a word."""
    match = _IMAGE_AFFIX.fullmatch(stem.lower())
    return None if match is None else match["behind"] or match["before"]


def is_normal_name(name: str) -> bool:
    """Whether a class is called normal, good, ok, …."""
    return normalised(name) in NORMAL_NAMES


def only_normal(names: Iterable[str]) -> tuple[str, ...]:
    """Return the one class of several that is called normal; empty if none or several are."""
    classes = set(names)
    normal = tuple(name for name in classes if is_normal_name(name))
    return normal if len(normal) == 1 < len(classes) else ()


def is_anomalous_name(name: str) -> bool:
    """Whether a class is called anomalous, bad, defect, …."""
    return normalised(name) in ANOMALOUS_NAMES


def part_of(name: str) -> str | None:
    """Return "train", "val" or "test" for the name of a folder, None for any other."""
    return PARTS.get(name.lower())


def goodness(name: str) -> int:
    """Return the place of a class or folder among names of good ones; the last for any other.

    Examples
    --------
    >>> min(["defect", "parts/good", "other"], key=goodness)
    'parts/good'
    """
    last = normalised(name.rsplit("/", 1)[-1])
    return _GOOD.index(last) if last in _GOOD else len(_GOOD)
