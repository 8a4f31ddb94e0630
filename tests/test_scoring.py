"""Thresholds, z-scores and metrics against values worked out by hand."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insphere.errors import DataError, SpecError
from insphere.scoring import (
    conformal_calibration_size,
    conformal_threshold,
    contamination_threshold,
    display_z_scores,
    evaluate_scores,
    score_scale,
    z_scores,
)

finite = st.floats(-1e6, 1e6)


# ------------------------------------------------------------------ contamination


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, 10.0), (0.05, 10.0), (0.1, 9.5), (0.29, 8.5), (0.3, 7.5), (0.5, 5.5)],
)
def test_contamination_threshold_by_hand(share: float, expected: float) -> None:
    assert contamination_threshold([3, 1, 2, 10, 5, 4, 9, 7, 8, 6], share) == expected


def test_contamination_counts_are_exact_in_decimal() -> None:
    scores = np.arange(100.0)
    for percent in range(51):  # 0.29 * 100 is 28.999… in binary
        outside = (scores > contamination_threshold(scores, percent / 100)).sum()
        assert outside == percent


@given(st.lists(finite, min_size=1, max_size=60), st.floats(0, 0.5))
def test_contamination_is_never_exceeded(scores: list[float], share: float) -> None:
    above = sum(score > contamination_threshold(scores, share) for score in scores)
    assert above <= share * len(scores) + 1e-9


@pytest.mark.parametrize("share", [-0.1, 0.6, math.nan, "auto", None, True])
def test_contamination_out_of_range(share: object) -> None:
    with pytest.raises(SpecError, match=r"from 0 to 0\.5"):
        contamination_threshold([1.0, 2.0], share)  # type: ignore[arg-type]


@pytest.mark.parametrize("scores", [[], [1.0, math.nan], [1.0, math.inf]])
def test_thresholds_need_finite_scores(scores: list[float]) -> None:
    with pytest.raises(DataError):
        contamination_threshold(scores, 0.1)
    with pytest.raises(DataError):
        conformal_threshold(scores, 0.5)


# ------------------------------------------------------------------ conformal


@pytest.mark.parametrize(
    ("n", "alpha", "rank"),
    [(19, 0.05, 19), (20, 0.05, 20), (39, 0.05, 38), (9, 0.1, 9), (99, 0.1, 90), (100, 0.1, 91)],
)
def test_conformal_threshold_is_the_right_rank(n: int, alpha: float, rank: int) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert conformal_threshold(scores, alpha) == rank


@pytest.mark.parametrize(
    ("alpha", "size"), [(0.5, 1), (0.1, 9), (0.05, 19), (0.03, 33), (0.01, 99), (0.001, 999)]
)
def test_calibration_size(alpha: float, size: int) -> None:
    assert conformal_calibration_size(alpha) == size
    conformal_threshold(np.arange(float(size)), alpha)
    if size > 1:
        with pytest.raises(SpecError, match=f"at least {size} calibration images.*are {size - 1}"):
            conformal_threshold(np.arange(size - 1.0), alpha)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1, 2, math.nan, "x"])
def test_false_alarm_rate_out_of_range(alpha: object) -> None:
    with pytest.raises(SpecError, match="between 0 and 1"):
        conformal_threshold([1.0, 2.0], alpha)  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "alpha"), [(19, 0.05), (50, 0.1), (200, 0.01)])
def test_conformal_guarantee_holds_and_is_not_wasteful(n: int, alpha: float) -> None:
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(2000):
        scores = rng.gamma(2.0, size=n + 50)  # any continuous distribution will do
        rates.append((scores[n:] > conformal_threshold(scores[:n], alpha)).mean())
    exact = math.floor((n + 1) * alpha) / (n + 1)
    slack = 4 * np.std(rates) / np.sqrt(len(rates))
    assert exact <= alpha
    assert abs(np.mean(rates) - exact) < slack


# ------------------------------------------------------------------ z-scores


def test_z_scores_by_hand() -> None:
    mean, std = score_scale([2, 4, 4, 4, 5, 5, 7, 9])
    assert (mean, std) == (5.0, 2.0)
    np.testing.assert_allclose(z_scores([5, 9, 1], mean, std), [0, 2, -2])


@pytest.mark.parametrize("value", [0.0, 0.1, 1e100, -7.0])
def test_scores_that_do_not_vary(value: float) -> None:
    mean, std = score_scale([value] * 7)
    assert std == 1.0
    np.testing.assert_allclose(z_scores([value], mean, std), [0], atol=1e-15 * max(1, abs(value)))


@given(st.lists(finite, min_size=2, max_size=40))
def test_display_z_scores_keep_the_order(scores: list[float]) -> None:
    shown = display_z_scores(scores)
    order = np.argsort(scores, kind="stable")
    assert (np.diff(shown[order]) >= 0).all()


def test_display_z_scores_cannot_change_an_auc() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 500)
    scores = rng.exponential(size=500) + truth
    shown = display_z_scores(scores)
    assert abs(shown.mean()) < 1e-12
    assert abs(shown.std() - 1) < 1e-12
    assert evaluate_scores(truth, shown) == evaluate_scores(truth, scores)


def test_scale_needs_finite_scores() -> None:
    for scores in ([], [1.0, math.nan]):
        with pytest.raises(DataError):
            score_scale(scores)


# ------------------------------------------------------------------ metrics


def test_evaluation_by_hand() -> None:
    # ascending: N1 N2 A3 N4 A5 A6, flagged above 3.5
    evaluation = evaluate_scores([0, 0, 1, 0, 1, 1], [1, 2, 3, 4, 5, 6], threshold=3.5)
    assert evaluation.auc == pytest.approx(8 / 9)
    assert evaluation.average_precision == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert evaluation.fpr_at_95_tpr == pytest.approx(1 / 3)
    assert (evaluation.n_normal, evaluation.n_anomalous) == (3, 3)
    assert (evaluation.tp, evaluation.fp, evaluation.tn, evaluation.fn) == (2, 1, 2, 1)
    assert evaluation.precision == pytest.approx(2 / 3)
    assert evaluation.recall == pytest.approx(2 / 3)
    assert evaluation.f1 == pytest.approx(2 / 3)
    assert evaluation.false_alarm_rate == pytest.approx(1 / 3)
    assert evaluation.balanced_accuracy == pytest.approx(2 / 3)


def test_evaluation_without_threshold_and_as_json() -> None:
    evaluation = evaluate_scores([False, True], [0.0, 1.0])
    assert evaluation.auc == 1.0
    assert evaluation.tp is None
    assert evaluation.f1 is None
    written = json.loads(json.dumps(evaluate_scores(np.array([0, 1]), [0.0, 1.0], 0.5).to_dict()))
    assert written["f1"] == 1.0
    assert written["threshold"] == 0.5
    assert set(written) == {field.name for field in dataclasses.fields(evaluation)}
    with pytest.raises(dataclasses.FrozenInstanceError):
        evaluation.auc = 0.0  # type: ignore[misc]


def test_a_score_on_the_threshold_is_normal_and_nothing_flagged_is_no_error() -> None:
    evaluation = evaluate_scores([0, 1], [1.0, 2.0], threshold=2.0)
    assert (evaluation.tp, evaluation.fp) == (0, 0)
    assert evaluation.precision == 0.0
    assert evaluation.f1 == 0.0
    assert evaluation.balanced_accuracy == 0.5


def test_ties_count_half_and_infinite_scores_count_by_order() -> None:
    assert evaluate_scores([0, 1], [1.0, 1.0]).auc == 0.5
    assert evaluate_scores([0, 0, 1], [0.0, -math.inf, math.inf]).auc == 1.0


@pytest.mark.parametrize(
    ("truth", "scores", "match"),
    [
        ([0, 0], [1.0, 2.0], "2 normal and 0 anomalous"),
        ([1, 1], [1.0, 2.0], "0 normal and 2 anomalous"),
        ([], [], "0 normal and 0 anomalous"),
        ([0, 1], [1.0, math.nan], "1 of 2 scores are NaN"),
        ([0, 1], [1.0], "one length"),
        ([-1, 1], [1.0, 2.0], "0 for normal and 1 for anomalous"),
    ],
)
def test_evaluation_refuses(truth: list[int], scores: list[float], match: str) -> None:
    with pytest.raises(DataError, match=match):
        evaluate_scores(truth, scores)


def test_evaluation_refuses_a_nan_threshold() -> None:
    with pytest.raises(DataError, match="threshold is NaN"):
        evaluate_scores([0, 1], [1.0, 2.0], math.nan)
