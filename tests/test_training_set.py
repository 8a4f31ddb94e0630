"""Labels, groups and weights: from `fit` to the batches of the one training loop."""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

from insphere.data import ImageSet
from insphere.detectors import DeepCAE, DeepSVDD, KNNDetector, OCSVMDetector, SoftmaxThreshold
from insphere.detectors.base.estimator import OneClassDetector
from insphere.errors import DataError, SpecError
from insphere.nets import EncoderSpec
from insphere.preprocess import Preprocessor
from insphere.training.batch import Batch, joined, weighted_mean
from insphere.training.images import TrainingImages
from insphere.training.loop import PhaseRun
from insphere.training.objectives import Objective, radius_quantile, soft_boundary_loss
from insphere.training.recipe import Phase
from insphere.training.training_set import TrainingSet

CPU = torch.device("cpu")
QUICK = {
    "epochs": 2, "pretrain_epochs": 1, "batch_size": 20, "random_state": 0, "contamination": 0.05,
}  # fmt: skip
ENCODER = EncoderSpec(widths=(6, 4), rep_dim=8, kernel=3)


@pytest.fixture(scope="module")
def threes(digits):
    images, target = digits
    return images[target == 3]


@pytest.fixture
def table():
    return np.random.default_rng(0).normal(size=(60, 4))


# ---------------------------------------------------------------- batches


@pytest.mark.parametrize("memory", [1 << 20, 0], ids=["prepared", "streamed"])
def test_batches_carry_what_is_known_of_each_sample(memory):
    X = np.arange(20.0).reshape(10, 2)
    train = TrainingSet(X, labels=np.arange(10), groups=np.arange(10) // 2, weights=np.arange(10.0))
    images = TrainingImages(train, Preprocessor((), (2,)), CPU, memory=memory)
    batches = list(images.batches(4, torch.Generator().manual_seed(0)))
    assert [batch.size for batch in batches] == [4, 3, 3]
    whole = joined(batches)
    assert sorted(whole.labels.tolist()) == list(range(10))
    assert (whole.x[:, 0] == 2 * whole.labels).all()
    assert (whole.groups == whole.labels // 2).all()
    torch.testing.assert_close(whole.weights, whole.labels.double() / 4.5)  # their mean is 1
    plain = next(TrainingImages(X, Preprocessor((), (2,)), CPU).batches(4, None))
    assert plain[1:] == (None, None, None)


def test_an_objective_with_labels_goes_through_the_loop_and_resumes(tmp_path):
    class Line(Objective):
        """Regression of the label on the sample."""

        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, batch: Batch):
            return weighted_mean((batch.x[:, 0] * self.w - batch.labels).square(), batch.weights)

    x = np.linspace(-1, 1, 40)[:, None]
    train = TrainingSet(x, labels=3 * x[:, 0])
    images = TrainingImages(train, Preprocessor((), (1,)), CPU)
    phase = Phase(epochs=60, lr=0.1, batch_size=10, schedule="constant", weight_decay=0)
    line = Line()
    PhaseRun("line", line, images, phase, seed=0, checkpoint=tmp_path / "line").run()
    assert line.w.item() == pytest.approx(3, abs=0.05)
    again = Line()
    PhaseRun("line", again, images, phase, seed=0, checkpoint=tmp_path / "line").run()
    assert again.w.item() == line.w.item()


def test_taking_a_part_takes_what_is_known_along():
    train = TrainingSet(
        np.arange(6.0)[:, None], np.array([1, 1, -1, 1, -1, 1]), np.arange(6) // 2,
        np.arange(6.0), np.array([1, 1, 0, 1, 0, 1], bool),
    )  # fmt: skip
    assert train.normals.data[:, 0].tolist() == [0, 1, 3, 5]
    part = train.take(np.array([False, True, False, False, True, True]))
    assert part.labels.tolist() == [1, -1, 1]
    assert (part.groups.tolist(), part.weights.tolist()) == ([0, 2, 2], [1, 4, 5])
    held_out = train.among_all(np.array([True, False, False, True]))
    assert held_out.tolist() == [True, False, False, False, False, True]


# ---------------------------------------------------------------- weights


def test_weighted_losses_by_hand():
    d, w = torch.tensor([1.0, 4.0, 9.0]), torch.tensor([2.0, 0.5, 0.5])
    assert weighted_mean(d, w).item() == pytest.approx((2 + 2 + 4.5) / 3)
    # R² = 4: only the third lies outside, by 5
    assert soft_boundary_loss(d, torch.tensor(2.0), 0.5, w).item() == pytest.approx(4 + 2.5 / 1.5)
    many = torch.rand(500, generator=torch.Generator().manual_seed(0)).double()
    weights = torch.rand(500, generator=torch.Generator().manual_seed(1)).double()
    best = radius_quantile(many, 0.2, weights)
    at_best = soft_boundary_loss(many, best, 0.2, weights / weights.mean())
    for other in torch.linspace(0, 1.2, 50).double():
        assert soft_boundary_loss(many, other, 0.2, weights / weights.mean()) >= at_best - 1e-12


@pytest.mark.parametrize("objective", ["one-class", "soft-boundary"])
def test_weights_of_one_change_no_bit(threes, objective):
    settings = QUICK | {"recipe": "fast", "encoder": ENCODER, "objective": objective}
    plain = DeepSVDD(**settings).fit(threes)
    for value in (1.0, 3.0):
        weighted = DeepSVDD(**settings).fit(threes, sample_weight=np.full(len(threes), value))
        np.testing.assert_array_equal(plain.anomaly_score(threes), weighted.anomaly_score(threes))
        assert weighted.threshold_ == plain.threshold_
        assert weighted.data_fingerprint_ == plain.data_fingerprint_


@pytest.mark.parametrize("cls", [DeepSVDD, DeepCAE])
def test_samples_without_weight_teach_nothing(digits, cls):
    """With weight 0, the ones among the zeros stay anomalous; with weight, they become normal."""
    images, target = digits
    zeros, ones = images[target == 0], images[target == 1][:100]
    X = np.concatenate([zeros[:100], ones])
    weights = np.repeat([1.0, 0.0], 100)
    options = {
        "recipe": "fast",
        "encoder": ENCODER,
        "preprocess": [],
        "random_state": 0,
        "batch_size": 50,
    }
    phases = {"epochs": 30, "lr": 1e-2}
    detectors = [cls(**options, **phases).fit(X, sample_weight=w) for w in (weights, None)]
    left_out, learned = (d.anomaly_score(ones).mean() / d.anomaly_score(zeros).mean()
                         for d in detectors)  # fmt: skip
    assert left_out > 1.5 * learned


def test_weights_name_the_checkpoints_and_the_data(threes, tmp_path):
    settings = QUICK | {"recipe": "fast", "encoder": ENCODER, "checkpoint_dir": tmp_path}
    weights = np.linspace(0, 1, len(threes))
    found = {DeepSVDD(**settings).fit(threes, sample_weight=w).data_fingerprint_
             for w in (None, weights, weights**2)}  # fmt: skip
    assert len(found) == 3
    assert len(list(tmp_path.glob("pretrain-*"))) == len(list(tmp_path.glob("train-*"))) == 3


def test_weights_are_refused_in_one_sentence_where_they_cannot_be_used(table):
    assert has_fit_parameter(DeepSVDD(), "sample_weight")
    assert not has_fit_parameter(KNNDetector(), "sample_weight")
    with pytest.raises(SpecError, match="KNNDetector cannot weigh its training samples"):
        KNNDetector().fit(table, sample_weight=np.ones(60))
    with pytest.raises(TypeError, match="unexpected keyword argument 'weight'"):
        KNNDetector().fit(table, weight=np.ones(60))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(59), "60 rows, but 59 weights"),
        (np.ones((60, 1)), "one finite number from 0 on"),
        (np.full(60, -1.0), "one finite number from 0 on"),
        (np.full(60, np.nan), "one finite number from 0 on"),
        (np.zeros(60), "All weights in sample_weight are zero"),
        (["heavy"] * 60, "sample_weight holds numbers"),
    ],
)
def test_bad_weights_get_one_sentence(table, weights, message):
    with pytest.raises(DataError, match=message):
        DeepSVDD(**QUICK).fit(table, sample_weight=weights)


# ---------------------------------------------------------------- groups


@pytest.mark.parametrize("calibration", [0.3, 4])
def test_groups_do_what_those_of_an_image_set_do(threes, calibration):
    numbers = np.arange(len(threes)) // 6
    data = ImageSet(threes, np.zeros(len(threes), np.int64), ("3",), groups=numbers)
    params = {"false_alarm_rate": 0.1, "calibration": calibration, "random_state": 0}
    expected = KNNDetector(**params).fit(data)
    named = np.array([f"track {n:03}" for n in numbers])
    for groups in (numbers, named, named.tolist()):
        found = KNNDetector(**params).fit(threes, groups=groups)
        np.testing.assert_array_equal(found.calibration_scores_, expected.calibration_scores_)
        assert found.n_calibration_groups_ == expected.n_calibration_groups_
    ungrouped = ImageSet(threes, np.zeros(len(threes), np.int64), ("3",))
    found = KNNDetector(**params).fit(ungrouped, groups=numbers)
    np.testing.assert_array_equal(found.calibration_scores_, expected.calibration_scores_)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(59), "60 rows, but 59 groups"),
        (np.zeros((60, 2), int), "groups holds one whole number or string"),
        (np.linspace(0, 1, 60), "groups holds one whole number or string"),
    ],
)
def test_bad_groups_get_one_sentence(table, groups, message):
    with pytest.raises(DataError, match=message):
        KNNDetector(false_alarm_rate=0.2).fit(table, groups=groups)


# ---------------------------------------------------------------- labels


class Told(OneClassDetector):
    """Distance to the mean of normals, less so near labelled anomalies: +1 normal, -1 anomalous."""

    _takes: ClassVar[tuple[str, ...]] = ("labels", "groups")

    def __init__(self, *, contamination=0.05, false_alarm_rate=None, calibration=0.2,
                 random_state=None):  # fmt: skip
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.calibration = calibration
        self.random_state = random_state

    def _read_labels(self, y: Any):
        labels = np.ones(60, np.int64) if y is None else np.asarray(y)
        return labels, labels != -1

    def _fit(self, X, *, labels=None, groups=None):
        assert len(labels) == len(X)
        self.seen_, self.groups_seen_ = labels, groups
        self.center_ = X[labels != -1].mean(axis=0)

    def _anomaly_score(self, X):
        return np.linalg.norm(X - self.center_, axis=1)

    def _state(self):
        return {"center_": self.center_}, {}

    def _set_state(self, arrays, meta):
        self.center_ = arrays["center_"]


@pytest.mark.parametrize("calibration", [0.4, 5])
def test_labelled_anomalies_are_trained_on_and_calibrate_nothing(table, calibration):
    y = np.where(np.arange(60) % 6 == 0, -1, 1)
    table[y == -1] += 20
    detector = Told(false_alarm_rate=0.1, calibration=calibration, random_state=0).fit(table, y)
    assert detector.n_calibration_ == (20 if calibration == 0.4 else 50)
    assert (detector.predict(table[y == -1]) == -1).all()
    assert (detector.seen_ == -1).sum() == 10
    assert detector.calibration_scores_.max() < (10 if calibration == 0.4 else 51)
    assert detector.groups_seen_ is None
    without = Told(contamination=0.0).fit(table, y)
    assert without.threshold_ == without.anomaly_score(table[y == 1]).max()


def test_labels_are_part_of_the_fingerprint_only_where_they_are_used(table):
    y = np.where(np.arange(60) % 6 == 0, -1, 1)
    told = {Told().fit(table, labels).data_fingerprint_ for labels in (None, y, -y)}
    assert len(told) == 3
    ignoring = {OCSVMDetector().fit(table, labels).data_fingerprint_ for labels in (None, y, "any")}
    assert len(ignoring) == 1


def test_pipelines_pass_labels_to_those_who_ignore_them(table):
    y = np.arange(60) % 2
    with_y = make_pipeline(StandardScaler(), KNNDetector()).fit(table, y)
    without = make_pipeline(StandardScaler(), KNNDetector()).fit(table)
    np.testing.assert_array_equal(with_y.predict(table), without.predict(table))


def test_a_classifier_takes_weights(digits):
    """Images of a class that weighs nothing are not learned."""
    images, target = digits
    X, y = images[target < 3], target[target < 3]
    settings = {"encoder": ENCODER, "epochs": 15, "lr": 1e-2, "batch_size": 50, "random_state": 0}
    detector = SoftmaxThreshold(**settings).fit(X, y, sample_weight=(y != 2).astype(float))
    logits = detector.classifier_(torch.from_numpy(X).permute(0, 3, 1, 2)).detach().numpy()
    assert (logits.argmax(axis=1) != 2).all()
    assert (logits.argmax(axis=1) == y)[y != 2].mean() > 0.95


def test_a_fit_leaves_nothing_behind_but_what_it_says(threes):
    detector = DeepSVDD(recipe="fast", encoder=ENCODER, false_alarm_rate=0.2, **QUICK).fit(threes)
    assert detector.trained_on_ is None
    assert "_training_distances" not in vars(detector)
