"""Other kinds of data than images in the studio, in a real browser: train, compare, see why."""

import pytest

from insphere.detectors.registry import method_card
from insphere.experiments.execution.worker import Worker
from insphere.experiments.runs.run_builder import baseline_of, comparable_methods, controls_of
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.run_store import Store
from insphere.modalities.examples import kind_of_example, kinds_with_examples, load_named
from insphere.modalities.modality import Modality

WAIT = 240_000
SEEN = {
    "breast-cancer": ("contributions", "nearest"),
    "share-prices": ("curves",),
    "news-and-reviews": ("words", "nearest"),
    "karate-club": ("surroundings", "nearest"),
}
"""What the inspection of a sample of each example shows."""
OFFERED = {kind.example.name for kind in kinds_with_examples()}
"""The example of texts needs an extra of its own."""


def test_each_kind_has_an_example_with_methods_of_its_own():
    kinds = {kind.example.name: kind for kind in kinds_with_examples()}
    assert {*kinds, "news-and-reviews"} == set(SEEN)
    for name, kind in kinds.items():
        data = load_named(name)
        spec = RunSpec(dataset=name, normal=data.normal_classes, method=kind.method)
        others = [baseline_of(spec), *controls_of(spec)]
        assert baseline_of(spec) == spec
        for one in others:
            assert kind.key in method_card(one.method).takes
        assert kind.method in comparable_methods(kind.key)
        assert len(kind.called(data, spec.reading.split(data).test[:3])) == 3
    assert kind_of_example("digits-8x8") is None


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEN)
def test_a_run_of_another_kind_is_chosen_trained_compared_and_looked_at(studio, visit, name):
    if name not in OFFERED:
        pytest.skip("the packages of this example are not installed")
    kind: type[Modality] = kind_of_example(name)
    page = visit("/compare")
    page.click(f"[role=radio]:has-text('{kind.example.title}')")
    page.wait_for_url(f"**dataset={name}**")
    title = method_card(kind.method).title
    chosen = page.locator("[aria-label=Method] [role=radio][aria-checked=true]")
    chosen.wait_for()
    assert title in chosen.inner_text()
    methods = page.locator("[aria-label=Method] [role=radio]").count()
    assert methods == len(comparable_methods(kind.key))
    page.click("[data-test=train]")
    page.wait_for_url("**/runs/*")
    page.wait_for_selector("[data-state=finished]", timeout=WAIT)
    assert float(page.inner_text("[data-test=auc]").strip("%\n ")) > 50
    page.wait_for_selector("[data-test=samples] a >> nth=0")
    page.click("[data-test=samples] a >> nth=0")
    page.wait_for_selector(".sheet [data-test=verdict]", timeout=WAIT)
    for what in SEEN[name]:
        assert page.locator(f".sheet [data-test={what}]").count(), what
    assert "image=" in page.url
    page.keyboard.press("Escape")
    page.wait_for_function("!location.search.includes('image=')")


@pytest.mark.slow
def test_runs_of_images_and_of_rows_live_side_by_side(studio, visit):
    store = Store(studio.store_path)
    spec = RunSpec(dataset="breast-cancer", normal=("benign",), method="knn")
    store.add([spec])
    with Worker(store, save_models=True, live=True) as worker:
        worker.run(spec)
    assert store.get(spec.identity).state == "finished"
    store.close()
    page = visit("/models")
    page.wait_for_selector(f"a[href='/runs/{spec.identity}']")
    assert page.locator(f"a[href='/look?model={spec.identity}']").count() == 0
    page = visit("/experiments")
    page.wait_for_selector("tbody tr")
    page = visit("/look")
    page.wait_for_selector("h1")
