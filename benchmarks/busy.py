"""Training beside other programs, and the score of one image: ``python benchmarks/busy.py``.

`DeepSVDD(recipe="fast", epochs=1, pretrain_epochs=1).fit` on the 6,131 threes of MNIST's training
part, in processes of their own, one after the other: with insphere imported first, which makes
OpenMP's threads rest while they wait, and with torch imported first, when that comes too late; each
with nothing added to what the machine does, and with two processes that compute without end. Then
`score_samples` of one digit, 200 times after a warm-up. Rows are added to ``results/busy.jsonl``,
with the load of the machine before each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from machine import machine

RESULTS = Path(__file__).parent / "results" / "busy.jsonl"
FIT = """
import {first}
import json, resource, time
import numpy as np
from insphere import DeepSVDD, load_dataset
data = load_dataset("mnist", progress=False)
train = np.asarray(data.images)[(data.labels == 3) & ~data.is_test]
started = time.perf_counter()
options = {{"recipe": "fast", "epochs": 1, "pretrain_epochs": 1}}
detector = DeepSVDD(**options, contamination=0.05, random_state=0).fit(train)
seconds = time.perf_counter() - started
used = resource.getrusage(resource.RUSAGE_SELF)
row = {{"images": len(train), "wall_seconds": round(seconds, 1)}}
row["cpu_seconds_of_process"] = round(used.ru_utime + used.ru_stime, 1)
for _ in range(20):
    detector.score_samples(train[:1])
times = []
for i in range(200):
    started = time.perf_counter()
    detector.score_samples(train[i : i + 1])
    times.append(1000 * (time.perf_counter() - started))
row["score_one_median_ms"] = round(float(np.median(times)), 2)
row["score_one_p90_ms"] = round(float(np.quantile(times, 0.9)), 2)
print(json.dumps(row))
"""
COMPUTE = "while True: sum(range(10**6))"


def measured(first: str, beside: int) -> dict[str, object]:
    """Fit in a process of its own, beside so many others that compute."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    load = os.getloadavg()[0]
    others = [subprocess.Popen([sys.executable, "-c", COMPUTE]) for _ in range(beside)]
    try:
        done = subprocess.run(
            [sys.executable, "-c", FIT.format(first=first)],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
    finally:
        for other in others:
            other.kill()
            other.wait()
    about = {"imported_first": first, "processes_beside": beside, "load_before": round(load, 1)}
    return about | json.loads(done.stdout)


def main(out: Annotated[Path, typer.Option(help="File of results.")] = RESULTS) -> None:
    """Measure, print and add to the file."""
    for beside in (0, 2):
        for first in ("insphere", "torch"):
            row = measured(first, beside) | {"machine": machine()}
            Console().print(row)
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    typer.run(main)
