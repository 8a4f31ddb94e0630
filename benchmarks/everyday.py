"""Everyday use under load: ``python benchmarks/everyday.py watch|queue|first|choose [--n N]``.

``watch``: photos are dropped into a watched folder in bursts, while ``insphere watch`` is killed 20
times. Every file must have exactly one line.

``queue``: photos are scored by the process behind *Score new photos* in the studio. Its memory,
and the time that a page of the running studio takes meanwhile, are sampled.

``first``: seconds from the first command, or from the start of the studio, until the first
new photo is scored with its map, on 200 photos of 640×480. Installation is not counted.

``choose``: seconds that ``insphere choose`` and ``fit`` take on 500 photos of 640×480, and the
score of one more.

Rows are appended to ``results/everyday.jsonl``. Photos are digits of MNIST for ``watch`` (which
only counts lines), and pieces of scikit-learn's photographs otherwise.
"""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import typer
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_sample_images

from insphere.data.load import load_dataset
from insphere.detectors import KNNDetector, load_detector
from insphere.experiments.store.inspections import Inspections
from insphere.experiments.store.jsonl_rows import append_row
from insphere.experiments.store.run_store import Store
from insphere.workflows.inspecting import InspectionPlan
from machine import machine

RESULTS = Path(__file__).parent / "results" / "everyday.jsonl"
KILLS = 20
RUN = [sys.executable, "-m", "insphere"]
console = Console()
app = typer.Typer(add_completion=False)


@app.command()
def watch(n: int = 10_000, kills: int = KILLS) -> None:
    """Drop files in bursts, and kill the watcher."""
    rng = random.Random(0)
    digits = load_dataset("mnist-5k", progress=False).images[..., 0]
    with tempfile.TemporaryDirectory() as place:
        folder, model, log = Path(place) / "in", Path(place) / "model", Path(place) / "log.csv"
        folder.mkdir()
        KNNDetector(false_alarm_rate=0.05, random_state=0).fit(digits[:300, ..., None]).save(model)
        over = threading.Event()

        def drop() -> None:
            written = 0
            while written < n:
                for _ in range(min(rng.randrange(50, 800), n - written)):
                    image = Image.fromarray(digits[written % len(digits)])
                    image.save(folder / f"photo-{written:05}.png")
                    written += 1
                time.sleep(rng.uniform(0.1, 2.0))
            over.set()

        threading.Thread(target=drop, daemon=True).start()
        command = [*RUN, "watch", str(model), str(folder), "--out", str(log), "--quiet"]
        command += ["--every", "0.2", "--settle", "0.2"]
        started, lines_at_kill = time.perf_counter(), []
        for _ in range(kills):
            before = _lines(log)
            process = subprocess.Popen(command)
            deadline = time.monotonic() + 120
            while _lines(log) == before and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(rng.uniform(0.0, 1.5))
            process.send_signal(signal.SIGKILL)
            process.wait()
            lines_at_kill.append(_lines(log))
            console.print(f"killed at {lines_at_kill[-1]} lines")
        over.wait()
        subprocess.run([*command, "--once"], check=True)
        seconds = time.perf_counter() - started
        with log.open(newline="") as file:
            found = Counter(row["path"] for row in csv.DictReader(file))
    row = {
        "suite": "watch", "files": n, "kills": kills, "lines": sum(found.values()),
        "missed": n - len(found), "twice": sum(count > 1 for count in found.values()),
        "lines_at_kill": lines_at_kill, "seconds": round(seconds, 1),
    }  # fmt: skip
    _keep(row)


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.is_file() else 0


@app.command()
def queue(n: int = 5000, method: str = "knn", side: int = 48) -> None:
    """Score many photos, and sample the memory and the page."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pieces(folder / "good", 120, (side, side), seed=1)
        pieces(folder / "new", n, (side, side), seed=2)
        with running_studio(folder / "runs.sqlite") as address:
            store = Store(folder / "runs.sqlite")
            inspections = Inspections(store)
            plan = InspectionPlan(rate=0.05, method=method)
            trained = inspections.add("bench", {"plan": plan.model_dump()}, folder / "good")
            _until(lambda: inspections.get(trained.identity).state in ("finished", "failed"))
            found = inspections.get(trained.identity)
            assert found.state == "finished", found.reason
            names = [(path.name, path.name) for path in sorted((folder / "new").iterdir())]
            batch = inspections.add_batch(trained.identity, "new", folder / "new", names)
            page = f"{address}/photos/{trained.identity}/{batch.identity}"
            memory: list[tuple[int, float]] = []
            answers: list[float] = []
            started = time.perf_counter()
            while inspections.batch(batch.identity).state not in ("finished", "failed"):
                done = inspections.done(batch.identity)[0]
                if (used := _memory_of("inspection_worker", str(store.path), "score")) and done:
                    memory.append((done, used))
                asked = time.perf_counter()
                urlopen(Request(page), timeout=60).read()
                answers.append(time.perf_counter() - asked)
                time.sleep(0.5)
            seconds = time.perf_counter() - started
            alarms = inspections.count(batch.identity, "alarms")
            store.close()
    early = [used for done, used in memory if done < n / 5]
    late = [used for done, used in memory if done > 4 * n / 5]
    row = {
        "suite": "queue", "photos": n, "method": method, "side": side, "alarms": alarms,
        "seconds": round(seconds, 1),
        "memory_first_fifth_mb": round(float(np.median(early)), 1),
        "memory_last_fifth_mb": round(float(np.median(late)), 1),
        "memory_peak_mb": round(max(used for _, used in memory), 1),
        "page_median_ms": round(1000 * float(np.median(answers)), 1),
        "page_95_ms": round(1000 * float(np.quantile(answers, 0.95)), 1),
        "page_worst_ms": round(1000 * max(answers), 1), "pages": len(answers),
    }  # fmt: skip
    _keep(row)


@app.command()
def first(n: int = 200) -> None:
    """Time the command line, and the studio without a browser, to the first scored photo."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pieces(folder / "good", n, (480, 640), seed=1)
        pieces(folder / "new", 5, (480, 640), seed=2)
        started = time.perf_counter()
        fit = [*RUN, "fit", str(folder / "good"), "--method", "patch-gaussian", "--out"]
        subprocess.run([*fit, str(folder / "model"), "--quiet"], check=True)
        score = [*RUN, "score", str(folder / "model"), str(folder / "new"), "--report"]
        subprocess.run([*score, str(folder / "new.html"), "--quiet"], check=True)
        command_line = time.perf_counter() - started
        started = time.perf_counter()
        with running_studio(folder / "runs.sqlite"):
            store = Store(folder / "runs.sqlite")
            inspections = Inspections(store)
            plan = InspectionPlan(rate=0.05)
            trained = inspections.add("bench", {"plan": plan.model_dump()}, folder / "good")
            _until(lambda: inspections.get(trained.identity).state in ("finished", "failed"))
            assert inspections.get(trained.identity).state == "finished"
            names = [(path.name, path.name) for path in sorted((folder / "new").iterdir())]
            batch = inspections.add_batch(trained.identity, "new", folder / "new", names)
            _until(lambda: inspections.done(batch.identity)[0] > 0)
            studio = time.perf_counter() - started
            store.close()
    _keep(
        {"suite": "first", "photos": n, "size": [480, 640], "method": "patch-gaussian",
         "command_line_seconds": round(command_line, 1), "studio_seconds": round(studio, 1)}
    )  # fmt: skip


@app.command()
def choose(n: int = 500, minutes: float = 10.0, method: str = "") -> None:
    """Time the choice of a method, the training of the winner (or of `method`) and one score."""
    row: dict[str, Any] = {"suite": "choose", "photos": n, "size": [480, 640], "minutes": minutes}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pieces(folder / "good", n, (480, 640), seed=1)
        pieces(folder / "new", 6, (480, 640), seed=2)
        os.environ["INSPHERE_CACHE"] = str(folder / "cache")  # no features of an earlier run
        started = time.perf_counter()
        if method:
            fit = [*RUN, "fit", str(folder / "good"), "--method", method, "--quiet", "--out"]
            subprocess.run([*fit, str(folder / "model")], check=True)
        else:
            command = [*RUN, "choose", str(folder / "good"), "--minutes", str(minutes), "--out"]
            subprocess.run([*command, str(folder / "model")], check=True)
        seconds = time.perf_counter() - started
        detector = load_detector(folder / "model")
        photos = [np.asarray(Image.open(path))[None] for path in sorted((folder / "new").iterdir())]
        detector.anomaly_score(photos[0])
        took = []
        for photo in photos[1:]:
            started = time.perf_counter()
            detector.anomaly_score(photo)
            took.append(time.perf_counter() - started)
    row |= {
        "chosen": not method, "method": type(detector).card.key, "seconds": round(seconds, 1),
        "score_seconds_each": round(float(np.median(took)), 3),
    }  # fmt: skip
    _keep(row)


def pieces(folder: Path, n: int, size: tuple[int, int], *, seed: int) -> None:
    """Write pieces of photographs, a little brighter or darker each."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    photos = load_sample_images().images
    for number in range(n):
        photo = Image.fromarray(photos[0])
        height, width = size
        scale = max(1.0, 1.15 * height / photo.height, 1.15 * width / photo.width)
        photo = photo.resize((round(scale * photo.width), round(scale * photo.height)))
        top = int(rng.integers(0, photo.height - height))
        left = int(rng.integers(0, photo.width - width))
        part = np.asarray(photo.crop((left, top, left + width, top + height)), np.float64)
        light = np.clip(part * rng.uniform(0.8, 1.2), 0, 255).astype(np.uint8)
        Image.fromarray(light).save(folder / f"{number:05}.jpg", quality=90)


@contextmanager
def running_studio(store: Path) -> Iterator[str]:
    """Start a studio, and yield its address when it answers."""
    command = [*RUN, "studio", "--no-open", "--port", "0", "--workers", "1", "--store", str(store)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().rpartition(" ")[2].strip().rstrip("/")
    try:
        yield address
    finally:
        process.terminate()
        process.wait()


def _memory_of(*words: str) -> float | None:
    """Return the resident memory of the process with these words in its command, in MB."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if all(any(word in part for part in command) for word in words):
                pages = int((path / "statm").read_text().split()[1])
                return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        except (OSError, ValueError, IndexError):
            continue
    return None


def _until(condition: Any, seconds: float = 1800.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("It did not happen in time.")
        time.sleep(0.2)


def _keep(row: dict[str, Any]) -> None:
    row |= {"load": round(os.getloadavg()[0], 1), "machine": machine("nicegui", "sqlalchemy")}
    append_row(RESULTS, row)
    console.print(row)


if __name__ == "__main__":
    app()
