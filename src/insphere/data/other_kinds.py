"""Messages for files that are given as a source of images but are something else."""

from __future__ import annotations

import stat
from pathlib import Path

from insphere.data.file_kinds import UNREADABLE
from insphere.data.files import read_regular
from insphere.errors import DataError

UNPACK = "unpack it, and give the folder"
KINDS = {
    "table": (
        (".csv", ".tsv", ".parquet", ".xls", ".xlsx", ".ods", ".feather", ".arrow"),
        "save it as CSV or Parquet, or read it in Python with pandas and give the frame to fit",
    ),
    "tar archive": ((".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst"), UNPACK),
    "packed file": ((".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"), UNPACK),
    "MATLAB or HDF5 file": (
        (".mat", ".h5", ".hdf5"),
        "save its images as .npy or .npz with NumPy",
    ),
    "pickle": (
        (".pkl", ".pickle", ".pt", ".pth", ".joblib"),
        "save its images as .npy or .npz with NumPy, since nothing is unpickled",
    ),
    "file of JSON": (
        (".json", ".jsonl", ".ndjson"),
        "say what it holds with --kind, such as --kind text --column text=NAME for the texts in a "
        "field",
    ),
    "data file": ((".yaml", ".yml", ".xml", ".toml"), "give a folder of images"),
    "file of a graph": (
        (".graphml", ".gml", ".gexf", ".edgelist"),
        "open it with NetworkX in Python and give the graph to fit, or save it as JSON",
    ),
    "document": ((".pdf", ".docx", ".pptx", ".html"), "save its pictures as PNG or JPEG"),
}
MAGIC = {
    b"PK\x03\x04": ("a zip", "name it .zip"),
    b"\x1f\x8b": ("a gzip archive", UNPACK),
    b"BZh": ("a bzip2 archive", UNPACK),
    b"\xfd7zXZ": ("an xz archive", UNPACK),
    b"7z\xbc\xaf": ("a 7-Zip archive", UNPACK),
    b"Rar!": ("a RAR archive", UNPACK),
    b"\x89HDF": ("an HDF5 file", "save its images as .npy or .npz with NumPy"),
    b"%PDF": ("a PDF document", "save its pictures as PNG or JPEG"),
}
NODES = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
TAR_MAGIC_AT = 257


def refuse_other_kinds(path: Path) -> None:
    """Refuse a source that is not an image, an array or a zip, and name its kind.

    Parameters
    ----------
    path : Path
        An existing path that is no folder.

    Raises
    ------
    DataError
        If it is a table, another archive, a document, a pipe, ….
    """
    node = NODES.get(stat.S_IFMT(path.stat().st_mode))
    if node is not None:
        raise DataError(f"{path} is {node}, not a file or folder of images: give one of these.")
    name = path.name.lower()
    for kind, (suffixes, advice) in KINDS.items():
        if name.endswith(suffixes):
            raise DataError(f"{path} is a {kind}, not images: {advice}.")
    if path.suffix.lower() in UNREADABLE:
        kind = UNREADABLE[path.suffix.lower()]
        raise DataError(f"{path} is a {kind} that is not read: save its images as PNG or TIFF.")
    if path.suffix.lower() in (".zip", ".npz", ".npy"):
        return
    try:
        head = read_regular(path, 512)
    except OSError:
        return  # decoding says what is wrong
    if head[TAR_MAGIC_AT : TAR_MAGIC_AT + 5] == b"ustar":
        raise DataError(f"{path} is a tar archive, not images: {UNPACK}.")
    for start, (what, advice) in MAGIC.items():
        if head.startswith(start):
            raise DataError(f"{path} is {what}, not images: {advice}.")
