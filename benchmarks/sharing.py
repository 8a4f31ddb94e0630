"""What sharing saves in a sweep: ``python benchmarks/sharing.py``.

Each group of runs is done twice in this process: as a sweep does it, and with everything that runs
share (checkpoints of the autoencoder, principal components, decoded images) taken away before each
run. One thread; processor time. Results go to ``results/sharing.json``.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from insphere.detectors.shallow.principal_components import forget_components
from insphere.experiments.execution.worker import dataset
from insphere.experiments.runs.run import run
from insphere.experiments.runs.spec import RunSpec
from machine import machine, write_json

RESULTS = Path(__file__).parent / "results" / "sharing.json"
TUNED = {"preprocess": "gcn", "gamma": "labelled-holdout", "nu": "labelled-holdout"}
GROUPS: dict[str, tuple[str, str, list[tuple[str, dict[str, Any]]]]] = {
    "both objectives of Deep SVDD": (
        "mnist",
        "0",
        [
            ("deep-svdd", {"recipe": "fast", "objective": name})
            for name in ("one-class", "soft-boundary")
        ],
    ),
    "rivals on principal components": (
        "cifar10",
        "ship",
        [("oc-svm", {}), ("oc-svm", TUNED), ("kde", {}), ("isolation-forest", {})],
    ),
}


def seconds(
    dataset_name: str, normal: str, runs: list[tuple[str, dict[str, Any]]], *, shared: bool
) -> list[float]:
    """Return the processor time of each run."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        dataset.cache_clear()
        forget_components()
        for number, (method, params) in enumerate(runs):
            place = Path(folder) / ("shared" if shared else str(number))
            if not shared:
                dataset.cache_clear()
                forget_components()
            spec = RunSpec(dataset=dataset_name, normal=(normal,), method=method, params=params)
            started = time.process_time()
            run(spec, dataset(dataset_name), checkpoints=place)
            taken.append(round(time.process_time() - started, 1))
    return taken


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    console = Console()
    found = {}
    for title, (name, normal, runs) in GROUPS.items():
        alone = seconds(name, normal, runs, shared=False)
        shared = seconds(name, normal, runs, shared=True)
        saved = 1 - sum(shared) / sum(alone)
        found[title] = {
            "dataset": name,
            "normal": normal,
            "runs": [method for method, _ in runs],
            "alone_seconds": alone,
            "shared_seconds": shared,
            "saved": round(saved, 3),
        }
        console.print(f"{title}: {sum(alone):.0f} s alone, {sum(shared):.0f} s shared")
    write_json(RESULTS, {"groups": found, "machine": machine()})


if __name__ == "__main__":
    main()
