"""How soon the studio answers: ``python benchmarks/studio.py``.

Starts a studio with a store of its own and measures, in real Chromium,

- how long a first page takes until it can be used, without and with the browser's cache;
- how long a stranger who presses the first button waits for a trained comparison;
- how long a click takes until the page shows what follows from it: idle, while two networks are
  trained, and while visitors have the page of such a training open as well.

Those visitors' browsers would run elsewhere, so here they are connections that fetch the page and
take in all that the studio sends them. Results are written to ``results/studio.json``; nothing else
should run on the machine.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.request import urlopen

import socketio
import typer
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console

from insphere.experiments.execution.queue import Queue
from insphere.experiments.store.run_store import Store
from machine import machine, write_json

RESULTS = Path(__file__).parent / "results" / "studio.json"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
LONG = "/compare?dataset=mnist-5k&normal=3&options=attention&pretrain=1000&epochs=1000"
READY = "[data-test=train]"
AT_WORK = "[data-state=running] [data-test=progress]:has-text('epoch')"

# Clicks on a digit; the seconds until the summary names it, as the page itself sees it.
ANSWER = """(digit) => new Promise((done) => {
  const started = performance.now();
  const named = () => document.querySelector("aside h2")?.textContent === digit;
  const watch = new MutationObserver(() => {
    if (!named()) return;
    watch.disconnect();
    requestAnimationFrame(() => done((performance.now() - started) / 1000));
  });
  watch.observe(document.body, { childList: true, subtree: true, characterData: true });
  document.querySelector(`[role=radio][aria-label="${digit}"]`).click();
})"""


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
    """Measure how long the first page takes until its button can be pressed and is heard."""
    cold, warm = [], []
    for _ in range(rounds):
        context = browser.new_context()
        for times in (cold, warm):
            page = context.new_page()
            started = time.perf_counter()
            page.goto(address + "/compare")
            page.wait_for_function("window.did_handshake")
            page.locator(READY).click(trial=True)
            times.append(time.perf_counter() - started)
            page.close()
        context.close()
    return {"without_cache": _summary(cold), "with_cache": _summary(warm)}


def first_comparison(browser: Browser, address: str) -> dict[str, Any]:
    """Measure how long it takes from an empty address line to a trained comparison."""
    page = browser.new_page()
    started = time.perf_counter()
    page.goto(address + "/compare")
    page.click(READY)
    page.wait_for_selector("[data-test=difference]", timeout=300_000)
    seconds = time.perf_counter() - started
    found = {name: page.inner_text(f"[data-test={name}]") for name in ("auc", "difference")}
    page.close()
    return {"seconds": round(seconds, 2), **found}


def answers(page: Page, rounds: int, at_work: Page | None = None) -> dict[str, Any]:
    """Measure how long a choice of class takes until the summary shows it.

    Parameters
    ----------
    page : Page
        With the form.
    rounds : int
        How many choices.
    at_work : Page, optional
        Of a training that must still be running at the end.
    """
    times = []
    for turn in range(rounds):
        times.append(page.evaluate(ANSWER, str((turn + 4) % 10)))
        page.wait_for_timeout(700)  # the time estimate of this choice begins
    if at_work is not None and not at_work.locator(AT_WORK).count():
        raise RuntimeError("The training ended before the measurement did.")
    return _summary(times)


def main(
    rounds: Annotated[int, typer.Option(help="Measurements of each kind.")] = 10,
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
        results["first_comparison"] = first_comparison(browser, address)
        page = browser.new_page()
        page.goto(address + "/compare")
        page.wait_for_function("window.did_handshake")
        results["answer_idle"] = answers(page, rounds)
        trainer = browser.new_page()
        trainer.goto(address + LONG)
        trainer.click(READY)
        trainer.wait_for_selector(AT_WORK, timeout=120_000)
        results["answer_while_training"] = answers(page, rounds, trainer)
        with Crowd(address, trainer.url, visitors) as crowd:
            results["visitors"] = visitors
            results["answer_with_visitors"] = answers(page, rounds, trainer)
            results["first_page_with_visitors"] = first_pages(browser, address, 3)
            results["messages_to_each_visitor"] = crowd.least_heard()
        browser.close()
    write_json(RESULTS, results)
    Console().print_json(data=results)


class Crowd:
    """Visitors that have a page open and hear what the studio says, in a thread of their own.

    Parameters
    ----------
    address : str
        Of the studio.
    url : str
        Of the page.
    count : int
        How many they are.
    """

    def __init__(self, address: str, url: str, count: int) -> None:
        self._address, self._url = address, url
        self._heard = [0] * count
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._clients: list[socketio.AsyncClient] = []

    def __enter__(self) -> Crowd:
        self._thread.start()
        for place in range(len(self._heard)):
            asyncio.run_coroutine_threadsafe(self._enter(place), self._loop).result(60)
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            asyncio.run_coroutine_threadsafe(client.disconnect(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def least_heard(self) -> int:
        """Return how many messages came to the visitor who got fewest; 0 would be no visitor."""
        return min(self._heard)

    async def _enter(self, place: int) -> None:
        with await asyncio.to_thread(urlopen, self._url, timeout=60) as response:
            page = response.read().decode()
        client_id = re.search(r"client_id['\"]?: ?['\"]([0-9a-f-]{36})", page)
        message = re.search(r"next_message_id['\"]?: ?['\"]?(\d+)", page)
        if client_id is None or message is None:
            raise RuntimeError("The page does not say who its visitor is.")
        client = socketio.AsyncClient()

        @client.on("*")
        def heard(*_: object) -> None:
            self._heard[place] += 1

        names = {"client_id": client_id[1], "next_message_id": message[1]}
        names |= {"tab_id": f"crowd-{place}", "document_id": f"crowd-{place}"}
        await client.connect(
            self._address, transports=["websocket"], socketio_path="/_nicegui_ws/socket.io"
        )
        if not await client.call("handshake", names):
            raise RuntimeError("The studio does not know its visitor.")
        self._clients.append(client)


def _summary(seconds: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(seconds), 4),
        "worst": round(max(seconds), 4),
        "n": len(seconds),
    }


def _answers(address: str) -> bool:
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
