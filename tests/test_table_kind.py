"""Tables: files and frames, categories, gaps, Deep SVDD for tables, its reasons, commands."""

from __future__ import annotations

import json
import warnings
from functools import partial

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

import insphere
from insphere.cli.app import app
from insphere.data.read_options import ReadOptions
from insphere.detectors import DeepSVDD, KNNDetector, TableSVDD
from insphere.errors import DataError, SpecError
from insphere.modalities.load import kind_named, load_source
from insphere.modalities.table import kind_of_input, restored
from insphere.modalities.tables import Frame, Tables, TableSet
from insphere.modalities.tables.encode import UNKNOWN, Schema
from insphere.modalities.tables.files import read_frame
from insphere.modalities.tables.frame import as_frame
from insphere.modalities.tables.table_set import read_table

CSV = """name,size,colour,weight
a,1.5,red,10
b,2.5,blue,
c,3.5,red,30
d,4.5,red,20
"""


def mixed(n: int, seed: int) -> Frame:
    """Two numbers that belong together, a category that says their sign, and gaps."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    b = a + 0.1 * rng.normal(size=n)
    c = np.array(["up" if value > 0 else "down" for value in a], dtype=object)
    d = rng.normal(size=n)
    d[rng.random(n) < 0.2] = np.nan
    return Frame(("a", "b", "c", "d"), (a, b, c, d))


def test_a_csv_becomes_columns_of_numbers_and_texts(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(CSV)
    frame = read_frame(path)
    assert frame.names == ("name", "size", "colour", "weight")
    assert frame.column("size").tolist() == [1.5, 2.5, 3.5, 4.5]
    assert frame.column("colour").tolist() == ["red", "blue", "red", "red"]
    assert np.isnan(frame.column("weight")[1])
    path.write_text(CSV.replace(",", ";"))
    assert read_frame(path).fingerprint == frame.fingerprint


def test_frames_of_pandas_polars_and_arrow_are_the_same_table(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(CSV)
    wanted = read_frame(path).fingerprint
    pandas = pytest.importorskip("pandas")
    arrow = pytest.importorskip("pyarrow")
    frame = pandas.read_csv(path)
    assert as_frame(frame).fingerprint == wanted
    table = arrow.Table.from_pandas(frame)
    assert as_frame(table).fingerprint == wanted
    assert kind_of_input(table) is Tables
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    assert read_frame(tmp_path / "x.parquet").fingerprint == wanted
    polars = pytest.importorskip("polars")
    assert as_frame(polars.read_csv(path)).fingerprint == wanted


def test_categories_count_as_much_as_numbers():
    """Two rows drawn at random differ by the squared distance 2, on average over all pairs."""
    frame = mixed(500, 0)
    schema = Schema.learned(frame)
    data, said = schema.encode(frame)
    assert not said
    names, origin = schema.origins
    assert names == ("a", "b", "c", "d", UNKNOWN)
    block = data[:, origin == 2]
    gaps = np.square(block[:, None] - block[None]).sum(axis=2)
    assert gaps.mean() == pytest.approx(2.0)
    assert schema.decode(data)[2] == tuple(frame.column("c"))


def test_deep_svdd_for_tables_beats_one_sphere_on_real_rows():
    X, y = load_wine(return_X_y=True)
    train, test = X[y == 1][::2], np.r_[X[y == 1][1::2], X[y != 1]]
    truth = np.r_[np.zeros(len(X[y == 1][1::2])), np.ones((y != 1).sum())]
    many = TableSVDD(random_state=0).fit(train).anomaly_score(test)
    assert roc_auc_score(truth, many) > 0.93
    scaled = train * np.logspace(-6, 6, train.shape[1])
    again = TableSVDD(random_state=0).fit(scaled)
    moved = again.anomaly_score(test * np.logspace(-6, 6, train.shape[1]))
    assert roc_auc_score(truth, moved) == pytest.approx(roc_auc_score(truth, many), abs=0.01)


def test_a_row_equal_to_a_normal_one_scores_lowest_and_training_rows_as_if_new():
    X = np.random.default_rng(0).normal(size=(200, 5))
    settings = {"steps": 0, "members": 1, "n_neighbors": 1, "contamination": 0.05}
    detector = TableSVDD(random_state=0, **settings).fit(X)
    own = np.sort(np.linalg.norm((X[:, None] - X[None]) / X.std(axis=0), axis=2), axis=1)[:, 1]
    expected = own / np.median(own)
    np.testing.assert_allclose(detector._training_scores(X), expected, rtol=1e-6)
    np.testing.assert_allclose(detector.anomaly_score(X), 0, atol=1e-6)


def test_training_keeps_the_spread_and_brings_rows_to_centers():
    from insphere.nets.rows import RowEncoder
    from insphere.training.row_sphere import train_row_sphere

    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(4, 6)), 50, axis=0) + 0.3 * rng.normal(size=(200, 6))
    arguments = {"seed": 0, "lr": 1e-3}
    before = train_row_sphere(rows, lambda: RowEncoder(6, 32), steps=0, **arguments)
    after = train_row_sphere(rows, lambda: RowEncoder(6, 32), steps=200, **arguments)

    import torch

    def quotient(encoder):
        z = encoder(torch.from_numpy(rows)).detach().numpy()
        groups = z.reshape(4, 50, -1)
        within = np.square(groups - groups.mean(axis=1, keepdims=True)).sum(axis=2).mean()
        return within / np.square(z - z.mean(axis=0)).sum(axis=1).mean()

    assert quotient(after) < 0.8 * quotient(before)
    same = train_row_sphere(rows, lambda: RowEncoder(6, 32), steps=200, **arguments)
    assert torch.equal(same.wide.weight, after.wide.weight)


def test_training_ends_where_it_no_longer_carries_over():
    from insphere.nets.rows import RowEncoder
    from insphere.training.row_sphere import steps_that_carry_over

    rng = np.random.default_rng(0)

    def steps(rows: np.ndarray) -> int:
        build = partial(RowEncoder, rows.shape[1], 64)
        return steps_that_carry_over(rows, build, seed=0, steps=60, lr=1e-3)

    alike = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 10)) + 0.3 * rng.normal(size=(60, 10))
    assert steps(alike) == 60
    noise = rng.normal(size=(60, 500))
    assert steps(noise) <= 20
    odd = rng.normal(size=(300, 500))
    odd[:100, :10] += 3
    truth = np.arange(300) < 100
    settings = {"contamination": 0.05, "random_state": 0}
    found = TableSVDD(**settings).fit(noise).anomaly_score(odd)
    untrained = TableSVDD(steps=0, **settings).fit(noise).anomaly_score(odd)
    assert roc_auc_score(truth, found) > roc_auc_score(truth, untrained) - 0.02 > 0.9


def test_mixed_rows_are_scored_saved_and_explained(tmp_path):
    detector = TableSVDD(random_state=0, false_alarm_rate=0.1).fit(mixed(300, 0))
    assert detector.modality_.size == "4 columns"
    assert restored(json.loads(json.dumps(detector.modality_.saved()))) == detector.modality_
    odd = mixed(40, 1)
    odd.column("b")[:20] *= -1  # a and b no longer belong together
    odd.column("c")[20:] = [{"up": "down", "down": "up"}[v] for v in odd.column("c")[20:]]
    scores = detector.anomaly_score(odd)
    fine = detector.anomaly_score(mixed(200, 2))
    assert roc_auc_score([0] * 200 + [1] * 40, np.r_[fine, scores]) > 0.9
    assert (detector.predict(mixed(200, 3)) == -1).mean() < 0.2
    loaded = insphere.load(detector.save(tmp_path / "m"))
    np.testing.assert_array_equal(loaded.anomaly_score(odd), scores)
    why = loaded.explain_rows(odd)
    np.testing.assert_allclose(why.shares.sum(axis=1), 1)
    assert why.shares[:20, :2].sum(axis=1).mean() > 0.5
    assert why.shares[20:, :3].sum(axis=1).mean() > 0.7


def test_unknown_values_are_named_and_score_beyond_all_normals():
    detector = TableSVDD(random_state=0).fit(mixed(300, 0))
    new = mixed(3, 1)
    new.column("c")[0] = "sideways"
    new.column("a")[1] = np.nan
    with pytest.warns(UserWarning, match="sideways in column c .1 row.") as caught:
        scores = detector.anomaly_score(new)
    assert len(caught) == 1
    assert scores[:2].min() > detector.anomaly_score(mixed(300, 0)).max()
    assert detector.changed_columns(new) == {UNKNOWN: 2}


def test_other_detectors_take_mixed_tables_too():
    odd = mixed(100, 1)
    odd.column("a")[:] += 5
    for detector in (
        KNNDetector(contamination=0.05),
        DeepSVDD(epochs=2, pretrain_epochs=1, random_state=0, contamination=0.05),
    ):
        detector.fit(mixed(200, 0))
        scores = np.r_[detector.anomaly_score(mixed(100, 2)), detector.anomaly_score(odd)]
        assert roc_auc_score([0] * 100 + [1] * 100, scores) > 0.8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,a\n1,2\n", "several columns named a"),
        ("a,b\n1,\n2,\n3,\n", "Column b has no value in any training row"),
        ("a,day\n1,2024-01-02\n2,2024-01-03\n", "Column day holds dates"),
        ("a,b\n1\n", "Line 2 of .* has 1 values"),
        ("1,2\n3,4\n", "holds numbers and not the names"),
        ("a,b\n", "has no rows"),
        ("", "is empty"),
        (",".join(f"c{i}" for i in range(20_001)) + "\n", "at most 20,000 are taken"),
        ("a,b\n" + "".join(f"{i},word{i}\n" for i in range(90)), "90 different texts"),
    ],
)
def test_bad_files_get_one_sentence(tmp_path, text, said):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        TableSVDD().fit(path)


def test_columns_that_number_the_rows_are_said(tmp_path):
    rows = "".join(f"{i + 100},{i % 7},{(i * i) % 11}\n" for i in range(40))
    (tmp_path / "t.csv").write_text("id,a,b\n" + rows)
    detector = TableSVDD(random_state=0, steps=0, contamination=0.05)
    with pytest.warns(UserWarning, match="Column id ascends from row to row.*--column drop=id"):
        detector.fit(read_table(str(tmp_path / "t.csv"), {}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.fit(read_table(str(tmp_path / "t.csv"), {"drop": "id"}))


def test_a_million_columns_are_refused_at_once():
    with pytest.raises(DataError, match="1,000,000 columns"):
        TableSVDD().fit(np.zeros((3, 1_000_000), dtype=np.float32))


def test_other_columns_than_in_training_get_one_sentence(tmp_path):
    detector = TableSVDD(random_state=0).fit(mixed(50, 0))
    new = mixed(5, 1)
    other = Frame(("a", "b", "e", "d"), new.columns)
    with pytest.raises(DataError, match=r"lacks column c, .* but has e"):
        detector.predict(other)
    texts = np.array(["x"] * 5, dtype=object)
    other = Frame(("a", "b", "c", "d"), (texts, *new.columns[1:]))
    with pytest.raises(DataError, match="held numbers in training, but now holds 'x'"):
        detector.predict(other)
    images = np.random.default_rng(0).integers(0, 9, (20, 4, 4, 1), dtype=np.uint8)
    with pytest.raises(DataError, match="takes tables, but got images"):
        TableSVDD().fit(images)


def test_a_reordered_table_scores_the_same():
    frame = mixed(100, 0)
    detector = TableSVDD(random_state=0).fit(frame)
    turned = Frame(frame.names[::-1], frame.columns[::-1])
    np.testing.assert_array_equal(detector.anomaly_score(turned), detector.anomaly_score(frame))


def test_roles_of_columns_and_names_of_kinds(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(CSV)
    data = load_source(path, ReadOptions(columns={"label": "colour", "id": "name"}))
    assert isinstance(data, TableSet)
    assert data.frame.names == ("size", "weight")
    assert (data.class_names, data.paths) == (("blue", "red"), ("a", "b", "c", "d"))
    with pytest.raises(DataError, match="no column colur; the columns are"):
        load_source(path, ReadOptions(columns={"label": "colur"}))
    assert load_source(path, ReadOptions(columns={"label?": "colur"})).class_names == ("rows",)
    with pytest.raises(SpecError, match="for label, id, drop, but got role"):
        load_source(path, ReadOptions(columns={"role": "x"}))
    assert kind_named("table") is kind_named("Tables") is Tables
    with pytest.raises(SpecError, match="no kind of data 'tabel'; did you mean table"):
        kind_named("tabel")


@pytest.mark.slow
def test_the_command_line_from_file_to_decision(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    frame = load_breast_cancer(as_frame=True).frame
    frame["tumour"] = frame.pop("target").map({0: "malignant", 1: "benign"})
    frame.to_csv("cells.csv", index=False)
    frame.drop(columns="tumour").tail(40).to_csv("new.csv", index=False)
    assert len(pandas.read_csv("new.csv")) == 40
    run = CliRunner().invoke
    fitted = run(app, ["fit", "cells.csv", "--label", "tumour", "--out", "m", "--json"])
    assert fitted.exit_code == 0, fitted.output
    assert json.loads(fitted.stdout)["method"] == "table-svdd"
    measured = json.loads(run(app, ["evaluate", "m", "cells.csv", "--json"]).stdout)
    assert measured["evaluation"]["auc"] > 0.92
    assert measured["part"] == "the rows held out from training"
    scored = run(app, ["score", "m", "new.csv", "--report", "r.html", "--json"])
    found = json.loads(scored.stdout)
    assert len(found["scores"]) == 40
    assert found["most_anomalous"][0]["why"][0]["share"] > 0.05
    page = (tmp_path / "r.html").read_text()
    assert "The first" in page or "All 40 rows" in page
    assert "this row" in page
    assert "usually" in page
    assert " images" not in page.split("</style>")[1]


def test_the_demo_runs_on_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["demo", "--kind", "table", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["rows"][0]["auc"] > 0.92
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert insphere.load(found["model"]).card.key == "table-svdd"
