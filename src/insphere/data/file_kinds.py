"""The kind of each file of a tree: a readable image, an unreadable one, or another file.

The suffix determines the kind if it is known; otherwise the first bytes do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

from insphere.data.files import IMAGE_SUFFIXES, ImageFiles

HEAD = 32  # bytes by which a format is recognised

HEIF_SUFFIXES = (".heic", ".heif", ".hif", ".heics")
UNREADABLE = {
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf"), "raw photo"),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm", ".wmv", ".mpg", ".mpeg"), "video"),
    **dict.fromkeys((".dcm", ".dicom", ".nii", ".mha", ".nrrd"), "medical image"),
    **dict.fromkeys((".psd", ".xcf", ".svg", ".exr", ".hdr", ".jxl", ".jxr", ".eps"), "picture"),
}
"""Formats of images that cannot be read."""

OTHER_SUFFIXES = frozenset(
    (
        *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml"),
        *(".html", ".htm", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".log", ".ini", ".toml"),
        *(".py", ".ipynb", ".sh", ".m", ".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2"),
        *(".xz", ".npy", ".npz", ".mat", ".h5", ".hdf5", ".parquet", ".pkl", ".pt", ".pth"),
        *(".safetensors", ".onnx", ".db", ".sqlite", ".cfg", ".ply", ".pcd", ".obj", ".stl"),
        *(".wav", ".mp3", ".flac"),
    )
)
"""Suffixes of files that are not images; such files are not opened."""


@dataclass(frozen=True)
class FileKinds:
    """The files of a tree by their kind.

    Parameters
    ----------
    images : tuple of str
        Names of images to decode.
    unread : tuple of str
        Images that cannot be read, each with the reason.
    ignored : dict of str to int
        All others, by type.
    """

    images: tuple[str, ...]
    unread: tuple[str, ...]
    ignored: dict[str, int]


@cache
def reads_heif() -> bool:
    """Whether HEIC and HEIF can be read. Registers the reader with Pillow if it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener(thumbnails=False)
    return True


@cache
def reads_avif() -> bool:
    """Whether AVIF can be read: by Pillow from 11.3 on."""
    from PIL import features

    return bool(features.check("avif"))


def readers() -> list[str]:
    """Return the optional readers that are installed, which determine what can be read."""
    return [name for name, there in (("heif", reads_heif()), ("avif", reads_avif())) if there]


def tell_kinds(files: ImageFiles) -> FileKinds:
    """Return the files of a tree by their kind.

    Parameters
    ----------
    files : ImageFiles
        A folder or zip.
    """
    images: list[str] = []
    unread: list[str] = []
    ignored: Counter[str] = Counter(files.left_out)
    for name in files.names:
        suffix = _suffix(name)
        kind = _kind_of_suffix(suffix)
        if kind is None:
            kind = kind_of_bytes(files.head(name, HEAD)) or "other"
        if kind == "image":
            images.append(name)
        elif kind == "other":
            ignored[suffix or "no suffix"] += 1
        else:
            unread.append(f"{name}: {why_unread(kind, suffix)}")
    return FileKinds(tuple(images), tuple(unread), dict(ignored))


def _suffix(name: str) -> str:
    """Return the suffix of a file in lower case, with its dot."""
    file = name[name.rfind("/") + 1 :]
    dot = file.rfind(".")
    return file[dot:].lower() if dot > 0 else ""


def _kind_of_suffix(suffix: str) -> str | None:
    """Return "image", "heif", "avif", a word for a kind that is not read, "other", or None."""
    if suffix in HEIF_SUFFIXES:
        return "image" if reads_heif() else "heif"
    if suffix == ".avif":
        return "image" if reads_avif() else "avif"
    if suffix in IMAGE_SUFFIXES:
        return "image"
    if suffix in UNREADABLE:
        return UNREADABLE[suffix]
    return "other" if suffix in OTHER_SUFFIXES else None


def kind_of_bytes(head: bytes) -> str | None:
    """Return the kind of a file by its first bytes; see `_kind_of_suffix`."""
    starts = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
    if head.startswith((*starts, b"\0\0\0\x0cjP  \r\n\x87\n")):
        return "image"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image"
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return "image"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "image"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in (b"avif", b"avis"):
            return "image" if reads_avif() else "avif"
        if brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"):
            return "image" if reads_heif() else "heif"
        return "video"
    return None


def why_unread(kind: str, suffix: str) -> str:
    """Return the reason why an image of a kind is not read."""
    if kind == "heif":
        return 'HEIC needs the package pillow-heif: pip install "insphere[heif]"'
    if kind == "avif":
        return "AVIF needs Pillow 11.3 or newer"
    return f"a {kind} ({suffix}) is not read" if suffix else f"a {kind} is not read"


def may_be_left_out(name: str) -> bool:
    """Whether an image that cannot be decoded is counted rather than refused: HEIC and AVIF.

    Which of them can be read depends on how the libraries were built.
    """
    return name.lower().endswith((*HEIF_SUFFIXES, ".avif"))
