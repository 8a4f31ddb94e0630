"""Any address and query gets an answer from the studio's own pages and downloads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from fuzzing import Drawn, no_longer_than, tries
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("nicegui", reason='The studio needs pip install "insphere[studio]".')

import httpx
from fastapi import FastAPI
from nicegui import ui

from insphere.experiments.execution.queue import Queue
from insphere.experiments.execution.worker import Worker
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.run_store import Store
from insphere.studio import downloads
from insphere.studio.app_state import Studio
from insphere.studio.pages import compare, experiments, inspect, models, run

Ask = Callable[[str], httpx.Response]

QUERIES = {
    "/compare": ("dataset", "normal", "also", "models", "known", "others", "share", "method",
          "objective", "options", "recipe", "epochs", "pretrain", "pretraining", "head",
          "threshold", "seed"),
    "/experiments": ("compare", "figure", "group", "search", "state", "sort"),
    "/models": ("model",),
    "/look": ("model",),
    "/runs/RUN": ("image", "threshold", "scores"),
    "/runs/x": ("image",),
    "/download/runs.csv": ("runs",),
    "/download/runs.png": ("runs", "figure"),
    "/download/runs.html": ("runs",),
    "/download/models/RUN.zip": (),
    "/download/models/..%2f..%2fx.zip": (),
}  # fmt: skip
VALUES = st.sampled_from(
    ["", "9" * 5000, "-1", "0", "1e999", "nan", "inf", "-inf", "\u0663", "\u00b2", "RUN",
    "RUN,RUN", "x,RUN,",
     "," * 3000, "\0", "\n", "../../etc/passwd", "<script>", "%00", "knn", "deep-svdd", "bars",
     "roc",
     "all", "3", "digits-8x8", "finished", "\ud800".encode("utf-8",
     "surrogatepass").decode("latin-1"),
     "'; drop table runs", "a" * 20000, "{{x}}", "1_000", " 5 ", "0x10", "training", "paper"]
)  # fmt: skip


@st.composite
def addresses(draw: Drawn) -> str:
    """Draw a path of the studio with a query."""
    path = draw(st.sampled_from(sorted(QUERIES)))
    names = st.sampled_from(QUERIES[path] or ("x",)) | st.text(max_size=3)
    pairs = draw(st.lists(st.tuples(names, VALUES | st.text(max_size=4)), max_size=4))
    if draw(st.integers(0, 9)) == 0:
        path = path.rstrip("/") + "/" + quote(draw(st.text(max_size=4)))
    return path + ("?" + urlencode(pairs, errors="replace") if pairs else "")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ask, str]]:
    """Answer requests in this process, with a store of one finished run."""
    folder = tmp_path_factory.mktemp("studio")
    spec = RunSpec(dataset="digits-8x8", normal=("3",), method="knn", params={})
    store = Store(folder / "runs.sqlite")
    Queue(store).ask([spec])
    with Worker(store, save_models=True) as worker:
        worker.run(spec)
    store.close()
    shown = Studio(folder / "runs.sqlite", None, workers=1, threads=1)
    shown.prepare()
    for page in (compare, run, experiments, models, inspect):
        page.register(shown)
    downloads.register(shown)
    outer = FastAPI()
    ui.run_with(outer)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def wait(what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, loop).result(120)

    context = outer.router.lifespan_context(outer)
    wait(context.__aenter__())
    transport = httpx.ASGITransport(app=outer, raise_app_exceptions=True)
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
    yield (lambda address: wait(client.get(address))), spec.identity
    wait(client.aclose())
    wait(context.__aexit__(None, None, None))
    shown.close()
    loop.call_soon_threadsafe(loop.stop)


@tries(40)
@given(address=addresses())
@example(address="/compare?epochs=" + "9" * 5000 + "&seed=" + "9" * 5000)
@example(address="/experiments?compare=" + "9" * 5000)
@example(address="/runs/RUN?threshold=" + "9" * 5000 + "&image=" + "9" * 5000)
@example(address="/runs/RUN?threshold=nan&image=-1")
def test_every_address_is_answered(address, studio):
    ask, identity = studio
    with no_longer_than(120):
        try:
            answer = ask(address.replace("RUN", identity))
        except (httpx.InvalidURL, httpx.LocalProtocolError):
            return  # nothing that a client sends
    assert answer.status_code < 500, answer.text[-2000:]
    assert "Traceback" not in answer.text


NAMES = ['["5"]', '["3", "5"]', '["5", "5", 6]', '["\\ud800", "x"]', "[[", "{}", "null", "each"]
CHOSEN = st.sampled_from(
    [*NAMES, "all", "0.1", "nan", "-1", "mnist-5k", "digits-8x8", "breast-cancer", "/etc", "\0"]
)


@tries(8)
@given(
    given=st.dictionaries(
        st.sampled_from(["dataset", "also", "models", "known", "others", "share"]),
        CHOSEN | VALUES,
    ),
    method=st.sampled_from(["deep-sad", "knn"]),
)
@example(given={"known": '["5"]', "share": "0.1", "also": '["4"]'}, method="deep-sad")
@example(given={"others": "mnist-5k", "share": "all", "models": "each"}, method="hsc")
@example(given={"dataset": "breast-cancer", "known": '["5"]', "share": "nan"}, method="knn")
def test_compare_shows_any_choice_of_classes_and_anomalies(given, method, studio):
    ask, identity = studio
    values = {"dataset": "digits-8x8", "method": method} | given
    answer = ask("/compare?" + urlencode(values, errors="replace").replace("RUN", identity))
    assert answer.status_code == 200, answer.text[-2000:]
    assert "What is normal?" in answer.text
