"""Runs that are shown labelled anomalies: what they get, what they must not get, and the studio."""

import numpy as np
import pytest

from axe import grave_violations
from insphere.data.split import OneClassSplit
from insphere.detectors import DeepSAD
from insphere.errors import DataError, SpecError
from insphere.experiments.runs.display_names import run_names
from insphere.experiments.runs.labelled_data import labelled_anomalies
from insphere.experiments.runs.run import run
from insphere.experiments.runs.run_builder import RunChoice, baseline_of
from insphere.experiments.runs.spec import KnownAnomalies, RunSpec
from insphere.experiments.runs.sweep_file import make_sweep
from insphere.experiments.store.run_store import Store
from insphere.modalities.examples import load_named
from insphere.scoring.metrics import evaluate_scores

WAIT = 120_000
QUICK = {"epochs": 2, "pretrain_epochs": 1}


def spec(**params):
    return RunSpec(dataset="digits-8x8", normal=("3",), method="deep-sad", params=QUICK | params)


def test_a_run_is_shown_anomalies_of_the_training_part_alone():
    data = load_named("digits-8x8")
    asked = spec(anomalies={"classes": [5], "share": 0.1})
    result = run(asked, data)
    split = OneClassSplit(data, "3")
    index = labelled_anomalies(split, asked.known_anomalies, 0)
    assert len(index) == round(len(split.train) / 9)
    assert set(data.labels[index]) == {data.class_index("5")}
    assert not set(index) & set(split.test)
    X = np.concatenate([data.images[split.train], data.images[index]])
    y = np.repeat([0, -1], [len(split.train), len(index)])
    direct = DeepSAD(**QUICK, contamination=0.05, random_state=0).fit(X, y)
    np.testing.assert_array_equal(result.scores, direct.anomaly_score(split.X_test))
    use = result.row()["labels"]
    assert (use["labelled_anomalies"], use["anomalous_classes"]) == (len(index), ["5"])
    fives = data.labels[split.test] == data.class_index("5")
    for name, part in (("labelled", fives), ("other", ~fives)):
        shown = (split.truth == 0) | part
        auc = evaluate_scores(split.truth[shown], result.scores[shown]).auc
        assert use[f"auc_of_{name}_classes"] == auc


def test_runs_with_other_anomalies_are_told_apart():
    asked = [spec(), *(spec(anomalies={"classes": ["5"], "share": s}) for s in (0.01, 0.1))]
    assert list(run_names(asked).values()) == [
        "Deep SAD",
        "Deep SAD, shown 1 % anomalies (5)",
        "Deep SAD, shown 10 % anomalies (5)",
    ]
    number = spec(anomalies={"classes": [5], "share": 0.1})
    assert number.identity == asked[2].identity
    assert "anomalies" not in baseline_of(asked[1]).params
    choice = RunChoice(dataset="digits-8x8", normal=("3",), anomalies=("5",), **QUICK)
    assert "anomalies" not in choice.spec().params  # Deep SVDD learns from none
    learner = choice.model_copy(update={"method": "deep-sad", "anomaly_share": 0.1})
    assert learner.spec() == asked[2]
    sweep = make_sweep(
        {"name": "a", "datasets": "digits-8x8", "normal": 3, "methods": [
            {"method": "deep-sad", "params": QUICK,
             "grid": {"anomalies": [{"classes": [5], "share": 0.1}]}}]}
    )  # fmt: skip
    sweep.check()
    assert sweep.runs()[0].spec == asked[2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "knn"}, "learns from normal samples alone: leave out anomalies"),
        ({"normal": ("5",)}, "class 5 is normal and cannot be among the anomalies"),
        ({"params": {"anomalies": {"classes": [], "share": 0.1}}}, "anomalies.*classes"),
        ({"params": {"anomalies": {"classes": ["5"], "share": 1}}}, "anomalies.*share"),
        ({"params": {"anomalies": 5}}, "anomalies"),
    ],
)
def test_what_cannot_be_shown_is_refused(changes, said):
    given = spec(anomalies={"classes": ["5"], "share": 0.1}).model_dump()
    with pytest.raises(SpecError, match=said):
        RunSpec(**given | changes).detector()


def test_too_few_anomalies_are_said_with_what_is_possible():
    split = OneClassSplit(load_named("digits-8x8"), "3")
    with pytest.raises(DataError, match=r"that a share of 0.9 takes: at most 0\.\d+ is possible"):
        labelled_anomalies(split, KnownAnomalies(classes=["5"], share=0.9), 0)


def test_the_studio_shows_known_anomalies_to_a_method_that_learns(studio, visit):
    page = visit("/compare?dataset=digits-8x8&normal=3&epochs=1&pretrain=1")
    learner = "[aria-label=Method] [role=radio]:has-text('Deep SAD')"
    assert page.locator(learner).count() == 0
    page.click("summary:has-text('Some anomalies are known')")
    known = "[aria-label='Known anomalies'] [role=checkbox]"
    assert page.locator(known).count() == 9
    page.click(f"{known}[aria-label='5']")
    page.click(learner)
    page.wait_for_selector("aside :text('shown 5 % anomalies: 5')")
    page.select_option("select[name='share of the training images']", "0.1")
    page.wait_for_selector("aside :text('shown 10 % anomalies: 5')")
    assert grave_violations(page) == []
    # What becomes normal is no known anomaly any more; without any, nothing learns from them.
    page.click("[aria-label='Normal class'] [aria-label='5']")
    page.wait_for_selector("aside h2:has-text('5')")
    page.wait_for_function("!location.search.includes('known')")
    assert page.locator(learner).count() == 0
    page.goto(
        f"{studio.address}/compare?dataset=digits-8x8&normal=3&method=deep-sad&epochs=1&pretrain=1"
        "&known=%5B%225%22%2C%223%22%2C%22x%22%5D&share=0.1"
    )
    page.wait_for_selector("aside :text('shown 10 % anomalies: 5')")
    page.click("[data-test=train]")
    page.wait_for_url("**/runs/*")
    page.wait_for_selector("[data-test=labelled]", timeout=WAIT)
    said = page.inner_text("[data-test=labelled]")
    assert (
        "images of the class 5 that are labelled as anomalous; baseline and controls were not"
        in said
    )
    assert "on anomalies of classes that it never saw" in said
    assert "share=0.1" in page.get_attribute(".crumb a", "href")
    store = Store(studio.store_path)
    own = store.get(page.url.partition("/runs/")[2].partition("?")[0]).spec
    assert own.params["anomalies"] == {"classes": ["5"], "share": 0.1}
    store.close()
