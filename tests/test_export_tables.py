"""Exported models of tables: texts and gaps become the numbers of training, in a runtime alone."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from insphere.cli import main
from insphere.detectors.registry import build_detector
from insphere.errors import DataError, ModelError
from insphere.export.golden import FILE, keep_golden, read_golden
from insphere.export.graph import export_onnx, load_for_export
from insphere.export.verify import compare
from insphere.modalities.tables import Frame
from insphere.modalities.tables.frame import as_frame
from insphere.runtime import Scorer
from insphere.runtime.tables import score_batch
from insphere.server.decoding import as_frame as frame_of_request
from insphere.server.engines import open_engine
from test_runtime import run_alone

pd = pytest.importorskip("pandas")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.usefixtures("operators_once")

UNSEEN = "ignore:Never seen in training", "ignore:Constant in training"


def table(n, seed, *, unlike=False):
    """Numbers, a constant, categories and gaps; some rows unlike any of training."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({
        "size": 5 + 10 * rng.normal(size=n),
        "colour": rng.choice(["red", "green", "blue"], n, p=[0.6, 0.3, 0.1]),
        "load": rng.gamma(2, size=n),
        "batch": 7.0,
    })  # fmt: skip
    rows.loc[rng.random(n) < 0.1, "load"] = np.nan
    rows.loc[rng.random(n) < 0.1, "colour"] = None
    if unlike:
        rows.loc[::7, "colour"] = "violet"
        rows.loc[::11, "size"] = np.nan
        rows.loc[::13, "batch"] = 8.0
    return rows


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder, its export, and new rows with their scores."""
    folder = tmp_path_factory.mktemp("tables")
    rows, new = table(200, 0), table(120, 1, unlike=True)
    build_detector("mahalanobis", {"false_alarm_rate": 0.1}, seed=0).fit(rows).save(folder / "m")
    keep_golden(folder / "m", as_frame(rows))
    export_onnx(folder / "m", folder / "m.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return folder, new, load_for_export(folder / "m").anomaly_score(new)


@pytest.mark.filterwarnings(*UNSEEN)
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("table-svdd", {}),
        ("knn", {}),
        ("isolation-forest", {"n_estimators": 10}),
        ("mahalanobis", {"calibration": 3}),
        pytest.param("deep-svdd", {"epochs": 2}, marks=pytest.mark.slow),
    ],
)
def test_methods_score_texts_and_gaps_as_the_folder_does(method, params, tmp_path):
    params = {"false_alarm_rate": 0.1} | params
    build_detector(method, params, seed=0).fit(table(150, 0)).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    scorer, detector = Scorer(tmp_path / "m.onnx"), load_for_export(tmp_path / "m")
    found = compare(scorer, detector, as_frame(table(100, 1, unlike=True)))
    assert found.changed == ()
    assert found.largest < 1e-5


@pytest.mark.filterwarnings(*UNSEEN)
def test_frames_files_and_rows_by_name_are_the_same(model, tmp_path):
    folder, new, wanted = model
    scorer = Scorer(folder / "m.onnx")
    assert scorer.description.columns == ["size", "colour", "load", "batch"]
    assert scorer.description.format == 2
    rows = [
        {name: None if value != value else value for name, value in row.items()}
        for row in new.to_dict("records")
    ]
    new.to_csv(tmp_path / "new.csv", index=False)
    new.to_parquet(tmp_path / "new.parquet")
    turned = new[["batch", "load", "colour", "size"]].assign(note="x")
    for given in (
        new, turned, as_frame(new), rows, [list(row.values()) for row in rows],
        tmp_path / "new.csv", tmp_path / "new.parquet",
    ):  # fmt: skip
        np.testing.assert_allclose(scorer.score(given).scores, wanted, rtol=1e-9)
    in_pandas = score_batch(new, folder / "m.onnx")["score"]
    np.testing.assert_allclose(in_pandas, wanted, rtol=1e-9)
    assert scorer.score(tmp_path / "new.csv").names == tuple(map(str, range(len(new))))
    with pytest.raises(DataError, match="lacks column load"):
        scorer.score(new.drop(columns=["load"]))
    with pytest.raises(DataError, match="trained on 4 columns"):
        scorer.score([[1, "red"]])
    with pytest.raises(DataError, match="Column size held numbers in training"):
        scorer.score([["x", "red", 1, 7]])
    with pytest.warns(UserWarning, match="violet in column colour"):
        scorer.score([[1, "violet", 1, 7]])


def test_numbers_of_an_array_are_taken_by_their_names_too(tmp_path):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    build_detector("mahalanobis", {}, seed=0).fit(rows).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    scorer = Scorer(tmp_path / "m.onnx")
    assert scorer.description.schema is None
    assert scorer.description.format == 1
    wanted = scorer.score(rows.to_numpy()).scores
    np.testing.assert_array_equal(scorer.score(rows[["c", "a", "b"]]).scores, wanted)
    np.testing.assert_array_equal(scorer.score(rows.to_dict("records")).scores, wanted)
    with pytest.raises(DataError, match="no column b"):
        scorer.score(rows[["a", "c"]])


def test_golden_rows_keep_texts_and_gaps(model):
    folder, _, _ = model
    golden = read_golden(folder / "m")
    assert golden is not None
    assert isinstance(golden.samples, Frame)
    assert len(golden.samples) == 16
    assert golden.samples.column("colour").dtype == object
    again = load_for_export(folder / "m").anomaly_score(golden.samples)
    np.testing.assert_array_equal(golden.scores, again)
    content = (folder / "m" / FILE).read_bytes()
    (folder / "m" / FILE).write_bytes(content.replace(b"numbers", b"letters"))
    with pytest.raises(ModelError, match="is damaged"):
        read_golden(folder / "m")
    (folder / "m" / FILE).write_bytes(content)


@pytest.mark.filterwarnings(*UNSEEN)
def test_from_a_file_to_a_runtime_without_torch(tmp_path, capsys):
    rows, new = table(200, 0), table(60, 1, unlike=True)
    rows.to_csv(tmp_path / "good.csv", index=False)
    new.assign(label=["normal", "odd"] * 30).to_csv(tmp_path / "new.csv", index=False)
    place = {name: str(tmp_path / name) for name in ("good.csv", "new.csv", "m", "m.onnx")}
    fit = ["fit", place["good.csv"], "--method", "knn", "--false-alarm-rate", "0.1", "--out"]
    assert main([*fit, place["m"]]) == 0
    export = ["export", place["m"], "--out", place["m.onnx"], "--images", place["new.csv"]]
    capsys.readouterr()
    assert main([*export, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["files"][0]
    assert written["golden"]["n"] == 16
    assert written["images"]["n"] == 60
    assert main(["verify", place["m.onnx"], place["m"], place["new.csv"]]) == 0
    assert "no verdict changed" in capsys.readouterr().out
    done = run_alone(place["m.onnx"], place["new.csv"], "--json")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    detector = load_for_export(place["m"])
    wanted = detector.anomaly_score(new)
    np.testing.assert_allclose([row["score"] for row in found], wanted, rtol=1e-9)
    verdicts = [row["verdict"] == "anomalous" for row in found]
    assert verdicts == (wanted > detector.threshold_).tolist()


@pytest.mark.filterwarnings(*UNSEEN)
def test_the_server_takes_texts_for_an_exported_model(model):
    folder, new, wanted = model
    engine = open_engine("m", folder / "m.onnx", 1)
    rows = json.loads(new.to_json(orient="records"))
    samples = engine.check(frame_of_request(rows, engine))
    np.testing.assert_allclose(engine.score(samples, False).scores, wanted, rtol=1e-9)
    assert engine.description.shape == [4]
