"""The recipe best is the default of Deep SVDD, for what it is made for and wherever it is used."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from insphere import DeepSVDD
from insphere.cli.app import main
from insphere.data.load import load_dataset
from insphere.detectors import load_detector
from insphere.detectors.registry import METHODS, build_detector, default_recipe
from insphere.detectors.spheres import deep_svdd
from insphere.detectors.spheres.untrained import UntrainedDeepSVDD
from insphere.errors import SpecError
from insphere.experiments.runs.run import run
from insphere.experiments.runs.run_builder import RunChoice, baseline_of
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.runs.sweep_file import make_sweep
from insphere.nets.spec import NAMED
from insphere.training.recipe import BEST, FAST
from insphere.workflows.time_to_fit import each_phase

DIGITS = "digits-8x8"
SHORT = {"pretrain_epochs": 1, "contamination": 0.05, "random_state": 0}
COMPACT, MNIST = NAMED["compact"], NAMED["mnist"]


@pytest.fixture(autouse=True)
def hardly_pretrained():
    """One epoch teaches little, which is said each time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*can hardly be told")
        yield


@pytest.fixture(scope="module")
def threes(mnist):
    images, target = mnist
    return images[target == 3][:60]


def chosen(detector):
    """What was chosen: pretraining, head and network."""
    spec = detector.spec_
    return spec.pretraining.kind, spec.head.kind, spec.encoder


def test_of_images_everything_is_as_in_best(threes):
    default, named = DeepSVDD(**SHORT).fit(threes), DeepSVDD(recipe="best", **SHORT).fit(threes)
    assert chosen(default) == ("rotation", "combined", COMPACT)
    assert default.spec_ == named.spec_
    assert_array_equal(default.anomaly_score(threes), named.anomaly_score(threes))
    whole = DeepSVDD()
    assert (whole.recipe, whole.trains_head((1, 28, 28))) == ("best", False)
    control = UntrainedDeepSVDD(contamination=0.05, random_state=0).fit(threes)
    assert chosen(control) == chosen(default)
    assert control.spec_.recipe.pretrain == BEST.pretrain


@pytest.mark.parametrize("kind", ["table", "tiny"])
def test_what_best_is_not_made_for_is_as_in_fast(kind, threes):
    rows = np.random.default_rng(0).normal(size=(60, 5))
    X = rows if kind == "table" else np.ascontiguousarray(threes[:, ::4, ::4])
    options = SHORT | {"epochs": 1}
    default, fast = DeepSVDD(**options).fit(X), DeepSVDD(recipe="fast", **options).fit(X)
    assert default.spec_ == fast.spec_
    assert_array_equal(default.anomaly_score(X), fast.anomaly_score(X))
    plain = DeepSVDD()
    assert plain.trains_head((5,))
    assert not plain.takes_best((1, 7, 7))


@pytest.mark.parametrize(
    "given", [{"pretrain_epochs": 0}, {"pretraining": None}, {"pretraining": "autoencoder"}, {}]
)
def test_with_epochs_or_without_a_pretraining_that_looks_at_views_it_is_as_in_fast(given, threes):
    options = SHORT | {"epochs": 1} | given
    default, fast = DeepSVDD(**options).fit(threes), DeepSVDD(recipe="fast", **options).fit(threes)
    assert default.spec_ == fast.spec_
    assert (default.spec_.encoder, default.spec_.head.kind) == (MNIST, "center")
    assert_array_equal(default.anomaly_score(threes), fast.anomaly_score(threes))
    assert len([one for one in default.history_ if one["phase"] == "train"]) == 1


@pytest.mark.parametrize(
    ("given", "weights", "epochs"),
    [
        ({"pretraining": "rotation", "epochs": 2}, False, 2),
        ({"lr": 1e-4}, False, FAST.train.epochs),
        ({"objective": "soft-boundary"}, False, FAST.train.epochs),
        ({"pollution": 0.1}, False, FAST.train.epochs),
        ({"regularizers": {"variance": 1.0}}, False, FAST.train.epochs),
        ({}, True, FAST.train.epochs),
    ],
)
def test_what_asks_for_a_sphere_gets_one_around_the_pretrained_network(
    given, weights, epochs, threes
):
    X = threes[:12]
    weighted = {"sample_weight": np.linspace(1, 2, len(X))} if weights else {}
    detector = DeepSVDD(**SHORT | given).fit(X, **weighted)
    assert chosen(detector) == ("rotation", "center", COMPACT)
    assert detector.spec_.recipe.train.epochs == epochs
    assert [one["phase"] for one in detector.history_].count("train") >= epochs
    if "lr" in given:
        assert detector.spec_.recipe.train.lr == given["lr"]


def test_classes_get_spheres_around_the_pretrained_network(mnist):
    images, target = mnist
    X = np.concatenate([images[target == digit][:30] for digit in (0, 1)])
    detector = DeepSVDD(epochs=1, pretraining="rotation", **SHORT).fit(X, np.repeat([0, 1], 30))
    assert chosen(detector) == ("rotation", "centers", COMPACT)
    assert detector.classes_ == [0, 1]


def test_what_is_named_stays(threes):
    named = DeepSVDD(encoder="mnist", head="neighbors", epochs=1, **SHORT).fit(threes)
    assert chosen(named) == ("rotation", "neighbors", MNIST)
    form = {"kind": "rotation", "mirror": "ignored"}
    mirrored = DeepSVDD(pretraining=form, **SHORT).fit(threes)
    assert mirrored.spec_.pretraining.mirror == "ignored"
    changed = DeepSVDD(encoder={"base": "auto", "rep_dim": 16}, **SHORT).fit(threes)
    assert changed.spec_.encoder == COMPACT.derive({"rep_dim": 16})
    fast = DeepSVDD(recipe="fast", epochs=1, **SHORT).fit(threes)
    assert chosen(fast) == ("autoencoder", "center", MNIST)


def test_several_processes_are_told_what_to_do(threes, monkeypatch):
    monkeypatch.setattr(deep_svdd, "ranks", lambda: 2)
    with pytest.raises(SpecError, match="without torchrun, or take recipe=fast"):
        DeepSVDD(**SHORT).fit(threes)


def test_few_images_and_long_ones_are_ranked(threes, mnist):
    images, target = mnist
    few = DeepSVDD(**SHORT | {"pretrain_epochs": 20}).fit(threes[:8])
    scores = few.anomaly_score(images[target == 0][:50])
    assert len(np.unique(scores)) == 50  # in spite of the small spread of so few
    long = np.random.default_rng(0).integers(0, 256, (12, 8, 300, 1), dtype=np.uint8)
    assert np.isfinite(DeepSVDD(**SHORT).fit(long).anomaly_score(long)).all()


def test_each_phase_of_a_training_is_timed():
    assert each_phase(DeepSVDD(), (28, 28, 1)) == [{}]
    sphere = [{}, {"pretrain_epochs": 0, "encoder": "compact"}]
    assert each_phase(DeepSVDD(objective="soft-boundary"), (28, 28, 1)) == sphere
    both = [{"epochs": 1}, {"pretrain_epochs": 0}]
    assert each_phase(DeepSVDD(recipe="fast"), (28, 28, 1)) == both
    assert each_phase(DeepSVDD(), (5,)) == both


def test_its_relatives_keep_their_defaults():
    found = {method: default_recipe(method) for method in METHODS}
    assert {m for m, recipe in found.items() if recipe == "best"} == {"deep-svdd", "untrained"}
    fast = {m for m, recipe in found.items() if recipe == "fast"}
    assert {"deep-sad", "hsc", "fcdd", "dcae", "softmax"} <= fast
    assert (found["knn"], default_recipe("a method of tomorrow")) == (None, None)


@pytest.mark.parametrize("recipe", [None, "fast"])
def test_it_is_the_same_from_everywhere(recipe, tmp_path, capsys):
    data = load_dataset(DIGITS, progress=False)
    given = {"pretrain_epochs": 2} | ({} if recipe is None else {"recipe": recipe, "epochs": 1})
    spec = RunSpec(dataset=DIGITS, normal=("3",), params=given)
    split = spec.reading.split(data)
    options = {"contamination": 0.05, **given}
    direct = DeepSVDD(random_state=0, **options).fit(split.X_train)
    assert chosen(direct)[0] == ("rotation" if recipe is None else "autoencoder")
    expected = direct.anomaly_score(split.X_test)
    built = build_detector("deep-svdd", options, seed=0).fit(split.X_train)
    assert_array_equal(built.anomaly_score(split.X_test), expected)
    assert_array_equal(run(spec, data).detector.anomaly_score(split.X_test), expected)
    part = {"method": "deep-svdd", "params": given}
    sweep = make_sweep({"name": "s", "datasets": DIGITS, "normal": ["3"], "methods": [part]})
    assert [one.spec for one in sweep.runs()] == [spec]
    typed = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    typed = [word.replace("_", "-") for word in typed]
    command = ["fit", DIGITS, "--normal", "3", "--contamination", "0.05", "-q", *typed]
    assert main([*command, "--out", str(tmp_path / "model")]) == 0
    capsys.readouterr()
    fitted = load_detector(tmp_path / "model")
    assert_array_equal(fitted.anomaly_score(split.X_test), expected)


def test_the_form_of_the_studio_shows_the_default_of_the_method():
    pytest.importorskip("nicegui")
    from insphere.studio.form_state import FormState, address_of
    from insphere.studio.pages.compare import RECIPES

    source = SimpleNamespace(key=DIGITS, dataset=DIGITS)
    studio = SimpleNamespace(sources=SimpleNamespace(all=lambda: [source]))
    given = {"normal": "3", "threshold": "training"}
    form = FormState(studio, given)
    assert list(RECIPES) == ["best", "fast", "paper"]
    assert (form.recipe, form.choice().spec().params) == ("best", {})
    assert "recipe" not in form.address()
    fast = FormState(studio, given | {"recipe": "fast"})
    assert (fast.recipe, fast.choice().spec().params) == ("fast", {"recipe": "fast"})
    assert "recipe=fast" in fast.address()
    assert "recipe=fast" in address_of(source, fast.choice().spec())
    other = FormState(studio, given | {"method": "dcae"})
    assert (other.recipe, other.choice().spec().params) == ("fast", {})
    assert baseline_of(other.choice().spec()) == RunChoice(dataset=DIGITS, normal=("3",)).spec()
