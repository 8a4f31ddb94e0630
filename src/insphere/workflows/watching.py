"""A folder that is watched: what arrives is scored once, and alarms are acted upon."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from insphere.atomic import atomic_path
from insphere.data.file_kinds import HEIF_SUFFIXES
from insphere.data.files import IMAGE_SUFFIXES
from insphere.data.image_set import ImageSet
from insphere.data.load import load_paths
from insphere.data.read_options import ReadOptions
from insphere.detectors.base.estimator import OneClassDetector
from insphere.errors import DataError, SpecError
from insphere.safe_text import shown_path
from insphere.scoring.drift import Drift, detect_drift
from insphere.workflows.provenance import read_like_training
from insphere.workflows.score_source import Scored, score_images, trained_image_shape
from insphere.workflows.watch_log import Identity, WatchLog, logged_path

BATCH = 64  # images that are read and scored together
PATIENCE = 10.0  # seconds after its last change until a file that cannot be read is given up
COMMAND_SECONDS = 60.0
DRIFT_WINDOW = 10_000  # latest images that the test for drift looks at
_SUFFIXES = frozenset((*IMAGE_SUFFIXES, *HEIF_SUFFIXES))


@dataclass(frozen=True)
class WatchSettings:
    """How a folder is watched.

    Parameters
    ----------
    folder : pathlib.Path
        The folder; its subfolders are watched too.
    settle : float
        Seconds for which a file must not have changed before it is read, so that files that are
        still being copied are waited for.
    move_alarms, copy_alarms : pathlib.Path, optional
        Folder to which images that are called anomalous are moved or copied, with their subfolders.
    on_alarm : str, optional
        Command that is run for each of them. The path is its last argument; INSPHERE_SCORE and
        INSPHERE_LOG are in its environment.
    size, channels
        How images are read; by default as in training.

    Raises
    ------
    SpecError
        If both or overlapping folders for alarms are given, or `settle` is negative.
    """

    folder: Path
    settle: float = 1.0
    move_alarms: Path | None = None
    copy_alarms: Path | None = None
    on_alarm: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise DataError(f"There is no folder {shown_path(self.folder)} to watch.")
        if not 0 <= self.settle < float("inf"):
            raise SpecError(f"settle is a number of seconds from 0 on, but got {self.settle}.")
        if self.move_alarms is not None and self.copy_alarms is not None:
            raise SpecError("Alarms are moved or copied: give one folder for them, not two.")
        target = self.alarms
        if target is not None and target.resolve() == self.folder.resolve():
            raise SpecError("Alarms need another folder than the one that is watched.")
        if self.on_alarm is not None and not _words(self.on_alarm):
            raise SpecError("The command for an alarm is empty.")

    @property
    def alarms(self) -> Path | None:
        """The folder for alarms, if there is one."""
        return self.move_alarms or self.copy_alarms


@dataclass(frozen=True)
class Arrived:
    """A file in the watched folder.

    Parameters
    ----------
    path : pathlib.Path
        Where it is.
    relative : str
        Its path below the folder.
    identity : Identity
        As in the log.
    """

    path: Path
    relative: str
    identity: Identity


class Watcher:
    """Scores what arrives in a folder; each image gets exactly one line in the log.

    Parameters
    ----------
    detector : OneClassDetector
        Fitted on images.
    settings : WatchSettings
        How to watch.
    log : WatchLog
        Opened.

    Attributes
    ----------
    n_scored, n_alarms, n_errors : int
        Numbers of images since the start.
    notes : list of str
        What went wrong with alarms, since the last call of `look`.

    Raises
    ------
    DataError
        If the detector does not take images.
    SpecError
        If something is to be done on alarms, and the detector has no threshold.
    """

    def __init__(self, detector: OneClassDetector, settings: WatchSettings, log: WatchLog) -> None:
        trained_image_shape(detector)
        acts = settings.alarms is not None or settings.on_alarm is not None
        if acts and not detector.judges:
            raise SpecError(
                f"This model gives no verdicts, so nothing can be done on alarms: there is "
                f"{detector.threshold_rule_}."
            )
        self.detector = detector
        self.settings = settings
        self.log = log
        self.reading = read_like_training(detector, settings.reading)
        self.n_scored = self.n_alarms = self.n_errors = 0
        self.notes: list[str] = []
        self._waiting: dict[Identity, float] = {}
        self._scores = [float(row["score"]) for row in log.rows if row.get("score") is not None]
        self._unfinished = {
            Identity.of(row) for row in log.rows if row.get("verdict") == "anomalous"
        }
        log.rows = []

    @property
    def waiting(self) -> int:
        """Number of files that are there and have no line yet."""
        return len(self._waiting)

    def look(self) -> Iterator[dict[str, Any]]:
        """Look into the folder once, and yield the row of each image when it is in the log."""
        now = time.monotonic()
        found = {file.identity: file for file in self._files()}
        for identity in self._unfinished & found.keys():  # a crash came before it was moved
            self._put(found[identity])
        self._unfinished.clear()
        new = {identity for identity in found if identity not in self.log.seen}
        self._waiting = {identity: self._waiting.get(identity, now) for identity in new}
        settle = self.settings.settle
        ready = [found[i] for i, since in self._waiting.items() if now - since >= settle]
        ready.sort(key=lambda file: (file.identity.modified, file.relative))
        for start in range(0, len(ready), BATCH):
            yield from self._score(ready[start : start + BATCH], now)

    def drift(self) -> Drift | None:
        """Return the test for drift on the latest scores; None without calibration or scores."""
        calibration = self.detector.calibration_scores_
        latest = self._scores[-DRIFT_WINDOW:]
        return detect_drift(calibration, latest) if len(calibration) and latest else None

    # ------------------------------------------------------------------ inside

    def _files(self) -> Iterator[Arrived]:
        alarms = None if self.settings.alarms is None else self.settings.alarms.resolve()
        for root, folders, names in os.walk(self.settings.folder):
            here = Path(root)
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".") and (here / name).resolve() != alarms
            )
            for name in names:
                path = here / name
                if name.startswith(".") or path.suffix.lower() not in _SUFFIXES:
                    continue
                try:
                    status = path.stat()
                except OSError:
                    continue  # moved away meanwhile
                if not path.is_file() or not status.st_size:
                    continue
                relative = path.relative_to(self.settings.folder).as_posix()
                identity = Identity(logged_path(relative), status.st_size, status.st_mtime_ns)
                yield Arrived(path, relative, identity)

    def _score(self, files: Sequence[Arrived], now: float) -> Iterator[dict[str, Any]]:
        """Score files; those that cannot be read are waited for, until patience ends."""
        good, bad = self._read(files)
        changed = {file for file in files if _changed(file)}  # after it was found: it is read again
        rows: list[tuple[Arrived, dict[str, Any]]] = []
        for some, data in good:
            scored = zip(some, self._rows(some, data), strict=True)
            rows += [(file, row) for file, row in scored if file not in changed]
        for file, reason in bad.items():
            if (
                file not in changed
                and now - self._waiting[file.identity] >= self.settings.settle + PATIENCE
            ):
                rows.append((file, _row(file.identity, error=reason)))
        self.log.append([row for _, row in rows])
        for file, row in rows:
            self._waiting.pop(file.identity, None)
            self.n_scored += "score" in row
            self.n_errors += "error" in row
            if row.get("verdict") == "anomalous":
                self.n_alarms += 1
                self._put(file, row)
            if "score" in row:
                self._scores.append(row["score"])
            yield row

    def _read(
        self, files: Sequence[Arrived]
    ) -> tuple[list[tuple[list[Arrived], ImageSet]], dict[Arrived, str]]:
        """Read files together if they fit together, else one by one."""
        try:
            return [(list(files), self._load(files))], {}
        except DataError as error:
            if len(files) == 1:
                return [], {files[0]: str(error)}
        good: list[tuple[list[Arrived], ImageSet]] = []
        bad: dict[Arrived, str] = {}
        for file in files:
            try:
                good.append(([file], self._load([file])))
            except DataError as error:
                bad[file] = str(error)
        return good, bad

    def _load(self, files: Sequence[Arrived]) -> ImageSet:
        data = load_paths(
            [file.path for file in files],
            size=self.reading.size,
            fit=self.reading.fit,
            channels=self.reading.channels,
            progress=False,
        )
        wanted = trained_image_shape(self.detector)
        if data.images.shape[1:] != wanted:
            height, width, channels = data.images.shape[1:]
            raise DataError(
                f"The image is {height}×{width}×{channels}, and the model takes "
                f"{wanted[0]}×{wanted[1]}×{wanted[2]}."
            )
        return data

    def _rows(self, files: Sequence[Arrived], data: ImageSet) -> Iterator[dict[str, Any]]:
        index = np.arange(len(data))
        scored = score_images(self.detector, data, index, "all images", (), progress=False)
        for place, file in enumerate(files):
            yield _row(file.identity, **_values(scored, place))

    def _put(self, file: Arrived, row: dict[str, Any] | None = None) -> None:
        """Move or copy an alarm, and run the command."""
        target, moves = self.settings.alarms, self.settings.move_alarms is not None
        path = file.path
        if target is not None:
            place = _free(target / file.relative, file, moves)
            try:
                if place is not None:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with atomic_path(place) as partial:
                        shutil.copy2(file.path, partial)
                    path = place if moves else path
                if moves:
                    file.path.unlink()
            except OSError as error:
                self.notes.append(f"{shown_path(file.relative)} was not put away: {error.strerror}")
        if row is not None and self.settings.on_alarm is not None:
            self._run(path, row)

    def _run(self, path: Path, row: dict[str, Any]) -> None:
        words = [*_words(self.settings.on_alarm or ""), str(path)]
        told = {"INSPHERE_SCORE": repr(row["score"]), "INSPHERE_LOG": str(self.log.path)}
        try:
            done = subprocess.run(
                words,
                env=os.environ | told,
                timeout=COMMAND_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self.notes.append(f"The command for an alarm failed: {error}")
            return
        if done.returncode:
            self.notes.append(f"The command for an alarm ended with code {done.returncode}.")


def _changed(file: Arrived) -> bool:
    """Whether a file is another one than when it was found, or is not there any more."""
    try:
        status = file.path.stat()
    except OSError:
        return True
    return (status.st_size, status.st_mtime_ns) != file.identity[1:]


def _values(scored: Scored, place: int) -> dict[str, Any]:
    values: dict[str, Any] = {
        "score": float(scored.scores[place]),
        "z_score": float(scored.z_scores[place]),
    }
    if scored.judged:
        values["verdict"] = "anomalous" if scored.flagged[place] else "normal"
    if scored.calibrated:
        values["p_value"] = float(scored.p_values[place])
        values["severity"] = float(scored.severities[place])
    return values


def _row(identity: Identity, **values: Any) -> dict[str, Any]:
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "path": identity.path,
        "bytes": identity.size,
        "modified_ns": identity.modified,
        **values,
    }


def _free(place: Path, file: Arrived, moves: bool) -> Path | None:
    """Return a name that is not taken; None if the file lies there already."""
    for number in range(1, 10_000):
        name = place if number == 1 else place.with_stem(f"{place.stem}-{number}")
        if not name.exists():
            return name
        status = name.stat()
        if (status.st_size, status.st_mtime_ns) == file.identity[1:]:
            return None
    raise DataError(f"There are too many files of the name {shown_path(place)}: empty the folder.")


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise SpecError(f"The command {command!r} is not understood: {error}.") from error
