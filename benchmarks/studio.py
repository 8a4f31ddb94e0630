"""How soon the studio answers: ``python benchmarks/studio.py``.

Starts a studio with a store of its own and measures, in real Chromium,

- how long a first page takes until it can be used, without and with the browser's cache;
- how long a click takes until the page shows what follows from it, idle and while a training runs;
- the same while 30 visitors have the page of that training open.

Results are written to ``results/studio.json``; nothing else should run on the machine.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console

from insphere.experiments.queue import Queue
from insphere.experiments.store import Store
from machine import machine, write_json

RESULTS = Path(__file__).parent / "results" / "studio.json"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
LONG = "/?dataset=mnist-5k&normal=3&recipe=paper"
READY = "[data-test=train]"


@contextmanager
def running_studio(folder: Path) -> Iterator[str]:
    """Start a studio and yield its address."""
    store = folder / "runs.sqlite"
    code = "import sys; from insphere.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "studio", "--no-open", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--store", str(store)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    address = process.stdout.readline().rpartition(" ")[2].strip().rstrip("/")
    try:
        _until(lambda: _answers(address))
        yield address
    finally:
        opened = Store(store)
        queue = Queue(opened, workers=os.cpu_count() or 1)
        queue.cancel([run.identity for run in opened.runs()])
        process.terminate()
        process.wait()
        queue.dismiss()
        _until(lambda: queue.alive() == 0)
        opened.close()


def first_pages(browser: Browser, address: str, rounds: int) -> dict[str, Any]:
    """Measure how long the first page takes until its button can be pressed."""
    cold, warm = [], []
    for _ in range(rounds):
        context = browser.new_context()
        for times in (cold, warm):
            page = context.new_page()
            started = time.perf_counter()
            page.goto(address)
            page.locator(READY).click(trial=True)
            times.append(time.perf_counter() - started)
            page.close()
        context.close()
    return {"without_cache": _summary(cold), "with_cache": _summary(warm)}


def answers(page: Page, rounds: int) -> dict[str, Any]:
    """Measure how long a choice of class takes until the summary shows it."""
    times = []
    for turn in range(rounds):
        digit = str((turn + 4) % 10)
        shown = page.locator(f"aside h2:text-is('{digit}')")
        started = time.perf_counter()
        page.locator(f"[role=radio][aria-label='{digit}']").click()
        shown.wait_for()
        times.append(time.perf_counter() - started)
        page.wait_for_timeout(700)  # the time estimate of this choice begins
    return _summary(times)


def main(
    rounds: Annotated[int, typer.Option(help="Measurements of each kind.")] = 15,
    visitors: Annotated[int, typer.Option(help="Visitors at once.")] = 30,
) -> None:
    """Measure and write the results."""
    path = next(p for name in ("chromium", "google-chrome") if (p := shutil.which(name)))
    with (
        tempfile.TemporaryDirectory() as folder,
        running_studio(Path(folder)) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        results: dict[str, Any] = {"machine": machine("nicegui", "plotly", "playwright")}
        results["first_page"] = first_pages(browser, address, rounds)
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector(READY)
        results["answer_idle"] = answers(page, rounds)
        trainer = browser.new_page()
        trainer.goto(address + LONG)
        trainer.click(READY)
        trainer.wait_for_selector("[data-state=running]", timeout=120_000)
        results["answer_while_training"] = answers(page, rounds)
        context = browser.new_context()
        crowd = [context.new_page() for _ in range(visitors)]
        for one in crowd:
            one.goto(trainer.url)
        for one in crowd:
            one.wait_for_selector("[data-state]")
        results["visitors"] = visitors
        results["answer_with_visitors"] = answers(page, rounds)
        results["first_page_with_visitors"] = first_pages(browser, address, 3)
        browser.close()
    write_json(RESULTS, results)
    Console().print_json(data=results)


def _summary(seconds: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(seconds), 4),
        "worst": round(max(seconds), 4),
        "n": len(seconds),
    }


def _answers(address: str) -> bool:
    from urllib.request import urlopen

    try:
        with urlopen(f"{address}/models", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("The studio does not do what was waited for.")
        time.sleep(0.1)


if __name__ == "__main__":
    typer.run(main)
