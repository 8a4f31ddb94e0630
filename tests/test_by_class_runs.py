"""Runs of one model for all normal classes, or one for each of them: names, sweeps, the studio."""

import numpy as np
import pytest

from axe import grave_violations
from insphere.data.split import OneClassSplit
from insphere.detectors import KNNDetector
from insphere.errors import SpecError
from insphere.experiments.runs.display_names import in_words, run_names, settings_key
from insphere.experiments.runs.run import run
from insphere.experiments.runs.run_builder import RunChoice, baseline_of, counterpart_of
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.runs.sweep_file import make_sweep
from insphere.experiments.store.run_store import Store
from insphere.modalities.examples import load_named

WAIT = 120_000


def spec(**params):
    return RunSpec(dataset="digits-8x8", normal=("3", "5"), method="knn", params=params)


def test_a_run_by_class_gives_the_detector_the_classes():
    data = load_named("digits-8x8")
    result = run(spec(by_class=True), data)
    assert result.detector.classes_ == ["3", "5"]
    split = OneClassSplit(data, ["3", "5"])
    names = np.array(data.class_names)[data.labels[split.train]]
    direct = KNNDetector(contamination=0.05, random_state=0).fit(split.training, names)
    np.testing.assert_array_equal(result.scores, direct.anomaly_score(split.X_test))
    assert result.row()["labels"] == {"normal_classes": 2}
    assert (result.scores != run(spec(), data).scores).any()


def test_both_are_told_apart_by_identity_and_name():
    one, each = spec(), spec(by_class=True)
    assert spec(by_class=False).identity == one.identity != each.identity
    assert counterpart_of(one) == each
    assert counterpart_of(each) == one
    assert settings_key(one) != settings_key(each)
    assert list(run_names([one, each]).values()) == [
        "2-nearest-neighbour on pixels",
        "2-nearest-neighbour on pixels, one for each class",
    ]
    assert in_words({"n_neighbors": 3, "by_class": True}) == "n_neighbors 3, one for each class"
    alone = RunSpec(dataset="digits-8x8", normal=("3",), method="knn")
    assert counterpart_of(alone) is None
    soft = RunChoice(
        dataset="digits-8x8", normal=("3", "5"), objective="soft-boundary", by_class=True
    )
    assert not soft.spec().by_class
    deep = RunChoice(dataset="digits-8x8", normal=("3", "5"), by_class=True)
    assert [one.by_class for one in deep.specs()] == [True, *[False] * (len(deep.specs()) - 1)]
    assert counterpart_of(deep.spec()) == baseline_of(deep.spec())


def test_a_sweep_has_it_among_the_parameters():
    sweep = make_sweep(
        {"name": "a", "datasets": "digits-8x8", "normal": [["3", "5"]],
         "methods": [{"method": "knn", "grid": {"by_class": [False, True]}}]}
    )  # fmt: skip
    sweep.check()
    assert [one.column for one in sweep.runs()] == list(
        run_names([spec(), spec(by_class=True)]).values()
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "isolation-forest"}, "one normal class only: leave out by_class"),
        ({"normal": ("3",)}, "there is one: name several"),
        ({"params": {"by_class": 3}}, "true or false, but got 3"),
    ],
)
def test_what_cannot_be_by_class_is_refused(changes, said):
    with pytest.raises(SpecError, match=said):
        RunSpec(**spec(by_class=True).model_dump() | changes).detector()


def test_the_studio_trains_one_for_each_class_beside_one_for_all(studio, visit):
    page = visit("/compare?dataset=digits-8x8&normal=3&also=%5B%225%22%5D&method=isolation-forest")
    models = "[aria-label=Models] [role=radio]"
    page.wait_for_selector(f"{models}[aria-checked=true]:has-text('One model for all')")
    assert page.locator(f"{models}:has-text('One for each class')").is_disabled()
    page.click("[aria-label=Method] [role=radio]:has-text('2-nearest-neighbour')")
    page.wait_for_selector(f"{models}:has-text('One for each class'):enabled")
    page.click(f"{models}:has-text('One for each class')")
    page.wait_for_selector("aside :text('one for each class')")
    page.wait_for_function("location.search.includes('models=each')")
    assert "One model for all is trained beside it" in page.inner_text("aside")
    assert grave_violations(page) == []
    page.click("[data-test=train]")
    page.wait_for_url("**/runs/*")
    page.wait_for_selector("[data-state=finished]", timeout=WAIT)
    assert page.inner_text("h1") == "2-nearest-neighbour on pixels, one for each class"
    beside = page.locator(".scale:has-text('2-nearest-neighbour on pixels')")
    page.wait_for_function(
        "[...document.querySelectorAll('.scale')].filter((one) =>"
        " one.textContent.includes('2-nearest') && !one.textContent.includes('…')).length == 2",
        timeout=WAIT,
    )
    assert beside.count() == 2
    assert "models=each" in page.get_attribute(".crumb a", "href")
    page.click("[data-image] >> nth=0")
    page.wait_for_selector(".sheet [data-test=verdict], .sheet [role=alert]", timeout=WAIT)
    assert page.locator(".sheet [role=alert]").count() == 0
    store = Store(studio.store_path)
    runs = {one.identity: one for one in store.runs()}
    own = runs[page.url.partition("/runs/")[2].partition("?")[0]].spec
    assert own.by_class
    assert not runs[counterpart_of(own).identity].spec.by_class
    store.close()
    # The other run shows it too.
    page.goto(f"{studio.address}/runs/{counterpart_of(own).identity}")
    page.wait_for_selector(".scale:has-text('one for each class')")
