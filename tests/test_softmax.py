import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import insphere
from insphere.data import OneClassSplit, load_dataset
from insphere.detectors import OCSVMDetector, OneClassDetector, SoftmaxThreshold
from insphere.detectors.registry import METHODS, method_card, method_title
from insphere.detectors.supervised.softmax import _one_minus_largest
from insphere.errors import DataError, ModelError, SpecError
from insphere.experiments.runs import labelled_data
from insphere.experiments.runs.run import run
from insphere.experiments.runs.spec import RunSpec
from insphere.nets import EncoderSpec
from insphere.training.callbacks import Callback

SMALL = {"precision": "float32",
    "encoder": EncoderSpec(widths=(8, 8), rep_dim=16, kernel=3),
    "epochs": 15, "lr": 1e-2, "batch_size": 50, "random_state": 0, "contamination": 0.05,
}  # fmt: skip


@pytest.fixture(scope="module")
def known(digits):
    """Images of 0 to 4, the first half to train on."""
    images, target = digits
    index = np.flatnonzero(target < 5)
    return images[index[:400]], target[index[:400]]


@pytest.fixture(scope="module")
def fitted(known):
    return SoftmaxThreshold(**SMALL).fit(*known)


def needs_no_labels(estimator):
    """Checks of scikit-learn that fit an outlier detector without labels."""
    reason = "the class of each training image is needed"
    weights = {
        "check_sample_weight_equivalence_on_dense_data": "batches and threshold count each once"
    }
    return weights | dict.fromkeys(("check_outliers_train", "check_outliers_fit_predict"), reason)


@parametrize_with_checks(
    [SoftmaxThreshold(epochs=3, contamination=0.05)], expected_failed_checks=needs_no_labels
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# ---------------------------------------------------------------- it works on real digits


def test_digits_of_unknown_classes_are_anomalous(digits, fitted):
    images, target = digits
    new = np.concatenate([np.flatnonzero(target < 5)[400:], np.flatnonzero(target >= 5)])
    assert roc_auc_score(target[new] >= 5, fitted.anomaly_score(images[new])) > 0.75
    assert fitted.history_[-1]["loss"] < 0.3 * fitted.history_[0]["loss"]
    assert fitted.history_[-1]["accuracy"] > 0.95
    assert fitted.classes_ == [0, 1, 2, 3, 4]


def test_one_normal_class_among_known_ones(digits):
    images, target = digits
    names = np.array([f"digit {t}" for t in target])
    detector = SoftmaxThreshold(normal=["digit 8"], **SMALL | {"contamination": 0.1})
    detector.fit(images[:900], names[:900])
    scores = detector.anomaly_score(images[900:])
    assert roc_auc_score(target[900:] != 8, scores) > 0.97
    eights = images[:900][target[:900] == 8]
    assert (detector.predict(eights) == -1).sum() == int(0.1 * len(eights))
    assert detector.n_train_ == 900


def test_table_of_real_measurements():
    X, y = load_breast_cancer(return_X_y=True)
    detector = SoftmaxThreshold(normal=[1], random_state=0, contamination=0.05).fit(
        X[:300], y[:300]
    )
    assert roc_auc_score(y[300:] == 0, detector.anomaly_score(X[300:])) > 0.95


# ---------------------------------------------------------------- the score


def test_score_is_one_minus_the_largest_probability(fitted, known):
    images = known[0][:30]
    with torch.no_grad():
        logits = fitted.classifier_(torch.from_numpy(images).permute(0, 3, 1, 2))
    by_hand = 1 - logits.double().softmax(dim=1).max(dim=1).values
    np.testing.assert_allclose(fitted.anomaly_score(images), by_hand, rtol=1e-4, atol=1e-12)


def test_certainty_has_degrees_beyond_the_last_digit_of_a_number():
    logits = np.array([[0.0, 60.0, 0.0], [0.0, 50.0, 0.0], [3.0, 0.0, 0.0]])
    scores = _one_minus_largest(logits, np.array([0, 1, 2]))
    np.testing.assert_allclose(scores[:2], [2 * np.exp(-60), 2 * np.exp(-50)], rtol=1e-12)
    first_normal = _one_minus_largest(logits, np.array([0]))
    np.testing.assert_allclose(first_normal[2], 2 / (np.exp(3) + 2))
    assert first_normal[0] == 1


def test_false_alarm_rate_is_calibrated_on_held_out_normals_alone(digits):
    images, target = digits
    detector = SoftmaxThreshold(
        normal=[8], false_alarm_rate=0.1, calibration=0.5, **SMALL | {"epochs": 3}
    ).fit(images, target)
    assert detector.n_calibration_ == (target == 8).sum() // 2
    assert detector.n_train_ == len(images) - detector.n_calibration_
    assert "held-out normals" in detector.threshold_rule_


# ---------------------------------------------------------------- labels


def test_it_says_that_it_is_supervised():
    assert SoftmaxThreshold.card.needs_labels is True
    assert "supervised" in SoftmaxThreshold.__doc__.lower()
    supervised = [name for name in METHODS if method_card(name).needs_labels]
    assert supervised == ["softmax"]
    assert "supervised" in method_title("softmax")


@pytest.mark.parametrize("y", [None, [3] * 400])
def test_normals_alone_are_refused(known, y):
    with pytest.raises(DataError, match=r"supervised and needs the class.*such as DeepSVDD") as e:
        SoftmaxThreshold(contamination=0.05).fit(known[0], y)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("change", "y", "error", "message"),
    [
        ({}, np.arange(3), DataError, "400 images, but 3 labels"),
        ({}, np.linspace(0, 1, 400), DataError, "whole number or string"),
        ({}, np.zeros((400, 2), int), DataError, "whole number or string"),
        ({"normal": [7]}, "own", SpecError, r"got \[7\]; y has 0, 1, 2, 3, 4"),
        ({"normal": []}, "own", SpecError, "normal names the classes"),
        ({"epochs": 0}, "own", SpecError, "at least one epoch"),
        ({"lr": -1.0}, "own", SpecError, "lr"),
        ({"encoder": "vgg"}, "own", SpecError, "mnist"),
    ],
)
def test_bad_labels_and_settings_get_one_sentence(known, change, y, error, message):
    with pytest.raises(error, match=message) as caught:
        SoftmaxThreshold(**change).fit(known[0], known[1] if isinstance(y, str) else y)
    assert "\n" not in str(caught.value)


def test_labels_decide_the_fingerprint_and_the_checkpoint(known, tmp_path):
    images, target = known
    settings = SMALL | {"epochs": 1, "checkpoint_dir": tmp_path}
    first = SoftmaxThreshold(**settings).fit(images, target)
    second = SoftmaxThreshold(**settings).fit(images, target[::-1])
    assert first.data_fingerprint_ != second.data_fingerprint_
    assert len(list(tmp_path.iterdir())) == 2


def test_checkpoint_is_continued(known, tmp_path):
    seen = []

    class Watch(Callback):
        def epoch_end(self, record):
            seen.append(record["epoch"])

    settings = SMALL | {"epochs": 2, "checkpoint_dir": tmp_path, "callbacks": [Watch()]}
    first = SoftmaxThreshold(**settings).fit(*known)
    again = clone(SoftmaxThreshold(**settings)).fit(*known)
    assert seen == [1, 2]
    np.testing.assert_array_equal(first.anomaly_score(known[0]), again.anomaly_score(known[0]))


# ---------------------------------------------------------------- in experiments


@pytest.fixture(scope="module")
def split():
    return OneClassSplit(load_dataset("digits-8x8"), ["3"], random_state=0)


def test_training_labels_are_those_of_the_training_part_alone(split):
    images, names = labelled_data.training_labels(split)
    assert len(images) == len(names) == len(split.data) - len(split.test)
    tested = {image.tobytes() for image in split.X_test}
    everything = {image.tobytes() for image in np.asarray(split.data.images)}
    unique_test = tested - {image.tobytes() for image in images}
    assert len({image.tobytes() for image in images} | tested) == len(everything)
    assert len(unique_test) > 0.9 * len(tested)
    assert set(names) == set(split.data.class_names)


def test_test_labels_never_reach_a_supervised_run(monkeypatch, split):
    """The same scores when the labels of all test images are wrong."""
    data = split.data
    spec = RunSpec(
        dataset="digits-8x8",
        normal=("3",),
        method="softmax",
        params={"epochs": 15, "lr": 0.01, "batch_size": 50},
    )
    honest = run(spec, data)
    assert honest.row()["labels"] == {"labelled_training_images": len(data) - len(split.test)}

    seen = []
    original = SoftmaxThreshold.fit

    def watch(self, X, y=None, **known):
        seen.append((len(X), set(y)))
        return original(self, X, y, **known)

    monkeypatch.setattr(SoftmaxThreshold, "fit", watch)
    wrong = data.labels.copy()
    wrong[split.test] = (wrong[split.test] + 1) % 10
    is_test = np.zeros(len(data), bool)
    is_test[split.test] = True
    shuffled = insphere.ImageSet(data.images, wrong, data.class_names, is_test=is_test)
    misled = run(spec, shuffled)
    np.testing.assert_array_equal(honest.scores, misled.scores)
    assert seen == [(len(data) - len(split.test), set(data.class_names))]
    assert honest.evaluation.auc > 0.9
    assert honest.evaluation.auc > misled.evaluation.auc + 0.2


def test_no_other_method_is_given_labels(monkeypatch, split):
    def fit(self, X, y=None, **known):
        assert y is None
        assert all(value is None for value in known.values())
        assert len(X) == len(split.train)
        raise InterruptedError

    monkeypatch.setattr(OneClassDetector, "fit", fit)
    for method in METHODS:
        if method != "softmax":
            spec = RunSpec(dataset="digits-8x8", normal=("3",), method=method)
            with pytest.raises(InterruptedError):
                run(spec, split.data)


# ---------------------------------------------------------------- saving


@pytest.mark.parametrize("kind", ["images", "table"])
def test_reload_is_the_same_bit_for_bit(digits, tmp_path, kind):
    images, target = digits
    X = images if kind == "images" else images.reshape(len(images), -1) / 255.0
    y = np.array([f"{t}" for t in target])
    detector = SoftmaxThreshold(
        normal=["3", "8"], epochs=1, random_state=0, contamination=0.05
    ).fit(X, y)
    loaded = insphere.load(detector.save(tmp_path / "model"))
    assert type(loaded) is SoftmaxThreshold
    np.testing.assert_array_equal(loaded.anomaly_score(X), detector.anomaly_score(X))
    np.testing.assert_array_equal(loaded.predict(X), detector.predict(X))
    assert loaded.classes_ == detector.classes_
    assert loaded.spec_ == detector.spec_


def test_weights_of_another_network_are_refused(fitted):
    arrays, meta = fitted._state()
    other = SoftmaxThreshold(contamination=0.05)
    other.modality_ = fitted.modality_
    with pytest.raises(ModelError, match="do not belong together"):
        other._set_state(arrays, meta | {"classes": [0, 1]})


def test_a_one_class_detector_still_ignores_labels(digits):
    images, target = digits
    threes = images[target == 3]
    with_labels = OCSVMDetector(contamination=0.05).fit(threes, np.arange(len(threes)))
    np.testing.assert_array_equal(
        with_labels.anomaly_score(threes),
        OCSVMDetector(contamination=0.05).fit(threes).anomaly_score(threes),
    )
