"""The German Traffic Sign Recognition Benchmark in its own folders.

Source: Stallkamp, Schlipsing, Salmen, Igel, "Man vs. computer: Benchmarking machine learning
algorithms for traffic sign recognition", Neural Networks 32, 2012. Each image shows one sign with
a border of about 10 %, at least 5 pixels; CSV files give the region of interest, x (columns)
before y (rows), in an image of the width and height given beside it. Where the image has since
been resized, the region is scaled with it. The training images are frames of tracks, 30 of each
physical sign.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from insphere.data.datasets.dataset import LocalDataset, Roi, Torchvision
from insphere.data.datasets.dataset_card import DatasetCard
from insphere.data.files import ImageFiles
from insphere.data.listing import Entry, Listing
from insphere.data.pixels import open_image
from insphere.errors import DataError
from insphere.safe_text import reason

SIZE = 32
BORDER = 0.1
TRAIN = re.compile(r"(?:^|/)(?:Training|Final_Training/Images)/(\d{5})/(\d{5})_\d{5}\.ppm$")
TEST = re.compile(r"(?:^|/)Final_Test/Images/(\d{5}\.ppm)$")
TEST_TABLE = "GT-final_test.csv"
MAX_TRACKS = 100_000  # track numbers have five digits

_NAMES = """
speed limit 20, speed limit 30, speed limit 50, speed limit 60, speed limit 70, speed limit 80,
end of speed limit 80, speed limit 100, speed limit 120, no passing, no passing for trucks,
right of way, priority road, yield, stop, no vehicles, no trucks, no entry, general caution,
curve left, curve right, double curve, bumpy road, slippery road, road narrows, road work,
traffic signals, pedestrians, children crossing, bicycles crossing, ice or snow, wild animals,
end of all limits, turn right ahead, turn left ahead, ahead only, straight or right,
straight or left, keep right, keep left, roundabout, end of no passing,
end of no passing for trucks
"""
CLASS_NAMES = tuple(
    f"{number} {' '.join(name.split())}" for number, name in enumerate(_NAMES.split(","))
)


FORMS = ("gtsrb", "gtsrb.zip", "gtsrb-stop-signs.zip")


class SignFiles(LocalDataset):
    """A data set made of the files of GTSRB."""

    torchvision = Torchvision("GTSRB", "gtsrb", splits=("train", "test"))

    def is_whole(self, folder: Path) -> bool:
        """Tell whether the folder of the benchmark is there."""
        return has_signs(folder)

    def is_itself(self, folder: Path) -> bool:
        """Tell whether the folder of the benchmark is there."""
        return has_signs(folder)


class Gtsrb(SignFiles):
    """Signs of 43 classes; its layout is recognised in any folder or zip."""

    card = DatasetCard(
        name="gtsrb",
        title="GTSRB, German traffic signs",
        image_shape=(SIZE, SIZE, 3),
        n_classes=43,
        n_train=26_640,
        n_test=12_630,
        origin="Stallkamp, Schlipsing, Salmen, Igel, 2012",
        extra="vision",
        local_forms=FORMS,
    )
    class_names = CLASS_NAMES

    def fits(self, files: ImageFiles) -> bool:
        """Tell whether a tree of files has the layout of this benchmark."""
        return is_gtsrb(files)

    def list_files(self, files: ImageFiles, roi: Roi) -> Listing:
        """List the signs; see `list_signs`."""
        return list_signs(files, roi)


def has_signs(folder: Path) -> bool:
    """Tell whether a folder is the one that torchvision unpacks."""
    return (folder / "GTSRB").is_dir()


def is_gtsrb(files: ImageFiles) -> bool:
    """Tell whether a tree of files has the layout of this benchmark."""
    return any(TRAIN.search(name) or TEST.search(name) for name in files.names)


def list_signs(files: ImageFiles, roi: Roi) -> Listing:
    """List the signs with class, track, and region of interest or border to cut.

    Labels are the class numbers of the benchmark, even if some of its 43 classes are missing.

    Parameters
    ----------
    files : ImageFiles
        Folder or zip.
    roi : {"crop", "border"}
        Crop to the region of interest, or cut 10 % from every side.

    Raises
    ------
    DataError
        If test images come without their table of classes, or a table cannot be read.
    """
    train_rows: dict[str, Row] = {}
    test_rows: dict[str, Row] = {}
    for name in files.names:
        folder, _, file = name.rpartition("/")
        if file == TEST_TABLE:
            test_rows.update((row.file, row) for row in _read_table(files, name))
        elif re.fullmatch(r"GT-\d{5}\.csv", file):
            train_rows.update((f"{folder}/{row.file}", row) for row in _read_table(files, name))

    entries: list[Entry] = []
    boxed: list[tuple[str, Row]] = []
    unlabelled = 0
    for name in files.names:
        if match := TRAIN.search(name):
            label = int(match[1])
            group = label * MAX_TRACKS + int(match[2])
            row = train_rows.get(name)
        elif match := TEST.search(name):
            row = test_rows.get(match[1])
            if row is None:
                unlabelled += 1
                continue
            label = row.label
            group = len(CLASS_NAMES) * MAX_TRACKS + int(match[1][:5])
        else:
            continue
        if not 0 <= label < len(CLASS_NAMES):
            raise DataError(f"{name} has the class {label}, but this benchmark ends with class 42.")
        is_test = match.re is TEST
        if roi == "crop" and row is not None:
            boxed.append((name, row))
            entries.append(Entry(name, label, is_test, group=group, box=row.box))
        else:
            entries.append(Entry(name, label, is_test, group=group, border=BORDER))
    if not entries:
        raise DataError(
            f"{files.path} holds test images of GTSRB without rows in the table {TEST_TABLE}, "
            "which names their classes: add it."
        )
    entries.sort(key=lambda entry: (entry.is_test, entry.label, entry.name))
    notes = []
    if roi == "crop" and len(boxed) < len(entries):
        notes.append(
            f"{len(entries) - len(boxed)} signs have no region of interest in a GT-*.csv table: "
            "10 % were cut from each of their sides instead."
        )
    if boxed and (size := _header_size(files, boxed[0][0])) not in (None, boxed[0][1].size):
        notes.append(
            f"The signs were resized before: {boxed[0][0]} has {size} pixels (width, height), its "
            f"table says {boxed[0][1].size}; the regions of interest were scaled with them."
        )
    if unlabelled:
        notes.append(f"{unlabelled} test signs are not in {TEST_TABLE} and were left out.")
    return Listing(
        tuple(entries),
        CLASS_NAMES,
        "GTSRB",
        has_parts=any(entry.is_test for entry in entries),
        has_groups=True,
        default_size=SIZE,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: file name, width and height, region of interest, class."""

    file: str
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    label: int


def _read_table(files: ImageFiles, name: str) -> list[Row]:
    """Read a table of signs.

    The lower right corner of a region is exclusive, because then both borders are equally wide.
    """
    try:
        text = files.read(name).decode("utf-8-sig")
        rows = []
        for row in csv.DictReader(io.StringIO(text), delimiter=";", skipinitialspace=True):
            width, height = int(row["Width"]), int(row["Height"])
            x1, y1, x2, y2 = (int(row[f"Roi.{corner}"]) for corner in ("X1", "Y1", "X2", "Y2"))
            box = (x1 / width, y1 / height, x2 / width, y2 / height)
            rows.append(Row(row["Filename"], (width, height), box, int(row["ClassId"])))
        return rows
    except (KeyError, TypeError, ValueError, ZeroDivisionError, csv.Error) as error:
        raise DataError(
            f"The table {name} in {files.path} cannot be read ({type(error).__name__}: "
            f"{reason(error)}): expected are the columns "
            "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId."
        ) from error


def _header_size(files: ImageFiles, name: str) -> tuple[int, int] | None:
    """Return width and height of an image, None if it is not one (decoding will say so)."""
    try:
        return open_image(files.read(name)).size
    except OSError:
        return None
