"""What a planned sweep consists of, and how far it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from insphere.experiments.runs.sweep_file import Sweep, make_sweep


@dataclass(frozen=True)
class SweepState:
    """A sweep of the queue, and how far it is.

    Parameters
    ----------
    key, name : str
        Of `PlannedSweep`.
    identities : tuple of str
        Of its runs.
    counts : dict
        Runs by state.
    paused : bool
        Whether its runs wait for somebody to resume it.
    """

    key: str
    name: str
    identities: tuple[str, ...]
    counts: dict[str, int]
    paused: bool

    @property
    def total(self) -> int:
        """Number of runs."""
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        """Number of runs that are waiting or running."""
        return self.counts["queued"] + self.counts["running"]


def planned(content: Mapping[str, Any]) -> tuple[Sweep, tuple[str, ...]]:
    """Return a sweep and the identities of its runs, which people look at again and again."""
    return _planned(json.dumps(dict(content), sort_keys=True))


@lru_cache(maxsize=64)
def _planned(text: str) -> tuple[Sweep, tuple[str, ...]]:
    sweep = make_sweep(json.loads(text))
    return sweep, tuple(run.spec.identity for run in sweep.runs())
