"""The paper's tuning of its shallow rivals, and where labels may reach."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.neighbors import KernelDensity

import insphere
from insphere.data import ImageSet, OneClassSplit, load_dataset
from insphere.detectors import (
    IsolationForestDetector,
    KDEDetector,
    KNNDetector,
    OCSVMDetector,
)
from insphere.errors import DataError, SpecError
from insphere.experiments.analysis.published_results import published_column
from insphere.experiments.runs import labelled_data
from insphere.experiments.runs.labelled_data import fit_to_split, tune_on_labelled_holdout
from insphere.experiments.runs.run import run
from insphere.experiments.runs.spec import RunSpec
from insphere.preprocess import Preprocessor, default_steps
from insphere.preprocess.pipeline import to_batch

TUNED = {"gamma": "labelled-holdout", "nu": "labelled-holdout"}
SPEC = RunSpec(dataset="digits-8x8", normal=("8",), method="oc-svm", params=TUNED)


@pytest.fixture(scope="module")
def split():
    return OneClassSplit(load_dataset("digits-8x8"), ["8"], random_state=0)


@pytest.fixture(scope="module")
def eights():
    data = load_digits()
    return (data.images * 15.9375).astype(np.uint8)[..., None][data.target == 8]


# ---------------------------------------------------------------- tuning with labels


def test_grid_is_the_papers():
    grid = OCSVMDetector.card.grid
    assert grid["gamma"] == tuple(2.0**power for power in range(-10, 0))
    assert grid["nu"] == (0.01, 0.1)


def test_the_best_setting_on_the_holdout_is_taken_and_the_holdout_is_not_evaluated(split):
    fit = fit_to_split(OCSVMDetector(**TUNED), split, seed=0)
    held_out = np.flatnonzero(~fit.evaluated)
    assert len(held_out) == round(0.1 * len(split.test)) == fit.label_use["labelled_test_images"]
    share = split.truth[held_out].mean()
    assert share == pytest.approx(split.truth.mean(), abs=0.01)
    best = max(fit.label_use["tried"], key=lambda setting: setting["auc"])
    assert fit.label_use["chosen"] == {"gamma": best["gamma"], "nu": best["nu"]}
    assert len(fit.label_use["tried"]) == 20
    scores = fit.detector.anomaly_score(split.X_test[held_out])
    assert roc_auc_score(split.truth[held_out], scores) == pytest.approx(best["auc"])
    by_hand = OCSVMDetector(gamma=best["gamma"], nu=best["nu"]).fit(split.X_train)
    np.testing.assert_array_equal(by_hand.anomaly_score(split.X_test[held_out]), scores)


def test_run_evaluates_the_rest_and_the_row_says_what_labels_were_used_for(split):
    result = run(SPEC, split.data)
    row = result.row()
    assert row["labels"]["labelled_test_images"] == round(0.1 * len(split.test))
    assert row["n_normal"] + row["n_anomalous"] == round(0.9 * len(split.test))
    assert len(result.scores) == len(split.test)
    assert row["params"] == TUNED
    assert published_column(SPEC.model_copy(update={"dataset": "mnist"})) == "oc-svm"
    label_free = run(SPEC.model_copy(update={"params": {}}), split.data).row()
    assert "labels" not in label_free
    assert label_free["n_normal"] + label_free["n_anomalous"] == len(split.test)


def test_labels_of_evaluated_images_decide_nothing(split, monkeypatch):
    grid = {"gamma": [0.01, 0.03, 0.1]}
    first = tune_on_labelled_holdout(OCSVMDetector(), ["gamma"], split, seed=0, grid=grid)
    held_out = np.flatnonzero(~first.evaluated)
    monkeypatch.setattr(labelled_data, "_holdout", lambda truth, seed: held_out)
    wrong = OneClassSplit(split.data, ["8"], random_state=0)
    wrong.truth[first.evaluated] = 1 - wrong.truth[first.evaluated]
    second = tune_on_labelled_holdout(OCSVMDetector(), ["gamma"], wrong, seed=0, grid=grid)
    assert first.label_use == second.label_use
    wrong.truth[held_out] = 1 - wrong.truth[held_out]
    third = tune_on_labelled_holdout(OCSVMDetector(), ["gamma"], wrong, seed=0, grid=grid)
    assert third.label_use["chosen"] != first.label_use["chosen"]


def test_a_detector_never_tunes_itself_on_labels(eights):
    with pytest.raises(SpecError, match="gamma"):
        OCSVMDetector(gamma="labelled-holdout").fit(eights)
    with pytest.raises(SpecError, match="nu"):
        OCSVMDetector(nu="labelled-holdout").fit(eights)


def test_what_cannot_be_tuned_is_said(split):
    with pytest.raises(SpecError, match="n_neighbors of KNNDetector cannot be tuned"):
        fit_to_split(KNNDetector(n_neighbors="labelled-holdout"), split, seed=0)


def test_too_few_test_images_for_a_holdout():
    images = np.random.default_rng(0).integers(0, 256, (24, 6, 6, 1), dtype=np.uint8)
    few = OneClassSplit(ImageSet(images, np.repeat([0, 1], [22, 2]), ("a", "b")), "a")
    with pytest.raises(DataError, match="at least 20 test images"):
        fit_to_split(OCSVMDetector(**TUNED), few, seed=0)


# ---------------------------------------------------------------- bandwidth without labels


def test_papers_bandwidth_is_that_of_scikit_learns_cross_validation():
    rng = np.random.default_rng(0)
    for scale in (1.0, 4.0, 20.0):
        X = rng.normal(size=(400, 3)) * scale
        ours = KDEDetector(bandwidth="paper", pca=None, random_state=0).fit(X)
        folds = PredefinedSplit(np.random.RandomState(0).permutation(400) % 5)
        candidates = {"bandwidth": 2.0 ** np.arange(0.5, 5.1, 0.5)}
        search = GridSearchCV(KernelDensity(), candidates, cv=folds)
        assert ours.bandwidth_ == search.fit(X).best_params_["bandwidth"]


def test_bandwidths_are_refused_in_one_sentence():
    X = np.random.default_rng(0).normal(size=(30, 3))
    with pytest.raises(SpecError, match='a positive number, "paper" or None'):
        KDEDetector(bandwidth="wide").fit(X)
    with pytest.raises(SpecError, match="at least 5"):
        KDEDetector(bandwidth="paper").fit(X[:4])


# ---------------------------------------------------------------- the paper's contrast


@pytest.mark.parametrize("cls", [OCSVMDetector, IsolationForestDetector, KDEDetector])
def test_contrast_is_that_of_the_networks(cls, eights, tmp_path):
    """The same scores as for images that the networks' preprocessing went through."""
    steps = Preprocessor(default_steps((1, 8, 8)), (1, 8, 8)).fit(eights[:90])
    device = next(steps.buffers()).device
    prepared = steps(to_batch(eights, device)).permute(0, 2, 3, 1).double().numpy()
    ours = cls(preprocess="gcn", random_state=0).fit(eights[:90])
    table = cls(random_state=0).fit(prepared[:90].reshape(90, -1))
    np.testing.assert_allclose(
        ours.anomaly_score(eights), table.anomaly_score(prepared.reshape(len(prepared), -1)),
        rtol=0.02,
    )  # fmt: skip
    brighter = np.clip(eights // 2 + 40, 0, 255).astype(np.uint8)
    again = clone(ours).fit(brighter[:90])
    assert not np.allclose(ours.anomaly_score(eights), again.anomaly_score(eights), rtol=1e-6)
    loaded = insphere.load(ours.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(eights), ours.anomaly_score(eights))


def test_unknown_preprocessing_is_refused(eights):
    with pytest.raises(SpecError, match='preprocess is "gcn" or None'):
        KDEDetector(preprocess="zca").fit(eights)
