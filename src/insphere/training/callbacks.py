"""How a person or a program follows training while it runs."""

from __future__ import annotations

from typing import Any

Record = dict[str, Any]


class Callback:
    """Called by the loop; override what you need. Raise to stop: checkpoints stay."""

    def phase_start(self, phase: str, epochs: int, done: int, images: int) -> None:
        """Call before the first epoch; `done` epochs come from a checkpoint."""

    def batch_end(self, phase: str, images: int) -> None:
        """Call after each step, with the number of images in it."""

    def look(self, record: Record, objective: Any, images: Any) -> None:
        """Call after each epoch, before `epoch_end`, to look inside; what is seen is not changed.

        Parameters
        ----------
        record : dict
            The epoch's row of the history.
        objective : insphere.training.objectives.Objective
            What is minimised, with its networks.
        images : insphere.training.images.Samples
            What is trained on; `TrainingImages` also prepare other images for the networks.
        """

    def epoch_end(self, record: Record) -> None:
        """Call after each epoch, with its row of the history."""

    def phase_end(self, phase: str) -> None:
        """Call after the last epoch, also when the phase was interrupted."""
