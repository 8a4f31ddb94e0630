import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insphere.errors import DataError, SpecError
from insphere.explain import extremes


def test_both_ends_in_order():
    found = extremes([3.0, 1.0, 2.0, 5.0, 4.0], k=2)
    assert found.most_normal.tolist() == [1, 2]
    assert found.most_anomalous.tolist() == [3, 4]
    assert found.most_anomalous_normals is None
    assert found.most_normal_anomalies is None


def test_mistakes_first_when_the_truth_is_known():
    found = extremes([0.1, 0.9, 0.4, 0.6, 0.2], k=2, truth=[0, 1, 1, 0, 0])
    assert found.most_anomalous_normals is not None
    assert found.most_normal_anomalies is not None
    assert found.most_anomalous_normals.tolist() == [3, 4]
    assert found.most_normal_anomalies.tolist() == [2, 1]


def test_ties_keep_their_order_at_both_ends():
    found = extremes(np.ones(5), k=3)
    assert found.most_normal.tolist() == [0, 1, 2]
    assert found.most_anomalous.tolist() == [0, 1, 2]


def test_k_beyond_the_images_and_one_kind_only():
    found = extremes([2.0, 1.0], k=10, truth=[0, 0])
    assert found.most_normal.tolist() == [1, 0]
    assert found.most_anomalous_normals is not None
    assert found.most_anomalous_normals.tolist() == [0, 1]
    assert found.most_normal_anomalies is not None
    assert found.most_normal_anomalies.tolist() == []


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        ([1.0, float("nan")], None, "1 of 2 scores are NaN"),
        ([1.0, float("inf")], None, "NaN or infinite"),
        ([[1.0], [2.0]], None, "one dimension"),
        (["a", "b"], None, "must be numbers"),
        ([1.0, 2.0], [0, 2], "0 for normal and 1"),
        ([1.0, 2.0], [0], "There are 2 scores"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(scores, truth, message):
    with pytest.raises(DataError, match=message):
        extremes(scores, k=1, truth=truth)


def test_k_must_be_positive():
    with pytest.raises(SpecError, match="at least 1"):
        extremes([1.0], k=0)


@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.booleans()), min_size=1, max_size=40),
    st.integers(1, 50),
)
def test_extremes_are_what_sorting_says(pairs, k):
    scores = np.array([score for score, _ in pairs])
    truth = np.array([kind for _, kind in pairs])
    found = extremes(scores, k, truth)
    assert scores[found.most_normal].tolist() == sorted(scores)[:k]
    assert scores[found.most_anomalous].tolist() == sorted(scores, reverse=True)[:k]
    assert scores[found.most_anomalous_normals].tolist() == sorted(scores[~truth])[::-1][:k]
    assert scores[found.most_normal_anomalies].tolist() == sorted(scores[truth])[:k]
    assert not truth[found.most_anomalous_normals].any()
    assert truth[found.most_normal_anomalies].all()
