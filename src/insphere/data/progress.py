"""A progress bar on stderr, which is not shown in logs and pipes."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """A bar with a count and the time left.

    Parameters
    ----------
    title : str
        Name of the work.
    total : int
        Number of steps.
    show : bool, optional
        Whether to draw it; by default if stderr is a terminal.
    """

    def __init__(self, title: str, total: int, *, show: bool | None = None) -> None:
        visible = sys.stderr.isatty() if show is None else show
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True, force_terminal=True if show else None),
            disable=not visible,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=total)

    def advance(self, steps: int) -> None:
        """Advance by `steps`."""
        self._bar.advance(self._task, steps)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
