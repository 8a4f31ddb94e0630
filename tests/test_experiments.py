import json
import os
import subprocess
import sys

import pytest

from insphere.data import load_dataset
from insphere.errors import DataError, InsphereError, SpecError
from insphere.experiments.analysis.class_table import class_table
from insphere.experiments.analysis.published_results import published_auc
from insphere.experiments.execution.engine import as_they_end, finished_rows, run_specs
from insphere.experiments.runs.run import run
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.experiments.store.run_store import Store

QUICK = {"epochs": 2, "pretrain_epochs": 1}


def spec(**changes):
    return RunSpec(**({"dataset": "digits-8x8", "normal": ("3",), "params": QUICK} | changes))


def test_identity_depends_on_every_setting_and_on_nothing_else():
    same = RunSpec.model_validate(json.loads(spec().model_dump_json()))
    assert same.identity == spec().identity
    others = [
        spec(seed=1), spec(normal=("4",)), spec(method="knn", params={}), spec(dataset="mnist-5k"),
        spec(params=QUICK | {"nu": 0.2}),
    ]  # fmt: skip
    assert len({s.identity for s in [spec(), *others]}) == 6


def test_unknown_method_and_option_name_the_known_ones():
    with pytest.raises(SpecError, match=r"use one of deep-svdd, .*untrained, "):
        spec(method="crystal-ball").detector()
    with pytest.raises(SpecError, match=r"no option depth.*objective"):
        spec(params={"depth": 3}).detector()


def test_same_spec_and_seed_give_the_same_result():
    data = load_dataset("digits-8x8")
    a, b = run(spec(), data), run(spec(), data)
    assert (a.scores == b.scores).all()
    timing = {"fit_seconds", "score_seconds", "trained_seconds"}
    assert {k: v for k, v in a.row().items() if k not in timing} == {
        k: v for k, v in b.row().items() if k not in timing
    }


def test_row_says_where_it_came_from():
    row = run(spec(), load_dataset("digits-8x8")).row()
    assert row["run"] == spec().identity
    assert row["seed"] == 0
    assert row["params"] == QUICK
    assert len(row["data_fingerprint"]) == 64
    assert {"insphere", "torch", "numpy", "python"} <= set(row["versions"])
    assert json.loads(json.dumps(row)) == row
    assert row["n_normal"] + row["n_anomalous"] > 800


def test_rows_survive_a_killed_writer(tmp_path):
    path = tmp_path / "rows.jsonl"
    append_row(path, {"run": "a"})
    with path.open("a") as file:
        file.write('{"run": "half')
    assert read_rows(path) == [{"run": "a"}]
    append_row(path, {"run": "b"})
    assert read_rows(path) == [{"run": "a"}, {"run": "b"}]
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(DataError, match="Line 1"):
        read_rows(path)


def test_sweep_skips_what_is_done_and_shares_pretraining(tmp_path):
    specs = [
        spec(params=QUICK | {"objective": objective}, seed=seed)
        for objective in ("one-class", "soft-boundary")
        for seed in (0, 1)
    ]
    rows, checkpoints = tmp_path / "rows.jsonl", tmp_path / "checkpoints"
    store = Store(tmp_path / "runs.sqlite")
    options = {"rows": rows, "checkpoints": checkpoints, "threads": 1}
    first = finished_rows(run_specs(specs[:1], store, **options))
    new = []
    watch = as_they_end(lambda one: new.append(one.row()))
    results = finished_rows(run_specs(specs, store, jobs=2, watch=watch, **options))
    assert [row["run"] for row in results] == [s.identity for s in specs]
    assert results[0] == first[0]
    assert {row["run"] for row in new} == {s.identity for s in specs[1:]}
    assert len(list(checkpoints.glob("pretrain-*"))) == 2
    assert len(read_rows(rows)) == 4
    assert {row["run"]: row for row in read_rows(rows)} == {row["run"]: row for row in results}


def test_a_file_of_rows_decides_what_is_finished(tmp_path):
    specs = [spec(method="knn", params={}, seed=seed) for seed in (0, 1)]
    rows, store = tmp_path / "rows.jsonl", Store(tmp_path / "runs.sqlite")
    options = {"rows": rows, "backend": "threading"}
    known, removed = finished_rows(run_specs(specs, store, **options))
    rows.write_text(json.dumps(known) + "\n")
    again = run_specs(specs, store, **options)
    assert [one.attempts for one in again] == [1, 2]  # the row that was removed is measured anew
    assert [row["run"] for row in read_rows(rows)] == [known["run"], removed["run"]]
    elsewhere = Store(tmp_path / "other.sqlite")  # as on a machine that has the file alone
    assert [one.attempts for one in run_specs(specs, elsewhere, **options)] == [0, 0]
    assert len(read_rows(rows)) == 2


def test_a_row_whose_worker_was_killed_before_the_store_knew_is_not_run_twice(tmp_path):
    one = spec(method="knn", params={})
    rows, store = tmp_path / "rows.jsonl", Store(tmp_path / "runs.sqlite")
    store.add([one])
    append_row(rows, run(one, load_dataset("digits-8x8")).row())
    dead = subprocess.run(
        [
            sys.executable, "-c",
            "import os, sys\n"
            "from insphere.experiments.store.run_store import Store\n"
            "store = Store(sys.argv[1])\n"
            "store.worker_lock('dead').acquire()\n"
            "store.claim(sys.argv[2], 'dead')\n"
            "os.kill(os.getpid(), 9)",
            store.path, one.identity,
        ],
        env=os.environ,
    )  # fmt: skip
    assert dead.returncode == -9
    found = run_specs([one], store, rows=rows, backend="threading")
    assert [(each.state, each.attempts) for each in found] == [("finished", 1)]
    assert len(read_rows(rows)) == 1


def test_a_run_that_failed_is_told_when_all_must_be_finished(tmp_path):
    bad = spec(method="knn", params={"n_neighbors": 10_000})
    runs = run_specs([bad], Store(tmp_path / "runs.sqlite"), backend="threading")
    with pytest.raises(InsphereError, match="is failed: n_neighbors=10000 needs more than"):
        finished_rows(runs)


def test_table_shows_mean_spread_and_published_values():
    rows = [
        {"method": "deep-svdd", "params": {"objective": "one-class"}, "normal": ["0"], "auc": auc}
        for auc in (0.97, 0.99)
    ]
    table = class_table(rows, published_auc("mnist"))
    cells = [list(column.cells) for column in table.columns]
    assert cells[1][0] == "98.00 ± 1.41"
    assert cells[2][0] == "98.0"


def test_published_means_are_those_of_the_paper():
    for dataset, objective, mean in [
        ("mnist", "one-class", 94.80), ("mnist", "soft-boundary", 93.53),
        ("cifar10", "one-class", 64.81), ("cifar10", "soft-boundary", 63.28),
    ]:  # fmt: skip
        values = published_auc(dataset)[objective].values()
        assert sum(values) / 10 == pytest.approx(mean, abs=0.006)
    assert published_auc("fashion-mnist") == {}
