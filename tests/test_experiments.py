import json

import pytest

from insphere.data import load_dataset
from insphere.errors import DataError, SpecError
from insphere.experiments.analysis.class_table import class_table
from insphere.experiments.analysis.published_results import published_auc
from insphere.experiments.execution.row_sweep import run_sweep
from insphere.experiments.runs.run import run
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.jsonl_rows import append_row, read_rows

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
    with pytest.raises(SpecError, match="deep-svdd, untrained, "):
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
    first = run_sweep(specs[:1], rows, checkpoints=checkpoints)
    new = []
    results = run_sweep(specs, rows, checkpoints=checkpoints, jobs=2, report=new.append)
    assert [row["run"] for row in results] == [s.identity for s in specs]
    assert results[0] == first[0]
    assert {row["run"] for row in new} == {s.identity for s in specs[1:]}
    assert len(list(checkpoints.glob("pretrain-*"))) == 2
    assert len(read_rows(rows)) == 4


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
