"""Command line, studio and library agree: on the names of runs, and on which images are scored."""

import csv
import io
import json
from html import unescape

import numpy as np
import pytest
import yaml

from insphere.cli import main
from insphere.data import ReadOptions, load_dataset
from insphere.detectors import load_detector
from insphere.errors import SpecError
from insphere.experiments.analysis.class_table import auc_by_class
from insphere.experiments.analysis.run_collection import read_collection
from insphere.experiments.execution.worker import Worker
from insphere.experiments.plots.run_comparison import as_csv, groups
from insphere.experiments.runs.display_names import distinct_runs, run_names
from insphere.experiments.runs.processing_options import apply_options
from insphere.experiments.runs.run_builder import RunChoice
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.run_store import Store
from insphere.workflows.fit_config import make_config
from insphere.workflows.score_source import score_source

pytest.importorskip("nicegui", reason='The studio needs pip install "insphere[studio]".')

from insphere.studio.inspect_image import score_all

WAIT = 240_000
DIGITS = "digits-8x8"
# Deep SVDD in ways that were once all called "Deep SVDD", and what each is called now.
SETTINGS = {
    "Deep SVDD": {},
    "Deep SVDD, paper recipe": {"recipe": "paper"},
    "Deep SVDD, epochs 3": {"epochs": 3},
    "Deep SVDD, lr 0.01": {"lr": 0.01},
    "Deep SVDD, false_alarm_rate 0.1": {"false_alarm_rate": 0.1},
    "Deep SVDD + Residual skips, batch_size 50": apply_options(["residual"], {"batch_size": 50}),
}
METHODS = [
    *({"method": "deep-svdd", "params": params} for params in SETTINGS.values()),
    "knn",
]
SWEEP = {
    "name": "names", "datasets": DIGITS, "normal": [3, 4], "methods": METHODS, "seeds": 2,
}  # fmt: skip
NAMES = {*SETTINGS, "2-nearest-neighbour on pixels"}


def rows():
    """A finished row of each run of the sweep, with a number of its own."""
    found = []
    for place, settings in enumerate([*SETTINGS.values(), None]):
        for digit in ("3", "4"):
            for seed in (0, 1):
                spec = RunSpec(
                    dataset=DIGITS, normal=(digit,), seed=seed, params=settings or {},
                    method="knn" if settings is None else "deep-svdd",
                )  # fmt: skip
                auc = 0.9 + 0.01 * place + 0.004 * seed - 0.002 * (digit == "4")
                found.append({
                    "run": spec.identity, **spec.model_dump(mode="json"), "auc": auc,
                    "n_normal": 90, "n_anomalous": 800,
                })  # fmt: skip
    return found


@pytest.fixture(scope="module")
def store(studio):
    """The studio's store with the rows of the sweep, and one run with its model."""
    opened = Store(studio.store_path)
    spec = RunSpec(dataset=DIGITS, normal=("3",), method="knn")
    opened.add([spec])
    with Worker(opened, save_models=True) as worker:
        worker.run(spec)
    opened.import_rows(rows())
    yield opened
    opened.close()


def named(store):
    """Names by run, as the library gives them."""
    return run_names(store.runs())


def test_runs_share_a_name_only_if_nothing_but_class_and_seed_differs(store):
    names = named(store)
    assert set(names.values()) == NAMES
    for title, params in SETTINGS.items():
        own = [run for run in store.runs() if names[run.identity] == title]
        assert {json.dumps(run.params, sort_keys=True) for run in own} == {
            json.dumps(params, sort_keys=True)
        }
        assert len(own) == 4
    for by, size in (("method", 4), ("dataset", 4), ("class", 2), ("seed", 2)):
        found = groups(store.runs(), by)
        assert {group["n"] for group in found} == {size}
        assert len(found) == len(NAMES) * 4 // size
    method = next(group for group in groups(store.runs(), "method") if group["name"] == "Deep SVDD")
    assert method["mean"] == pytest.approx(0.901)
    assert method["std"] == pytest.approx(np.std([0.899, 0.903], ddof=1))


def test_the_command_line_calls_runs_as_the_library_does(store, tmp_path, capsys):
    names = named(store)
    drawn = read_collection([store.path])
    assert {run.run: run.option for run in drawn.runs} == names
    out = tmp_path / "figures"
    assert main(["figures", str(store.path), "--out", str(out), "--only", "boxes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == len(names)
    shown = unescape((out / "index.html").read_text(encoding="utf-8"))
    assert all(name in shown for name in NAMES)
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(SWEEP), encoding="utf-8")
    arguments = ["sweep", "table", str(file), "--store", str(store.path), "--format", "csv"]
    assert main(arguments) == 0
    table = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert {line["method"] for line in table} == NAMES
    exported = csv.DictReader(io.StringIO(as_csv(store.runs())))
    assert {line["run"]: line["name"] for line in exported} == names


def test_the_studio_calls_runs_as_the_library_does(visit, store):
    names = named(store)
    page = visit("/experiments")
    page.wait_for_selector("tbody tr")
    with page.expect_download() as waiting:
        page.click("a:has-text('CSV') >> nth=0")
    text = waiting.value.path().read_text(encoding="utf-8")
    assert {line["run"]: line["name"] for line in csv.DictReader(io.StringIO(text))} == names
    shown = page.eval_on_selector_all(
        "tbody tr", "rows => rows.map(row => [...row.querySelectorAll('td')].map(c => c.innerText))"
    )
    assert shown
    for cells in shown:
        run = next(cell for cell in cells if cell in names)
        assert names[run] in cells
        assert "Optical digits 8×8" in cells
    page.select_option("select[name='group by']", "method")
    page.wait_for_selector("[data-test=groups]")
    lines = page.eval_on_selector_all(
        "[data-test=groups] tr", "rows => rows.slice(1).map(row => row.cells[0].innerText)"
    )
    assert set(lines) == NAMES
    one = store.runs()[-1]
    page = visit(f"/runs/{one.identity}")
    assert page.inner_text("h1") == names[one.identity]


def test_the_same_model_and_source_give_the_same_images_and_scores(visit, store, capsys):
    run = next(run for run in store.runs() if (store.files.model(run.identity)).is_dir())
    model = store.files.model(run.identity)
    assert main(["score", str(model), DIGITS, "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)
    scored = score_source(load_detector(model), DIGITS, progress=False)
    own = score_all(model, DIGITS)
    page = visit(f"/models?model={run.identity}")
    page.select_option(".sheet select", DIGITS)
    page.wait_for_selector("[data-test=scores]", timeout=WAIT)
    with page.expect_download() as waiting:
        page.click("text=Download all as CSV")
    text = waiting.value.path().read_text(encoding="utf-8")
    table = {int(line["image"]): line for line in csv.DictReader(io.StringIO(text))}

    held_out = ReadOptions(normal=("3",)).split(load_dataset(DIGITS)).test
    assert scored.index.tolist() == held_out.tolist()
    assert told["n"] == len(scored) == len(own.scores) == len(table) == 896
    assert told["part"] == scored.part == "the images held out from training"
    by_index = {int(line["index"]): line["score"] for line in told["scores"]}
    assert list(by_index) == [int(name) for name in own.names] == sorted(table)
    np.testing.assert_allclose(list(by_index.values()), scored.scores, rtol=1e-6)
    np.testing.assert_array_equal(own.scores, scored.scores)
    in_page = [float(table[index]["score"]) for index in scored.index]
    np.testing.assert_allclose(in_page, scored.scores, rtol=1e-6)
    flagged = sum(int(line["anomalous"]) for line in table.values())
    assert told["n_anomalous"] == int(scored.flagged.sum()) == flagged
    assert page.inner_text("[data-test=scored]") == scored.what == own.what
    assert scored.part in scored.what

    assert main(["score", str(model), DIGITS, "--all", "--json", "-q"]) == 0
    every = json.loads(capsys.readouterr().out)
    page.check("input[name=every-image]")
    page.wait_for_selector("[data-test=scored]:has-text('also those trained on')", timeout=WAIT)
    assert every["n"] == len(score_all(model, DIGITS, True).scores) == 1797
    assert "1,797 images" in page.inner_text("[data-test=scored]")


def test_the_words_of_the_command_line_are_those_of_the_studio(store, capsys):
    run = next(run for run in store.runs() if (store.files.model(run.identity)).is_dir())
    model = store.files.model(run.identity)
    own = score_all(model, DIGITS)
    assert main(["score", str(model), DIGITS]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert own.what in said
    assert own.verdict in said


# ---------------------------------------------------------------------- names alone


def row(run, method="deep-svdd", params=None, seed=0):
    return {
        "run": run, "dataset": DIGITS, "normal": ["3"], "method": method, "params": params or {},
        "seed": seed,
    }  # fmt: skip


def test_settings_that_are_usual_make_no_difference_and_repetitions_count_once():
    written = {"recipe": "best", "objective": "one-class", "pretraining": "auto", "head": "auto"}
    both = [row("a"), row("b", params=written), row("c", params={"objective": "soft-boundary"})]
    assert list(run_names(both).values()) == ["Deep SVDD", "Deep SVDD", "Deep SVDD, soft boundary"]
    assert [one["run"] for one in distinct_runs([*both, row("d", seed=1)])] == ["a", "c", "d"]
    of_fast = {"recipe": "fast", "pretraining": "autoencoder", "head": "center"}
    fast = [row("a", params=of_fast), row("b", params={"recipe": "fast"}), row("c")]
    assert list(run_names(fast).values()) == [*["Deep SVDD, fast recipe"] * 2, "Deep SVDD"]
    assert [one["run"] for one in distinct_runs(fast)] == ["a", "c"]
    sphere = {"head": "center"}  # not what the default recipe takes
    assert len(distinct_runs([row("a"), row("b", params=sphere)])) == 2


def test_the_order_of_runs_and_parameters_changes_no_name():
    several = [
        row("a", params={"nu": 0.2, "recipe": "paper", "epochs": 3}),
        row("b", params=apply_options(["zca", "attention", "residual"], {})),
        row("c", params=apply_options(["zca", "attention", "projection"], {})),
        row("d", params=apply_options(["zca", "attention", "self-attention"][:2], {"nu": 0.5})),
        row("e", "kde"),
    ]
    again = [one | {"params": dict(reversed(one["params"].items()))} for one in several[::-1]]
    names = run_names(several)
    assert run_names(again) == names
    assert len(set(names.values())) == len(several)
    assert names["a"] == "Deep SVDD, paper recipe, epochs 3, nu 0.2"


def test_options_that_would_share_a_short_name_are_written_out():
    one, two = (
        row(name, params=apply_options(options, {}))
        for name, options in (
            ("a", ["attention", "residual", "zca"]),
            ("b", ["attention", "residual", "standardize"]),
        )
    )
    names = run_names([one, two])
    assert names["a"] == "Deep SVDD + ZCA whitening + Channel attention + Residual skips"
    assert names["b"] == ("Deep SVDD + Input standardisation + Channel attention + Residual skips")


def test_a_table_of_rows_keeps_different_settings_apart():
    rows = [row("a") | {"auc": 0.9}, row("b", params={"epochs": 3}, seed=1) | {"auc": 0.8}]
    assert auc_by_class(rows) == {"Deep SVDD": {"3": [90.0]}, "Deep SVDD, epochs 3": {"3": [80.0]}}
    assert list(auc_by_class(rows[:1])) == ["deep-svdd"]


def test_what_is_chosen_in_the_studio_can_be_chosen_again():
    from insphere.experiments.runs.display_names import option_keys

    chosen = RunChoice(
        dataset=DIGITS, normal=("3",), options=("residual", "zca"), recipe="paper", epochs=3,
        false_alarm_rate=0.1,
    )  # fmt: skip
    assert set(option_keys(chosen.spec().params)) == {"residual", "zca"}
    beside = chosen.spec().params | {"batch_size": 50}
    assert set(option_keys(beside)) == {"residual", "zca"}


# ---------------------------------------------------------------------- how a source is read


def test_a_way_of_reading_is_the_same_from_python_a_file_and_the_command(capsys, tmp_path):
    reading = ReadOptions(normal=3, size="8x8", channels=1, test_size=0.25, seed=7)
    assert reading == ReadOptions(
        normal=("3",), size=(8, 8), channels=1, skip_bad=False, download=False, test_size=0.25,
        seed=7,
    )  # fmt: skip
    settings = tmp_path / "fit.yaml"
    settings.write_text("normal: 3\nsize: 8x8\nchannels: 1\ntest_size: 0.25\nseed: 7\n")
    written = ["fit", DIGITS, "--method", "knn", "--contamination", "0.05", "--json"]
    typed = ["--normal", "3", "--size", "8x8", "--grey", "--test-size", "0.25", "--seed", "7"]
    expected = reading.split(reading.load(DIGITS))
    for name, arguments in (("a", ["--config", str(settings)]), ("b", typed)):
        folder = tmp_path / name
        assert main([*written, *arguments, "--out", str(folder)]) == 0
        assert json.loads(capsys.readouterr().out)["n_train"] == len(expected.train)
        detector = load_detector(folder)
        assert detector.trained_on_.model_dump(exclude={"name", "fingerprint"}) == {
            "normal": ["3"], "size": [8, 8], "channels": 1, "test_size": 0.25, "seed": 7,
            "fit": "stretch",
        }  # fmt: skip
        assert score_source(detector, DIGITS).index.tolist() == expected.test.tolist()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": "wide"}, "such as 64x48"),
        ({"chanels": 3}, "did you mean channels"),
        ({"channels": 2}, "channels = 2"),
        ({"test_size": 1.0}, "test_size = 1.0"),
    ],
)
def test_what_cannot_be_read_so_is_said_in_one_sentence(given, message):
    with pytest.raises(SpecError, match=message) as caught:
        ReadOptions(**given)
    assert "\n" not in str(caught.value)


def test_what_was_fitted_before_keeps_its_identity():
    config, _ = make_config({"source": "a", "size": "64x48", "normal": (3,)})
    assert config.settings() == {"source": "a", "normal": ["3"], "size": [64, 48]}
    assert config.identity == "8ac2a5d9629ea309"
    assert RunSpec(dataset=DIGITS, normal=("3",), params={"nu": 0.2}).identity == "70dc8f848b1b"


def test_equal_settings_have_one_place_in_a_cache():
    same = [ReadOptions(normal=name, columns={"label": "kind"}) for name in ("3", (3,))]
    assert len({*same, ReadOptions(normal="3")}) == 2
    assert hash(RunSpec(dataset=DIGITS, normal=("3",)).reading) == hash(
        RunSpec(dataset=DIGITS, normal=("3",), params={"nu": 0.2}).reading
    )
