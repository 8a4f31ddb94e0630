"""Tables: columns are measured by how they vary among normals, in every detector that takes any."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from insphere.data.column_scale import ColumnScale
from insphere.detectors import DeepCAE, DeepSVDD, KNNDetector, load_detector
from insphere.detectors.method_table import METHODS
from insphere.detectors.registry import build_detector, detector_class

SHALLOW = [
    key
    for key in METHODS
    if "tables" in (card := detector_class(key).card).takes
    and not card.needs_labels
    and card.family == "shallow"
]
NETWORKS = [
    key
    for key in METHODS
    if "tables" in (card := detector_class(key).card).takes
    and not card.needs_labels
    and card.family != "shallow"
]
EPOCHS = {"deep-svdd": {"epochs": 5, "pretrain_epochs": 2}, "dcae": {"epochs": 5}}


def build(method: str, **params: Any) -> Any:
    return build_detector(method, EPOCHS.get(method, {}) | params, seed=0)


def three_columns(n: int, rng: np.random.Generator) -> np.ndarray:
    return np.c_[rng.normal(1000, 100, n), rng.normal(0, 0.01, n), rng.normal(5, 0.05, n)]


def auc_of(detector: Any, train: np.ndarray, normal: np.ndarray, odd: np.ndarray) -> float:
    truth = np.repeat([0, 1], [len(normal), len(odd)])
    return float(roc_auc_score(truth, detector.fit(train).anomaly_score(np.r_[normal, odd])))


def test_all_families_with_tables_are_here() -> None:
    assert {"knn", "kde", "oc-svm", "isolation-forest", "mahalanobis"} <= set(SHALLOW)
    assert {"deep-svdd", "dcae"} <= set(NETWORKS)


@pytest.mark.parametrize("method", SHALLOW + NETWORKS)
def test_a_small_column_counts_as_much_as_a_large_one(method: str) -> None:
    rng = np.random.default_rng(0)
    train, normal = three_columns(300, rng), three_columns(100, rng)
    odd = normal + np.array([0.0, 1.0, 0.0])  # a hundred standard deviations
    assert auc_of(build(method), train, normal, odd) > 0.995


@pytest.mark.parametrize("method", SHALLOW)
def test_real_rows_in_their_own_units(method: str) -> None:
    cancer = load_breast_cancer()
    benign, malignant = cancer.data[cancer.target == 1], cancer.data[cancer.target == 0]
    assert auc_of(build(method), benign[:250], benign[250:], malignant) > 0.94


@pytest.mark.parametrize("method", SHALLOW)
@settings(max_examples=10, deadline=None)
@given(powers=st.tuples(*[st.integers(-9, 9)] * 3), shifts=st.tuples(*[st.integers(-3, 3)] * 3))
def test_auc_does_not_depend_on_units(
    method: str, powers: tuple[int, ...], shifts: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    train, normal = three_columns(100, rng), three_columns(60, rng)
    odd = normal + np.array([0.0, 0.04, 0.15])
    # A shift is measured in the spread of its column, or it would eat the digits.
    spread = np.array([100, 0.01, 0.05])
    factor, shift = 10.0 ** np.array(powers), spread * np.sign(shifts) * 10.0 ** np.abs(shifts)

    def moved(rows: np.ndarray) -> np.ndarray:
        return (rows + shift) * factor

    usual = auc_of(build(method), train, normal, odd)
    other = auc_of(build(method), moved(train), moved(normal), moved(odd))
    assert other == pytest.approx(usual, abs=0.01)


@pytest.mark.parametrize("method", NETWORKS)
def test_auc_of_networks_does_not_depend_on_units(method: str) -> None:
    rng = np.random.default_rng(1)
    train, normal = three_columns(100, rng), three_columns(60, rng)
    odd = normal + np.array([0.0, 0.04, 0.15])
    factor = np.array([1e-7, 1e5, 1e3])
    usual = auc_of(build(method), train, normal, odd)
    other = auc_of(build(method), train * factor, normal * factor, odd * factor)
    assert other == pytest.approx(usual, abs=0.02)


@pytest.mark.parametrize("method", SHALLOW + NETWORKS)
@pytest.mark.parametrize("value", [0.0, 7.0, -1e9])
def test_a_constant_column_that_changes_counts_and_is_named(method: str, value: float) -> None:
    rng = np.random.default_rng(2)
    train = np.c_[rng.normal(size=(120, 3)), np.full(120, value)]
    normal = np.c_[rng.normal(size=(40, 3)), np.full(40, value)]
    odd = normal.copy()
    odd[:, 3] += max(abs(value), 1.0) * 1e-6
    detector = build(method)
    assert auc_of(detector, train, normal, normal) == pytest.approx(0.5)
    with pytest.warns(UserWarning, match=r"column 3 \(always .*; other in 40 of 40 rows\)"):
        scores = detector.anomaly_score(odd)
    assert scores.min() > detector.anomaly_score(train).max()
    assert detector.changed_columns(odd) == {3: 40}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.anomaly_score(normal)
    assert detector.changed_columns(normal) == {}


def test_a_column_is_named_as_the_table_names_it() -> None:
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    train = pd.DataFrame({"heat": rng.normal(size=50), "valve": 3.0})
    detector = KNNDetector(contamination=0.05).fit(train)
    assert detector.changed_columns(train.assign(valve=4.0)) == {"valve": 50}


@pytest.mark.parametrize("method", SHALLOW + NETWORKS)
@pytest.mark.parametrize("params", [{}, {"false_alarm_rate": 0.1}], ids=["plain", "held out"])
def test_the_scale_is_saved(method: str, params: dict[str, Any], tmp_path: Any) -> None:
    rng = np.random.default_rng(3)
    train = np.c_[three_columns(60, rng), np.ones(60)]
    new = np.c_[three_columns(20, rng), np.r_[np.ones(10), np.full(10, 2.0)]]
    detector = build(method, **params).fit(train)
    with pytest.warns(UserWarning, match="column 3"):
        expected = detector.anomaly_score(new)
    loaded = load_detector(detector.save(tmp_path / "model"))
    with pytest.warns(UserWarning, match="column 3"):
        assert np.array_equal(loaded.anomaly_score(new), expected)


def test_parts_keep_their_scales(tmp_path: Any) -> None:
    rng = np.random.default_rng(3)
    train = np.c_[three_columns(40, rng), np.ones(40)]
    new = np.c_[three_columns(20, rng), np.r_[np.ones(10), np.full(10, 2.0)]]
    detector = KNNDetector(false_alarm_rate=0.1, calibration=4, random_state=0).fit(train)
    with pytest.warns(UserWarning, match="column 3"):
        expected = detector.anomaly_score(new)
    assert expected[10:].min() > expected[:10].max()
    loaded = load_detector(detector.save(tmp_path / "model"))
    with pytest.warns(UserWarning, match="column 3"):
        assert np.array_equal(loaded.anomaly_score(new), expected)


def test_the_module_takes_rows_in_their_own_units() -> None:
    rng = np.random.default_rng(4)
    train = np.c_[three_columns(60, rng), np.ones(60)]
    new = np.c_[three_columns(20, rng), np.r_[np.ones(10), np.full(10, 2.0)]]
    for detector in (
        DeepSVDD(epochs=1, pretrain_epochs=0, random_state=0, contamination=0.05),
        DeepCAE(epochs=1, contamination=0.05),
    ):
        detector.fit(train)
        with pytest.warns(UserWarning, match="column 3"):
            expected = detector.anomaly_score(new)
        scores = detector.scoring_module()(torch.from_numpy(new)).detach().numpy()
        np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_reconstructions_are_in_the_units_of_the_table() -> None:
    rng = np.random.default_rng(5)
    train = np.c_[three_columns(300, rng), np.full(300, 4.0)]
    restored = DeepCAE(epochs=60, random_state=0, contamination=0.05).fit(train).reconstruct(train)
    assert abs(restored[:, 0].mean() - 1000) < 50
    assert abs(restored[:, 1].mean()) < 0.01
    assert (restored[:, 3] == 4.0).all()


def test_rows_of_a_table_keep_their_length() -> None:
    rng = np.random.default_rng(6)
    train = rng.normal(size=(100, 4))
    scores = [
        KNNDetector(normalize=n, contamination=0.05).fit(train).anomaly_score(3 * train)
        for n in ("l2", None)
    ]
    assert np.array_equal(*scores)


@settings(max_examples=200, deadline=None)
@given(
    arrays(
        np.float64,
        st.tuples(st.integers(3, 30), st.integers(1, 4)),
        elements=st.floats(-1e18, 1e18, allow_subnormal=False),
    )
)
def test_every_table_gets_a_finite_scale(rows: np.ndarray) -> None:
    scale = ColumnScale.fitted(rows)
    scaled = scale.take(rows)
    assert np.isfinite(scaled).all()
    assert (scale.scale > 0).all()
    assert not scale.added(scaled).any()  # nothing that was trained on counts as changed
    again = ColumnScale.restored(scale.saved())
    assert np.array_equal(again.take(rows), scaled)


def test_a_few_wild_rows_do_not_set_the_unit() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 1))
    rows[:4] = 1e9
    assert ColumnScale.fitted(rows).scale[0] == pytest.approx(1, rel=0.25)


def test_columns_that_hardly_move_do_not_drown_the_others() -> None:
    rng = np.random.default_rng(0)
    rows = 5 + 1e-6 * rng.normal(size=(200, 1))
    rows[:50] += rng.normal(size=(50, 1))
    assert np.abs(ColumnScale.fitted(rows).take(rows)).max() < 100
