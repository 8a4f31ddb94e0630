"""The training loop: epochs of equal batches, Adam, checkpoints that resume bit for bit."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from insphere.errors import InsphereError, SpecError
from insphere.nets.draws import drawing
from insphere.nets.ranks import averaged, rank, ranks, wait
from insphere.training.adam import Adam
from insphere.training.batch import Batch
from insphere.training.callbacks import Callback, Record
from insphere.training.checkpoint import (
    misfit,
    optimizer_tensors,
    read_checkpoint,
    refuse_checkpoint,
    restore_optimizer,
    same_form,
    write_checkpoint,
)
from insphere.training.images import Samples
from insphere.training.objectives import Objective
from insphere.training.recipe import Phase

MEASURED = ("loss", "lr", "seconds", "images_per_second")  # of each epoch, by every objective


class PhaseRun:
    """Minimises an objective over the images.

    The order of the images and every other random draw of an epoch depend on `seed` and the epoch
    alone. A run that continues from a checkpoint is therefore the same, bit for bit, as one that
    was never interrupted (same machine, same number of threads).

    Parameters
    ----------
    name : str
        Name of the phase in history and progress.
    objective : Objective
        The objective; its parameters are modified in place.
    images : Samples
        Normal training samples.
    phase : Phase
        Epochs, learning rate, batch size.
    seed : int
        Seed of the phase.
    autocast : torch.dtype, optional
        Number format of the network; the loss is computed in float32 all the same.
    checkpoint : pathlib.Path, optional
        File written after each epoch and read at the start; if it holds a finished phase, nothing
        is trained again.
    callbacks : sequence of Callback
        Objects that follow the training.

    Attributes
    ----------
    history : list of dict
        One record for each epoch: phase, epoch (from 1), loss, lr, seconds, images_per_second,
        and what the objective measures.
    """

    def __init__(
        self,
        name: str,
        objective: Objective,
        images: Samples,
        phase: Phase,
        *,
        seed: int,
        autocast: torch.dtype | None = None,
        checkpoint: Path | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.name = name
        self.objective = objective
        self.images = images
        self.phase = phase
        self.seed = seed
        self.autocast = autocast
        self.checkpoint = checkpoint
        self.callbacks = callbacks
        self.history: list[Record] = []
        if ranks() > 1 and not objective.by_many:
            raise SpecError(
                f"This training ({type(objective).__name__}) runs in one process: start it without "
                "torchrun."
            )
        parameters = [p for p in objective.parameters() if p.requires_grad]
        self.device = parameters[0].device
        self.optimizer = Adam(
            parameters,
            lr=phase.lr,
            weight_decay=phase.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self.epochs = phase.epochs_for(len(images))
        self._loss: nn.Module = objective

    def run(self) -> list[Record]:
        """Train the epochs that the checkpoint does not contain, and return the history."""
        self._resume()
        self._loss = averaged(self.objective)
        done = len(self.history)
        if done < self.epochs:
            for callback in self.callbacks:
                callback.phase_start(self.name, self.epochs, done, len(self.images))
            try:
                for epoch in range(done, self.epochs):
                    if self.objective.finished:
                        break
                    self.history.append(self._epoch(epoch))
                    self._save()
                    for callback in self.callbacks:
                        callback.look(self.history[-1], self.objective, self.images)
                        callback.epoch_end(self.history[-1])
            finally:
                for callback in self.callbacks:
                    callback.phase_end(self.name)
        self.objective.eval()
        return self.history

    def _epoch(self, epoch: int) -> Record:
        started = time.perf_counter()
        self.objective.train()
        total = torch.zeros((), device=self.device)
        lr = 0.0
        steps = self.phase.steps_per_epoch(len(self.images))
        with seeded(self.seed, epoch) as generator:
            batches = self.images.batches(self.phase.batch_size, generator)
            for step, batch in enumerate(batches):
                lr = self.phase.lr_at(epoch * steps + step, len(self.images))
                total += self._step(batch, lr) * batch.size
                for callback in self.callbacks:
                    callback.batch_end(self.name, batch.size)
        loss = float(total) / len(self.images)
        if not math.isfinite(loss):
            raise InsphereError(
                f"The loss of epoch {epoch + 1} is not a finite number; lower the learning rate "
                f"(now {self.phase.lr:g}) or check the preprocessing."
            )
        measured = self.objective.end_epoch(epoch)
        seconds = time.perf_counter() - started
        return {
            "phase": self.name,
            "epoch": epoch + 1,
            "loss": loss,
            "lr": lr,
            **measured,
            "seconds": seconds,
            "images_per_second": len(self.images) / seconds,
        }

    def _step(self, batch: Batch, lr: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            loss: Tensor = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        if rank() > 0:  # the first process writes what all have
            wait()
            return
        tensors = {f"objective.{k}": v for k, v in self.objective.state_dict().items()}
        tensors |= {f"optimizer.{k}": v for k, v in optimizer_tensors(self.optimizer).items()}
        meta = {"history": self.history, "notes": self.objective.notes()}
        write_checkpoint(self.checkpoint, tensors, meta)
        wait()

    def _resume(self) -> None:
        saved = None if self.checkpoint is None else read_checkpoint(self.checkpoint)
        if saved is None or self.checkpoint is None:
            return
        tensors, meta = saved
        parts: dict[str, dict[str, Tensor]] = {"objective": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, key = name.partition(".")
            parts.setdefault(part, {})[key] = tensor
        parts["objective"] = self.objective.renamed(parts["objective"])
        why = misfit(parts, self.objective.state_dict(), self.optimizer) or self._misfit(meta)
        if why is not None:
            refuse_checkpoint(self.checkpoint, why)
            return
        self.objective.load_state_dict(parts["objective"])
        restore_optimizer(self.optimizer, parts["optimizer"])
        self.objective.restore_notes(meta["notes"])
        self.history = meta["history"]

    def _misfit(self, meta: dict[str, Any]) -> str | None:
        """Return why the notes of a checkpoint do not belong to this phase."""
        history, notes = meta.get("history"), meta.get("notes")
        if not same_form(notes, self.objective.notes()):
            return "its notes are of another kind"
        if not isinstance(history, list) or len(history) > self.epochs:
            return "its history is of another kind"
        for number, record in enumerate(history, start=1):
            known = {"phase": self.name, "epoch": number}
            if not isinstance(record, dict) or not known.items() <= record.items():
                return "its history is of another kind"
            if not all(type(record.get(key)) in (int, float) for key in MEASURED):
                return "its history is of another kind"
        return None


@contextmanager
def seeded(seed: int, epoch: int = 0) -> Iterator[torch.Generator]:
    """Seed all random draws of an epoch; see `insphere.nets.draws`.

    Yields
    ------
    torch.Generator
        For the order of the batches. Dropout uses another one with the same seed.
    """
    mixed = mixed_seed(seed, epoch)
    with drawing(mixed):
        yield torch.Generator().manual_seed(mixed)


def mixed_seed(seed: int, part: int = 0) -> int:
    """Return a different seed for each epoch or part of a fit."""
    return (seed * 1_000_003 + part) % (2**63)
