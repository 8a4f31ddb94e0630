"""What an addition touches, measured: each toy is one new file and one line in a table.

The tables of `docs/architecture.md` quote these tests. Toys for heads, pretrainings, data sets and
kinds of data are in `test_heads.py`, `test_datasets_table.py` and `test_modalities.py`.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from insphere.cli.app import build_app
from insphere.cli.command_table import COMMANDS

COLUMNS = {"COLUMNS": "100"}


@pytest.fixture
def new_file(tmp_path, monkeypatch):
    """Return a function that adds a file to a folder of the package, until the test ends."""
    added = []

    def add(package: str, name: str, code: str) -> None:
        folder = tmp_path / f"{package}.{name}"
        folder.mkdir()
        (folder / f"{name}.py").write_text(code, "utf-8")
        module = importlib.import_module(package)
        monkeypatch.setattr(module, "__path__", [*module.__path__, str(folder)])
        importlib.invalidate_caches()
        added.append(f"{package}.{name}")

    yield add
    for name in added:
        sys.modules.pop(name, None)


# ---------------------------------------------------------------- a server

SERVER = '''
"""``insphere answer``: the score of every image that is sent."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import Model
from insphere.errors import DataError, require


def answer(
    model: Model,
    port: Annotated[int, typer.Option(help="Port; 0 takes any free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    most: Annotated[int | None, typer.Option(help="Requests before it ends.")] = None,
) -> None:
    """Answer each image that is sent with its score.

    For example:

        insphere answer model --port 8000
    """
    uvicorn = require("uvicorn", "studio", "Serving")
    import numpy as np
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    from insphere.data import ImageSet
    from insphere.detectors import load_detector
    from insphere.web.access import Guard
    from insphere.web.place import find_place
    from insphere.web.uploads import LIMITS, one_image
    from insphere.workflows.score_rows import rows
    from insphere.workflows.score_source import score_data, trained_image_shape

    detector = load_detector(model)
    shape = trained_image_shape(detector)

    async def score(request: Any) -> JSONResponse:
        try:
            image = one_image(await request.body(), shape)
        except DataError as error:
            return JSONResponse({"error": str(error)}, 400)
        data = ImageSet(image[None], np.zeros(1, dtype=np.int64), ("new",), name="the request")
        return JSONResponse(next(rows(score_data(detector, data, every_image=True))))

    place = find_place(host, port, "The server")
    app = Guard(Starlette(routes=[Route("/score", score, methods=["POST"])]), place.token,
                LIMITS.bytes, "answer")
    console.say(f"The server is at {place.address}")
    uvicorn.run(app, host=place.host, port=place.port, log_level="error", limit_max_requests=most)
'''


def test_a_new_server_is_one_file_and_one_line(new_file, tmp_path, monkeypatch, capsys):
    pytest.importorskip("uvicorn")
    from insphere.data import load_dataset
    from insphere.detectors import KNNDetector
    from insphere.web.place import find_place

    new_file("insphere.cli.commands", "answer", SERVER)
    monkeypatch.setitem(COMMANDS["First steps"], "answer", "answer:answer")
    program = build_app()
    said = CliRunner().invoke(program, ["--help"], env=COLUMNS).stdout
    assert "Answer each image that is sent with its score." in said
    said = CliRunner().invoke(program, ["answer", "--help"], env=COLUMNS).stdout
    assert "insphere answer model --port 8000" in said

    digits = load_dataset("digits-8x8")
    detector = KNNDetector(false_alarm_rate=0.1, random_state=0)
    detector.fit(digits.images[digits.labels == 3]).save(tmp_path / "model")
    place = find_place("127.0.0.1", 0)
    command = ["answer", str(tmp_path / "model"), "--port", str(place.port), "--most", "3"]
    thread = threading.Thread(target=lambda: program(command, standalone_mode=False))
    thread.start()

    png = BytesIO()
    Image.fromarray(digits.images[0, ..., 0]).save(png, "png")
    code, found = _send(place.address, png.getvalue())
    assert code == 200
    assert found["score"] == detector.anomaly_score(digits.images[:1])[0]
    assert found["verdict"] == "anomalous"
    assert found["p_value"] == detector.p_value(digits.images[:1])[0]
    code, found = _send(place.address, b"no image")
    assert (code, list(found)) == (400, ["error"])
    code, _ = _send(place.address, png.getvalue(), Host="elsewhere.example")
    assert code == 403
    thread.join(30)
    assert not thread.is_alive()
    assert place.address.rstrip("/") in capsys.readouterr().out


def _send(address: str, content: bytes, **headers: str) -> tuple[int, dict[str, object]]:
    """Return status and JSON of an answer; wait until the server listens."""
    request = urllib.request.Request(f"{address}score", content, headers, method="POST")
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            body = error.read()
            return error.code, json.loads(body) if body.startswith(b"{") else {}
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


# ---------------------------------------------------------------- a figure

FIGURE = '''
"""How many runs of each option there are."""

from insphere.experiments.plots.figure_spec import Content, FigureSpec
from insphere.figures import style
from insphere.figures.measured import chosen, options


def _counts(collection):
    counts = {o: len(chosen(collection.runs, option=o)) for o in options(collection.runs)}
    return [Content((), "Runs by option", "A bar for each option.", collection.runs, (counts,))]


def draw(counts, title=""):
    figure, (ax,) = style.new_figure()
    ax.bar(list(counts), list(counts.values()))
    return figure


def show(counts, title=""):
    from insphere.figures.interactive.style import go, new_figure

    figure = new_figure(title)
    figure.add_trace(go.Bar(x=list(counts), y=list(counts.values())))
    return figure


COUNT = FigureSpec("count", "Number of runs", "a run", _counts, draw, show, shows="runs by option")
'''
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def test_a_new_figure_is_one_file_and_one_line(new_file, tmp_path, monkeypatch, capsys):
    from insphere.cli import main
    from insphere.experiments.plots.catalogue import figure_specs
    from insphere.experiments.plots.figure_table import FIGURES

    new_file("insphere.experiments.plots", "count_figure", FIGURE)
    monkeypatch.setitem(FIGURES, "count", "count_figure:COUNT")
    out = tmp_path / "out"
    code = main(["figures", str(RESULTS / "cifar10-controls.jsonl"), "--only", "count",
                 "--out", str(out)])  # fmt: skip
    assert code == 0
    assert {"count.png", "count.svg", "count.html"} <= {path.name for path in out.iterdir()}
    assert "Runs by option" in (out / "index.html").read_text("utf-8")
    capsys.readouterr()
    assert "count" in [spec.key for spec in figure_specs()]  # what studio and page offer
    monkeypatch.syspath_prepend(str(RESULTS.parent))
    from figure_blocks import figures

    assert "| runs by option | `count` | a run |" in figures()
