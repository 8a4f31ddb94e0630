import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import insphere
from insphere import DeepSVDD
from insphere.detectors.shallow.knn import KNNDetector
from insphere.detectors.spheres.untrained import UntrainedDeepSVDD
from insphere.errors import CollapseError, DataError, ModelError, SpecError
from insphere.nets import EncoderSpec
from insphere.training.recipe import FAST, Phase, Recipe

QUICK = Recipe(
    pretrain=Phase(epochs=2, lr=1e-2, batch_size=100),
    train=Phase(epochs=3, lr=1e-2, batch_size=100),
)


@pytest.fixture(scope="module")
def fitted(digits):
    images, target = digits
    return DeepSVDD(recipe=QUICK, random_state=0, contamination=0.05).fit(images[target == 3][:150])


def weights_act_on_gradients(estimator):
    """Checks of scikit-learn that suppose a weight to be the same as a repeated row."""
    reason = "batches, preprocessing and threshold count each sample once"
    return {"check_sample_weight_equivalence_on_dense_data": reason}


@parametrize_with_checks(
    [DeepSVDD(recipe="fast", epochs=5, pretrain_epochs=2)],
    expected_failed_checks=weights_act_on_gradients,
)
def test_scikit_learn_checks(estimator, check):
    """Every check of scikit-learn passes; none is declared as an expected failure."""
    check(estimator)


# ---------------------------------------------------------------- it works on real digits


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_auc_on_real_digits(digits, objective):
    images, target = digits
    normal = np.flatnonzero(target == 0)
    train, held_out = normal[:100], normal[100:]
    test = np.concatenate([held_out, np.flatnonzero(target != 0)])
    detector = DeepSVDD(recipe="fast", objective=objective, random_state=0, contamination=0.05).fit(
        images[train]
    )
    auc = roc_auc_score(target[test] != 0, detector.anomaly_score(images[test]))
    assert auc > 0.97


@pytest.mark.slow
def test_training_beats_the_same_network_untrained(digits):
    images, target = digits
    aucs = {DeepSVDD: [], UntrainedDeepSVDD: []}
    shorter = {DeepSVDD: {"epochs": 100, "pretrain_epochs": 50}, UntrainedDeepSVDD: {}}
    for digit in (1, 8):
        normal = np.flatnonzero(target == digit)
        test = np.concatenate([normal[90:], np.flatnonzero(target != digit)])
        for cls, values in aucs.items():
            settings = {"random_state": 0, "contamination": 0.05, "recipe": "fast", **shorter[cls]}
            detector = cls(**settings).fit(images[normal[:90]])
            scores = detector.anomaly_score(images[test])
            values.append(roc_auc_score(target[test] != digit, scores))
    assert np.mean(aucs[DeepSVDD]) > np.mean(aucs[UntrainedDeepSVDD]) + 0.02


def test_table_of_real_measurements():
    X, y = load_breast_cancer(return_X_y=True)
    malignant, benign = X[y == 0], X[y == 1]
    detector = DeepSVDD(recipe="fast", random_state=0, contamination=0.05).fit(benign[:200])
    scores = detector.anomaly_score(np.vstack([benign[200:], malignant]))
    truth = np.repeat([0, 1], [len(benign) - 200, len(malignant)])
    assert roc_auc_score(truth, scores) > 0.85


# ---------------------------------------------------------------- attributes


def test_score_is_the_squared_distance_of_the_representation(digits, fitted):
    images, _ = digits
    z = fitted.transform(images[:20]).astype(np.float64)
    by_hand = ((z - fitted.center_) ** 2).sum(axis=1)
    np.testing.assert_allclose(fitted.anomaly_score(images[:20]), by_hand, rtol=1e-4)
    assert z.shape == (20, 32)


def test_radius_leaves_nu_of_the_training_normals_outside(digits):
    images, target = digits
    train = images[target == 3]
    detector = DeepSVDD(recipe=QUICK, nu=0.2, random_state=0, contamination=0.05).fit(train)
    outside = np.sqrt(detector.anomaly_score(train)) > detector.radius_ * (1 + 1e-6)
    assert outside.mean() == pytest.approx(0.2, abs=1 / len(train))


def test_history_records_both_phases(fitted):
    assert [(r["phase"], r["epoch"]) for r in fitted.history_] == [
        ("pretrain", 1), ("pretrain", 2), ("train", 1), ("train", 2), ("train", 3),
    ]  # fmt: skip
    assert {"loss", "radius", "outside", "spread", "lr", "seconds"} <= set(fitted.history_[-1])
    assert fitted.guard_findings_[0].startswith("No sign of collapse")


def test_no_center_among_the_constructor_arguments_and_none_is_changed(digits):
    images, target = digits
    detector = DeepSVDD(
        recipe="fast", epochs=1, pretrain_epochs=0, random_state=0, contamination=0.05
    )
    before = dict(detector.get_params())
    detector.fit(images[target == 3])
    assert detector.get_params() == before
    assert not any("center" in name for name in before)


def test_untrained_network_is_the_trained_ones_starting_point(digits):
    images, target = digits
    train = images[target == 3]
    start = UntrainedDeepSVDD(recipe=QUICK, random_state=7, contamination=0.05).fit(train)
    barely = DeepSVDD(
        recipe=QUICK, pretrain_epochs=0, epochs=1, lr=1e-12, random_state=7, contamination=0.05
    )
    barely.fit(train)
    for a, b in zip(
        start.sphere_.encoder.parameters(), barely.sphere_.encoder.parameters(), strict=True
    ):
        torch.testing.assert_close(a, b)
    np.testing.assert_allclose(start.center_, barely.center_, rtol=1e-5)
    assert start.history_ == []


# ---------------------------------------------------------------- inputs


def test_arrays_tensors_grey_arrays_and_image_sets_give_the_same_scores(digits, fitted):
    images, target = digits
    wanted = fitted.anomaly_score(images[:9])
    tensor = torch.from_numpy(images[:9]).permute(0, 3, 1, 2)
    data = insphere.ImageSet(images[:9], target[:9], tuple("0123456789"))
    for given in (tensor, images[:9, ..., 0], data):
        np.testing.assert_array_equal(fitted.anomaly_score(given), wanted)


def test_scores_do_not_depend_on_the_company(digits, fitted):
    images, _ = digits
    together = fitted.anomaly_score(images[:600])
    alone = np.concatenate([fitted.anomaly_score(images[i : i + 1]) for i in range(0, 600, 97)])
    np.testing.assert_allclose(alone, together[::97], rtol=1e-4)


def test_a_memory_map_is_scored_like_an_array(digits, fitted, tmp_path):
    images, _ = digits
    np.save(tmp_path / "images.npy", images[:300])
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(fitted.anomaly_score(mapped), fitted.anomaly_score(images[:300]))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 8, 8, 1), np.uint8), "at least 2"),
        (np.full((9, 8, 8, 1), 7, np.uint8), "nothing to learn"),
        (np.full((9, 8, 8, 1), np.nan, np.float32), "NaN|finite"),
        (np.zeros((9, 8, 8, 5), np.uint8), "channel"),
        (np.zeros((9, 8, 8, 1), complex), "complex"),
    ],
)
def test_bad_training_images_get_one_sentence(images, message):
    with pytest.raises(DataError, match=message) as caught:
        DeepSVDD(recipe=QUICK, contamination=0.05).fit(images)
    assert "\n" not in str(caught.value)


def test_images_of_another_shape_are_refused(fitted):
    with pytest.raises(DataError, match=r"8×8×1.*16×16×1"):
        fitted.anomaly_score(np.zeros((2, 16, 16, 1), np.uint8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nu": 0}, "nu"),
        ({"nu": 1.5}, "nu"),
        ({"objective": "two-class"}, "objective"),
        ({"recipe": "slow"}, "fast, paper|paper, fast"),
        ({"encoder": "vgg"}, "mnist"),
        ({"epochs": -1}, "epochs"),
        ({"device": "abacus"}, "auto"),
        ({"preprocess": ["blur"]}, "zca"),
    ],
)
def test_bad_settings_get_one_sentence(digits, change, message):
    images, target = digits
    with pytest.raises(SpecError, match=message):
        DeepSVDD(**({"recipe": QUICK} | change)).fit(images[target == 3])


def test_a_network_that_could_collapse_is_refused_unless_asked_for(digits):
    images, target = digits
    encoder = EncoderSpec(widths=(4,), rep_dim=4, bias=True)
    with pytest.raises(CollapseError, match="allow_collapse=True"):
        DeepSVDD(encoder=encoder, recipe=QUICK, contamination=0.05).fit(images[target == 3])
    DeepSVDD(encoder=encoder, recipe=QUICK, allow_collapse=True, contamination=0.05).fit(
        images[target == 3]
    )


# ---------------------------------------------------------------- scikit-learn's machinery


def test_clone_pipeline_and_grid_search(digits):
    images, target = digits
    table = images.reshape(len(images), -1) / 255.0
    detector = clone(DeepSVDD(recipe=QUICK, random_state=0, contamination=0.05))
    pipeline = Pipeline([("scale", StandardScaler()), ("svdd", detector)])
    pipeline.fit(table[target == 1])
    assert pipeline.predict(table[:5]).shape == (5,)
    assert pipeline.transform(table[:5]).shape == (5, 16)

    def auc(estimator, X, y):
        return roc_auc_score(y == -1, -estimator.score_samples(X))

    chosen = np.flatnonzero((target == 1) | (target == 0))[:120]
    search = GridSearchCV(detector, {"nu": [0.05, 0.2], "epochs": [1, 2]}, scoring=auc, cv=2)
    search.fit(images[chosen], np.where(target[chosen] == 1, 1, -1))
    assert set(search.best_params_) == {"nu", "epochs"}


def test_same_random_state_same_scores(digits):
    images, target = digits
    train = images[target == 3]
    a = DeepSVDD(recipe=QUICK, random_state=4, contamination=0.05)
    first = a.fit(train).anomaly_score(images[:50])
    second = a.fit(train).anomaly_score(images[:50])
    other = (
        DeepSVDD(recipe=QUICK, random_state=5, contamination=0.05)
        .fit(train)
        .anomaly_score(images[:50])
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


# ---------------------------------------------------------------- threshold


def test_contamination_sets_the_share_of_training_normals_outside(digits):
    images, target = digits
    train = images[target == 3]
    detector = DeepSVDD(recipe=QUICK, contamination=0.1, random_state=0).fit(train)
    assert (detector.predict(train) == -1).sum() == int(0.1 * len(train))


def test_false_alarm_rate_on_new_normals(digits):
    images, target = digits
    rates = []
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(np.flatnonzero(target == 6))
        train, new = order[:120], order[120:]
        detector = DeepSVDD(
            recipe=QUICK, false_alarm_rate=0.1, calibration=0.4, random_state=seed
        ).fit(images[train])
        assert detector.n_calibration_ == 48
        rates.append((detector.predict(images[new]) == -1).mean())
    assert np.mean(rates) < 0.1 + 2 * np.sqrt(0.1 * 0.9 / 48 / 6)


# ---------------------------------------------------------------- saving


@pytest.mark.parametrize("kind", ["images", "table"])
def test_reload_gives_the_same_scores_bit_for_bit(digits, tmp_path, kind):
    images, target = digits
    X = images if kind == "images" else images.reshape(len(images), -1) / 255.0
    detector = DeepSVDD(
        recipe=FAST.override(pretrain={"epochs": 1}, train={"epochs": 1}),
        encoder=None if kind == "images" else EncoderSpec(kind="mlp", widths=(8,), norm="none"),
        preprocess=["gcn", {"step": "zca", "eps": 0.05}, "minmax"],
        objective="soft-boundary",
        random_state=0,
        contamination=0.05,
    ).fit(X[target == 3])
    loaded = insphere.load(detector.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(X), detector.anomaly_score(X))
    np.testing.assert_array_equal(loaded.transform(X), detector.transform(X))
    np.testing.assert_array_equal(loaded.predict(X), detector.predict(X))
    assert loaded.history_ == detector.history_
    assert loaded.radius_ == detector.radius_
    assert loaded.spec_ == detector.spec_
    assert {p.suffix for p in (tmp_path / "model").iterdir()} == {".safetensors", ".json", ".md"}


def test_settings_and_weights_that_do_not_match_are_refused(fitted):
    arrays, meta = fitted._state()
    meta = json.loads(json.dumps(meta))
    meta["spec"]["encoder"]["rep_dim"] = 16
    other = DeepSVDD(contamination=0.05)
    other.modality_ = fitted.modality_
    with pytest.raises(ModelError, match="do not belong together"):
        other._set_state(arrays, meta)


def test_knn_rival_has_the_same_face(digits):
    images, target = digits
    rival = KNNDetector(contamination=0.05).fit(images[target == 3])
    ours = DeepSVDD(recipe=QUICK, random_state=0, contamination=0.05).fit(images[target == 3])
    for name in ("anomaly_score", "score_samples", "decision_function", "predict", "z_score"):
        assert getattr(rival, name)(images[:4]).shape == getattr(ours, name)(images[:4]).shape
