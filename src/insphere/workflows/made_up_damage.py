"""How far made-up damage is found by a fitted detector: what can be known without real defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.estimator import OneClassDetector
from insphere.errors import DataError
from insphere.scoring.reviews import Share, share_interval
from insphere.synthetic_anomalies import KINDS, synthesize
from insphere.workflows.choosing.challenges import on_contents

Images = NDArray[np.uint8]

STRENGTHS = {"faint": 0.25, "clear": 0.5, "strong": 0.9}
"""Strengths of damage by their names; see `insphere.synthetic_anomalies.synthesize`."""
SHOWN = "strong"  # strength of the examples


@dataclass(frozen=True, eq=False)
class DamageFound:
    """How often made-up damage raised an alarm.

    Parameters
    ----------
    cells : dict of (str, str) to Share
        By kind and name of the strength: alarms among damaged photos.
    examples : dict of str to ndarray of uint8, shape (H, W, C)
        One strongly damaged photo of each kind.
    n_photos : int
        Number of photos that were damaged, each in all ways.
    """

    cells: dict[tuple[str, str], Share]
    examples: dict[str, Images] = field(default_factory=dict)
    n_photos: int = 0

    def of_strength(self, strength: str) -> Share:
        """Return the share over all kinds.

        Its interval is that of the photos, as if each had been damaged once: the ways in which one
        photo was damaged are not independent.
        """
        cells = [cell for (_, name), cell in self.cells.items() if name == strength]
        return _together(cells, self.n_photos)

    def of_kind(self, kind: str) -> Share:
        """Return the share over all strengths; see `of_strength` for the interval."""
        return _together([cell for (k, _), cell in self.cells.items() if k == kind], self.n_photos)

    def plain(self) -> dict[str, Any]:
        """Return everything but the pictures as plain values."""
        strengths, kinds = list(STRENGTHS), list(dict.fromkeys(kind for kind, _ in self.cells))
        return {
            "n_photos": self.n_photos,
            "by_strength": {name: _plain(self.of_strength(name)) for name in strengths},
            "by_kind": {kind: _plain(self.of_kind(kind)) for kind in kinds},
            "cells": {
                kind: {
                    name: [self.cells[kind, name].count, self.cells[kind, name].total]
                    for name in strengths
                    if (kind, name) in self.cells
                }
                for kind in kinds
            },
        }


def damage_found(
    detector: OneClassDetector,
    photos: Images,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    textures: Images | None = None,
    seed: int = 0,
) -> DamageFound:
    """Damage good photos in several ways and strengths, and count the alarms.

    Parameters
    ----------
    detector : OneClassDetector
        Fitted, with a threshold.
    photos : ndarray of uint8, shape (n, H, W, C)
        Good photos, best those that were not trained on.
    kinds : sequence of str
        Keys of `insphere.synthetic_anomalies.KINDS`.
    textures : ndarray of uint8, optional
        Photos for foreign textures; by default `photos`.
    seed : int
        The same seed makes the same damage.

    Raises
    ------
    DataError
        If the photos are not of 8 bits.
    """
    if photos.dtype != np.uint8:
        raise DataError("Only photos of 8 bits are damaged; convert the others first.")
    detector.require_threshold()
    cells: dict[tuple[str, str], Share] = {}
    examples: dict[str, Images] = {}
    for kind in kinds:
        for name, strength in STRENGTHS.items():
            damaged = on_contents(
                photos,
                partial(_damaged, kind=kind, strength=strength, seed=seed, textures=textures),
            )
            visible = (damaged != photos).any(axis=(1, 2, 3))
            if not visible.any():
                continue
            flagged = detector.anomaly_score(damaged[visible]) > detector.threshold_
            cells[kind, name] = share_interval(int(flagged.sum()), len(flagged))
            if name == SHOWN:
                examples[kind] = damaged[int(np.flatnonzero(visible)[len(examples) % sum(visible)])]
    return DamageFound(cells, examples, len(photos))


def _damaged(
    part: Images,
    rows: NDArray[np.int64],
    *,
    kind: str,
    strength: float,
    seed: int,
    textures: Images | None,
) -> Images:
    own = (1009 * seed + int(rows[0])) % 2**31
    found: Images = synthesize(part, kind, strength, seed=own, textures=textures).images
    return found


def _together(cells: Sequence[Share], n: int) -> Share:
    count, total = sum(cell.count for cell in cells), sum(cell.total for cell in cells)
    if not total:
        return share_interval(0, 0)
    reach = share_interval(round(n * count / total), n)
    value = count / total
    return Share(count, total, min(reach.low, value), max(reach.high, value))


def _plain(share: Share) -> list[float]:
    return [share.count, share.total, round(share.low, 4), round(share.high, 4)]
