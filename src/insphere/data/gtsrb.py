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
from typing import Literal

from insphere.data.files import ImageFiles
from insphere.data.layout import Entry, Listing
from insphere.errors import DataError

Roi = Literal["crop", "border"]
Box = tuple[float, float, float, float]

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


def is_gtsrb(files: ImageFiles) -> bool:
    """Tell whether a tree of files has the layout of this benchmark."""
    return any(TRAIN.search(name) or TEST.search(name) for name in files.names)


def list_signs(files: ImageFiles, roi: Roi) -> Listing:
    """List the signs, with their region of interest or the border to cut, class and track.

    Labels are the benchmark's own class numbers, whichever of its 43 classes are there.

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
    names = files.names
    boxes: dict[str, Box] = {}
    test_labels: dict[str, int] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        if file == TEST_TABLE:
            for row_file, region, label in _read_table(files, name):
                boxes[f"test/{row_file}"] = region
                test_labels[row_file] = label
        elif roi == "crop" and re.fullmatch(r"GT-\d{5}\.csv", file):
            for row_file, region, _ in _read_table(files, name):
                boxes[f"{folder}/{row_file}"] = region

    entries: list[Entry] = []
    unboxed = unlabelled = 0
    for name in names:
        if match := TRAIN.search(name):
            label, track = int(match[1]), int(match[2])
            group = label * MAX_TRACKS + track
            box: Box | None = boxes.get(name)
        elif match := TEST.search(name):
            if match[1] not in test_labels:
                unlabelled += 1
                continue
            label = test_labels[match[1]]
            group = len(CLASS_NAMES) * MAX_TRACKS + int(match[1][:5])
            box = boxes[f"test/{match[1]}"]
        else:
            continue
        if label >= len(CLASS_NAMES):
            raise DataError(f"{name} has the class {label}, but this benchmark ends with class 42.")
        cropped = roi == "crop" and box is not None
        unboxed += roi == "crop" and box is None
        entries.append(
            Entry(
                name,
                label,
                is_test=match.re is TEST,
                group=group,
                box=box if cropped else None,
                border=0.0 if cropped else BORDER,
            )
        )
    if unlabelled and not test_labels:
        raise DataError(
            f"{files.path} holds test images of GTSRB without the table {TEST_TABLE}, which names "
            "their classes: add it."
        )
    entries.sort(key=lambda entry: (entry.is_test, entry.label, entry.name))
    notes = []
    if unboxed:
        notes.append(
            f"{unboxed} signs have no region of interest in a GT-*.csv table: 10 % were cut from "
            "each of their sides instead."
        )
    if unlabelled:
        notes.append(f"{unlabelled} test signs are not in {TEST_TABLE} and were left out.")
    return Listing(
        tuple(entries),
        CLASS_NAMES,
        has_parts=any(entry.is_test for entry in entries),
        has_groups=True,
        default_size=SIZE,
        notes=tuple(notes),
    )


def _read_table(files: ImageFiles, name: str) -> list[tuple[str, Box, int]]:
    """Return file name, region of interest and class of each row of a table."""
    try:
        text = files.read(name).decode("utf-8-sig")
        rows = csv.DictReader(io.StringIO(text), delimiter=";", skipinitialspace=True)
        return [(row["Filename"], _box(row), int(row["ClassId"])) for row in rows]
    except (KeyError, TypeError, ValueError, ZeroDivisionError, csv.Error) as error:
        raise DataError(
            f"The table {name} in {files.path} cannot be read ({type(error).__name__}: {error}): "
            "expected are the columns Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId."
        ) from error


def _box(row: dict[str, str]) -> Box:
    """Return the region of a row as shares of width and height; x2 and y2 are exclusive.

    That they are is seen from the borders, which are then equally wide on both sides.
    """
    width, height = int(row["Width"]), int(row["Height"])
    return (
        int(row["Roi.X1"]) / width,
        int(row["Roi.Y1"]) / height,
        int(row["Roi.X2"]) / width,
        int(row["Roi.Y2"]) / height,
    )
