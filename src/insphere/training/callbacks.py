"""Callbacks, with which a program follows a training."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]


class Callback:
    """Called by the loop; override what you need. Raise an error to stop; checkpoints are kept."""

    def phase_start(self, phase: str, epochs: int, done: int, images: int) -> None:
        """Call before the first epoch; `done` epochs come from a checkpoint."""

    def batch_end(self, phase: str, images: int) -> None:
        """Call after each step, with the number of images in it."""

    def look(self, record: Record, objective: Any, images: Any) -> None:
        """Call after each epoch, before `epoch_end`, to look inside; nothing may be changed.

        Parameters
        ----------
        record : dict
            The record of the epoch in the history.
        objective : insphere.training.objectives.Objective
            The objective with its networks.
        images : insphere.training.images.Samples
            The training samples; `TrainingImages` can also preprocess other images.
        """

    def epoch_end(self, record: Record) -> None:
        """Call after each epoch, with its record in the history."""

    def phase_end(self, phase: str) -> None:
        """Call after the last epoch, and also if the phase is interrupted."""
