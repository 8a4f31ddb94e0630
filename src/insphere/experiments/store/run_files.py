"""The files of a run beside the store: scores, truth, history of the training, model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.atomic import atomic_path, write_atomic
from insphere.errors import DataError
from insphere.parsing import ParseError, parse_json


class RunFiles:
    """One folder for each run, named by its identity.

    Parameters
    ----------
    root : pathlib.Path
        Parent of the folders.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, identity: str) -> Path:
        """Return the folder of a run. It need not exist yet."""
        return self.root / identity

    def model(self, identity: str) -> Path:
        """Return the folder of the model of a run. It exists only if the model was saved."""
        return self.folder(identity) / "model"

    def save_scores(
        self, identity: str, scores: NDArray[np.float64], truth: NDArray[np.int64]
    ) -> None:
        """Write the scores of the test images, and their truth."""
        folder = self.folder(identity)
        folder.mkdir(parents=True, exist_ok=True)
        for name, values in (
            ("scores", np.asarray(scores, np.float64)),
            ("truth", np.asarray(truth, np.uint8)),
        ):
            with atomic_path(folder / f"{name}.npy") as partial, partial.open("wb") as file:
                np.save(file, values, allow_pickle=False)

    def scores(self, identity: str) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Return anomaly scores of the test images, and their truth (0 normal, 1 anomalous).

        Raises
        ------
        DataError
            If there are none, for example for runs that were imported from a file of results.
        """
        folder = self.folder(identity)
        try:
            scores = np.load(folder / "scores.npy", allow_pickle=False)
            return scores, np.load(folder / "truth.npy", allow_pickle=False)
        except FileNotFoundError as error:
            raise DataError(f"There are no scores of the run {identity} in {folder}.") from error

    def add_epoch(self, identity: str, record: Mapping[str, Any]) -> None:
        """Append the record of one epoch."""
        folder = self.folder(identity)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def save_history(self, identity: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Write the whole history of a finished training."""
        text = "".join(json.dumps(record) + "\n" for record in records)
        write_atomic(self.folder(identity) / "history.jsonl", text)

    def history(self, identity: str) -> list[dict[str, Any]]:
        """Return the record of each epoch so far; empty for methods without epochs."""
        path = self.folder(identity) / "history.jsonl"
        if not path.is_file():
            return []
        records = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = parse_json(line.encode(), finite=False)
            except ParseError:  # incomplete, from a killed worker; the epoch was repeated
                continue
            if isinstance(record, dict) and {"phase", "epoch"} <= set(record):
                records[str(record["phase"]), str(record["epoch"])] = record
        return list(records.values())
