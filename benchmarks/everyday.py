"""Everyday use under load: ``python benchmarks/everyday.py watch|queue|first|choose [--n N]``.

``watch``: photos are dropped into a watched folder in bursts, some of them written by half at
first, while ``insphere watch --move-alarms`` is killed 20 times, once in each burst. Every file
must have exactly one line with the score that the model gives it, and every alarm must be put away.

``queue``: photos go through *Score new photos* of the studio in Chromium: sent, scored, looked at.
Meanwhile the page is fetched and keys are pressed, and the memory of the process that scores and
of the studio is sampled. Every tenth photo is of something else, so that alarms are drawn.

``first``: seconds from the first command of the README, and from the start of the studio in
Chromium, until the first new photo is scored with its map, on 200 photos of 640×480. Installation
is not counted. ``--method`` names the method of the command line; without it, it chooses one.

``choose``: seconds that ``insphere choose`` and ``fit`` take on 500 photos of 640×480, and the
score of one more.

Rows are appended to ``results/everyday.jsonl``. Photos are digits of MNIST for ``watch`` (which
only counts lines), and pieces of scikit-learn's photographs otherwise.
"""

from __future__ import annotations

import csv
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from sklearn.datasets import load_sample_images

from insphere.data.load import load_dataset
from insphere.detectors import KNNDetector, load_detector
from insphere.experiments.store.inspections import Inspections
from insphere.experiments.store.jsonl_rows import append_row
from insphere.experiments.store.run_store import Store
from machine import machine

RESULTS = Path(__file__).parent / "results" / "everyday.jsonl"
KILLS = 20
SLOW = 20  # one of so many files is written in two parts
RUN = [sys.executable, "-m", "insphere"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
LONGEST = 3_600_000.0  # milliseconds
BATCH_PAGE = re.compile("/photos/[0-9a-f]{12}/[0-9a-f]{12}")
MAP_IS_SHOWN = """() => {
  const image = document.querySelector("[data-test=shot-map] img");
  return image && image.complete && image.naturalWidth > 60;
}"""
IS_LAST = """() => {
  const words = document.querySelector("[data-test=place]").textContent.split(" of ");
  return words[0] === words[1];
}"""
# Presses a key; the seconds until another photo is shown, as the page itself sees it. null if none
# is within ten seconds: new photos may have made this one the last, after which no key leads on.
NEXT = """(key) => new Promise((done) => {
  setTimeout(() => done(null), 10_000);
  const started = performance.now();
  const now = () => document.querySelector("[data-test=photo-verdict]")?.dataset.key;
  const before = now();
  const watch = new MutationObserver(() => {
    if (!now() || now() === before) return;
    watch.disconnect();
    requestAnimationFrame(() => done((performance.now() - started) / 1000));
  });
  watch.observe(document.body, { childList: true, subtree: true, attributes: true });
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
})"""
console = Console()
app = typer.Typer(add_completion=False)


@app.command()
def watch(n: int = 10_000, kills: int = KILLS) -> None:
    """Drop files in bursts, and kill the watcher in each of them."""
    rng = random.Random(0)
    digits = load_dataset("mnist-5k", progress=False).images
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder, model, log = Path(place) / "in", Path(place) / "model", Path(place) / "log.csv"
        alarms = Path(place) / "alarms"
        folder.mkdir()
        detector = KNNDetector(false_alarm_rate=0.05, random_state=0).fit(digits[:300])
        detector.save(model)
        turn, over = threading.Semaphore(0), threading.Event()

        def drop() -> None:
            cuts = sorted(rng.sample(range(1, n), kills - 1))
            for start, stop in pairwise([0, *cuts, n]):
                turn.acquire()
                _burst(folder, digits, start, stop, rng)
            over.set()

        threading.Thread(target=drop, daemon=True).start()
        command = [*RUN, "watch", str(model), str(folder), "--out", str(log), "--quiet"]
        command += ["--every", "0.2", "--settle", "0.2", "--move-alarms", str(alarms)]
        started, lines_at_kill = time.perf_counter(), []
        for _ in range(kills):
            before = _lines(log)
            process = subprocess.Popen(command)
            turn.release()
            deadline = time.monotonic() + 120
            while _lines(log) == before and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 1.5))
            process.send_signal(signal.SIGKILL)
            process.wait()
            lines_at_kill.append(_lines(log))
            console.print(f"killed at {lines_at_kill[-1]} lines")
        over.wait()
        subprocess.run([*command, "--once"], check=True)
        seconds = time.perf_counter() - started
        with log.open(newline="") as file:
            rows = list(csv.DictReader(file))
        moved, left = (sorted(path.name for path in one.iterdir()) for one in (alarms, folder))
    found = Counter(row["path"] for row in rows)
    scores = detector.anomaly_score(digits)
    wrong = sum(
        not row["score"] or not np.isclose(float(row["score"]), scores[_number(row) % len(scores)])
        for row in rows
    )
    row = {
        "suite": "watch", "files": n, "kills": kills, "slowly_written": n // SLOW,
        "lines": sum(found.values()),
        "missed": n - len(found), "twice": sum(count > 1 for count in found.values()),
        "wrong_scores": wrong,
        "alarms": sum(row["verdict"] == "anomalous" for row in rows),
        "alarms_moved": len(moved),
        "left_behind": len(set(left) & {r["path"] for r in rows if r["verdict"] == "anomalous"}),
        "lines_at_kill": lines_at_kill, "seconds": round(seconds, 1),
    }  # fmt: skip
    _keep(row)


def _burst(
    folder: Path, digits: NDArray[np.uint8], start: int, stop: int, rng: random.Random
) -> None:
    """Write photos; each of some is written by half, and completed when the others are there."""
    halves = []
    for number in range(start, stop):
        out = BytesIO()
        Image.fromarray(digits[number % len(digits), ..., 0]).save(out, "PNG")
        path, content = folder / f"photo-{number:05}.png", out.getvalue()
        cut = len(content) // 2 if number % SLOW == 0 else len(content)
        path.write_bytes(content[:cut])
        if cut < len(content):
            halves.append((path, content[cut:]))
        if number % 100 == 0:
            time.sleep(rng.uniform(0.0, 0.2))
    for path, rest in halves:
        time.sleep(rng.uniform(0.0, 0.02))
        with path.open("ab") as file:
            file.write(rest)


def _number(row: dict[str, str]) -> int:
    return int(row["path"][len("photo-") : -len(".png")])


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.is_file() else 0


@app.command()
def queue(n: int = 5000, width: int = 320, height: int = 240) -> None:
    """Score many photos in the studio as a visitor does, and sample memory and answers."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place)
        good = pieces(folder / "good", 120, (height, width), seed=1)
        new = pieces(folder / "new", n, (height, width), seed=2, strange=10)
        store = folder / "runs.sqlite"
        with running_studio(store) as (address, studio), browser() as page:
            train_in_the_browser(page, address, good)
            give(page, new)
            sent = time.perf_counter()
            sending: list[float] = []
            memory: list[tuple[float, float, float]] = []  # share that is done, worker, studio
            while not BATCH_PAGE.search(page.url):
                sending.append(_answer(f"{address}/photos"))
                memory.append((0.0, 0.0, _memory(studio)))
                page.wait_for_timeout(300)
            seconds_to_send = time.perf_counter() - sent
            batch = page.url.rpartition("/")[2].partition("?")[0]
            opened = Store(store)
            inspections = Inspections(opened)
            _until(lambda: inspections.counts(batch).done > 0)
            start = f"{page.url.partition('?')[0]}?show=all"
            page.goto(start)
            page.wait_for_selector("[data-keys=heard] [data-test=photo-verdict]")
            pages: list[float] = []
            keys: list[float] = []
            unanswered = 0
            started = time.perf_counter()
            while inspections.batch(batch).state not in ("finished", "failed"):
                share = inspections.counts(batch).done / n
                worker = _process_of("inspection_worker", str(store), "score")
                memory.append((share, _memory(worker), _memory(studio)))
                pages.append(_answer(page.url))
                for key in ("ArrowRight", "f", "ArrowRight"):
                    if page.evaluate(IS_LAST):  # no key leads further: begin again
                        page.goto(start)
                        page.wait_for_selector("[data-keys=heard] [data-test=photo-verdict]")
                        break
                    took = page.evaluate(NEXT, key)
                    if took is None:
                        unanswered += not page.evaluate(IS_LAST)
                        page.goto(start)
                        page.wait_for_selector("[data-keys=heard] [data-test=photo-verdict]")
                        break
                    keys.append(took)
                page.wait_for_timeout(500)
            seconds = time.perf_counter() - started
            counts = inspections.counts(batch)
            alarms, errors = counts.shown["alarms"], counts.shown["unreadable"]
            done = counts.done, counts.total
            method = inspections.get(inspections.batch(batch).inspection).result["method"]
            opened.close()
    early = [one for one in memory if 0 < one[0] < 0.2]
    late = [one for one in memory if one[0] > 0.8]
    row: dict[str, Any] = {
        "suite": "queue", "photos": n, "size": [height, width], "method": method,
        "done": list(done), "alarms": alarms, "unreadable": errors,
        "seconds_to_send": round(seconds_to_send, 1), "seconds": round(seconds, 1),
    }  # fmt: skip
    for name, place_ in (("worker", 1), ("studio", 2)):
        row[f"{name}_memory_mb"] = {
            "first_fifth": round(float(np.median([one[place_] for one in early])), 1),
            "last_fifth": round(float(np.median([one[place_] for one in late])), 1),
            "peak": round(max(one[place_] for one in memory), 1),
        }
    for name, found in (("page_while_sending", sending), ("page", pages), ("key", keys)):
        row[f"{name}_ms"] = _times(found)
    row["keys_unanswered"] = unanswered
    _keep(row)


@app.command()
def first(n: int = 200, method: str = "", command_line: bool = True, studio: bool = True) -> None:
    """Time the README's commands, and the studio in a browser, to the first scored photo."""
    row: dict[str, Any] = {"suite": "first", "photos": n, "size": [480, 640]}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        folder = Path(place)
        good = pieces(folder / "good", n, (480, 640), seed=1)
        new = pieces(folder / "new", 5, (480, 640), seed=2, strange=2)
        os.environ["INSPHERE_CACHE"] = str(folder / "cache")  # no features of an earlier run
        if command_line:
            started = time.perf_counter()
            fit = [*RUN, "fit", "good", "--out", "model", "--report", "fit.html"]
            fit += ["--method", method] if method else []
            subprocess.run(fit, check=True, cwd=folder)
            row["fit_seconds"] = round(time.perf_counter() - started, 1)
            score = [*RUN, "score", "model", "new", "--out", "scores.csv", "--report", "new.html"]
            subprocess.run(score, check=True, cwd=folder)
            row["command_line_seconds"] = round(time.perf_counter() - started, 1)
            detector = load_detector(folder / "model")
            row |= {"asked": method or "nothing", "method": type(detector).card.key}
            assert "data:image" in (folder / "new.html").read_text(encoding="utf-8")
        if studio:
            started = time.perf_counter()
            with running_studio(folder / "runs.sqlite") as (address, _), browser() as page:
                row["studio_answers_seconds"] = round(time.perf_counter() - started, 1)
                train_in_the_browser(page, address, good)
                row["studio_trained_seconds"] = round(time.perf_counter() - started, 1)
                give(page, new)
                page.wait_for_url(BATCH_PAGE)
                page.wait_for_function(MAP_IS_SHOWN)
                row["studio_seconds"] = round(time.perf_counter() - started, 1)
    _keep(row)


@app.command()
def choose(n: int = 500, minutes: float = 10.0, method: str = "") -> None:
    """Time the choice of a method, the training of the winner (or of `method`) and one score."""
    row: dict[str, Any] = {"suite": "choose", "photos": n, "size": [480, 640], "minutes": minutes}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
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


def pieces(
    folder: Path, n: int, size: tuple[int, int], *, seed: int, strange: int = 0
) -> list[Path]:
    """Write pieces of a photograph, a little brighter or darker each; return their paths.

    Of `strange`, if it is not 0, the last is a piece of another photograph.
    """
    folder.mkdir()
    rng = np.random.default_rng(seed)
    photos = load_sample_images().images
    height, width = size
    large = []
    for photo in map(Image.fromarray, photos):
        scale = max(1.0, 1.15 * height / photo.height, 1.15 * width / photo.width)
        large.append(photo.resize((round(scale * photo.width), round(scale * photo.height))))
    paths = []
    for number in range(n):
        photo = large[1 if strange and number % strange == strange - 1 else 0]
        top = int(rng.integers(0, photo.height - height))
        left = int(rng.integers(0, photo.width - width))
        part = np.asarray(photo.crop((left, top, left + width, top + height)), np.float64)
        light = np.clip(part * rng.uniform(0.8, 1.2), 0, 255).astype(np.uint8)
        paths.append(folder / f"{number:05}.jpg")
        Image.fromarray(light).save(paths[-1], quality=90)
    return paths


# ---------------------------------------------------------------------- the studio in a browser


@contextmanager
def running_studio(store: Path) -> Iterator[tuple[str, int]]:
    """Start a studio, and yield its address when it is said, and the number of its process."""
    command = [*RUN, "studio", "--no-open", "--port", "0", "--workers", "1", "--store", str(store)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().rpartition(" ")[2].strip().rstrip("/")
    try:
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def browser() -> Iterator[Page]:
    """Open a page in Chromium."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = opened.new_page()
        page.set_default_timeout(LONGEST)
        yield page
        opened.close()


def give(page: Page, files: list[Path]) -> None:
    """Hand files to the field for photos."""
    page.wait_for_function("document.querySelector('[data-test=photos]')?.ready")
    page.set_input_files("[data-test=files]", files)


def train_in_the_browser(page: Page, address: str, good: list[Path]) -> None:
    """Go from the first page to a trained detector, with what is chosen beforehand."""
    page.goto(address)
    page.click("[data-test=way-photos]")
    give(page, good)
    page.click("[data-test=train-photos]")
    page.wait_for_selector("[data-state=finished]")


def _answer(address: str) -> float:
    started = time.perf_counter()
    with urlopen(address, timeout=60) as response:
        response.read()
    return time.perf_counter() - started


def _times(seconds: list[float]) -> dict[str, float]:
    """Return the median, the 95th of a hundred and the longest in milliseconds, and how many."""
    found = {"median": np.median(seconds), "of_100_95": np.quantile(seconds, 0.95)}
    found["longest"] = np.max(seconds)
    return {name: round(1000 * float(value), 1) for name, value in found.items()} | {
        "n": len(seconds)
    }


def _process_of(*words: str) -> int:
    """Return the number of the process with these words in its command; 0 if there is none."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if all(any(word in part for part in command) for word in words):
            return int(path.name)
    return 0


def _memory(process: int) -> float:
    """Return the memory of a process in MB, without pages of files that it shares."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000


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
