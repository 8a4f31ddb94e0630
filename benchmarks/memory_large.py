"""Peak memory of fitting 40 photos of 1024×1024: ``python benchmarks/memory_large.py``.

Each method is fitted by the command line in a process of its own, with few epochs, and limited to
`LIMIT` of address space, so that what takes more ends there instead of taking the machine with it.
``--source`` measures another checkout, such as one from before a change. Rows are added to
``results/memory-large.jsonl``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console

from machine import machine

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "memory-large.jsonl"
SIDE, COUNT = 1024, 40
LIMIT = 10 << 30
SHORT = ["--epochs", "1", "--pretrain-epochs", "1"]
RANDOM = ["--option", "weights=random"]
METHODS = {
    "auto": ["--choose-minutes", "60"],
    "deep-svdd": [*SHORT, "--recipe", "fast"],
    "anogan": ["--option", "train_steps=3", "--option", "search_steps=2"],
    "fcdd": SHORT,
    "knn": [],
    "feature-knn": RANDOM,
    "patch-memory": RANDOM,
    "patch-gaussian": [],
}


def write_photos(folder: Path, seed: int = 0) -> None:
    """Write pictures with coarse colours, each brighter than the last, and fine noise."""
    rng = np.random.default_rng(seed)
    for number in range(COUNT):
        coarse = rng.integers(20 + 4 * number, 60 + 4 * number, (33, 33, 3), dtype=np.uint8)
        colours = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        values = colours.astype(int) + rng.integers(-6, 7, (SIDE, SIDE, 3))
        Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(folder / f"{number:03d}.png")


def measured(arguments: list[str], environment: dict[str, str]) -> dict[str, object]:
    """Run the command line and return its peak memory and its times."""
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            os.execve(sys.executable, [sys.executable, "-m", "insphere", *arguments], environment)
        _, status, used = os.wait4(child, 0)
        seconds = time.perf_counter() - started
        said.seek(0)
        text = said.read().decode(errors="replace")
    row = {
        "ended": "well" if status == 0 else (text.strip().splitlines() or ["killed"])[-1][:200],
        "peak_mib": used.ru_maxrss // 1024,
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "wall_seconds": round(seconds, 1),
    }
    return row


def main(
    methods: Annotated[list[str] | None, typer.Argument(help="Methods; all if none.")] = None,
    source: Annotated[Path, typer.Option(help="Folder of the package.")] = HERE.parent / "src",
    version: Annotated[str, typer.Option(help="What to call this source in the rows.")] = "now",
    out: Annotated[Path, typer.Option(help="File of results.")] = RESULTS,
) -> None:
    """Measure, print and add to the file."""
    with tempfile.TemporaryDirectory() as place:
        photos = Path(place) / "photos"
        photos.mkdir()
        write_photos(photos)
        environment = os.environ | {
            "PYTHONPATH": str(source.resolve()),
            "INSPHERE_CACHE": str(Path(place) / "cache"),
        }
        for name in methods or list(METHODS):
            model = str(Path(place) / f"model-{name}")
            arguments = ["fit", str(photos), "--method", name, "--out", model, *METHODS[name]]
            row: dict[str, object] = {"version": version, "method": name, "command": "fit"}
            row |= measured(arguments, environment)
            rows = [row]
            if row["ended"] == "well":
                scored = measured(["score", model, str(photos)], environment)
                rows.append({"version": version, "method": name, "command": "score", **scored})
            with out.open("a") as file:
                for row in rows:
                    row |= {"images": COUNT, "side": SIDE, "machine": machine()}
                    Console().print(row)
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    typer.run(main)
