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

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

import insphere
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
from insphere.figures.measured import options, select_runs


def _counts(collection):
    counts = {o: len(select_runs(collection.runs, option=o)) for o in options(collection.runs)}
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


# ---------------------------------------------------------------- a detector with labels

LABELLED = '''
"""How far an image lies from normal ones towards labelled anomalies."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters


@parameters
class DirectionDetector(OneClassDetector):
    card = MethodCard(
        key="direction",
        title="Direction of anomalies",
        family="shallow",
        summary="distance from normal images towards labelled anomalies",
        takes_anomalies=True,
    )

    _takes: ClassVar[tuple[str, ...]] = ("labels",)

    eta: float = 1.0

    def _read_labels(self, y):
        labels = None if y is None else np.asarray(y)
        return labels, None if labels is None else labels >= 0

    def _fit(self, X, *, labels=None):
        rows = X.reshape(len(X), -1).astype(np.float64)
        normal = np.ones(len(rows), dtype=bool) if labels is None else labels >= 0
        self.mean_ = rows[normal].mean(axis=0)
        away = (rows[~normal] - self.mean_).mean(axis=0) if (~normal).any() else 0 * self.mean_
        self.direction_ = away / max(float(np.linalg.norm(away)), 1e-12)

    def _anomaly_score(self, X):
        off = X.reshape(len(X), -1) - self.mean_
        return np.linalg.norm(off, axis=1) + self.eta * np.abs(off @ self.direction_)

    def _state(self):
        return {"mean": self.mean_, "direction": self.direction_}, {}

    def _set_state(self, arrays, meta):
        self.mean_, self.direction_ = arrays["mean"], arrays["direction"]
'''


def test_a_new_detector_with_labels_is_one_file_and_one_line(
    new_file, tmp_path, monkeypatch, capsys
):
    from insphere.cli import main
    from insphere.data import load_dataset
    from insphere.detectors.method_table import METHODS, Entry
    from insphere.workflows.score_source import method_title

    new_file("insphere.detectors.shallow", "direction", LABELLED)
    monkeypatch.setitem(METHODS, "direction", Entry("shallow.direction:DirectionDetector"))
    digits = load_dataset("digits-8x8")
    for folder, digit in (("good", 3), ("bad", 5)):
        (tmp_path / folder).mkdir()
        for number, image in enumerate(digits.images[digits.labels == digit][:30]):
            Image.fromarray(image[..., 0]).save(tmp_path / folder / f"{number:02}.png")
    monkeypatch.chdir(tmp_path)
    command = ["fit", "good", "--method", "direction", "--contamination", "0.05", "--quiet"]
    assert main([*command, "--out", "plain"]) == 0
    assert main([*command, "--anomalies", "bad", "--option", "eta=3", "--out", "shown"]) == 0
    plain, shown = insphere.load("plain"), insphere.load("shown")
    assert method_title(shown) == "Direction of anomalies"
    new = digits.images[np.flatnonzero(np.isin(digits.labels, (3, 5)))[100:]]
    truth = digits.labels[np.flatnonzero(np.isin(digits.labels, (3, 5)))[100:]] == 5
    aucs = [roc_auc_score(truth, one.anomaly_score(new)) for one in (plain, shown)]
    assert aucs[1] > aucs[0] + 0.02
    normals = digits.images[digits.labels == 3][:30]
    anomalies = digits.images[digits.labels == 5][:30]
    in_python = insphere.detectors.DirectionDetector(eta=3.0, contamination=0.05)
    in_python.fit(np.concatenate([normals, anomalies]), np.repeat([0, -1], 30))
    np.testing.assert_allclose(in_python.anomaly_score(new), shown.anomaly_score(new))
    assert in_python.threshold_ == pytest.approx(shown.threshold_)
    capsys.readouterr()
    assert main(["methods"]) == 0
    assert "distance from normal images towards labelled anomalies" in " ".join(
        capsys.readouterr().out.split()
    )
