"""VisA as shipped (Zou et al., "SPot-the-difference", ECCV 2022)."""

from __future__ import annotations

import csv
import io
import re
from typing import ClassVar

from insphere.data.layouts.tree import Tree
from insphere.data.layouts.vocabulary import is_normal_name
from insphere.data.listing import Listing
from insphere.errors import DataError
from insphere.natural_sort import natural_key
from insphere.safe_text import reason

_IMAGE = re.compile(
    r"(?:(?P<object>[^/]+)/)?Data/Images/(?P<kind>Normal|Anomaly)/[^/]+", re.IGNORECASE
)
COLUMNS = {"object", "split", "label", "image"}
PREFERRED = "1cls"  # of the splits shipped, the one that trains on normal images alone


class Visa:
    """Images of one object, or of several, sorted into normal and anomalous ones."""

    name: ClassVar[str] = "VisA"
    form: ClassVar[str] = (
        "`<object>/Data/Images/{Normal,Anomaly}`, `Data/Masks/Anomaly`, `split_csv/*.csv`"
    )
    meaning: ClassVar[str] = (
        "classes `Normal` and `Anomaly` of one object; of several, `<object>` and "
        "`<object>/Anomaly`; parts from the table of splits if there is one"
    )

    def fits(self, tree: Tree) -> bool:
        """Whether every image lies in ``Data/Images/Normal`` or ``…/Anomaly``."""
        return all(self._match(name) for name in tree.images)

    def read(self, tree: Tree) -> Listing:
        """Name the classes by object and kind, and take the parts from a table of splits."""
        found = {name: self._match(name) for name in tree.images}
        objects = {match["object"] for match in found.values() if match}
        classes, normal = [], set()
        for name, match in found.items():
            assert match is not None
            kind = match["kind"]
            anomalous = not is_normal_name(kind)
            if len(objects) > 1:
                kind = f"{match['object']}/{kind}" if anomalous else str(match["object"])
            if not anomalous:
                normal.add(kind)
            classes.append((name, kind))
        table = _split_table(tree)
        rows = {} if table is None else _read_splits(tree, table)
        part = {name: rows.get(_below_object(name)) for name in tree.images}
        notes = []
        if table is not None:
            missing = [name for name, where in part.items() if where is None]
            classes = [(name, kind) for name, kind in classes if part[name] is not None]
            if not classes:
                raise DataError(
                    f"{tree.path} has the table of splits {table}, which names none of its images: "
                    "remove it, or put the images where it says."
                )
            if missing:
                notes.append(f"{len(missing)} images are not in {table} and were left out.")
            return tree.listing(
                self.name,
                classes,
                is_test=lambda name: part[name] == "test",
                class_names=normal,
                normal=normal,
                own_anomalies=len(objects) > 1,
                left_out=missing,
                notes=notes,
            )
        return tree.listing(
            self.name,
            classes,
            class_names=normal,
            normal=normal,
            own_anomalies=len(objects) > 1,
        )

    @staticmethod
    def _match(name: str) -> re.Match[str] | None:
        return re.search(rf"(?:^|/){_IMAGE.pattern}$", name, re.IGNORECASE)


def _below_object(name: str) -> str:
    """Return the path as the table writes it: from the object on, in lower case."""
    parts = name.lower().split("/")
    return "/".join(parts[-5:])


def _split_table(tree: Tree) -> str | None:
    """Return the table of splits, of several the one for one class."""
    tables = []
    for name in tree.files.names:
        if name.lower().endswith(".csv"):
            head = tree.files.head(name, 200).decode("utf-8-sig", "replace").splitlines()
            if head and {column.strip().lower() for column in head[0].split(",")} >= COLUMNS:
                tables.append(name)
    tables.sort(key=lambda name: (PREFERRED not in name, natural_key(name)))
    return tables[0] if tables else None


def _read_splits(tree: Tree, table: str) -> dict[str, str]:
    """Return the part of each image by its path."""
    try:
        text = tree.files.read(table).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text), skipinitialspace=True))
        return {
            "/".join(row["image"].strip().lower().split("/")[-5:]): (
                "test" if row["split"].strip().lower() == "test" else "train"
            )
            for row in rows
        }
    except (OSError, KeyError, AttributeError, ValueError, csv.Error) as error:
        raise DataError(
            f"The table {table} in {tree.path} cannot be read ({reason(error)}): expected are the "
            "columns object,split,label,image,mask."
        ) from error
