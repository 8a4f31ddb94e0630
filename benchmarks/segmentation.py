"""How well a network that learned to find synthetic anomalies finds the defects of magnetic tiles.

Run ``python benchmarks/segmentation.py --data FOLDER`` with magnetic-tiles.zip in the folder; a row
goes to results/segmentation.jsonl. A fifth of the training tiles is kept out of the training, for
choosing options on synthetic anomalies in them; nothing was chosen on the test tiles. ``--model``
measures a model that was fitted before, by the same command with ``--save``. ``--with METHOD`` fits
another method to the same photographs, and measures it and the mean severity of both, as
`insphere.detectors.Combination` computes it; the tiles that were kept out calibrate.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from choosing import tiles, truth_of
from insphere.detectors import AnomalySegmentation, load_detector
from insphere.detectors.registry import build_detector
from insphere.experiments.store.jsonl_rows import append_row
from insphere.scoring.pixels import evaluate_maps
from insphere.scoring.severity import SeverityScale
from insphere.synthetic_anomalies import KINDS, synthesize
from insphere.versions import versions
from tile_masks import tile_masks

RESULTS = Path(__file__).parent / "results" / "segmentation.jsonl"
STRENGTHS = (0.5,)


def main() -> None:
    """Fit or load, measure, and add a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--last", choices=("odds", "sphere"), default="odds")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--with", dest="other")
    given = parser.parse_args()
    (task,) = tiles(given.data)
    assert task.groups is not None
    names = np.unique(task.groups)
    held = np.isin(task.groups, np.random.default_rng(0).permutation(names)[: len(names) // 5])
    started = time.process_time()
    if given.model is None:
        detector = AnomalySegmentation(steps=given.steps, last=given.last, random_state=0)
        detector.fit(task.train[~held])
        if given.save is not None:
            detector.save(given.save)
    else:
        detector = load_detector(given.model)
    fitted = time.process_time() - started
    if given.other is not None:
        other = build_detector(given.other, {"contamination": 0.05}, seed=0)
        other.fit(task.train[~held])
        for row in both(detector, other, given.other, task, task.train[held], given.data):
            append_row(RESULTS, row)
        return
    row = measured(detector, task, task.train[held][::2], tile_masks(given.data))
    seconds = sum(record["seconds"] for record in detector.history_)
    row |= {
        "run": "segmentation" if detector.last == "odds" else f"segmentation, {detector.last}",
        "n": int((~held).sum()),
        "spec": detector.spec_.model_dump(mode="json"),
        "fit_cpu_seconds": None if given.model else round(fitted),
        "fit_wall_seconds": round(seconds),
        "versions": versions(),
    }
    append_row(RESULTS, row)
    print(json.dumps(row, indent=1))


def both(
    first: Any, second: Any, name: str, task: Any, held: np.ndarray, data: Path
) -> list[dict[str, Any]]:
    """Return rows of the second method alone, and of both together."""
    masks, order = tile_masks(data), list(task.anomalous)
    shown = [task.normal, *(task.anomalous[one] for one in order)]
    ends = np.cumsum([len(images) for images in shown])[:-1]
    truth = np.concatenate(
        [np.zeros(task.normal.shape[:3], dtype=bool), *(masks[one] for one in order)]
    )
    test = np.concatenate(shown)
    severities, maps = [], []
    for detector in (first, second):
        scale = SeverityScale(detector.anomaly_score(held))
        severities.append(scale(detector.anomaly_score(test)))
        usual = detector.anomaly_map(held)
        maps.append((detector.anomaly_map(test) - usual.mean()) / usual.std())
    rows = []
    for run, score, heat in (
        (name, severities[1], maps[1]),
        (f"segmentation + {name}", np.mean(severities, axis=0), np.mean(maps, axis=0)),
    ):
        parts = dict(zip(["normal", *order], np.split(score, ends), strict=True))
        pixels = evaluate_maps(truth, heat)
        rows.append(
            {
                "run": run,
                "image_auc": truth_of(parts),
                "pixel_auc": round(pixels.pixel_auc, 4),
                "pro": round(pixels.pro, 4),
                "versions": versions(),
            }
        )
        print(rows[-1], flush=True)
    return rows


def measured(
    detector: Any, task: Any, held: np.ndarray, masks: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Return AUC by defect, pixel AUC and PRO, and AUC on synthetic anomalies by kind."""
    started, n = time.process_time(), len(task.normal)
    scores = {"normal": detector.anomaly_score(task.normal)}
    each = (time.process_time() - started) / n
    scores |= {name: detector.anomaly_score(images) for name, images in task.anomalous.items()}
    order = list(task.anomalous)
    shown = [task.normal, *(task.anomalous[name] for name in order)]
    maps = np.concatenate([detector.anomaly_map(images) for images in shown])
    blank = np.zeros(task.normal.shape[:3], dtype=bool)
    truth = np.concatenate([blank, *(masks[name] for name in order)])
    pixels = evaluate_maps(truth, maps)
    made: dict[str, float] = {}
    normal = detector.anomaly_score(held)
    for kind in KINDS:
        for strength in STRENGTHS:
            found = synthesize(held, kind, strength, seed=99)
            visible = found.images[found.masks.any(axis=(1, 2))]
            one = truth_of({"normal": normal, "made": detector.anomaly_score(visible)})
            made[f"{kind} {strength:g}"] = one["all"]
    return {
        "image_auc": truth_of(scores),
        "pixel_auc": round(pixels.pixel_auc, 4),
        "pro": round(pixels.pro, 4),
        "synthetic_auc": made,
        "score_cpu_seconds": round(each, 4),
    }


if __name__ == "__main__":
    main()
