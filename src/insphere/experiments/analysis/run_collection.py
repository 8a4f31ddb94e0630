"""The input of figures: finished runs of several files, with their scores and models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from insphere.data.image_set import ImageSet
from insphere.data.load import load_dataset
from insphere.data.read_options import ReadOptions
from insphere.data.split import OneClassSplit
from insphere.errors import DataError, InsphereError, SpecError
from insphere.experiments.runs.display_names import (
    AnyRun,
    distinct_runs,
    measured_runs,
    plain_baseline,
)
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.jsonl_rows import read_rows
from insphere.experiments.store.run_files import RunFiles
from insphere.figures.measured import (
    Measured,
    classes,
    datasets,
    options,
    over_classes,
    select_runs,
)

if TYPE_CHECKING:
    from insphere.experiments.store.run_record import Run

SQLITE = b"SQLite format 3\0"
_SPEC = ("dataset", "normal", "method", "params", "seed")
_NEEDED = ("run", *_SPEC, "auc")


@dataclass
class RunCollection:
    """Finished runs with the folders of their scores, histories and models.

    Parameters
    ----------
    rows : list of dict
        Finished runs, each once; see `insphere.experiments.runs.run.RunResult.row`.
    files : list of RunFiles
        Folders with files of runs.
    wanted_baseline : str, optional
        Name of the method with which others are compared; by default plain Deep SVDD.
    selected : bool
        Whether a user selected these runs. Figures then show each of them. If plain Deep SVDD is
        not among them, others are compared with the first one.
    among : list of RunSpec or Run
        Other runs of the same stores, from which the names must differ.
    """

    rows: list[dict[str, Any]]
    files: list[RunFiles] = field(default_factory=list)
    wanted_baseline: str | None = None
    selected: bool = False
    among: list[AnyRun] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.wanted_baseline is not None and self.wanted_baseline not in options(self.runs):
            known = ", ".join(options(self.runs))
            raise SpecError(
                f"No run is called {self.wanted_baseline}; the baseline is one of: {known}."
            )
        self._data: dict[str, ImageSet | str] = {}

    @cached_property
    def runs(self) -> list[Measured]:
        """All runs in the form for figures, the baseline first."""
        runs = measured_runs(self.rows, self.among)
        first = self.wanted_baseline or _plain(self.rows, runs)
        if first is None:
            return runs
        return sorted(runs, key=lambda run: run.option != first)

    @cached_property
    def baseline(self) -> str | None:
        """Name of the method with which others are compared; None if there is none."""
        found = self.wanted_baseline or _plain(self.rows, self.runs)
        return self.runs[0].option if found is None and self.selected else found

    @cached_property
    def by_run(self) -> dict[str, dict[str, Any]]:
        """Rows by the identity of their run."""
        return {row["run"]: row for row in self.rows}

    def rows_of(self, runs: Sequence[Measured]) -> list[dict[str, Any]]:
        """Return the rows of some runs."""
        return [self.by_run[run.run] for run in runs]

    def on(self, dataset: str) -> list[Measured]:
        """Return the runs on one dataset, by its title."""
        return select_runs(self.runs, dataset=dataset)

    @property
    def datasets(self) -> list[str]:
        """Titles of the datasets."""
        return datasets(self.runs)

    # ------------------------------------------------------------------ beside the rows

    def scores(self, run: Measured) -> tuple[NDArray[np.float64], NDArray[np.uint8]] | None:
        """Return scores and truth of the test images of a run; None if they were not saved."""
        for files in self.files:
            if (files.folder(run.run) / "scores.npy").is_file():
                return files.scores(run.run)
        return None

    def history(self, run: Measured) -> list[dict[str, Any]]:
        """Return the record of each epoch of a run; empty if there is none."""
        kept = next((found for f in self.files if (found := f.history(run.run))), None)
        return kept or list(self.by_run[run.run].get("history") or [])

    def model(self, run: Measured) -> Path | None:
        """Return the folder of the model of a run; None if it was not saved."""
        folders = (files.model(run.run) for files in self.files)
        return next((folder for folder in folders if folder.is_dir()), None)

    def data(self, dataset: str) -> ImageSet:
        """Load the images of a dataset, by its title.

        Raises
        ------
        InsphereError
            If they are not here; the same again when asked again.
        """
        if dataset not in self._data:
            run = next(run for run in self.runs if run.dataset == dataset)
            name = self.by_run[run.run]["dataset"]
            try:
                self._data[dataset] = load_dataset(name, progress=False)
            except InsphereError as error:
                self._data[dataset] = str(error)
        found = self._data[dataset]
        if isinstance(found, str):
            raise DataError(found)
        return found

    def split(self, run: Measured) -> OneClassSplit:
        """Return the split that a run was trained and tested on.

        Raises
        ------
        InsphereError
            If the images are not here.
        """
        row = self.by_run[run.run]
        reading = ReadOptions(normal=tuple(row["normal"]), seed=row["seed"])
        return reading.split(self.data(run.dataset))

    # ------------------------------------------------------------------ which runs to look into

    def shown_options(self, dataset: str) -> list[str]:
        """Return the options to show in detail: the baseline, and that with the best mean AUC.

        Options that were measured on every class are preferred.
        """
        runs = self.on(dataset)
        names = set(classes(runs))
        own = {name: select_runs(runs, option=name) for name in options(runs)}
        whole = {name: of for name, of in own.items() if {run.normal for run in of} == names}
        means = {name: over_classes(of).mean for name, of in (whole or own).items()}
        best = max(means, key=lambda name: means[name])
        first = [self.baseline] if self.baseline is not None and self.baseline in own else []
        return list(dict.fromkeys([*first, best]))

    def first_seed(self, runs: Sequence[Measured]) -> list[Measured]:
        """Return one run for each class, that with the smallest seed, in the order of classes."""
        found: dict[str, Measured] = {}
        for run in sorted(runs, key=lambda run: run.seed):
            found.setdefault(run.normal, run)
        return list(found.values())


def _plain(rows: Sequence[dict[str, Any]], runs: Sequence[Measured]) -> str | None:
    return plain_baseline(rows, {run.run: run.option for run in runs})


def typical(runs: Sequence[Measured]) -> Measured:
    """Return the run with the median AUC, or the one below it, so that it is not hand-picked."""
    return sorted(runs, key=lambda run: (run.values["auc"], run.run))[(len(runs) - 1) // 2]


def selected_runs(runs: Sequence[Run], files: RunFiles, among: Sequence[Run] = ()) -> RunCollection:
    """Collect finished runs that were selected in a store, without repetitions.

    Parameters
    ----------
    runs : sequence of Run
        Any runs; unfinished ones are left out.
    files : RunFiles
        Their files.
    among : sequence of Run
        All runs of the store, from which the names must differ.

    Raises
    ------
    DataError
        If none is finished.
    """
    rows = [run.row() for run in distinct_runs(run for run in runs if run.auc is not None)]
    if not rows:
        raise DataError("None of these runs is finished.")
    return RunCollection(rows, [files], selected=True, among=[*among, *runs])


def read_collection(paths: Sequence[Path], baseline: str | None = None) -> RunCollection:
    """Read files of results and stores; a repeated run is taken from the first file.

    Parameters
    ----------
    paths : sequence of Path
        JSONL files of rows, or SQLite stores of `insphere sweep`.
    baseline : str, optional
        Name of the method with which others are compared.

    Raises
    ------
    DataError
        If a file is missing, is neither of these, or has no finished run.
    """
    found: dict[str, dict[str, Any]] = {}
    files: list[RunFiles] = []
    among: list[AnyRun] = []
    for path in paths:
        rows, beside, others = _read(path)
        files.append(beside)
        among += others
        for row in rows:
            found.setdefault(row["run"], row)
    if not found:
        raise DataError(f"{' and '.join(map(str, paths))} holds no finished run yet.")
    return RunCollection(distinct_runs(found.values()), files, baseline, among=among)


def _read(path: Path) -> tuple[list[dict[str, Any]], RunFiles, list[RunSpec]]:
    """Return the finished runs of a file, the folder of their files, and the other planned runs."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise DataError(f"{path} {what}; name a JSONL file of rows, or the store of a sweep.")
    with path.open("rb") as file:
        is_store = file.read(len(SQLITE)) == SQLITE
    if is_store:
        from insphere.experiments.store.run_store import Store

        store = Store(path, create=False)
        try:
            runs = store.runs()
            finished = [run.row() for run in runs if run.state == "finished"]
            return finished, store.files, [run.spec for run in runs if run.state != "finished"]
        finally:
            store.close()
    try:
        rows = read_rows(path)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is neither a JSONL file of rows nor the store of a sweep."
        ) from error
    for number, row in enumerate(rows, start=1):
        missing = [name for name in _NEEDED if not isinstance(row, dict) or name not in row]
        if missing:
            raise DataError(
                f"Line {number} of {path} is no finished run: it lacks {', '.join(missing)}."
            )
        try:
            RunSpec.model_validate({name: row[name] for name in _SPEC})
            float(row["auc"])
        except (TypeError, ValueError) as error:
            raise DataError(f"Line {number} of {path} does not say what was run.") from error
    return rows, RunFiles(path.parent), []
