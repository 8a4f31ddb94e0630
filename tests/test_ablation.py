import csv
import importlib
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insphere.cli import main
from insphere.data import load_dataset
from insphere.errors import SpecError
from insphere.experiments.analysis import ablation_study
from insphere.experiments.analysis.ablation_results import arms_in, find
from insphere.experiments.analysis.ablation_study import (
    ALL,
    BASELINE,
    DEFAULT_OPTIONS,
    OPT_IN,
    Z_SCORE,
    study_arms,
    study_sweep,
)
from insphere.experiments.analysis.ablation_summary import in_words, note
from insphere.experiments.analysis.ablation_table import (
    across,
    by_class,
    csv_table,
    layouts,
    summary,
    z_score_table,
)
from insphere.experiments.analysis.text_table import latex, markdown
from insphere.experiments.runs import sweep_file
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.run import run, z_score_aucs
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.jsonl_rows import merge_rows, read_rows
from insphere.experiments.store.run_store import Store
from insphere.training import recipe
from insphere.training.recipe import Phase, Recipe

ROOT = Path(__file__).parents[1]
SHORT = Recipe(pretrain=Phase(epochs=1, lr=1e-3), train=Phase(epochs=2, lr=1e-3))


@pytest.fixture
def short(monkeypatch):
    """Make the fast recipe a very short one: real training, in this process only."""
    monkeypatch.setitem(recipe.NAMED, "fast", SHORT)
    return ["--backend", "threading"]


@pytest.fixture
def ten_classes(monkeypatch):
    """Plan for MNIST where it cannot be loaded."""
    for module in (ablation_study, sweep_file):
        monkeypatch.setattr(module, "class_names", lambda name: tuple("0123456789"))


def arms_by_name(**options):
    return {arm.name: arm for arm in study_arms(**options)}


# ---------------------------------------------------------------------- the design


def test_the_study_has_the_baseline_each_option_each_group_and_all():
    arms = arms_by_name()
    assert list(arms) == [BASELINE, *DEFAULT_OPTIONS, "all before", "all during", "all after", ALL]
    assert set(OPTIONS) - set(DEFAULT_OPTIONS) == set(OPT_IN)
    assert arms["all before"].options == ("standardize", "zca", "batch-norm", "dropout")
    assert arms["all during"].options == ("attention", "residual")
    assert arms["all after"].options == ("layer-norm", "projection")
    assert arms[ALL].options == sum((arms[f"all {g}"].options for g in
        ("before", "during", "after")), ())  # fmt: skip
    assert arms["attention"].assumed == 0.008
    assert arms[ALL].assumed is arms["zca"].assumed is None


def test_only_the_z_score_has_the_run_of_another():
    arms = study_arms(list(OPTIONS))
    params = {arm.name: json.dumps(arm.params("fast"), sort_keys=True) for arm in arms}
    assert params[Z_SCORE] == params[BASELINE]
    assert len(set(params.values())) == len(arms) - 1
    unsafe = {name for name, text in params.items() if "allow_collapse" in text}
    assert unsafe == {"batch-norm-affine", "layer-norm-affine"}


def test_combinations_are_of_what_was_chosen_and_never_of_one():
    assert list(arms_by_name(options=["zca", "attention"])) == [BASELINE, "zca", "attention", ALL]
    chosen = arms_by_name(options=["self-attention", "spatial-attention", "residual", "resnet18"])
    assert chosen["all during"].options == ("spatial-attention", "residual")
    assert ALL not in chosen
    assert list(arms_by_name(options=["layer-norm", Z_SCORE])) == [BASELINE, "layer-norm", Z_SCORE]
    assert not [arm for arm in study_arms(groups=False) if arm.kind in ("group", "all")]


def test_runs_are_planned_once_and_know_those_of_other_suites(ten_classes):
    arms = study_arms()
    runs = study_sweep(["mnist"], arms, seeds=2).runs()
    assert len(runs) == (len(arms) - 1) * 10 * 2  # nothing is trained for the z-score
    assert len({one.spec.identity for one in runs}) == len(runs)
    known = {row["run"] for row in read_rows(ROOT / "benchmarks" / "results" / "mnist-fast.jsonl")}
    shared = {one.option for one in runs if one.spec.identity in known}
    assert shared == {BASELINE}
    assert sum(one.spec.identity in known for one in runs) == 20


def test_normal_classes_may_be_listed_with_commas(monkeypatch):
    for module in (ablation_study, sweep_file):
        monkeypatch.setattr(module, "class_names", lambda name: ("cat", "ship", "a,b"))
    runs = study_sweep(["x"], study_arms(["zca"]), normal=["a,b", "ship, cat", "cat"]).runs()
    assert [one.normal for one in runs[::2]] == ["a,b", "ship", "cat"]
    with pytest.raises(SpecError, match="normal class dog"):
        study_sweep(["x"], study_arms(["zca"]), normal=["cat,dog"]).runs()


def test_mistakes_are_said_in_one_sentence():
    with pytest.raises(SpecError, match="did you mean attention"):
        study_arms(["atention"])
    with pytest.raises(SpecError, match="at least one option"):
        study_arms([])
    with pytest.raises(SpecError, match="Unknown recipe"):
        study_sweep(["digits-8x8"], study_arms(), recipe="slow")


# ---------------------------------------------------------------------- what rows say

CHOSEN = ["zca", "attention", "residual", Z_SCORE]


def rows_of(gains, *, classes=10, seeds=2, options=CHOSEN, dataset="mnist", baseline=0.9):
    """Rows in which an arm has its gain in every run, or one for each class and seed."""
    rows = []
    for arm in study_arms(options):
        for position, seed in np.ndindex(classes, seeds):
            gain = gains.get(arm.name, 0.0 if arm.name == BASELINE else None)
            gain = gain(position, seed) if callable(gain) else gain
            if gain is None or arm.name == Z_SCORE:
                continue
            spec = RunSpec(
                dataset=dataset, normal=(str(position),), params=arm.params("fast"), seed=seed
            )
            auc = baseline + gain + 0.01 * seed
            standard = {"z_score": {"mean": 0.0, "std": 1.0, "auc": auc}}
            row = {"run": spec.identity, **spec.model_dump(mode="json"), "auc": auc, **standard}
            rows.append(row)
    return rows


def found_in(rows, options=CHOSEN, **more):
    (found,) = find(rows, study_arms(options), **more)
    return found, {one.arm.name: one for one in found.comparisons}


def test_what_always_helps_or_hurts_is_shown_and_corrected():
    gains = {
        "zca": lambda position, seed: -0.02 - 0.001 * position,
        "attention": lambda position, seed: 0.006 + 0.001 * (position % 3),
        "residual": lambda position, seed: 0.01 * (-1) ** position,
    }
    found, by_name = found_in(rows_of(gains))
    assert {name: one.verdict for name, one in by_name.items()} == {
        "zca": "hurts", "attention": "helps", "residual": "no difference shown",
        Z_SCORE: "exactly equal", "all during": "not measured", ALL: "not measured",
    }  # fmt: skip
    # two of 1024 choices of signs, times three options: the z-score is none of them
    assert by_name["zca"].corrected == pytest.approx(3 * 2 / 1024)
    assert by_name["attention"].corrected == pytest.approx(3 * 2 / 1024)
    assert by_name["residual"].effect.p == 1.0
    assert by_name[Z_SCORE].corrected is None
    assert by_name["zca"].effect.mean == pytest.approx(-0.0245)
    assert by_name["attention"].effect.mean == pytest.approx(0.0069)
    assert by_name["attention"].assumption_holds is False  # 0.008 lies above 0.0069 ± 0.0006
    assert by_name["residual"].assumption_holds is True
    assert by_name["zca"].assumption_holds is None
    assert found.seed_noise == pytest.approx(0.01)
    assert found.classes == [str(n) for n in range(10)]


def test_combinations_are_corrected_by_themselves():
    same = lambda position, seed: 0.01 + 0.001 * position  # noqa: E731
    names = ("zca", "attention", "residual", "all during", ALL)
    _, by_name = found_in(rows_of(dict.fromkeys(names, same)))
    assert by_name["zca"].corrected == pytest.approx(3 * 2 / 1024)
    assert by_name[ALL].corrected == pytest.approx(2 * 2 / 1024)


def test_seeds_of_a_class_do_not_count_as_classes():
    gains = {"zca": lambda position, seed: 0.02 - 0.01 * seed}
    found, by_name = found_in(rows_of(gains, classes=3, seeds=2))
    assert by_name["zca"].effect.n == 3
    assert by_name["zca"].effect.p == 0.25
    assert by_name["zca"].verdict == "no difference shown"
    assert not found.can_show
    assert "3 classes are too few for a verdict: no p-value can fall below 0.25" in note(found)


def test_what_is_missing_is_counted_and_said():
    rows = rows_of({"zca": 0.01, "attention": 0.02})

    def of(arm, normal, seed):
        params = arms_by_name()[arm].params("fast")
        return next(row for row in rows if (row["params"], row["normal"], row["seed"])
                    == (params, [normal], seed))  # fmt: skip

    rows.remove(of("zca", "3", 1))
    rows.remove(of(BASELINE, "4", 0))
    found, by_name = found_in(rows)
    pairs = by_name["zca"].pairs
    assert (len(pairs.differences), pairs.without_option, pairs.without_baseline) == (18, 1, 1)
    assert by_name["zca"].effect.n == 10
    said = note(found)
    assert "Missing pairs, 1 without its run and 1 without the baseline's: ZCA whitening." in said
    assert "Not measured: Residual skips, All during, All groups." in said
    wanted = {"mnist": [(str(n), seed) for n in range(11) for seed in (0, 1)]}
    assert found_in(rows, cells=wanted)[1]["zca"].pairs.without_both == 2


def test_rows_of_other_things_are_left_alone():
    rows = rows_of({"zca": 0.01})
    other = [row | {"auc": 0.0} for row in rows]
    for row in other:
        row["params"] = row["params"] | {"nu": 0.2}
    knn = [row | {"method": "knn", "auc": 0.0} for row in rows]
    assert found_in(rows + other + knn)[1] == found_in(rows)[1]
    elsewhere = rows_of({"zca": -0.01}, dataset="cifar10")
    assert [one.dataset for one in find(rows + elsewhere, study_arms(CHOSEN))] == [
        "mnist", "cifar10",
    ]  # fmt: skip


def test_options_by_wish_are_listed_where_they_were_measured():
    names = [arm.name for arm in arms_in(rows_of({"zca": 0.01}))]
    assert names == [arm.name for arm in study_arms()]
    rows = rows_of({"resnet18": 0.01}, options=["resnet18"])
    assert {arm.name for arm in arms_in(rows)} - set(names) == {"resnet18"}


# ---------------------------------------------------------------------- tables

GAINS = {
    "zca": lambda position, seed: -0.02 - 0.001 * position,
    "attention": lambda position, seed: 0.006 + 0.001 * (position % 3),
    "residual": lambda position, seed: 0.01 * (-1) ** position,
    "all during": 0.003,
}


def test_tables_say_gain_interval_assumption_and_verdict():
    found, _ = found_in(rows_of(GAINS))
    laid = markdown(summary(found))
    for line in (
        "ZCA whitening | before | −2.45 ± 0.22 | 0.006 | – | **hurts**",
        "Channel attention | during | +0.69 ± 0.06 | 0.006 | +0.80, outside | **helps**",
        "Residual skips | during | 0.00 ± 0.75 | 1.000 | +0.70, inside | no difference shown",
        "z-score of the scores | after | 0 exactly | – | – | exactly equal",
    ):
        assert f"| {line} |" in laid
    assert "10 classes, 2 seeds, 20 pairs for each option; baseline 90.50 % AUC." in laid
    assert "Two seeds of the baseline lie 1.00 points apart" in laid
    lines = markdown(by_class(found)).splitlines()
    assert lines[4].startswith("| Baseline, AUC in % | 90.50 | 90.50 |")
    assert lines[5].startswith("| ZCA whitening | −2.00 | −2.10 |")
    assert lines[5].endswith("| **−2.45** |")
    words = in_words(found)
    assert "Helps: Channel attention (+0.69 ± 0.06). Hurts: ZCA whitening (−2.45 ± 0.22)." in words
    assert "No difference shown: 1 of 4 options." in words
    # (0.8 + 0.7) / 2 = 0.75 and (0.69 + 0) / 2 = 0.345
    assert "The 2 assumed gains are +0.75 on the mean, and measured are +0.3" in words
    assert "1 of 2 lie in the interval" in words
    other, _ = found_in(rows_of({"zca": 0.01}, classes=4, dataset="cifar10"))
    laid = markdown(across([found, other]))
    assert "| option | group | assumed | MNIST | CIFAR-10 |" in laid
    assert "| ZCA whitening | before | – | **−2.45 ± 0.22, hurts** | +1.00 ± 0.00 |" in laid
    assert "| Channel attention | during | +0.80 | **+0.69 ± 0.06, helps** | – |" in laid
    for one in layouts(found):
        assert all(len(line) == len(one.columns) for part in one.parts for line in part)
        assert r"\end{tabular}" in latex(one)


def test_z_scores_show_that_no_bit_changes_beside_what_the_report_printed():
    rows = rows_of(GAINS)
    found, _ = found_in(rows)
    laid = markdown(z_score_table(found))
    assert "the same to the last bit in 20 of 20 runs" in laid
    assert "| 0 | 2 | 90.500000 | 90.500000 | – | 0 | 97.99 | 96.76 |" in laid
    for row in rows:
        if row["params"] == {"recipe": "fast", "objective": "one-class"} and row["normal"] == ["7"]:
            row["z_score"] = row["z_score"] | {"auc": row["auc"] + 1e-9}
    found, by_name = found_in(rows)
    laid = markdown(z_score_table(found))
    assert "18 of 20 runs" in laid
    assert "| 1.0e-09 |" in laid
    assert by_name[Z_SCORE].verdict == "no difference shown"  # and no longer exactly equal


def test_csv_has_every_class_and_the_mean():
    found, by_name = found_in(rows_of(GAINS))
    lines = list(csv.DictReader(io.StringIO(csv_table([found]))))
    zca = [line for line in lines if line["option"] == "zca"]
    assert [line["normal"] for line in zca] == [*map(str, range(10)), "mean"]
    assert float(zca[3]["gain"]) == pytest.approx(-0.023)
    assert float(zca[-1]["low"]) == by_name["zca"].effect.low
    assert zca[-1]["verdict"] == "hurts"
    assert json.dumps(found.values(), allow_nan=False)


# ---------------------------------------------------------------------- z-scores of real scores


def test_a_run_measures_the_auc_of_its_z_scores():
    spec = RunSpec(dataset="digits-8x8", normal=("3",), params={"epochs": 1, "pretrain_epochs": 1})
    result = run(spec, load_dataset("digits-8x8"))
    row = result.row()
    assert row["z_score"]["auc"] == row["z_score"]["auc_over_test_images"] == row["auc"]
    assert row["z_score"]["mean"] == result.detector.score_mean_
    standard = result.detector.z_score(result.split.X_test)
    scaled = (result.scores - row["z_score"]["mean"]) / row["z_score"]["std"]
    np.testing.assert_array_equal(standard, scaled)


@pytest.mark.slow
@given(
    scores=st.lists(st.floats(0, 2.0**20, width=32), min_size=4, max_size=60),
    mean=st.floats(0, 100, width=32),
    std=st.floats(2.0**-10, 100, width=32),
)
def test_standardising_scores_of_a_network_keeps_the_auc_to_the_last_bit(scores, mean, std):
    """Scores are float32, computed with in float64, so that no two of them become equal."""
    values = np.array([0.0, 1.0, *scores])
    truth = np.arange(len(values)) % 2
    kept = (values == 0) | (values > 1e-6)  # smaller ones may vanish beside the mean
    values, truth = values[kept], truth[kept]
    raw = z_score_aucs(truth, values, 0.0, 1.0)["auc"]
    assert z_score_aucs(truth, values, mean, std)["auc"] == raw


# ---------------------------------------------------------------------- rows, command line, page


def test_merged_rows_are_sorted_and_stay(tmp_path):
    path = tmp_path / "deep" / "rows.jsonl"
    rows = rows_of({"zca": 0.01}, classes=3)
    assert merge_rows(path, reversed(rows[4:])) == len(rows) - 4
    first = read_rows(path)
    changed = [row | {"auc": 0.0} for row in rows]
    assert merge_rows(path, changed) == 4
    merged = read_rows(path)
    assert [row for row in merged if row["auc"]] == first
    assert [(r["normal"], r["seed"]) for r in merged] == sorted(
        (r["normal"], r["seed"]) for r in rows
    )
    text = path.read_text()
    assert merge_rows(path, rows) == 0
    assert path.read_text() == text
    assert {file.name for file in path.parent.iterdir()} <= {"rows.jsonl", "rows.jsonl.lock"}


def test_command_line_runs_continues_and_prints(tmp_path, capsys, short):
    store, out = tmp_path / "runs.sqlite", tmp_path / "rows.jsonl"
    study = ["ablate", "digits-8x8", "--normal", "3,5", "--store", str(store)]
    options = ["--options", "attention,residual,z-score"]
    assert main([*study, "--table"]) == 2
    assert "There is no store" in capsys.readouterr().err
    assert main([*study, *short, "--options", "attention", "--no-groups", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["runs"], said["finished"], said["failed"]) == (4, 4, 0)
    assert said["findings"][0]["comparisons"][0]["pairs"] == 2
    assert main([*study, *short, *options, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert "8 runs; 4 are finished already" in captured.err
    assert "holds 8 runs" in captured.err
    assert "The AUC is the same" in captured.out
    assert "the same to the last bit in 2 of 2 runs" in captured.out
    assert {one.attempts for one in Store(store).runs()} == {1}
    elsewhere = ["--store", str(tmp_path / "elsewhere.sqlite"), "--out", str(out)]
    assert main([*study[:-2], *elsewhere, *short, *options]) == 0
    assert "8 runs; 8 are finished already" in capsys.readouterr().err
    assert main([*study, *options, "--table", "--format", "csv"]) == 0
    table = capsys.readouterr().out
    assert len(table.splitlines()) == 1 + 4 * 3
    assert main(["ablate", "--from", str(out), *options, "--format", "csv"]) == 0
    assert capsys.readouterr().out == table
    assert main(["ablate", "--from", str(out), "--format", "markdown"]) == 0
    assert "Not measured: Input standardisation" in capsys.readouterr().out


def test_command_line_says_what_is_wrong(tmp_path, capsys):
    empty = tmp_path / "rows.jsonl"
    empty.write_text("")
    for arguments, message in (
        ([], "Name a data set"),
        (["digits-8x8", "--options", "zzz"], "Unknown option 'zzz'"),
        (["digits-8x8", "--normal", "11"], "normal class 11"),
        (["digits-8x8", "--format", "html"], "terminal, markdown, latex, csv"),
        (["--from", str(tmp_path / "none.jsonl")], "There is no file"),
        (["--from", str(empty)], "no runs of this study"),
        (["mnist", "--from", str(empty)], "on mnist"),
    ):
        assert main(["ablate", *arguments, "--store", str(tmp_path / "r.sqlite")]) == 2
        assert message in capsys.readouterr().err


def test_the_page_is_written_from_rows(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    blocks = importlib.import_module("ablation_blocks")
    monkeypatch.delitem(sys.modules, "ablation_blocks")
    monkeypatch.setattr(blocks, "RESULTS", tmp_path)
    assert {write() for name, write in blocks.BLOCKS.items() if name != "ablation-options"} == {
        blocks.NOT_YET
    }
    merge_rows(tmp_path / "mnist-ablation.jsonl", rows_of(GAINS))
    assert "**−2.45 ± 0.22, hurts**" in blocks.BLOCKS["ablation"]()
    assert "- **MNIST**: Helps: Channel attention" in blocks.BLOCKS["ablation"]()
    assert "20 of 20 runs" in blocks.BLOCKS["ablation-mnist-z-score"]()
    assert blocks.BLOCKS["ablation-cifar10-gains"]() == blocks.NOT_YET
    assert blocks.BLOCKS["ablation-options"]().count("\n") == 2 + len(OPTIONS)
    used = (ROOT / "docs" / "ablation.md").read_text(encoding="utf-8")
    assert all(f"<!-- results: {name} -->" in used for name in blocks.BLOCKS)
