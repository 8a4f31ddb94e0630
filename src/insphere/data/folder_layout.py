"""Which class and part each image of a folder belongs to, told by the names of the folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from insphere.data.files import ImageFiles, ZipFiles, is_image_name
from insphere.errors import DataError
from insphere.natural_sort import natural_key

PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
GROUND_TRUTH = "ground_truth"
NORMAL_NAMES = ("normal", "good", "ok")


@dataclass(frozen=True, slots=True)
class Entry:
    """One image to decode.

    Parameters
    ----------
    name : str
        Name of the file within its tree.
    label : int
        Index of its class.
    is_test : bool
        Whether it belongs to the test part.
    mask : str, optional
        Name of the file with its ground-truth mask.
    group : int
        Images with the same number must not be split.
    box : tuple of float, optional
        What to keep: left, upper, right and lower edge, each as a share of width or height.
    border : float
        Share of width and height to cut from every side when there is no `box`.
    """

    name: str
    label: int
    is_test: bool = False
    mask: str | None = None
    group: int = -1
    box: tuple[float, float, float, float] | None = None
    border: float = 0.0


@dataclass(frozen=True)
class Listing:
    """All images of a tree, with what its folders say about them."""

    entries: tuple[Entry, ...]
    class_names: tuple[str, ...]
    has_parts: bool = False
    has_masks: bool = False
    has_groups: bool = False
    default_size: int | None = None
    notes: tuple[str, ...] = field(default=())


def list_images(files: ImageFiles) -> Listing:
    """Read the layout of a tree of images from its names alone.

    Understood are ``train/<class>/…`` with ``test/<class>/…``, ``<class>/…``, a flat folder (one
    class, ``"normal"``) and that of MVTec AD, each also below folders that hold nothing else. A
    part called ``val`` is the test part if there is no other, and otherwise joins the training
    part.

    Raises
    ------
    DataError
        If there are no images, or their layout is ambiguous.
    """
    names = [name for name in files.names if is_image_name(name)]
    if not names:
        raise DataError(
            f"{files.path} holds no images; expected are folders such as train/<class>/… or a "
            "flat folder of normal images."
        )
    folders = {name.rpartition("/")[0] for name in names}
    depth = _wrapping_depth(folders, zipped=isinstance(files, ZipFiles))
    inner = _Inner(names, depth)
    tops = {parts[0] for parts in inner.values() if len(parts) > 1}
    part_tops = {top for top in tops if top.lower() in PARTS}
    others = sorted(tops - part_tops - {GROUND_TRUTH})
    with_classes = any(parts[0] in part_tops and len(parts) > 2 for parts in inner.values())
    if part_tops and (with_classes or not others):
        return _list_parts(files, inner, part_tops, others)
    _refuse_collection(files, inner)
    return _list_classes(files, inner)


class _Inner(Mapping[str, list[str]]):
    """The parts of each name below the wrapping folders, split when they are asked for.

    Parameters
    ----------
    names : list of str
        Names within the tree.
    depth : int
        Folders that only wrap the rest.
    """

    def __init__(self, names: list[str], depth: int) -> None:
        self._names = names
        self._depth = depth

    def __getitem__(self, name: str) -> list[str]:
        return name.split("/")[self._depth :]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _wrapping_depth(folders: Iterable[str], *, zipped: bool) -> int:
    """Count the leading folders that only wrap the rest."""
    split = [folder.split("/") if folder else [] for folder in folders]
    depth = 0
    while all(len(parts) > depth for parts in split):
        tops = {parts[depth] for parts in split}
        if len(tops) > 1 or tops.pop().lower() in PARTS:
            break
        if any(len(parts) == depth + 1 for parts in split):  # images lie in it: a class
            return 1 if zipped and depth == 0 else depth  # but zipping a folder adds its name
        depth += 1
    return depth


def _refuse_collection(files: ImageFiles, inner: Mapping[str, list[str]]) -> None:
    """Refuse a folder of several data sets, whose names would pass for classes."""
    sets = sorted(
        {p[0] for p in inner.values() if len(p) > 3 and p[1].lower() in PARTS}, key=natural_key
    )
    if sets:
        raise DataError(
            f"{files.path} holds several data sets ({_some(sets)}), each with its own train or "
            f"test folder: choose one of them, such as {files.path / sets[0]}."
        )


def _list_classes(files: ImageFiles, inner: Mapping[str, list[str]]) -> Listing:
    loose = sum(len(parts) == 1 for parts in inner.values())
    if loose == len(inner):
        entries = [Entry(name, 0) for name in sorted(inner, key=natural_key)]
        return Listing(tuple(entries), ("normal",))
    if loose:
        raise DataError(
            f"{files.path} holds {loose} images beside its class folders: move them into a class "
            "folder or away."
        )
    class_names = sorted({parts[0] for parts in inner.values()}, key=natural_key)
    index = {name: label for label, name in enumerate(class_names)}
    entries = [Entry(name, index[parts[0]]) for name, parts in inner.items()]
    entries.sort(key=lambda entry: (entry.label, natural_key(entry.name)))
    return Listing(tuple(entries), tuple(class_names))


def _list_parts(
    files: ImageFiles, inner: Mapping[str, list[str]], part_tops: set[str], others: list[str]
) -> Listing:
    part_of = {top: PARTS[top.lower()] for top in part_tops}
    test_part = "test" if "test" in part_of.values() else "val"
    found = {parts[1] for parts in inner.values() if parts[0] in part_of and len(parts) > 2}
    bare = next((name for name in NORMAL_NAMES if name in found), NORMAL_NAMES[0])

    labelled: list[tuple[str, str, bool, list[str]]] = []
    ignored: Counter[str] = Counter()
    for name, parts in inner.items():
        if len(parts) == 1 or parts[0] in others:
            ignored[parts[0] if len(parts) > 1 else "its top folder"] += 1
        elif parts[0] in part_of:
            is_test = part_of[parts[0]] == test_part
            if len(parts) == 2 and is_test:
                raise DataError(
                    f"{files.path / parts[0]} holds images outside class folders, such as "
                    f"{parts[1]}: put the images to test into folders named by their class."
                )
            class_name = parts[1] if len(parts) > 2 else bare
            labelled.append((name, class_name, is_test, parts))

    class_names = sorted({class_name for _, class_name, _, _ in labelled}, key=natural_key)
    index = {name: label for label, name in enumerate(class_names)}
    masks = _masks(inner)
    entries, unmasked = [], []
    for name, class_name, is_test, parts in labelled:
        mask = masks.get(_without_suffix("/".join(parts[1:]))) if is_test else None
        if masks and mask is None and is_test and class_name not in NORMAL_NAMES:
            unmasked.append(name)
        entries.append(Entry(name, index[class_name], is_test, mask))
    if unmasked:
        raise DataError(
            f"{files.path} has no mask in {GROUND_TRUTH}/ for {len(unmasked)} of its defective "
            f"test images ({_some(unmasked)}): add them, or move {GROUND_TRUTH}/ away to load the "
            "images without masks."
        )
    entries.sort(key=lambda entry: (entry.is_test, entry.label, natural_key(entry.name)))
    notes = [
        f"{count} images in {where} were left out: they are neither in the training nor in the "
        "test part."
        for where, count in ignored.items()
    ]
    return Listing(
        tuple(entries),
        tuple(class_names),
        has_parts=any(entry.is_test for entry in entries),
        has_masks=bool(masks),
        notes=tuple(notes),
    )


def _masks(inner: Mapping[str, list[str]]) -> dict[str, str]:
    """Map ``<defect>/<image>`` without suffix to the name of its mask."""
    masks = {}
    for name, parts in inner.items():
        if parts[0] == GROUND_TRUTH and len(parts) > 2:
            masks[_without_suffix("/".join(parts[1:])).removesuffix("_mask")] = name
    return masks


def _without_suffix(name: str) -> str:
    return name.rpartition(".")[0]


def _some(names: Sequence[str], limit: int = 3) -> str:
    """Name the first few."""
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
