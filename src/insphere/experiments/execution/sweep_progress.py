"""The progress of a sweep, and an estimate of the remaining time."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from insphere.durations import duration
from insphere.experiments.runs.display_names import dataset_title, normal_title
from insphere.experiments.runs.sweep_file import SweepRun
from insphere.experiments.store.run_record import STATES, Run
from insphere.experiments.store.run_store import Store

_RECENT = 20  # last epochs from which the time of the next ones is estimated


def epochs_left(history: Sequence[Mapping[str, Any]], epochs: int) -> float:
    """Estimate the remaining seconds of the current phase of a training.

    Parameters
    ----------
    history : sequence of dict
        Records of the epochs of this phase so far, with epoch and seconds.
    epochs : int
        Number of epochs of this phase.

    Examples
    --------
    >>> epochs_left([{"epoch": 3, "seconds": 2.0}], 10)
    14.0
    """
    recent = [record["seconds"] for record in history[-_RECENT:]]
    return max(0, epochs - int(history[-1]["epoch"])) * float(np.median(recent))


@dataclass(frozen=True)
class SweepProgress:
    """The state of the runs of a sweep.

    Parameters
    ----------
    planned : sequence of SweepRun
        The runs of the sweep.
    runs : mapping of str to Run
        Their records in the store, by identity.
    now : float
        Time of this state, in seconds since 1970.
    """

    planned: Sequence[SweepRun]
    runs: Mapping[str, Run]
    now: float

    @property
    def counts(self) -> dict[str, int]:
        """Number of runs in each state; runs without a record are "new"."""
        found = dict.fromkeys((*STATES, "new"), 0)
        for planned in self.planned:
            run = self.runs.get(planned.spec.identity)
            found["new" if run is None else run.state] += 1
        return found

    @property
    def done(self) -> int:
        """Number of runs that have ended: finished and failed ones."""
        return self.counts["finished"] + self.counts["failed"]

    def seconds_left(self, jobs: int) -> float | None:
        """Estimate the remaining time with `jobs` runs at a time.

        The time of a run is the mean of those with the same method and data set, or else with the
        same method, or else of all. None if no run is finished.
        """
        known: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for planned in self.planned:
            run = self.runs.get(planned.spec.identity)
            if run is not None and run.state == "finished" and run.seconds is not None:
                for kind in _kinds(planned):
                    known[kind].append(run.seconds)
        if not known:
            return None
        left = []
        for planned in self.planned:
            run = self.runs.get(planned.spec.identity)
            if run is not None and run.state in ("finished", "failed"):
                continue
            usual = float(np.mean(next(known[k] for k in _kinds(planned) if k in known)))
            running = run is not None and run.state == "running" and run.started is not None
            spent = self.now - run.started if running and run is not None and run.started else 0.0
            left.append(max(usual - spent, 0.0))
        return max(sum(left) / max(jobs, 1), max(left, default=0.0))

    def renderable(self, jobs: int, started: float) -> Group:
        """Return the progress as a table for the terminal.

        Parameters
        ----------
        jobs : int
            Runs at a time.
        started : float
            Start of the sweep, in seconds since 1970.
        """
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("method")
        for title in ("finished", "running", "failed", "AUC so far", "seconds a run"):
            table.add_column(title, justify="right")
        for column in dict.fromkeys(planned.column for planned in self.planned):
            own = [p for p in self.planned if p.column == column]
            runs = [self.runs[p.spec.identity] for p in own if p.spec.identity in self.runs]
            finished = [run for run in runs if run.state == "finished"]
            failed = sum(run.state == "failed" for run in runs)
            table.add_row(
                column,
                f"{len(finished)}/{len(own)}",
                str(sum(run.state == "running" for run in runs) or ""),
                f"[red]{failed}[/]" if failed else "",
                f"{100 * np.mean([run.auc for run in finished]):.1f} %" if finished else "–",
                f"{np.mean([run.seconds or 0.0 for run in finished]):.1f}" if finished else "–",
            )
        parts: list[Table | Text | ProgressBar] = [table, Text()]
        parts += [Text(_at_work(run, column, self.now), "dim") for run, column in self._running()]
        left = self.seconds_left(jobs)
        remaining = "time left not known yet" if left is None else f"about {duration(left)} left"
        if self.done == len(self.planned):
            remaining = "done"
        parts.append(ProgressBar(total=len(self.planned), completed=self.done, width=40))
        parts.append(
            Text(
                f"{self.done} of {len(self.planned)} runs, {jobs} at once, "
                f"{duration(self.now - started)} so far, {remaining}"
            )
        )
        return Group(*parts)

    def _running(self) -> list[tuple[Run, str]]:
        selected = [(self.runs.get(one.spec.identity), one.column) for one in self.planned]
        return [(run, column) for run, column in selected if run and run.state == "running"]


def look(store: Store, planned: Sequence[SweepRun]) -> SweepProgress:
    """Return the current state of a sweep."""
    runs = store.runs(run.spec.identity for run in planned)
    return SweepProgress(planned, {run.identity: run for run in runs}, time.time())


def _kinds(planned: SweepRun) -> list[tuple[str, ...]]:
    dataset, method = planned.spec.dataset, planned.spec.method
    return [(dataset, planned.column), (dataset, method, ""), (method,), ()]


def _at_work(run: Run, column: str, now: float) -> str:
    place = f"{dataset_title(run.dataset)} {normal_title(run.normal)}"
    text = f"{place}, {column}, seed {run.seed}"
    if run.started is not None:
        text += f": {duration(now - run.started)}"
    if run.progress:
        p = run.progress
        text += f", {p['phase']} epoch {p['epoch']}/{p['epochs']}, loss {p['loss']:.4g}"
    return text
