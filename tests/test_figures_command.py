"""``insphere figures``: from files of runs to a folder of figures that say where they are from."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from insphere.atomic import write_whole
from insphere.cli import main
from insphere.errors import InsphereError, SpecError
from insphere.experiments.analysis.run_collection import read_collection, typical
from insphere.experiments.execution.engine import run_specs
from insphere.experiments.plots.captions import sentence
from insphere.experiments.plots.catalogue import figure_specs, plan
from insphere.experiments.plots.run_figures import sample
from insphere.experiments.runs.display_names import options_of, plain_baseline, run_names
from insphere.experiments.runs.processing_options import OPTIONS, apply_options
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.jsonl_rows import append_row, read_rows
from insphere.experiments.store.run_store import Store

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
CIFAR = [str(RESULTS / "cifar10-fast.jsonl"), str(RESULTS / "cifar10-controls.jsonl")]


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "runs.sqlite"
    deep = {"epochs": 2, "pretrain_epochs": 1, "false_alarm_rate": 0.1}
    specs = [
        RunSpec(dataset="digits-8x8", normal=(name,), method=method, params=params)
        for name in ("0", "3", "8")
        for method, params in (("deep-svdd", deep), ("knn", {}), ("mahalanobis", {}))
    ]
    runs = run_specs(specs, Store(path), backend="threading", save_models=True)
    assert {run.state for run in runs} == {"finished"}
    return path


def test_rows_become_figures_with_captions(capsys):
    code = main(["figures", *CIFAR, "--out", "out", "--formats", "png,html",
                 "--only", "bars", "--only", "heat"])  # fmt: skip
    assert code == 0
    names = {path.name for path in Path("out").iterdir()}
    assert names == {"index.html", "plotly.min.js", "bars-cifar-10.png", "bars-cifar-10.html",
                     "heat-cifar-10.png", "heat-cifar-10.html"}  # fmt: skip
    assert "2 figures are in out/index.html." in capsys.readouterr().out
    with Image.open("out/bars-cifar-10.png") as image:
        image.verify()
    page = Path("out/index.html").read_text("utf-8")
    for told in ("From 50 runs on CIFAR-10, 10 classes, seed 0", "recipe fast, objective one-class",
                 "insphere 0.1.0", "torch 2.", "Bars start at chance"):  # fmt: skip
        assert told in page
    for link in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert (Path("out") / link).is_file()


def test_left_out_is_one_line_that_says_what_is_missing(capsys):
    command = ["figures", CIFAR[0], "-o", "out", "--formats", "svg"]
    for kind in ("bars", "roc", "scores", "published"):
        command += ["--only", kind]
    assert main([*command, "-q"]) == 0
    assert capsys.readouterr().out == ""
    assert main(command) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "1 figure is in out/index.html.",
        "Left out: AUC by class (missing: runs of another option than Deep SVDD); ROC curves, "
        "Score distributions (missing: scores in the store of a sweep).",
    ]


def test_former_names_are_understood_and_every_figure_is_in_the_docs(capsys):
    assert main(["figures", *CIFAR, "-o", "out", "--formats", "svg", "--only", "classes",
                 "--only", "changes-cifar-10", "--json"]) == 0  # fmt: skip
    told = json.loads(capsys.readouterr().out)["figures"]
    assert [one["name"] for one in told] == ["bars-cifar-10", "change-cifar-10"]
    page = (RESULTS.parents[1] / "docs" / "figures.md").read_text("utf-8")
    assert [spec.key for spec in figure_specs() if f"`{spec.key}`" not in page] == []
    names = [name for spec in figure_specs() for name in (spec.key, *spec.formerly)]
    assert len(names) == len(set(names))
    assert all(name.isalpha() and name.islower() for name in names)


def test_json_says_all(capsys):
    assert main(["figures", *CIFAR, "-o", "out", "--formats", "svg", "--only", "gains", "--json",
                 "--baseline", "OC-SVM"]) == 0  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    assert told["runs"] == 50
    assert told["baseline"] == "OC-SVM"
    assert told["figures"][0]["files"] == ["gains-cifar-10.svg"]
    assert "Student" in told["figures"][0]["caption"]


def test_a_store_gives_every_kind(store):
    collection = read_collection([store])
    found, left_out = plan(collection)
    kinds = {planned.name.split("-")[0] for planned in found}
    assert set(left_out) == {"Published and measured"}  # 8×8 digits are none of the paper's data
    assert kinds == {spec.key for spec in figure_specs()} - {"published"}
    inside = [p for p in found if p.name.split("-")[0] in
              ("preview", "training", "roc", "pr", "scores", "sorted", "latent")]  # fmt: skip
    for planned in inside:
        assert planned.draw().axes
        if planned.screen is not None:
            assert planned.screen().data
    latent = next(planned for planned in inside if planned.name.startswith("latent"))
    assert "are drawn within the circle" in latent.caption
    assert "seed 0" in latent.origin


def test_an_exported_folder_is_as_good_as_its_store(store, tmp_path):
    target = tmp_path / "exported"
    source = Store(store, create=False)
    for row in source.rows():
        append_row(target / "rows.jsonl", row)
        folder = source.files.folder(row["run"])
        for file in ("scores.npy", "truth.npy"):
            (target / row["run"]).mkdir(exist_ok=True)
            (target / row["run"] / file).write_bytes((folder / file).read_bytes())
    found, _ = plan(read_collection([target / "rows.jsonl"]), ["roc"])
    assert found[0].name.startswith("roc-")


def test_histories_in_rows_are_used(tmp_path):
    row = read_rows(RESULTS / "mnist-fast.jsonl")[0]
    history = [{"phase": "train", "epoch": e, "loss": 1.0 / e, "auc": 0.9} for e in (1, 2)]
    append_row(tmp_path / "rows.jsonl", row | {"history": history})
    (planned,), _ = plan(read_collection([tmp_path / "rows.jsonl"]), ["training"])
    assert "no epoch was chosen by it" in planned.caption
    assert len(planned.draw().axes) == 2


def test_time_is_the_mean_of_the_runs_and_options_without_times_are_left_out(tmp_path):
    rows = read_rows(RESULTS / "cifar10-controls.jsonl")
    methods = sorted({row["method"] for row in rows})
    for row in rows:
        timed = row if row["method"] != methods[0] else row | {"fit_seconds": None}
        append_row(tmp_path / "rows.jsonl", timed)
    (planned,), _ = plan(read_collection([tmp_path / "rows.jsonl"]), ["time"])
    axes = planned.draw().axes[0]
    points = {line.get_label(): line.get_xydata() for line in axes.lines}
    assert sum(len(found) for found in points.values()) == len(methods) - 1
    knn = [row for row in rows if row["method"] == "knn"]
    (label,) = (label for label in points if "neighbour" in label)
    ((seconds, auc),) = points[label]
    assert seconds == pytest.approx(np.mean([row["fit_seconds"] for row in knn]))
    assert auc == pytest.approx(100 * np.mean([row["auc"] for row in knn]))
    drawn = sorted(x for found in points.values() for x, _ in found)
    assert sorted(trace.x[0] for trace in planned.screen().data) == drawn
    best = max(y for found in points.values() for _, y in found)
    named = {label: found[0] for label, found in points.items() if not label.startswith("_")}
    assert best in [y for _, y in named.values()]
    assert len(named) < len(drawn)  # who is slower and no better is grey


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.jsonl"], "absent.jsonl is not there; name a JSONL file of rows, or the store"),
        (["."], "is a folder; name"),
        (["empty.jsonl"], "empty.jsonl holds no finished run yet."),
        (["other.jsonl"], "Line 2 of other.jsonl is no finished run: it lacks run, dataset"),
        (["numbers.jsonl"], "Line 1 of numbers.jsonl is no row of a run"),
        (["picture.png"], "is neither a JSONL file of rows nor the store of a sweep"),
        ([*CIFAR, "--formats", "pdf"], "pdf is no format of figures; use one or more of png, svg"),
        ([*CIFAR, "--only", "bar"], "There is no figure bar; did you mean bars?"),
        ([*CIFAR, "--baseline", "x"], "No run is called x; the baseline is one of: Deep SVDD"),
        ([*CIFAR, "--only", "heat", "--formats", "svg", "--out", "file/x"], "cannot be written"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, capsys):
    Path("empty.jsonl").write_text("")
    Path("other.jsonl").write_text((RESULTS / "cifar10-fast.jsonl").read_text().split("\n")[0]
                                   + '\n{"speed": 1}\n')  # fmt: skip
    Path("numbers.jsonl").write_text("1\n2\n")
    Path("picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    Path("file").write_text("")
    out = [] if "--out" in arguments else ["--out", "out"]
    assert main(["figures", *arguments, *out]) == 2
    told = capsys.readouterr().err
    assert message in told.replace("\n", " ")
    assert told.rstrip().split("\n")[-1].startswith("Error: ")
    assert not Path("out").exists()


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "figure.png"
    write_whole(path, b"old")
    real = os.fsync

    def full(descriptor):
        real(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InsphereError, match=r"figure\.png: No space left"):
        write_whole(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert [file.name for file in path.parent.iterdir()] == ["figure.png"]


# ---------------------------------------------------------------------- names and captions


def test_options_are_found_again_in_the_parameters():
    base = {"recipe": "fast", "objective": "one-class"}
    for name, option in OPTIONS.items():
        params = json.loads(json.dumps(apply_options([name], base)))
        changes = bool(option.encoder or option.steps)
        assert options_of(params) == ((name,) if changes else (), base)
    several = ["standardize", "channel-dropout", "attention", "residual", "projection"]
    assert options_of(apply_options(several, base)) == (tuple(several), base)
    assert options_of({"encoder": {"base": "auto", "rep_dim": 7}}) is None


def test_names_say_what_differs():
    def row(run, method="deep-svdd", **params):
        return {"run": run, "method": method, "params": params}

    rows = [
        row("a", recipe="fast", objective="one-class"),
        row("b", recipe="paper", objective="one-class"),
        row("c", recipe="fast", objective="soft-boundary"),
        row("d", **apply_options(["zca"], {"recipe": "fast", "objective": "one-class"})),
        row("e", encoder={"base": "auto", "rep_dim": 7}),
        row("f", "oc-svm", gamma="labelled-holdout", nu="labelled-holdout"),
        row("g", "oc-svm"),
        row("h", "own-method", x=1.5),
    ]
    assert list(run_names(rows).values()) == [
        "Deep SVDD, fast recipe", "Deep SVDD, paper recipe",
        "Deep SVDD, fast recipe, soft boundary", "Deep SVDD + ZCA whitening, fast recipe",
        "Deep SVDD, encoder (base auto, rep_dim 7)", "OC-SVM, tuned on labelled test images",
        "OC-SVM", "own-method",
    ]  # fmt: skip
    assert plain_baseline(rows) == "Deep SVDD, fast recipe"
    assert plain_baseline(rows[1:]) is None
    assert plain_baseline([*rows, row("i")]) == "Deep SVDD"


def test_captions_count_what_there_is():
    rows = read_rows(RESULTS / "mnist-fast.jsonl")
    text = sentence(rows)
    assert text.startswith("From 40 runs on MNIST, 10 classes, seeds 0 and 1: ")
    assert "Deep SVDD (recipe fast, objective one-class)" in text
    assert "Deep SVDD, soft boundary (recipe fast, objective soft-boundary)" in text


def test_runs_of_several_files_are_taken_once_and_the_typical_one_is_the_median():
    twice = read_collection([Path(CIFAR[0]), Path(CIFAR[0])])
    assert len(twice.runs) == 10
    assert twice.baseline == "Deep SVDD"
    aucs = sorted(run.values["auc"] for run in twice.runs)
    assert typical(twice.runs).values["auc"] == aucs[4]
    with pytest.raises(SpecError, match="No run is called"):
        read_collection([Path(CIFAR[0])], "nothing")


def test_samples_hold_both_kinds_evenly():
    truth = np.r_[np.zeros(30, int), np.ones(300, int)]
    here = sample(truth, 100)
    assert len(here) == 100
    assert (truth[here] == 0).sum() == 30
    assert here[-1] == 329
