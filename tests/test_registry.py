"""The table of methods, and what each says about itself, is all that anything else asks."""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import insphere
import insphere.detectors.shallow
from insphere.cli import main
from insphere.detectors import PretrainedFeatures
from insphere.detectors.method_table import METHODS, Entry, find_method, method_key
from insphere.detectors.registry import (
    FAMILIES,
    build_detector,
    detector_class,
    method_card,
    method_title,
    parameters_of,
)
from insphere.errors import DataError, SpecError
from insphere.experiments.runs.run_builder import (
    RunChoice,
    comparable_methods,
    controls_of,
    takes_options,
)
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.runs.sweep_file import make_sweep
from insphere.workflows.fit_config import FitConfig, make_config

SOURCE = Path(insphere.__file__).parent

# ---------------------------------------------------------------- cards


@pytest.mark.parametrize("method", METHODS)
def test_a_card_says_what_is_true(method):
    cls, card = detector_class(method), method_card(method)
    assert card.key == method
    assert card.title
    assert card.summary
    assert not card.summary.endswith(".")
    assert card.family in FAMILIES
    assert cls.__module__ == METHODS[method].module
    assert card.needs_pretrained == hasattr(cls, "backbone")
    known = set(cls().get_params(deep=False))
    assert set(card.idle) <= known
    assert set(card.grid) <= known
    assert parameters_of(method) == known - set(card.idle)
    if card.has_options:
        assert {"encoder", "preprocess", "allow_collapse"} <= known


@pytest.mark.parametrize("method", [m for m in METHODS if method_card(m).takes == ("images",)])
def test_what_takes_images_only_refuses_tables(method):
    rows = np.random.default_rng(0).normal(size=(40, 6))
    with pytest.raises(DataError, match=r"takes images, but got a table"):
        build_detector(method, {}, seed=0).fit(rows)


def test_roles():
    controls = [m for m in METHODS if method_card(m).is_control]
    assert [m for m in controls if "images" in method_card(m).takes] == ["untrained", "knn"]
    assert [m for m in METHODS if takes_options(m)] == [
        "deep-svdd", "deep-sad", "hsc", "untrained",
    ]  # fmt: skip
    no_images = {m for m in METHODS if "images" not in method_card(m).takes}
    assert {"table-svdd", "series-svdd"} <= no_images
    with_labels = {"softmax", "deep-sad", "hsc", "fcdd-labelled"}
    assert set(METHODS) - set(comparable_methods()) == with_labels | no_images
    spec = RunSpec(dataset="mnist", normal=("3",), params={"encoder": {"residual": True}})
    untrained, pixels = controls_of(spec)
    assert (untrained.method, untrained.params) == ("untrained", spec.params)
    assert (pixels.method, pixels.params) == ("knn", {})


def test_every_public_name_can_be_imported():
    for package in (insphere, insphere.detectors):
        for name in package.__all__:
            assert getattr(package, name) is not None


def test_no_other_list_of_methods():
    """Two or more keys of methods side by side are a list; these few choose what to compare."""
    chosen = {
        "__init__.py",  # the two that can be imported from the package itself
        "detectors/combined/combination.py",  # what is combined if nothing is named
        "experiments/demo.py",  # the rivals of the demonstration
        "modalities/modality.py",  # and those of the demonstrations of other kinds of data
        "experiments/analysis/published_results.py",  # columns of the paper's table
        "studio/method_list.py",  # what is shown first
        "workflows/inspecting.py",  # what photos are inspected with in minutes
    }
    found = set()
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
                items = node.keys if isinstance(node, ast.Dict) else node.elts
                words = [i.value for i in items if isinstance(i, ast.Constant)]
                classes = {entry.class_name for entry in METHODS.values()}
                if len([w for w in words if w in METHODS or w in classes]) > 1:
                    found.add(name)
    kinds = {name for name in found if re.fullmatch(r"modalities/\w+/kind.py", name)}  # the same
    assert found - kinds <= {*chosen, "detectors/method_table.py"}


# ---------------------------------------------------------------- names

ALIASES = {
    "PatchCore": "patch-memory", "patchcore": "patch-memory", "iforest": "isolation-forest",
    "ocsvm": "oc-svm", "OC_SVM": "oc-svm", "ae": "dcae", "svdd": "deep-svdd",
    "DeepSVDD": "deep-svdd",
    "deepsvdd": "deep-svdd", "Deep SVDD": "deep-svdd", "if": "isolation-forest", "KNN": "knn",
    "IsolationForest": "isolation-forest", "OCSVMDetector": "oc-svm", "feature_knn": "feature-knn",
}  # fmt: skip


@pytest.mark.parametrize(("name", "key"), ALIASES.items())
def test_other_names_are_understood_wherever_a_method_is_named(name, key):
    assert method_key(name) == key
    assert detector_class(name) is detector_class(key)
    by_name, by_key = (RunSpec(dataset="mnist", normal=("3",), method=m) for m in (name, key))
    assert by_name == by_key
    assert by_name.identity == by_key.identity
    assert RunChoice(dataset="mnist", normal=("3",), method=name).spec() == by_key
    assert FitConfig(source="mnist", method=name).method == key
    given = {"name": "a", "datasets": "digits-8x8", "normal": 3, "methods": ["kde", name]}
    (kde, run) = make_sweep(given).runs() if key != "kde" else (None, None)
    assert run.spec.method == key
    assert run.column == method_title(key)
    left = make_sweep(given | {"exclude": [{"method": name}]}).runs()
    assert [one.spec for one in left] == [kde.spec]


def test_no_name_means_two_methods():
    plain = {}
    for key, entry in METHODS.items():
        for name in (key, entry.class_name, *entry.aliases):
            assert plain.setdefault(name.replace("-", "").lower(), key) == key


def test_an_unknown_name_gets_a_proposal(capsys):
    with pytest.raises(SpecError, match=r"^Unknown method isolatoin-forest; did you mean "
                       r"isolation-forest\?$"):  # fmt: skip
        method_key("isolatoin-forest")
    with pytest.raises(SpecError, match=r"^Unknown method crystal-ball; use one of deep-svdd, "):
        method_key("crystal-ball")
    with pytest.raises(SpecError, match=r"did you mean patch-memory\?$"):
        make_config({"source": "mnist", "method": "pathcore"})
    with pytest.raises(SpecError, match=r"did you mean oc-svm\?$"):
        make_sweep({"name": "a", "datasets": "digits-8x8", "normal": 3, "methods": "oc-smv"})
    assert find_method("crystal-ball") is None
    assert method_title("crystal-ball") == "crystal-ball"  # a row of a newer version
    assert main(["fit", "digits-8x8", "--normal", "3", "--method", "ocsmv"]) == 2
    assert "did you mean oc-svm?" in " ".join(capsys.readouterr().err.split())


def FitConfigOf(method):
    from insphere.workflows.fit_config import merged

    return merged(None, {"source": "mnist", "method": method})


def test_identities_of_committed_runs_hold():
    """Rows under benchmarks/results carry the identity that their settings had when they ran."""
    results = SOURCE.parents[1] / "benchmarks" / "results"
    checked, methods = 0, set()
    for file in sorted(results.glob("*.jsonl")):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if {"run", "dataset", "normal", "method", "params", "seed"} <= set(row):
                names = ("dataset", "normal", "method", "params", "seed")
                spec = RunSpec(**{name: row[name] for name in names})
                if spec.method in methods and checked % 10:
                    checked += 1
                    continue
                assert spec.identity == row["run"], file.name
                spec.detector()
                checked += 1
                methods.add(spec.method)
    assert checked > 1000
    assert len(methods) > 10


# ---------------------------------------------------------------- a new one

TOY = '''
"""How far the mean of an image lies from that of normal images."""

from __future__ import annotations

import numpy as np

from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.parameters import parameters


@parameters
class BrightnessDetector(OneClassDetector):
    card = MethodCard(
        key="brightness",
        title="Brightness",
        family="shallow",
        summary="difference of the mean brightness",
    )

    power: float = 1.0

    def _fit(self, X):
        self.mean_ = float(X.mean())

    def _anomaly_score(self, X):
        means = X.reshape(len(X), -1).mean(axis=1)
        return np.abs(means - self.mean_) ** self.power

    def _state(self):
        return {"mean": np.array(self.mean_)}, {}

    def _set_state(self, arrays, meta):
        self.mean_ = float(arrays["mean"])
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Add a method: one file in its room, one line in the table."""
    folder = tmp_path / "room"
    folder.mkdir()
    (folder / "brightness.py").write_text(TOY)
    room = insphere.detectors.shallow
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(folder)])
    monkeypatch.setitem(METHODS, "brightness", Entry("shallow.brightness:BrightnessDetector"))
    importlib.invalidate_caches()
    comparable_methods.cache_clear()
    yield "brightness"
    comparable_methods.cache_clear()
    import sys

    sys.modules.pop("insphere.detectors.shallow.brightness", None)


def test_a_new_detector_is_one_file_and_one_line(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "digits-8x8", "--normal", "0", "--method", "BRIGHTNESS", "--option",
                 "power=2", "--out", "m", "--json"]) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out)["method"] == toy
    assert main(["score", "m", "digits-8x8", "--json"]) == 0
    assert capsys.readouterr().out
    model = insphere.load("m")
    assert type(model) is insphere.detectors.BrightnessDetector
    assert model.power == 2
    assert "Brightness" in _printed(capsys, "evaluate", "m", "digits-8x8")

    pytest.importorskip("nicegui")
    from insphere.studio.method_list import by_family

    offered = {card.key: card for cards in by_family().values() for card in cards}
    assert offered[toy].summary == "difference of the mean brightness"

    sweep = {"name": "toy", "datasets": "digits-8x8", "normal": ["0"],
             "methods": [{"method": toy, "grid": {"power": [1, 2]}}]}  # fmt: skip
    made = make_sweep(yaml.safe_load(yaml.safe_dump(sweep)))
    made.check()
    assert [run.column for run in made.runs()] == ["Brightness, power 1", "Brightness, power 2"]
    wrong = sweep | {"methods": [{"method": toy, "params": {"pwer": 1}}]}
    with pytest.raises(SpecError, match="brightness has no option pwer; it has"):
        make_sweep(wrong).check()


def _printed(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


# ---------------------------------------------------------------- pretrained features


def test_pretrained_features_are_a_component(tmp_path, textures_small):
    train, test = textures_small
    common = {"stages": ["s5"], "statistic": "both", "resolution": 64, "cache": False}
    whole = build_detector("feature-knn", common, seed=0).fit(train)
    for features in (common, PretrainedFeatures(**common)):
        parted = build_detector("knn", {"features": features, "normalize": None}, seed=0).fit(train)
        np.testing.assert_array_equal(parted.anomaly_score(test), whole.anomaly_score(test))
        assert parted.threshold_ == whole.threshold_
        assert not hasattr(parted, "anomaly_map")
        assert parted.uses_pretrained
        assert whole.uses_pretrained
        parted.save(tmp_path / "m", overwrite=True)
        again = insphere.load(tmp_path / "m")
        np.testing.assert_array_equal(again.anomaly_score(test), whole.anomaly_score(test))
    assert not build_detector("knn", {}, seed=0).uses_pretrained
    transformer = PretrainedFeatures(**common).fit(train)
    np.testing.assert_array_equal(transformer.transform(train), parted.training_)


@pytest.mark.parametrize("method", ["oc-svm", "isolation-forest", "kde", "mahalanobis"])
def test_every_shallow_method_takes_them(method, textures_small):
    train, test = textures_small
    features = {"resolution": 64, "cache": False}
    detector = build_detector(method, {"features": features}, seed=0).fit(train)
    assert detector.anomaly_score(test).std() > 0


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"features": {"backbon": "x"}}, "features is None, PretrainedFeatures or a mapping"),
        ({"features": 3}, "features is None, PretrainedFeatures or a mapping"),
        ({"features": {}, "preprocess": "gcn"}, "preprocess='gcn' is for pixels"),
    ],
)
def test_wrong_components_are_refused(params, message, textures_small):
    with pytest.raises(SpecError, match=message):
        build_detector("kde", params, seed=0).fit(textures_small[0])


def test_a_component_needs_images():
    rows = np.random.default_rng(0).normal(size=(40, 6))
    with pytest.raises(DataError, match="takes images, but got a table"):
        build_detector("knn", {"features": {}}, seed=0).fit(rows)


@pytest.fixture(scope="module")
def textures_small():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, size=(24, 32, 32, 3), dtype=np.uint8)
    return images[:18], images[18:]


def test_every_public_name_is_there():
    for name in insphere.detectors.__all__:
        assert getattr(insphere.detectors, name).__name__ == name
