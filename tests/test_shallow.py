"""The rivals: scikit-learn's contract, agreement with its own scores, and real digits."""

import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KernelDensity
from sklearn.svm import OneClassSVM
from sklearn.utils.estimator_checks import parametrize_with_checks

import insphere
from insphere.data.column_scale import ColumnScale
from insphere.detectors import (
    IsolationForestDetector,
    KDEDetector,
    KNNDetector,
    MahalanobisDetector,
    OCSVMDetector,
    OneClassDetector,
)
from insphere.detectors.base import components
from insphere.detectors.shallow import principal_components, vector_detector
from insphere.errors import DataError, SpecError
from insphere.scoring import evaluate_scores

ALL = [OCSVMDetector, IsolationForestDetector, KNNDetector, KDEDetector, MahalanobisDetector]

LEAVE_ONE_OUT = (
    "counts outliers by scoring the training rows again: each then finds itself among the stored "
    "rows, while the threshold rests on leave-one-out scores, as it must for new rows"
)


def expected_failures(detector: OneClassDetector) -> dict[str, str]:
    if isinstance(detector, KNNDetector | KDEDetector):
        return {
            "check_outliers_train": LEAVE_ONE_OUT,
            "check_outliers_fit_predict": LEAVE_ONE_OUT,
        }
    return {}


FEW_TREES = IsolationForestDetector(
    n_estimators=10, contamination=0.05
)  # it is trained eleven times for a threshold


@parametrize_with_checks(
    [FEW_TREES if cls is IsolationForestDetector else cls() for cls in ALL],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_contract(estimator: OneClassDetector, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(8, 8))
    return rng.normal(size=(300, 8)) @ mix, rng.normal(size=(100, 8)) @ mix * 2


# ------------------------------------------------------------------ the right numbers


def test_ocsvm_is_scikit_learns(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    train, test = blobs
    ours = OCSVMDetector(nu=0.1, pca=0.95, contamination=0.05).fit(train)
    scaled_train, scaled_test = map(ours.column_scale_.take, blobs)
    pca = PCA(0.95).fit(scaled_train)
    machine = OneClassSVM(nu=0.1, gamma="scale").fit(pca.transform(scaled_train))
    expected = -machine.decision_function(pca.transform(scaled_test))
    np.testing.assert_allclose(ours.anomaly_score(test), expected, atol=1e-6)


def test_isolation_forest_is_scikit_learns(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    train, test = blobs
    forest = IsolationForest(random_state=5, max_samples=256).fit(train)
    ours = IsolationForestDetector(pca=None, contamination=0.05, random_state=5).fit(train)
    np.testing.assert_allclose(ours.anomaly_score(test), -forest.score_samples(test), rtol=1e-12)


def unit_of(rows: Any) -> float:
    """Return by how much one unit of a table's only column changes what detectors see."""
    zero, one = ColumnScale.fitted(np.asarray(rows)).take(np.array([[0.0], [1.0]])).ravel()
    return float(one - zero)


def test_knn_by_hand() -> None:
    train = np.array([[0.0], [1.0], [3.0], [7.0]])
    detector = KNNDetector(n_neighbors=2, normalize=None, contamination=0.0).fit(train)
    unit = unit_of(train)
    np.testing.assert_allclose(detector.anomaly_score([[2.0], [10.0]]), [1.0 * unit, 5.0 * unit])
    # leave-one-out: (1+3)/2, (1+2)/2, (2+3)/2, (4+6)/2
    assert detector.threshold_ == pytest.approx(5.0 * unit)
    assert detector.score_mean_ == pytest.approx((2 + 1.5 + 2.5 + 5) / 4 * unit)


def test_knn_of_a_training_row_is_exact_and_does_not_depend_on_the_company() -> None:
    """A distance from products would leave sqrt(2e-16) times the length of a row, or nothing."""
    train = np.random.default_rng(0).uniform(0, 1, (200, 6, 6, 1)).astype(np.float32)
    nearest = KNNDetector(n_neighbors=1, contamination=0.05).fit(train)
    assert (nearest.anomaly_score(train) == 0).all()
    detector = KNNDetector(contamination=0.05).fit(train)
    together = detector.anomaly_score(train)
    for n in (1, 3):
        alone = [detector.anomaly_score(train[i : i + n]) for i in range(0, 30, n)]
        np.testing.assert_array_equal(np.concatenate(alone), together[:30])


def test_l2_normalising_ignores_brightness() -> None:
    rng = np.random.default_rng(0)
    train = rng.uniform(0.2, 0.5, (40, 5, 5, 1)).astype(np.float32)
    detector = KNNDetector(contamination=0.05).fit(train)
    np.testing.assert_allclose(
        detector.anomaly_score(train), detector.anomaly_score(train * 2), atol=1e-6
    )


def test_kde_is_scikit_learns_up_to_a_constant(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    train, test = blobs
    # A wide kernel: with a narrow one its tree loses precision far from the training rows.
    detector = KDEDetector(bandwidth=4.0, pca=None, contamination=0.05).fit(train)
    scaled_train, scaled_test = map(detector.column_scale_.take, blobs)
    reference = KernelDensity(bandwidth=4.0).fit(scaled_train).score_samples(scaled_test)
    ours = detector.anomaly_score(test)
    np.testing.assert_allclose(ours + reference, (ours + reference)[0], rtol=1e-6)


def test_kde_by_hand_even_where_the_density_underflows() -> None:
    train = [[0.0], [4.0], [100.0]]
    detector = KDEDetector(bandwidth=2.0 * unit_of(train), pca=None, contamination=0.05).fit(train)
    near, far = detector.anomaly_score([[1.0], [1000.0]])
    assert near == pytest.approx(-np.log(np.exp(-1 / 8) + np.exp(-9 / 8)))
    assert far == pytest.approx(900**2 / 8)
    # each row scored without itself
    assert detector.score_mean_ == pytest.approx((16 / 8 + 16 / 8 + 96**2 / 8) / 3)


def test_kde_finds_a_sensible_bandwidth_and_scores_training_rows_without_themselves() -> None:
    rng = np.random.default_rng(0)
    train = rng.normal(size=(2000, 1))
    detector = KDEDetector(pca=None, contamination=0.05).fit(train)
    # Silverman's rule for a normal density gives 0.23.
    assert 0.1 < detector.bandwidth_ < 0.45
    fresh = (detector.predict(rng.normal(size=(4000, 1))) == -1).mean()
    assert fresh == pytest.approx(0.05, abs=0.02)


def test_mahalanobis_follows_the_density_of_a_gaussian(
    blobs: tuple[np.ndarray, np.ndarray],
) -> None:
    train, test = blobs
    ours = MahalanobisDetector(pca=0.999999, contamination=0.05).fit(train).anomaly_score(test)
    density = multivariate_normal(train.mean(axis=0), np.cov(train.T)).logpdf(test)
    shift = density + ours**2 / 2
    np.testing.assert_allclose(shift, shift[0], rtol=1e-6)


# ------------------------------------------------------------------ real digits


@pytest.mark.parametrize(
    ("detector", "least"),
    [
        (OCSVMDetector(contamination=0.05), 0.94),
        (IsolationForestDetector(contamination=0.05, random_state=0), 0.92),
        (KNNDetector(contamination=0.05), 0.97),
        (KDEDetector(contamination=0.05), 0.96),
        (MahalanobisDetector(contamination=0.05), 0.95),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, OneClassDetector) else "",
)
def test_small_digits(detector: OneClassDetector, least: float) -> None:
    data = load_digits()
    images = (data.images * 15.9375).astype(np.uint8)[..., None]
    aucs = []
    for digit in (0, 3, 8):
        normal = np.flatnonzero(data.target == digit)
        test = np.setdiff1d(np.arange(len(images)), normal[:120])
        detector.fit(images[normal[:120]])
        scores = detector.anomaly_score(images[test])
        aucs.append(evaluate_scores(data.target[test] != digit, scores).auc)
    assert np.mean(aucs) > least, aucs


@pytest.mark.parametrize(
    ("detector", "least"),
    [
        (OCSVMDetector(contamination=0.05), 0.77),
        (IsolationForestDetector(contamination=0.05, random_state=0), 0.80),
        (KNNDetector(contamination=0.05), 0.91),
        (KDEDetector(contamination=0.05), 0.81),
        (MahalanobisDetector(contamination=0.05), 0.82),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, OneClassDetector) else "",
)
def test_mnist_digits(
    detector: OneClassDetector, least: float, mnist: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = mnist
    normal = np.flatnonzero(labels == 8)
    test = np.setdiff1d(np.arange(len(images)), normal[:400])
    detector.fit(images[normal[:400]])
    evaluation = evaluate_scores(
        labels[test] != 8, detector.anomaly_score(images[test]), detector.threshold_
    )
    assert evaluation.auc > least
    assert evaluation.false_alarm_rate is not None
    assert evaluation.false_alarm_rate < 0.2


def test_floats_between_0_and_1_score_as_uint8_does(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = mnist
    detector = KNNDetector(contamination=0.05).fit(images[labels == 4])
    np.testing.assert_allclose(
        detector.anomaly_score(images[:50]), detector.anomaly_score(images[:50] / 255.0), rtol=1e-5
    )


@pytest.mark.parametrize("cls", ALL)
def test_ten_thousand_images_take_seconds(
    cls: type[OneClassDetector], mnist: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = mnist
    detector = cls().fit(images[labels == 1])
    many = np.concatenate([images, images])
    start = time.process_time()
    scores = detector.anomaly_score(many)
    assert time.process_time() - start < 10
    # Neither the batch nor its neighbours change a score.
    np.testing.assert_allclose(scores[4321:4330], detector.anomaly_score(many[4321:4330]))


def test_scoring_a_memory_map_needs_little_memory(
    mnist: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    images, labels = mnist
    detector = MahalanobisDetector(contamination=0.05).fit(images[labels == 3])
    shape = (60_000, 28, 28, 1)
    mapped = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", dtype=np.uint8, shape=shape)
    tracemalloc.start()
    scores = detector.anomaly_score(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scores.shape == (60_000,)
    # All at once, in float64, it would be 376 MB.
    assert peak < 40e6


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("detector", "match"),
    [
        (OCSVMDetector(nu=0, contamination=0.05), "nu is in"),
        (OCSVMDetector(gamma="auto", contamination=0.05), 'gamma is "scale" or a positive number'),
        (OCSVMDetector(gamma=-1.0, contamination=0.05), 'gamma is "scale" or a positive number'),
        (OCSVMDetector(pca=1.5, contamination=0.05), "pca is the share of variance"),
        (
            IsolationForestDetector(n_estimators=0, contamination=0.05),
            "n_estimators is a whole number from 1 on",
        ),
        (
            IsolationForestDetector(max_samples=0.5, contamination=0.05),
            "max_samples is a whole number",
        ),  # type: ignore[arg-type]
        (KNNDetector(n_neighbors=2.0, contamination=0.05), "n_neighbors is a whole number"),  # type: ignore[arg-type]
        (
            KNNDetector(n_neighbors=300, contamination=0.05),
            "needs more than 300 training samples, but there are 300",
        ),
        (KNNDetector(normalize="l1", contamination=0.05), 'normalize is "l2" or None'),
        (KDEDetector(bandwidth=0.0, contamination=0.05), "bandwidth is a positive number"),
        (MahalanobisDetector(pca=None, contamination=0.05), "needs a number for pca"),  # type: ignore[arg-type]
    ],
)
def test_bad_parameters(
    detector: OneClassDetector, match: str, blobs: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(SpecError, match=match):
        detector.fit(blobs[0])


@pytest.mark.parametrize("cls", ALL)
def test_identical_images(cls: type[OneClassDetector]) -> None:
    one = np.random.default_rng(0).integers(0, 256, (1, 6, 6, 1), dtype=np.uint8)
    with pytest.raises(DataError, match="All 20 training images are identical"):
        cls().fit(np.repeat(one, 20, axis=0))


@pytest.mark.parametrize("cls", ALL)
def test_scores_vary_and_fit_changes_them(
    cls: type[OneClassDetector], blobs: tuple[np.ndarray, np.ndarray]
) -> None:
    train, test = blobs
    first = cls(random_state=0).fit(train).anomaly_score(test)
    second = cls(random_state=0).fit(train[:150] + 3).anomaly_score(test)
    assert np.isfinite(first).all()
    assert first.std() > 0
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, cls(random_state=0).fit(train).anomaly_score(test))


def test_principal_components_are_computed_once_for_equal_images(monkeypatch, blobs):
    fitted = []
    monkeypatch.setattr(components, "PCA", lambda **how: fitted.append(how) or PCA(**how))
    principal_components.forget_components()
    train, test = blobs
    scores = [
        OCSVMDetector(gamma=gamma, pca=0.95, contamination=0.05).fit(train).anomaly_score(test)
        for gamma in (0.1, 0.2)
    ]
    IsolationForestDetector(pca=0.95, contamination=0.05, random_state=0).fit(train.copy())
    assert len(fitted) == 1
    OCSVMDetector(gamma=0.1, pca=0.5, contamination=0.05).fit(train)
    OCSVMDetector(gamma=0.1, pca=0.95, contamination=0.05).fit(test)
    assert len(fitted) == 3
    again = OCSVMDetector(gamma=0.1, pca=0.95, contamination=0.05).fit(train)
    assert len(fitted) == 4  # only the last two are remembered
    np.testing.assert_array_equal(again.anomaly_score(test), scores[0])


@pytest.mark.parametrize("share", [0.5, 0.95, 1 - 1e-9])
def test_components_of_few_long_rows_need_no_copy(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    F = rng.normal(size=(12, 3)) @ rng.normal(size=(3, 300)) * 5 + rng.normal(size=(12, 300))
    expected = PCA(share, svd_solver="full").fit(F)
    monkeypatch.setattr(principal_components, "BLOCK", 64)
    mean, components = principal_components.from_products(F, share)
    np.testing.assert_allclose(mean, expected.mean_)
    signs = np.sign((components * expected.components_).sum(axis=1))
    np.testing.assert_allclose(components, signs[:, None] * expected.components_, atol=1e-9)
    np.testing.assert_allclose(components @ components.T, np.eye(len(components)), atol=1e-9)
    scores = []
    for large in (1 << 25, 100):
        principal_components.forget_components()
        for module in (principal_components, vector_detector):
            monkeypatch.setattr(module, "LARGE", large)
        detector = MahalanobisDetector(pca=share, contamination=0.1).fit(F)
        scores.append(detector.anomaly_score(F + 0.1))
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.95, 1 - 1e-9])
def test_components_of_blocks_are_those_of_all_rows(share: float) -> None:
    rng = np.random.default_rng(0)
    F = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 12)) * 5 + rng.normal(size=(300, 12)) + 1e4
    expected = PCA(share, svd_solver="full").fit(F)
    mean, components = principal_components.from_blocks(iter(np.split(F, [1, 20, 130])), share)
    np.testing.assert_allclose(mean, expected.mean_)
    np.testing.assert_allclose(components, expected.components_, atol=1e-9)


@pytest.mark.parametrize(
    ("cls", "changes"),
    [
        (MahalanobisDetector, {}),
        (KDEDetector, {"preprocess": "gcn", "exact_rows": 100}),
        (OCSVMDetector, {}),
        (IsolationForestDetector, {}),
        (KNNDetector, {"exact_rows": 100}),
        (KNNDetector, {}),
    ],
)
def test_pixels_of_many_images_are_never_all_in_memory(
    cls: type[OneClassDetector], changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a million images of 28×28 they would take 5 GB in float64."""
    shapes = np.random.default_rng(0).integers(0, 120, (4, 6, 5, 1))
    noise = np.random.default_rng(1).integers(0, 100, (300, 6, 5, 1))
    images = (shapes[np.arange(300) % 4] + noise).astype(np.uint8)
    seen: list[int] = []
    vectors = cls._vectors

    def noted(self: Any, X: Any) -> Any:
        seen.append(len(X))
        return vectors(self, X)

    scores = []
    for large in (1 << 25, 1000):
        principal_components.forget_components()
        for module in (principal_components, vector_detector):
            monkeypatch.setattr(module, "LARGE", large)
        monkeypatch.setattr(vector_detector, "BATCH", 64)
        monkeypatch.setattr(cls, "_vectors", noted)
        seen.clear()
        detector = cls(false_alarm_rate=0.1, random_state=0, **changes).fit(images)
        scores.append(detector.anomaly_score(255 - images))
        few = cls is KNNDetector and changes
        if few or (cls is not KNNDetector and large == 1000):
            assert max(seen) <= (100 if few else 64)
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-6)


def test_a_blur_is_that_of_scipy_and_helps_on_digits(mnist: Any) -> None:
    images, target = mnist
    three = np.flatnonzero(target == 3)
    train, test = images[three[:250]], images[np.r_[three[250:], np.flatnonzero(target != 3)[::9]]]
    truth = np.r_[np.zeros(len(three) - 250), np.ones(len(test) - len(three) + 250)]
    aucs = []
    for blur in (0.0, 1.0):
        detector = KNNDetector(blur=blur, contamination=0.05).fit(train)
        scores = detector.anomaly_score(test)
        module = detector.scoring_module().double()
        tensor = torch.from_numpy(test.transpose(0, 3, 1, 2).copy())
        np.testing.assert_allclose(module(tensor).numpy(), scores, rtol=1e-6)
        aucs.append(roc_auc_score(truth, scores))
    assert aucs[1] > aucs[0] + 0.005
    with pytest.raises(SpecError, match="blur"):
        KNNDetector(blur=1.0).fit(np.random.default_rng(0).normal(size=(20, 4)))


def test_the_image_distortion_model_by_hand_and_on_digits(tmp_path, mnist) -> None:
    from insphere.detectors.base.image_distortion import distortion, gradients

    rng = np.random.default_rng(0)
    x, other = rng.random((2, 5, 6)), rng.random((2, 5, 6))
    expected = 0.0
    inside = np.pad(np.ones((5, 6)), 1)
    padded = np.pad(other, ((0, 0), (1, 1), (1, 1)))
    squared = {
        (a, b): ((padded[:, a : a + 5, b : b + 6] - x) ** 2).sum(axis=0)
        for a in range(3)
        for b in range(3)
    }
    for i in range(5):
        for j in range(6):
            expected += min(
                sum(
                    one[k, m] / 9
                    for k in range(i - 1, i + 2)
                    for m in range(j - 1, j + 2)
                    if inside[k + 1, m + 1]
                )
                for one in squared.values()
            )
    pair = torch.from_numpy(x)[None], torch.from_numpy(other)[None, None]
    assert float(distortion(*pair, 1)) == pytest.approx(np.sqrt(expected), rel=1e-9)
    ramp = np.tile(np.arange(6.0), (5, 1))
    down, right = gradients(ramp.reshape(1, -1), (5, 6, 1))[0]
    np.testing.assert_allclose(down, 0, atol=1e-6)
    np.testing.assert_allclose(right[:, 1:-1], 1, rtol=1e-6)

    images, target = mnist
    three = np.flatnonzero(target == 3)
    train, test = images[three[:250]], images[np.r_[three[250:], np.flatnonzero(target != 3)[::12]]]
    truth = np.r_[np.zeros(len(three) - 250), np.ones(len(test) - len(three) + 250)]
    plain = KNNDetector(blur=1.0, contamination=0.05).fit(train)
    moved = KNNDetector(blur=1.4, distortion=1, contamination=0.05).fit(train)
    scores = moved.anomaly_score(test)
    ahead = roc_auc_score(truth, scores) - roc_auc_score(truth, plain.anomaly_score(test))
    assert ahead > 0.005
    assert (scores[: len(three) - 250] > moved.threshold_).mean() < 0.2
    loaded = insphere.load(moved.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(test[:40]), moved.anomaly_score(test[:40]))
    with pytest.raises(SpecError, match="cannot be exported"):
        moved.scoring_module()
    for wrong in ({"distortion": -1}, {"distortion": 9}, {"distortion": 1, "search": "faiss"}):
        with pytest.raises(SpecError, match="distortion"):
            KNNDetector(**wrong).fit(train[:20])
    with pytest.raises(SpecError, match="distortion is"):
        KNNDetector(distortion=1).fit(rng.normal(size=(20, 4)))
