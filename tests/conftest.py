"""What all tests share: one thread each, a cache of their own, reproducible random examples."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

# Read when NumPy, SciPy and torch are first imported, so set here, before any test module is.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["SCIPY_ARRAY_API"] = "1"  # without it scikit-learn skips one of its estimator checks
# The many processes that tests start need not compile the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
# `make fuzz` goes round all tests again and again, each time with other inputs.
settings.register_profile("fuzz", deadline=None, max_examples=300, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_configure(config: pytest.Config) -> None:
    """Keep decoded images away from the user's cache; each process has a folder of its own.

    This is no fixture because examples in docstrings need it too, and fixtures end at this folder.
    """
    cache = tempfile.TemporaryDirectory(prefix="insphere-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(cache.cleanup)
    os.environ["INSPHERE_CACHE"] = cache.name


# The files that take longest, each by one process. Those in a browser, which often wait, alternate
# with those that compute.
LONGEST = (
    "test_studio_photos", "test_export", "test_studio_compare", "test_figures_runs",
    "test_studio_review", "test_inspecting", "test_studio_groups", "test_studio_pages",
    "test_ranks", "test_docs", "test_sweep", "test_studio_kinds", "test_studio_server",
    "test_studio_hostile", "test_bulk_command",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first, so that no process waits for one at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (place.get(item.path.stem, len(place)), -slow[item.path]))


@pytest.fixture(scope="session")
def digits():
    """1,797 real digits of 8×8 pixels as uint8 images, and which digit each shows."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.images / 16 * 255).astype("uint8")[..., None], data.target


@pytest.fixture(scope="session")
def digits3(digits):
    """Forty images each of three digits, their digits, and others of these and of a fourth."""
    import numpy as np

    images, target = digits
    rows = [np.flatnonzero(target == digit) for digit in (0, 1, 4)]
    first = np.concatenate([r[:40] for r in rows])
    later = np.concatenate([*(r[40:50] for r in rows), np.flatnonzero(target == 7)[:30]])
    return images[first], target[first], images[later], target[later]


@pytest.fixture(scope="session")
def mnist():
    """5,000 digits of MNIST of 28×28 pixels as uint8 images, and which digit each shows."""
    from insphere.data.load import load_dataset

    data = load_dataset("mnist-5k", cache=False)
    return data.images, data.labels


@pytest.fixture(scope="session")
def operators_once():
    """Keep the exporter of torch from parsing the source of all its operators for every export.

    It takes more than a second, and every table is the same. Another version of torch may keep them
    elsewhere; then nothing changes.
    """
    from functools import cache

    with pytest.MonkeyPatch.context() as patch:
        with contextlib.suppress(ImportError, AttributeError):
            from torch.onnx._internal._lazy_import import onnxscript_apis as where

            patch.setattr(where, "get_torchlib_ops", cache(where.get_torchlib_ops))
        yield


# ---------------------------------------------------------------------- the studio in a browser

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip


class RunningStudio:
    """A studio in a process of its own, with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.store_path = folder / "runs.sqlite"
        self.data = folder / "data"
        self.data.mkdir()
        self.start()

    def start(self) -> None:
        command = [
            sys.executable, "-m", "insphere",
            "studio", "--no-open", "--port", "0", "--store", str(self.store_path),
            "--data", str(self.data), "--workers", "2",
        ]  # fmt: skip
        # NiceGUI behaves differently where it believes to be in a test.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        line = self.process.stdout.readline()
        assert "http://127.0.0.1:" in line, line + self.process.stdout.read()
        self.address = line.rpartition(" ")[2].strip().rstrip("/")
        self.output: list[str] = []
        read = threading.Thread(target=self.output.extend, args=(self.process.stdout,), daemon=True)
        read.start()
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.address}/models", timeout=5).read()
                return
            except OSError:
                time.sleep(0.1)
        self.process.kill()
        raise AssertionError("the studio does not answer: " + "".join(self.output))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def close(self) -> None:
        from insphere.experiments.execution.queue import Queue
        from insphere.experiments.store.run_store import Store

        self.stop()
        store = Store(self.store_path)
        queue = Queue(store, workers=2)
        queue.cancel([run.identity for run in store.runs()])
        queue.dismiss()
        deadline = time.monotonic() + 30
        while queue.alive() and time.monotonic() < deadline:
            time.sleep(0.1)
        store.close()
        text = "".join(self.output)
        assert "Traceback" not in text, text


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """Start a studio for the tests of a module."""
    running = RunningStudio(tmp_path_factory.mktemp("studio"))
    yield running
    running.close()


@pytest.fixture(scope="session")
def chromium():
    """Start the browser once."""
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        reason = "There is no Chromium for the tests of the studio: apt-get install chromium."
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, studio):
    """Open pages as visitors; afterwards none may have seen an error or reached beyond here."""
    contexts, complaints = [], []

    def open_page(path, **options):
        context = chromium.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: _check_request(request.url, studio, complaints))
        page.goto(studio.address + path)
        page.wait_for_selector("h1")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def _check_request(url, studio, complaints):
    here = (studio.address, studio.address.replace("http", "ws", 1), "data:", "blob:")
    if not url.startswith(here):
        complaints.append(f"request to {url}")
