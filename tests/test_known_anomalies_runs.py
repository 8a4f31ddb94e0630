"""Runs that are shown labelled anomalies: what they get, what they must not get, and the studio."""

import numpy as np
import pytest
from PIL import Image

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
    assert spec(anomalies=None).identity == asked[0].identity
    both, again = (spec(anomalies={"classes": c, "share": 0.1}) for c in ([7, "5"], ["5", "7", 5]))
    assert both.identity == again.identity
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
    page.wait_for_selector(learner, state="detached")
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


SMALL = "/compare?dataset=digits-8x8&normal=3&epochs=1&pretrain=1"
OTHER = "select[name='other images']"
SHARE = "select[name='share of the training images']"


def write_images(folder, count, size=(12, 20, 3)):
    """Write colour images that show no digit."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, size, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def shown_to(studio, page):
    store = Store(studio.store_path)
    found = store.get(page.url.partition("/runs/")[2].partition("?")[0])
    store.close()
    return found.spec.params["anomalies"]


def test_the_studio_shows_images_of_any_folder_to_a_method_that_learns(studio, visit):
    write_images(studio.data / "textures", 12)
    (studio.data / "broken").mkdir()
    (studio.data / "broken" / "a.png").write_bytes(b"no image")
    page = visit(SMALL)
    page.click("summary:has-text('Some anomalies are known')")
    page.click("[aria-label='Known anomalies'] [aria-label='5']")
    names = page.locator(f"{OTHER} option").all_inner_texts()
    assert {"none", "broken", "textures"} <= set(names)
    assert not [name for name in names if "8×8" in name]  # which the normal images are from
    page.select_option(OTHER, label="broken")
    page.wait_for_selector("[role=alert]:has-text('The anomalies cannot be read: 1 of 1 images')")
    page.select_option(OTHER, label="textures")
    page.wait_for_selector("[data-test=n-others]:has-text('12 other images.')")
    assert page.locator("[aria-label='Known anomalies'] [aria-checked=true]").count() == 0
    page.click("[aria-label=Method] [role=radio]:has-text('Deep SAD')")
    page.select_option(SHARE, "0.2")
    page.wait_for_selector("aside [role=alert]:has-text('at most 0.1')")
    assert not page.is_visible("[data-test=train]")
    page.select_option(SHARE, "all")
    page.wait_for_selector("aside :text('shown other images: textures')")
    assert grave_violations(page) == []
    page.click("[data-test=train]")
    page.wait_for_url("**/runs/*")
    page.wait_for_selector("[data-test=labelled]", timeout=WAIT)
    said = page.inner_text("[data-test=labelled]")
    assert "It was shown 12 images of textures that are labelled as anomalous" in said
    assert "AUC" not in said
    assert page.inner_text("h1") == "Deep SAD, shown other images (textures)"
    assert "others=textures-" in page.get_attribute(".crumb a", "href")
    assert shown_to(studio, page) == {"source": str(studio.data / "textures")}
    # No class can be offered for a small sweep either, and it is said why.
    page.goto(f"{studio.address}/experiments")
    page.select_option("#sweep select[name=images]", label="broken")
    page.wait_for_selector("#sweep [role=alert]:has-text('broken cannot be read')")
    assert page.inner_text("#sweep select[name=images] option:checked") != "broken"


def test_images_that_are_brought_are_known_anomalies_too(studio, visit, tmp_path):
    files = write_images(tmp_path / "given", 6)
    page = visit(SMALL)
    page.click("summary:has-text('Some anomalies are known')")
    page.click("[data-test=bring-others]")
    page.wait_for_function("document.querySelector('[data-test=other-photos]')?.ready")
    page.set_input_files("[data-test=other-files]", files)
    page.wait_for_selector("[data-test=n-others]:has-text('6 other images.')")
    page.wait_for_function("location.search.includes('others=other-images-')")
    page.reload()
    page.wait_for_selector("[data-test=n-others]:has-text('6 other images.')")
    assert page.inner_text(f"{OTHER} option:checked").startswith("other-images-")
    page.click("[aria-label=Method] [role=radio]:has-text('Deep SAD')")
    page.wait_for_selector("aside :text('shown 5 % other images: other-images-')")
    # A class that is ticked takes their place.
    page.click("[aria-label='Known anomalies'] [aria-label='5']")
    page.wait_for_selector("aside :text('shown 5 % anomalies: 5')")
    assert page.input_value(OTHER) == ""


def test_a_small_sweep_shows_anomalies_and_has_one_model_for_each_class(studio, visit):
    page = visit("/experiments")
    page.select_option("#sweep select[name=images]", "digits-8x8")
    page.wait_for_selector("#sweep [data-source='digits-8x8']")
    for digit in "0126789":
        page.uncheck(f"#sweep input[name='{digit}']")
    for name, value in (("pretraining-epochs", "1"), ("training-epochs", "1")):
        page.fill(f"#sweep input[name={name}]", value)
        page.press(f"#sweep input[name={name}]", "Tab")
    assert page.locator("#sweep input[name=deep-sad]").count() == 0
    page.click("#sweep summary:has-text('Some anomalies are known')")
    page.click("#sweep [aria-label='Known anomalies'] [role=checkbox]:has-text('5')")
    page.check("#sweep input[name=deep-sad]")
    page.wait_for_selector("#sweep :text-is('5 runs')")  # Deep SAD is not run where 5 is normal
    page.click("#sweep [role=radio]:has-text('All of them together')")
    page.wait_for_selector("#sweep :text('The class 5 is normal and cannot be a known anomaly')")
    page.uncheck("#sweep input[name='5']")
    page.check("#sweep input[name=knn]")
    page.uncheck("#sweep input[name=deep-svdd]")
    page.click("#sweep [aria-label=Models] [role=radio]:has-text('One for each class')")
    page.wait_for_selector("#sweep :text-is('3 runs')")
    assert grave_violations(page) == []
    page.click("[data-test=start-sweep]")
    page.wait_for_selector("[data-test=sweep]:has-text('3 of 3 finished')", timeout=WAIT)
    store = Store(studio.store_path)
    params = {one.method: [] for one in store.runs()}
    for one in store.runs():
        if one.normal == ["3", "4"]:
            params[one.method].append(one.params)
    store.close()
    assert params["deep-sad"] == [
        {"anomalies": {"classes": ["5"], "share": 0.05}, "epochs": 1, "pretrain_epochs": 1}
    ]
    assert sorted(params["knn"], key=len) == [{}, {"by_class": True}]
