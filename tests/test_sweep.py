import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from insphere.cli import main
from insphere.data import load_dataset
from insphere.errors import SpecError
from insphere.experiments.analysis.published_results import published_column, published_table
from insphere.experiments.analysis.sweep_table import csv_table, sweep_layout, sweep_tables
from insphere.experiments.analysis.text_table import latex, markdown, terminal
from insphere.experiments.execution.backends import share_cores
from insphere.experiments.execution.engine import run_specs
from insphere.experiments.execution.sweep_progress import look
from insphere.experiments.runs.run import run
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.runs.sweep_file import make_sweep, read_sweep
from insphere.experiments.store.jsonl_rows import read_rows
from insphere.experiments.store.run_store import Store

SMALL = {"name": "small", "datasets": "digits-8x8", "normal": [3, 5], "methods": ["knn"]}
TIMES = {"fit_seconds", "score_seconds", "trained_seconds"}


def specs_of(**changes):
    return [planned.spec for planned in make_sweep(SMALL | changes).runs()]


def without_times(row):
    return {key: value for key, value in row.items() if key not in TIMES}


def write(tmp_path, **changes):
    path = tmp_path / "sweep.yaml"
    path.write_text(json.dumps(SMALL | changes))  # JSON is YAML
    return path


# ---------------------------------------------------------------------- the file


def test_a_sweep_is_the_product_of_its_parts():
    runs = make_sweep({
        "name": "all",
        "datasets": ["digits-8x8", "mnist-5k"],
        "normal": {"digits-8x8": "all", "mnist-5k": [["3", 5], 7]},
        "methods": [
            "untrained",
            {"method": "knn", "options": False, "seeds": 1},
            {"method": "deep-svdd", "params": {"epochs": 2}, "grid": {"nu": [0.1, 0.2]}},
        ],
        "options": {"plain": {}, "long": {"epochs": 9}},
        "seeds": [4, 0],
        "exclude": [
            {"dataset": "mnist-5k", "method": ["deep-svdd", "knn"]},
            {"seed": 4, "normal": 7},
        ],
    }).runs()  # fmt: skip
    # digits: 10 classes × (2 seeds × (2 untrained + 4 deep) + knn once), less class 7 of seed 4;
    # mnist: untrained with 2 options on both cells with seed 0 and on the first with seed 4
    assert len(runs) == 10 * (2 * 6 + 1) - 6 + 2 * 3
    assert len({planned.spec.identity for planned in runs}) == len(runs)
    columns = {planned.column: planned.spec.params for planned in runs}
    assert columns["Deep SVDD, nu 0.2, long"] == {"epochs": 9, "nu": 0.2}
    assert columns["Deep SVDD, nu 0.1, plain"] == {"epochs": 2, "nu": 0.1}
    assert columns["2-nearest-neighbour on pixels"] == {}
    assert {p.spec.normal for p in runs if p.spec.dataset == "mnist-5k"} == {("3", "5"), ("7",)}


def test_equal_runs_are_listed_once():
    assert len(specs_of(methods=["knn", {"method": "knn", "name": "again"}])) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sedes": 3}, "unknown key sedes; did you mean seeds"),
        ({"methods": [{"method": "knn", "parms": {}}]}, r"methods\.0\.parms; did you mean params"),
        (
            {"methods": ["crystal-ball"]},
            r"methods\.0\.method: unknown method crystal-ball; use one of deep",
        ),
        ({"methods": []}, "methods = "),
        ({"methods": [{"method": "knn", "params": {"a": 1}, "grid": {"a": [2]}}]}, "a is both"),
        ({"seeds": "two"}, "seeds = 'two'"),
        ({"seeds": [0, -1]}, r"seeds\.1 = -1"),
        ({"seeds": 0}, "seeds = "),
        ({"normal": []}, "normal: name at least one class"),
        ({"normal": [[]]}, "normal: name at least one class in each list"),
        ({"normal": {"mnist": "all"}}, "normal names mnist"),
        ({"normal": [[3, 3.5]]}, "normal"),
        ({"name": None}, "name = None"),
        ({"exclude": [{}]}, "empty rule"),
        ({"exclude": [{"clas": 3}]}, "unknown key exclude.0.clas"),
    ],
)
def test_mistakes_name_the_key_in_one_sentence(change, message, tmp_path):
    with pytest.raises(SpecError, match=message) as caught:
        read_sweep(write(tmp_path, **change))
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith((".", "?"))
    assert "sweep.yaml" in said


def test_more_runs_than_can_be_listed_are_refused_at_once():
    with pytest.raises(SpecError, match="more than 10,000 seeds"):
        make_sweep(SMALL | {"seeds": 10**10})
    grid = {name: list(range(1, 200)) for name in ("n_neighbors", "pca", "contamination")}
    sweep = make_sweep(SMALL | {"methods": [{"method": "knn", "grid": grid}]})
    with pytest.raises(SpecError, match="at most 100,000 are planned at once"):
        sweep.runs()


def test_mistakes_that_need_the_data_are_found_before_anything_runs():
    with pytest.raises(SpecError, match="normal class 11, but the classes of digits-8x8 are 0, 1"):
        make_sweep(SMALL | {"normal": 11}).runs()
    with pytest.raises(SpecError, match=r"exclude .*'9'.* leaves out"):
        make_sweep(SMALL | {"exclude": [{"normal": 9}]}).runs()
    with pytest.raises(SpecError, match="leaves out all"):
        make_sweep(SMALL | {"exclude": [{"method": "knn"}]}).runs()
    with pytest.raises(SpecError, match="knn has no option depth"):
        make_sweep(SMALL | {"methods": [{"method": "knn", "params": {"depth": 2}}]}).check()
    with pytest.raises(SpecError, match=r"lacks methods"):
        make_sweep({k: v for k, v in SMALL.items() if k != "methods"})


@pytest.mark.parametrize("name", ["quick", "mnist-table1", "cifar10-table1"])
def test_the_sweeps_that_come_along_are_valid(name):
    from pathlib import Path

    sweep = read_sweep(Path(__file__).parents[1] / "sweeps" / f"{name}.yaml")
    assert sweep.name == name
    assert {part.method for part in sweep.methods} >= {"deep-svdd", "untrained", "knn"}


# ---------------------------------------------------------------------- running


def test_cores_are_never_shared_by_more_threads_than_there_are():
    for cores in (1, 2, 3, 8, 64):
        for jobs in (None, 1, 2, 5, 100):
            for groups in (1, 3, 40):
                used = share_cores(groups, jobs, "loky", cores)
                assert 1 <= used.jobs * used.threads <= cores
                assert share_cores(groups, jobs, "loky", cores, 1).threads == 1
                assert used.jobs <= min(jobs or cores, groups)
    with pytest.raises(SpecError, match="source of random numbers"):
        share_cores(4, 2, "threading", 8)
    with pytest.raises(SpecError, match="use one of loky, ray, threading"):
        share_cores(4, 2, "dask", 8)
    with pytest.raises(SpecError, match="from 1 upwards"):
        share_cores(4, 0, "loky", 8)


def test_finished_runs_are_skipped_and_failed_ones_wait_until_asked(tmp_path):
    methods = ["knn", {"method": "knn", "params": {"n_neighbors": 10_000}}]
    specs = specs_of(normal=3, methods=methods)
    store = Store(tmp_path / "runs.sqlite")
    good, bad = run_specs(specs, store, backend="threading")
    assert (good.state, bad.state) == ("finished", "failed")
    assert "needs more than 10000 training samples" in bad.reason
    assert bad.details is None  # a mistake of the user needs no traceback
    direct = run(specs[0], load_dataset("digits-8x8"))
    assert without_times(good.row()) == without_times(direct.row())
    scores, truth = store.files.scores(good.identity)
    assert (scores == direct.scores).all()
    assert (truth == direct.split.truth).all()
    again = run_specs(specs, store, backend="threading")
    assert [found.attempts for found in again] == [1, 1]
    assert again[0].finished == good.finished
    retried = run_specs(specs, store, backend="threading", retry_failed=True)
    assert [found.attempts for found in retried] == [1, 2]
    assert retried[1].state == "failed"


def test_a_fault_of_the_program_is_recorded_with_its_traceback(tmp_path):
    spec = RunSpec(dataset="digits-8x8", normal=("3",), method="oc-svm", params={"nu": []})
    broken = RunSpec(dataset="digits-8x8", normal=("3",), method="oc-svm", params={"pca": {}})
    missing = RunSpec(dataset="no-such-data", normal=("3",), method="knn")
    found = run_specs([spec, broken, missing], Store(tmp_path / "r.sqlite"), backend="threading")
    assert [one.state for one in found] == ["failed"] * 3
    assert "nu is in (0, 1]" in found[0].reason
    assert "no-such-data" in found[2].reason


@pytest.mark.slow
def test_processes_share_the_work_and_give_what_one_would(tmp_path):
    specs = specs_of(methods=["knn", "oc-svm"], seeds=2)
    store = Store(tmp_path / "runs.sqlite")
    found = run_specs(specs, store, jobs=2)
    assert [one.identity for one in found] == [spec.identity for spec in specs]
    assert {(one.state, one.attempts) for one in found} == {("finished", 1)}
    data = load_dataset("digits-8x8")
    for spec, one in zip(specs, found, strict=True):
        assert one.auc == pytest.approx(run(spec, data).evaluation.auc, abs=1e-12)
    assert not list((store.folder / "workers").iterdir())


def test_objectives_share_a_pretrained_encoder_and_models_can_be_kept(tmp_path):
    from insphere.detectors import load_detector

    params = {"epochs": 2, "pretrain_epochs": 2}
    grid = {"objective": ["one-class", "soft-boundary"]}
    specs = specs_of(normal=3, methods=[{"method": "deep-svdd", "params": params, "grid": grid}])
    store = Store(tmp_path / "runs.sqlite")
    found = run_specs(specs, store, backend="threading", save_models=True)
    assert [one.state for one in found] == ["finished"] * 2
    assert len(list(store.folder.glob("checkpoints/*/pretrain-*"))) == 1
    for one in found:
        phases = [record["phase"] for record in store.files.history(one.identity)]
        assert phases == ["pretrain", "pretrain", "train", "train"]
        loaded = load_detector(store.files.model(one.identity))
        data = load_dataset("digits-8x8")
        split = run(one.spec, data).split
        scores = store.files.scores(one.identity)[0]
        np.testing.assert_allclose(loaded.anomaly_score(split.X_test), scores, rtol=1e-5)


# ---------------------------------------------------------------------- kill, stop, continue

EPOCHS = 600
LONG = {"method": "deep-svdd", "params": {"epochs": EPOCHS, "pretrain_epochs": 0}}
THREADING = {"backend": "threading"}


# A process that a script starts in the background is deaf to Ctrl-C, and so are its children.
HEARS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def start(path, store, *more):
    return subprocess.Popen(
        [sys.executable, "-c", f"{HEARS}; from insphere.cli import main; raise SystemExit(main())",
         "sweep", "run", path, "--store", store, "--jobs", "2", *more],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(condition, process=None, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def trains(path, planned, epochs):
    """Tell whether something is being trained, beyond that many epochs."""
    runs = look(Store(path), planned).runs.values() if path.exists() else []
    return any(one.progress and epochs < one.progress["epoch"] < EPOCHS - 50 for one in runs)


@pytest.mark.slow
def test_after_kill_9_and_ctrl_c_nothing_is_lost_or_done_twice(tmp_path):
    path = tmp_path / "runs.sqlite"
    exclude = [{"method": "deep-svdd", "normal": 5}]
    file = write(tmp_path, methods=["knn", LONG], exclude=exclude)
    planned = read_sweep(file).runs()

    process = start(file, path)
    wait_for(lambda: trains(path, planned, 5), process)
    process.kill()  # its workers end by themselves
    process.wait()
    store = Store(path)
    wait_for(lambda: store.recover() == [] and not store.runs(states=("running",)), seconds=10)
    first = {one.identity: one for one in store.runs()}
    killed = [one for one in first.values() if one.state == "interrupted"]
    assert killed
    assert killed[0].reason == "Its worker was killed."
    kept = {one.identity: store.files.history(one.identity) for one in killed}

    process = start(file, path)
    wait_for(lambda: trains(path, planned, max(map(len, kept.values()))), process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all processes of the group
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "interrupted, " in said
    assert "of 3 runs. Run the same command to continue." in said
    assert store.recover() == []
    second = {one.identity: one for one in store.runs()}

    last = run_specs([one.spec for one in planned], store, backend="threading")
    for one in last:
        assert one.state == "finished"
        for before in (first[one.identity], second[one.identity]):
            if before.state == "finished":
                assert (one.attempts, one.finished) == (before.attempts, before.finished)
    for identity, before in kept.items():
        history = store.files.history(identity)
        assert [record["epoch"] for record in history] == list(range(1, EPOCHS + 1))
        assert history[: len(before)] == before  # to the millisecond: these were not repeated
    one = store.get(next(iter(kept)))
    assert one.attempts >= 2
    direct = run(one.spec, load_dataset("digits-8x8"))
    assert (store.files.scores(one.identity)[0] == direct.scores).all()


@pytest.mark.slow
def test_when_one_process_is_killed_the_others_work_is_done_all_the_same(tmp_path):
    params = {"epochs": 300, "pretrain_epochs": 0}
    specs = specs_of(methods=["knn", {"method": "deep-svdd", "params": params}])
    store = Store(tmp_path / "runs.sqlite")
    sweep = threading.Thread(target=run_specs, args=[specs, store], kwargs={"jobs": 2})
    sweep.start()
    wait_for(lambda: any(one.progress for one in store.runs()))
    at_work = next(one for one in store.runs() if one.progress)
    os.kill(int(at_work.worker.split("-")[0]), signal.SIGKILL)
    sweep.join(timeout=90)
    assert [one.state for one in store.runs()] == ["finished"] * 4
    assert store.get(at_work.identity).attempts == 2


def test_a_run_that_is_cancelled_ends_within_seconds_and_keeps_its_checkpoint(tmp_path):
    specs = specs_of(normal=3, methods=[LONG], seeds=2)
    store = Store(tmp_path / "runs.sqlite")
    sweep = threading.Thread(target=run_specs, args=[specs, store], kwargs=THREADING)
    sweep.start()
    wait_for(lambda: any(one.progress for one in store.runs()))
    began = time.monotonic()
    assert store.stop([spec.identity for spec in specs]) == 2
    sweep.join(timeout=10)
    assert time.monotonic() - began < 3
    first, second = store.runs()
    assert (first.state, first.attempts) == ("interrupted", 1)
    assert first.reason == "Cancelled."
    assert second.state == "interrupted"
    assert list(store.folder.glob("checkpoints/*/train-*"))


# ---------------------------------------------------------------------- tables and progress


def table_of(aucs, **changes):
    """Table of a sweep on MNIST from AUCs by class, method and seed."""
    runs = make_sweep(SMALL | {"datasets": "digits-8x8", "seeds": 2} | changes).runs()
    rows = []
    for planned in runs:
        auc = aucs.get((planned.normal, planned.spec.method, planned.spec.seed))
        if auc is not None:
            rows.append({"run": planned.spec.identity, "auc": auc})
    return sweep_tables(runs, rows)[0]


AUCS = {
    ("3", "knn", 0): 0.97, ("3", "knn", 1): 0.99, ("5", "knn", 0): 0.90, ("5", "knn", 1): 0.94,
    ("3", "kde", 0): 0.50, ("3", "kde", 1): 0.60, ("5", "kde", 0): 0.95,
}  # fmt: skip


def test_table_has_means_deviations_and_the_best_of_each_line():
    table = table_of(AUCS, methods=["knn", "kde"])
    (three, cells3), (five, cells5), (mean, means) = table.lines()
    knn, kde = "2-nearest-neighbour on pixels", "KDE"
    assert (three, five, mean) == ("3", "5", "mean")
    assert cells3[knn].text == "98.0 ± 1.4"
    assert cells5[kde].text == "95.0"
    assert [cells3[knn].best, cells3[kde].best, cells5[knn].best, cells5[kde].best] == [
        True, False, False, True,
    ]  # fmt: skip
    # by seed: (97 + 90) / 2 = 93.5 and (99 + 94) / 2 = 96.5
    assert means[knn].text == "95.0 ± 2.1"
    assert means[kde].text == "75.0"
    assert table.note == "1 of 8 runs are missing."


def test_mean_over_classes_is_not_given_while_one_is_missing():
    table = table_of({("3", "knn", 0): 0.9}, methods=["knn"])
    assert table.lines()[-1][1]["2-nearest-neighbour on pixels"].text == "(1 of 2)"


def test_all_formats_show_published_values_beside_ours(monkeypatch):
    from insphere.experiments.runs import sweep_file

    monkeypatch.setattr(sweep_file, "class_names", lambda name: tuple("0123456789"))
    table = table_of(AUCS, datasets="mnist", methods=["knn", "kde"])
    laid = markdown(sweep_layout(table))
    assert "| 3 | **98.0 ± 1.4** | 55.0 ± 7.1 | 86.2 ± 0.0 |" in laid
    assert "| **mean** | **95.0 ± 2.1** | 75.0 | 80.0 |" in laid
    assert "1 of 8 runs are missing." in laid
    tex = latex(sweep_layout(table))
    assert r"3 & \textbf{98.0 $\pm$ 1.4} & 55.0 $\pm$ 7.1 & 86.2 $\pm$ 0.0 \\" in tex
    assert r"AUC in \%" in tex
    cells = [list(column.cells) for column in terminal(sweep_layout(table)).columns]
    assert cells[1][0] == "[bold]98.0 ± 1.4[/]"
    assert cells[3] == ["86.2 ± 0.0", "73.8 ± 0.0", "80.0"]
    lines = list(csv.DictReader(io.StringIO(csv_table([table]))))
    assert len(lines) == 6
    assert lines[1]["published_mean"] == "86.2"
    assert float(lines[0]["auc_std"]) == pytest.approx(2**0.5)
    assert lines[3] == lines[3] | {"normal": "5", "seeds": "1", "auc_std": ""}


def test_published_tables_are_the_papers():
    means = {
        "mnist": [91.29, 86.93, 92.30, 89.65, 91.27, 93.53, 94.80],
        "cifar10": [64.78, 64.89, 55.46, 59.39, 61.79, 63.28, 64.81],
    }
    for dataset, expected in means.items():
        columns = published_table(dataset).values()
        found = [np.mean([value.mean for value in column.values()]) for column in columns]
        assert found == pytest.approx(expected, abs=0.006)
    assert published_table("mnist")["anogan"]["9"] == (92.4, 1.1)
    signs = published_table("gtsrb")
    assert "anogan" not in signs
    assert signs["soft-boundary"]["14 stop"] == (77.8, 4.9)
    soft = RunSpec(dataset="mnist", normal=("3",), params={"objective": "soft-boundary"})
    assert published_column(soft) == "soft-boundary"
    assert published_column(RunSpec(dataset="mnist", normal=("3",), method="knn")) is None
    assert published_column(RunSpec(dataset="digits-8x8", normal=("3",))) is None


def test_time_left_is_that_of_the_same_method_spread_over_the_jobs(tmp_path):
    store = Store(tmp_path / "runs.sqlite")
    planned = make_sweep(SMALL | {"methods": ["knn", "kde"], "seeds": 2}).runs()
    assert look(store, planned).seconds_left(2) is None
    store.add(one.spec for one in planned)
    times = {"knn": 10.0, "kde": 100.0}
    for one in planned[:2]:  # class 3, seed 0
        store.claim(one.spec.identity, "w")
        result = {"auc": 0.5, "fit_seconds": times[one.spec.method], "score_seconds": 0.0}
        store.finish(one.spec.identity, "w", result)
    progress = look(store, planned)
    assert progress.counts == {
        "queued": 6, "running": 0, "interrupted": 0, "finished": 2, "failed": 0, "new": 0,
    }  # fmt: skip
    assert progress.seconds_left(1) == pytest.approx(3 * 110)
    assert progress.seconds_left(3) == pytest.approx(110)
    assert progress.seconds_left(100) == pytest.approx(100)
    store.claim(planned[3].spec.identity, "w")
    progress = look(store, planned)
    later = type(progress)(progress.planned, progress.runs, progress.now + 30)
    assert later.seconds_left(1) == pytest.approx(3 * 110 - 30, abs=1)


# ---------------------------------------------------------------------- command line


def test_command_line_runs_tells_and_exports(tmp_path, capsys):
    file, path, out = write(tmp_path, normal=3, seeds=2), tmp_path / "r.sqlite", tmp_path / "out"
    store = ["--store", str(path)]
    assert main(["sweep", "status", str(file), *store]) == 2
    assert "insphere sweep run makes one" in capsys.readouterr().err
    assert main(["sweep", "run", str(file), *store, "--backend", "threading", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["runs"], said["finished"], said["failed"]) == (2, 2, 0)
    assert len(said["rows"]) == 2
    assert main(["sweep", "status", *store, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finished"] == 2
    assert main(["sweep", "table", str(file), *store, "--format", "csv"]) == 0
    assert "digits-8x8,3,2-nearest-neighbour on pixels," in capsys.readouterr().out
    assert main(["sweep", "table", str(file), *store, "--format", "html"]) == 2
    assert "terminal, markdown, latex, csv" in capsys.readouterr().err
    for _ in range(2):
        assert main(["sweep", "export", str(file), *store, "--out", str(out)]) == 0
    rows = read_rows(out / "rows.jsonl")
    assert rows == said["rows"]
    assert np.load(out / rows[0]["run"] / "scores.npy").shape == (rows[0]["n_normal"]
        + rows[0]["n_anomalous"],)  # fmt: skip
    assert read_sweep(out / "sweep.yaml").name == "small"


def test_command_line_says_which_runs_failed_and_why(tmp_path, capsys):
    bad = {"method": "knn", "params": {"n_neighbors": 10_000}}
    file = write(tmp_path, normal=3, methods=["knn", bad])
    arguments = ["sweep", "run", str(file), "--store", str(tmp_path / "r.sqlite"), "--jobs", "1"]
    assert main([*arguments, "--backend", "threading"]) == 1
    captured = capsys.readouterr()
    assert "1 finished, 1 failed, of 2 runs." in captured.out
    assert "failed: n_neighbors=10000 needs more than" in captured.out
    assert main([*arguments, "--backend", "threading"]) == 1
    assert "--retry-failed repeats them" in capsys.readouterr().err


# ---------------------------------------------------------------------- Ray


def test_a_local_ray_runs_the_same_sweep(tmp_path):
    ray = pytest.importorskip(
        "ray", reason='the Ray backend was not tested: pip install "insphere[ray]"'
    )
    specs = specs_of(methods=["knn", "oc-svm"])
    store = Store(tmp_path / "runs.sqlite")
    found = run_specs(specs, store, jobs=2, backend="ray")
    assert not ray.is_initialized()
    assert {(one.state, one.attempts) for one in found} == {("finished", 1)}
    assert {one.worker.split("-")[0] for one in found}.isdisjoint({str(os.getpid())})
    data = load_dataset("digits-8x8")
    for spec, one in zip(specs, found, strict=True):
        assert one.auc == pytest.approx(run(spec, data).evaluation.auc, abs=1e-12)
