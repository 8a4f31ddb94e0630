"""Peak memory of scoring folders of images: ``python benchmarks/memory.py``.

Each folder is scored in a process of its own, through what a user calls: `load_dataset` on the
folder, which decodes it into the memory-mapped cache, and `anomaly_score`. Results go to
``results/memory.json``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from rich.console import Console

from insphere import DeepSVDD, load_dataset
from machine import machine, write_json

RESULTS = Path(__file__).parent / "results" / "memory.json"
SCORE = """
import json, sys, threading, time
from pathlib import Path
import insphere

anonymous, done = [0], threading.Event()

def watch():
    while not done.is_set():
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                anonymous[0] = max(anonymous[0], int(line.split()[1]))
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
detector = insphere.load(sys.argv[1])
data = insphere.load_dataset(sys.argv[2], progress=False)
scores = detector.anomaly_score(data)
done.set()
print(json.dumps({
    "images": len(scores),
    "pixels_mb": round(data.images.nbytes / 2**20, 1),
    "anonymous_mb": round(anonymous[0] / 2**10, 1),
}))
"""


def write_folder(folder: Path, images: np.ndarray, count: int) -> None:
    """Write `count` PNG files: each image once, and then hard links to them."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:06d}.png"
        if number < len(images):
            Image.fromarray(images[number, ..., 0]).save(path)
        else:
            os.link(folder / f"{number % len(images):06d}.png", path)


def main(
    sizes: Annotated[list[int] | None, typer.Argument(help="Images in each folder.")] = None,
    out: Annotated[Path, typer.Option(help="File of results.")] = RESULTS,
) -> None:
    """Measure folders of 10,000 and 100,000 images, or of the sizes given."""
    data = load_dataset("digits-8x8")
    images = data.images.repeat(8, axis=1).repeat(8, axis=2)[:1000]
    rows = []
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        environment = os.environ | {"INSPHERE_CACHE": str(root / "cache")}
        detector = DeepSVDD(
            recipe="fast", epochs=1, pretrain_epochs=0, contamination=0.05, random_state=0
        ).fit(images)
        detector.save(root / "model")
        for size in sizes or [10_000, 100_000]:
            folder = root / str(size)
            write_folder(folder, images, size)
            done = subprocess.run(
                [sys.executable, "-c", SCORE, str(root / "model"), str(folder)],
                env=environment, capture_output=True, text=True, check=True,
            )  # fmt: skip
            rows.append(json.loads(done.stdout))
            Console().print(rows[-1])
    write_json(out, {"machine": machine(), "image": "64×64 grey PNG", "folders": rows})


if __name__ == "__main__":
    typer.run(main)
