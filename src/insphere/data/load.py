"""One call for every source of images: a name, a file, a folder or a zip."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from insphere.data.arrays import convert_images, load_npy, load_npz
from insphere.data.cache import cache_key, cached
from insphere.data.datasets.dataset import Roi
from insphere.data.datasets.find import list_as_named, read_named
from insphere.data.datasets.table import DATASETS, named_dataset
from insphere.data.decode import decode_entries, survey
from insphere.data.file_kinds import readers
from insphere.data.files import FolderFiles, ImageFiles, ListedFiles, ZipFiles
from insphere.data.gather import Gathered, SizesDifferError, gather
from insphere.data.image_set import ImageSet
from insphere.data.layouts import list_images
from insphere.data.letterbox import Canvas, Fit, choose_canvas
from insphere.data.listing import Entry, Listing, some
from insphere.data.other_kinds import refuse_other_kinds
from insphere.data.stack import FileStack, MemoryStack
from insphere.errors import DataError, SpecError, did_you_mean
from insphere.parsing import ParseError, check_path
from insphere.safe_text import shown_path

Size = int | tuple[int, int]


@dataclass(frozen=True)
class _Options:
    """How to decode; what changes the pixels is part of the cache's key."""

    canvas: Canvas | None
    channels: int | None
    skip_bad: bool
    roi: Roi
    cache: bool
    progress: bool | None
    follow_links: bool = False


def load_dataset(
    source: str | os.PathLike[str],
    *,
    name: str | None = None,
    size: Size | None = None,
    fit: Fit | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
    cache: bool = True,
    download: bool = False,
    root: str | os.PathLike[str] | None = None,
    roi: Roi = "crop",
    progress: bool | None = None,
    follow_links: bool = False,
) -> ImageSet:
    """Load images from a named data set, a file, a folder or a zip.

    Image files are decoded in parallel and kept in a cache as they were, so that the next call
    only opens a memory map. See `insphere.data.layouts` for the folders that are understood, and
    `insphere.data.pixels` for what becomes of unusual images.

    Parameters
    ----------
    source : str or path
        A name (see `available_datasets`), or the path of an ``.npz`` or ``.npy`` file, a folder of
        images, a zip of one, or an image file.
    name : str, optional
        What to call the set; by default the name, or that of the file or folder.
    size : int or (int, int), optional
        Height and width of every image, in pixels. By default they keep their own; and if those
        differ, a canvas is chosen on which they lie with their aspect kept, and named in a note.
    fit : {"stretch", "own", "letterbox"}, optional
        How an image gets to `size`: resized whatever its aspect (the default), at its own scale as
        far as it fits, or scaled to fit with its aspect kept; see `insphere.data.letterbox`.
    channels : {1, 3}, optional
        Grey or RGB; by default grey if every image is.
    skip_bad : bool
        Leave out files that cannot be decoded and list them in ``ImageSet.skipped``, where they
        would otherwise be refused.
    cache : bool
        Keep decoded images on disk (``INSPHERE_CACHE``, or the user's cache folder).
    download : bool
        Allow torchvision to download a named set that is not found on this machine.
    root : path, optional
        Where to look for the files of a named set, before ``INSPHERE_DATA``, the system's folders
        and earlier downloads.
    roi : {"crop", "border"}
        For GTSRB: crop to the sign's region of interest, or cut 10 % from every side.
    progress : bool, optional
        Show a progress bar; by default if stderr is a terminal.
    follow_links : bool
        Follow links that lead out of a folder; they are counted and left out otherwise.

    Returns
    -------
    ImageSet
        The images, their labels, and what else the source says.

    Raises
    ------
    DataError
        If the source is missing, empty, damaged or ambiguous; the message says what to do.
    SpecError
        If an option is out of range.
    MissingExtraError
        If an optional package is needed.

    Examples
    --------
    >>> from insphere.data import load_dataset
    >>> load_dataset("digits-8x8")
    ImageSet('digits-8x8', 1797 images of 8×8×1, 10 classes)
    """
    if channels not in (None, 1, 3):
        raise SpecError(f"channels is 1 (grey) or 3 (RGB), but got {channels!r}.")
    if roi not in ("crop", "border"):
        raise SpecError(f"roi is 'crop' or 'border', but got {roi!r}.")
    canvas = _canvas(size, fit)
    options = _Options(canvas, channels, skip_bad, roi, cache, progress, follow_links)
    text = os.fspath(source)
    quiet: tuple[str, ...] = ()
    if text in DATASETS:
        reader = partial(_read, options)
        data = _converted(read_named(text, reader, root=root, may_download=download), options)
        quiet = named_dataset(text).quiet_notes
        name = name or text
    else:
        data = _load_path(_existing(text), options)
    if name is not None:
        data = replace(data, name=name)
    for note in data.notes:
        if note not in quiet:
            warnings.warn(f"{data.name}: {note}", stacklevel=2)
    return data


def load_paths(
    paths: Sequence[str | os.PathLike[str]],
    *,
    size: Size | None = None,
    fit: Fit | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
    progress: bool | None = None,
) -> ImageSet:
    """Load image files that are named one by one, in that order.

    Parameters
    ----------
    paths : sequence of str or path
        The files.
    size, fit, channels, skip_bad, progress
        As in `load_dataset`.

    Raises
    ------
    DataError
        If a file is missing or cannot be read.
    """
    if channels not in (None, 1, 3):
        raise SpecError(f"channels is 1 (grey) or 3 (RGB), but got {channels!r}.")
    found = [_expanded(os.fspath(path)) for path in paths]
    folder = next((path for path in found if path.is_dir()), None)
    if folder is not None:
        raise DataError(
            f"The list of paths names the folder {folder}: name files, or give one folder alone."
        )
    missing = [path for path in found if not path.exists()]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(found)} files in the list do not exist, such as "
            f"{missing[0]}: check the paths."
        )
    options = _Options(_canvas(size, fit), channels, skip_bad, "crop", False, progress)
    return _load_files(ListedFiles(found), "images", options)


def _canvas(size: Size | None, fit: Fit | None) -> Canvas | None:
    if fit not in (None, *get_args(Fit)):
        raise SpecError(f"fit is {' or '.join(map(repr, get_args(Fit)))}, but got {fit!r}.")
    pair = _pair(size)
    if pair is None:
        return None
    return Canvas(*pair, fit or "stretch")


def _pair(size: Size | None) -> tuple[int, int] | None:
    if size is None:
        return None
    try:
        height, width = size if isinstance(size, (tuple, list)) else (size, size)
        pair = (int(height), int(width))
        exact = pair == (height, width)
    except (TypeError, ValueError):
        exact = False
    if not exact or min(pair) < 1:
        raise SpecError(f"size is a number of pixels or (height, width), but got {size!r}.")
    return pair


def _expanded(text: str) -> Path:
    """Return a path that the system can be asked about."""
    try:
        check_path(text)
        path = Path(text).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
        return path
    except ParseError as error:
        raise DataError(f"The source {shown_path(text)!r} {error}.") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: ~somebody without a home
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"The source {shown_path(text)!r} cannot be read: {reason}.") from error


def _existing(text: str) -> Path:
    path = _expanded(text)
    if path.exists():
        return path
    hint = did_you_mean(text.lower(), DATASETS, f"known names are {', '.join(DATASETS)}.")
    raise DataError(
        f"There is no file or folder {shown_path(text)} and no data set of that name; {hint}"
    )


def _read(options: _Options, path: Path, **changes: Any) -> ImageSet:
    """Read a path for a named data set, with other options; ``size`` resizes to it."""
    if "size" in changes:
        changes["canvas"] = _canvas(changes.pop("size"), None)
    return _load_path(path, replace(options, **changes))


def _load_path(path: Path, options: _Options) -> ImageSet:
    if path.is_dir():
        files = FolderFiles(path, follow_links=options.follow_links)
        return _load_files(files, path.resolve().name, options)
    suffix = path.suffix.lower()
    refuse_other_kinds(path)
    if suffix == ".npz":
        return _converted(load_npz(path, path.stem), options)
    if suffix == ".npy":
        return _converted(load_npy(path, path.stem), options)
    if suffix == ".zip":
        return _load_files(ZipFiles(path), path.stem, options)
    single = ListedFiles([Path(path.name)], path.parent)
    return _load_files(single, path.stem, replace(options, cache=False))


def _converted(data: ImageSet, options: _Options) -> ImageSet:
    images = convert_images(data.images, canvas=options.canvas, channels=options.channels)
    return data if images is data.images else replace(data, images=images)


def _load_files(files: ImageFiles, name: str, options: _Options) -> ImageSet:
    """Decode a tree of images, or open it from the cache."""
    if not options.cache:
        images, masks = MemoryStack(), MemoryStack()
        meta, small = _decode(files, options, images, masks)
        arrays: dict[str, NDArray[Any]] = {"images": images.finish(), **small}
        if meta["has_masks"]:
            arrays["masks"] = masks.finish()
    else:

        def build(folder: Path) -> Mapping[str, Any]:
            images, masks = FileStack(folder / "images.npy"), FileStack(folder / "masks.npy")
            try:
                meta, small = _decode(files, options, images, masks)
                images.finish()
                masks.finish()
            finally:
                images.close()
                masks.close()
            for key, values in small.items():
                np.save(folder / f"{key}.npy", values, allow_pickle=False)
            return meta

        canvas = options.canvas
        size = None if canvas is None else canvas.size
        how = [] if canvas is None or canvas.fit == "stretch" else [canvas.fit]
        key = cache_key(files.signature(), size, options.channels, options.roi, readers(), *how)
        entry = cached(key, build)
        meta, arrays = entry.meta, entry.arrays
        if meta["skipped"] and not options.skip_bad:
            raise _bad_files(files, meta["skipped"], len(arrays["images"]))
    return ImageSet(
        arrays["images"],
        np.array(arrays["labels"]),
        tuple(meta["class_names"]),
        name=name,
        is_test=np.array(arrays["is_test"]) if "is_test" in arrays else None,
        masks=arrays.get("masks"),
        paths=tuple(f"{files.path}/{path}" for path in meta["paths"]),
        groups=np.array(arrays["groups"]) if "groups" in arrays else None,
        skipped=(*meta["skipped"], *meta["unread"]),
        notes=tuple(meta["notes"]),
        normal_classes=tuple(meta["normal_classes"]),
        layout=meta["layout"],
        fit=meta.get("fit", "stretch"),
        own_anomalies=meta["own_anomalies"],
        n_masks=meta["n_masks"],
        ignored=dict(meta["ignored"]),
    )


def _decode(
    files: ImageFiles,
    options: _Options,
    images: MemoryStack | FileStack,
    masks: MemoryStack | FileStack,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Fill the stacks; return what else there is to say, as JSON-like values and small arrays."""
    listing = _list(files, options)
    canvas = options.canvas
    if canvas is None and listing.default_size is not None:
        canvas = Canvas(listing.default_size, listing.default_size, "stretch")
    try:
        found = _gather(files, listing, canvas, options, images, masks)
    except SizesDifferError:
        canvas = choose_canvas(survey(files, listing.entries))
        listing = replace(listing, notes=(*listing.notes, canvas.describe(len(listing.entries))))
        images.clear()
        masks.clear()
        found = _gather(files, listing, canvas, options, images, masks)
    if found.skipped and not options.skip_bad:
        raise _bad_files(files, found.skipped, len(found.kept))
    if not found.kept:
        bad = [*found.skipped, *found.unread]
        raise DataError(f"None of the {len(bad)} images in {files.path} can be read ({some(bad)}).")
    fit = "stretch" if canvas is None else canvas.fit
    return _meta(listing, found) | {"fit": fit}, _small_arrays(listing, found.kept)


def _gather(
    files: ImageFiles,
    listing: Listing,
    canvas: Canvas | None,
    options: _Options,
    images: MemoryStack | FileStack,
    masks: MemoryStack | FileStack,
) -> Gathered:
    decoded = decode_entries(
        files, listing.entries, canvas=canvas, channels=options.channels, progress=options.progress
    )
    return gather(decoded, images, masks if listing.has_masks else None, channels=options.channels)


def _meta(listing: Listing, found: Gathered) -> dict[str, Any]:
    return {
        "class_names": listing.class_names,
        "paths": [entry.name for entry in found.kept],
        "skipped": found.skipped,
        "unread": [*listing.unread, *found.unread],
        "notes": listing.notes,
        "has_masks": listing.has_masks,
        "n_masks": sum(bool(entry.masks) for entry in found.kept),
        "normal_classes": listing.normal_classes,
        "layout": listing.layout,
        "own_anomalies": listing.own_anomalies,
        "ignored": listing.ignored,
    }


def _list(files: ImageFiles, options: _Options) -> Listing:
    if isinstance(files, ListedFiles):
        return Listing(tuple(Entry(name, 0) for name in files.names), ("normal",))
    own = list_as_named(files, options.roi)
    return list_images(files) if own is None else own


def _small_arrays(listing: Listing, kept: list[Entry]) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {"labels": np.array([e.label for e in kept], np.int64)}
    if listing.has_parts:
        arrays["is_test"] = np.array([entry.is_test for entry in kept], bool)
    if listing.has_groups:
        arrays["groups"] = np.array([entry.group for entry in kept], np.int64)
    return arrays


def _bad_files(files: ImageFiles, skipped: list[str], good: int) -> DataError:
    first = "; ".join(skipped[:3]) + ("; …" if len(skipped) > 3 else "")
    return DataError(
        f"{len(skipped)} of {len(skipped) + good} images in {files.path} cannot be read ({first}): "
        "repair or remove them, or leave them out with skip_bad=True."
    )
