import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insphere.experiments.analysis.paired_stats import EXACT, Pairs, effect, holm, pair, smallest_p

# Steps of 1/1024: sums are exact, so that ties are ties.
DIFFERENCES = st.lists(
    st.integers(-200, 200).map(lambda value: value / 1024), min_size=2, max_size=8
)
CELLS = st.dictionaries(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 2)), st.integers(0, 64).map(lambda v: v / 64)
)


# ---------------------------------------------------------------------- pairs


def test_pairs_are_differences_and_what_is_missing_is_counted():
    option = {("3", 0): 0.75, ("3", 1): 0.5, ("5", 0): 0.25}
    baseline = {("3", 0): 0.5, ("3", 1): 0.75, ("5", 1): 0.5}
    wanted = [*itertools.product("35", (0, 1)), ("7", 0)]
    pairs = pair(option, baseline, wanted)
    assert pairs.differences == {("3", 0): 0.25, ("3", 1): -0.25}
    assert (pairs.without_option, pairs.without_baseline, pairs.without_both) == (1, 1, 1)
    assert pairs.missing == 3
    assert pair(option, baseline).missing == 2


def test_seeds_are_averaged_within_their_class():
    """Three seeds of one class weigh as much as one seed of another."""
    pairs = Pairs({("a", 0): 1.0, ("a", 1): 2.0, ("a", 2): 6.0, ("b", 0): -1.0})
    assert pairs.by_class() == {"a": 3.0, "b": -1.0}
    assert effect(list(pairs.by_class().values())).mean == 1.0


@given(option=CELLS, baseline=CELLS, wanted=st.none() | st.lists(st.tuples(
    st.sampled_from("abcd"), st.integers(0, 2)), unique=True))  # fmt: skip
def test_every_wanted_pair_is_there_or_counted_as_missing(option, baseline, wanted):
    pairs = pair(option, baseline, wanted)
    cells = {*option, *baseline} if wanted is None else wanted
    assert len(pairs.differences) + pairs.missing == len(cells)
    other = pair(baseline, option, wanted)
    assert other.differences == {cell: -value for cell, value in pairs.differences.items()}
    assert (other.without_option, other.without_baseline) == (
        pairs.without_baseline, pairs.without_option,
    )  # fmt: skip


# ---------------------------------------------------------------------- estimate and test


def test_interval_is_students():
    # mean 2, s = 1, standard error 1/√3, t(0.975, 2) = 4.302653
    found = effect([1.0, 2.0, 3.0])
    assert (found.n, found.mean) == (3, 2.0)
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert found.contains(0.0)
    assert not found.contains(4.5)


@pytest.mark.parametrize(
    ("values", "p"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),
        # |sum| of 1 − 2 + 3 is 2; of ±1 ± 2 ± 3 six of eight reach it, all but 0 and 0
        ([1.0, -2.0, 3.0], 6 / 8),
        ([1.0, 1.0, 1.0, -1.0], 10 / 16),  # 2 of sum ±4, 8 of sum ±2
        ([1.0] * 10, 2 / 1024),
        ([0.1] * 5 + [-0.1], 14 / 64),  # binomial: 2 of six signs alike, 12 of five
        ([0.0, 0.0, 0.0], 1.0),
    ],
)
def test_p_is_the_share_of_signs_that_are_as_extreme(values, p):
    assert effect(values).p == pytest.approx(p, abs=1e-12)


def test_one_class_says_nothing():
    found = effect([0.3])
    assert (found.mean, found.low, found.high, found.p) == (0.3, None, None, 1.0)
    assert found.contains(0.3) is None


@settings(max_examples=60)
@given(values=DIFFERENCES)
def test_p_is_exact(values):
    observed = abs(sum(values))
    signs = itertools.product((1, -1), repeat=len(values))
    sums = [abs(sum(s * v for s, v in zip(sign, values, strict=True))) for sign in signs]
    assert effect(values).p == pytest.approx(np.mean([s >= observed for s in sums]), abs=1e-12)


@settings(max_examples=60)
@given(values=DIFFERENCES, data=st.data())
def test_what_does_not_matter_changes_nothing_and_the_sign_only_the_sign(values, data):
    found = effect(values)
    assert smallest_p(len(values)) <= found.p <= 1
    assert found.low <= found.mean <= found.high

    other = effect([-value for value in values])
    assert other.p == pytest.approx(found.p, abs=1e-12)
    assert (other.mean, other.low, other.high) == pytest.approx(
        (-found.mean, -found.high, -found.low)
    )
    mixed = effect(data.draw(st.permutations(values)))
    assert (mixed.mean, mixed.low, mixed.high, mixed.p) == pytest.approx(
        (found.mean, found.low, found.high, found.p)
    )
    larger = effect([64 * value for value in values])
    assert larger.p == pytest.approx(found.p, abs=1e-12)
    assert larger.high == pytest.approx(64 * found.high)


def test_many_classes_are_tested_by_ranks():
    n = EXACT + 6
    signs = np.ones(n)
    assert effect(signs * np.arange(1, n + 1)).p == pytest.approx(smallest_p(n), rel=1e-6)
    signs[::2] = -1
    assert effect(signs * np.arange(1, n + 1)).p > 0.5
    assert effect(np.zeros(n)).p == 1.0


# ---------------------------------------------------------------------- many tests at once


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9, 0.4]) == [1.0, 1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@given(p_values=P_VALUES, data=st.data())
def test_holm_lies_between_nothing_and_bonferroni_and_keeps_the_order(p_values, data):
    corrected = holm(p_values)
    for p, c in zip(p_values, corrected, strict=True):
        assert p <= c <= min(1.0, len(p_values) * p)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert [corrected[i] for i in order] == sorted(corrected)
    chosen = data.draw(st.permutations(range(len(p_values))))
    assert holm([p_values[i] for i in chosen]) == [corrected[i] for i in chosen]


def test_false_alarms_are_as_rare_as_promised():
    """Of 400 sets of ten differences without any effect, about a twentieth has p ≤ 0.05."""
    values = np.random.default_rng(0).standard_normal((400, 10))
    found = [effect(row) for row in values]
    assert 8 <= sum(one.p <= 0.05 for one in found) <= 36  # 20 ± 4.4
    assert 8 <= sum(not one.contains(0.0) for one in found) <= 36
