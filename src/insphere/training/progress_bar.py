"""Training progress in the terminal: loss, radius, share outside, speed and time left."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from insphere.training.callbacks import Callback, Record

_TITLES = {
    "pretrain": "Pretraining",
    "train": "Deep SVDD",
    "features": "Features",
    "finetune": "Fine-tuning",
}


class ProgressBar(Callback):
    """A live line for each phase.

    Parameters
    ----------
    console : rich.console.Console, optional
        The console; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=8),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console or Console(stderr=True),
        )
        self._task: TaskID | None = None
        self._images = 1

    def phase_start(self, phase: str, epochs: int, done: int, images: int) -> None:
        """Draw an empty bar."""
        self._images = images
        if self._task is not None:
            self._progress.remove_task(self._task)  # the line of a phase stays on the screen
        self._progress.start()
        title = _TITLES.get(phase, phase)
        self._task = self._progress.add_task(title, total=epochs, completed=done, state="…")

    def batch_end(self, phase: str, images: int) -> None:
        """Advance the bar by a part of an epoch."""
        if self._task is not None:
            self._progress.update(self._task, advance=images / self._images)

    def epoch_end(self, record: Record) -> None:
        """Show the numbers of the epoch."""
        state = f"loss {record['loss']:.3g}"
        if "radius" in record:
            state += f" · R {record['radius']:.3g} · {record['outside']:.1%} out"
        state += f" · {record['images_per_second']:,.0f}/s"
        if self._task is not None:
            self._progress.update(self._task, completed=record["epoch"], state=state)

    def phase_end(self, phase: str) -> None:
        """Stop updating the line."""
        self._progress.stop()
