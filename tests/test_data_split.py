"""One-class splits: disjoint, reproducible, exact, without leaks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from insphere.data import ImageSet, OneClassSplit, load_dataset
from insphere.errors import DataError, SpecError


def make(labels, *, is_test=None, groups=None, names=("a", "b", "c")) -> ImageSet:
    labels = np.asarray(labels, np.int64)
    images = np.broadcast_to(
        np.arange(len(labels), dtype=np.uint8)[:, None, None, None], (len(labels), 2, 2, 1)
    )
    return ImageSet(
        images.copy(),
        labels,
        names,
        is_test=None if is_test is None else np.asarray(is_test, bool),
        groups=None if groups is None else np.asarray(groups, np.int64),
    )


def test_own_test_part_is_used_whole():
    data = make([0, 0, 1, 0, 2, 0, 1, 2], is_test=[0, 0, 0, 0, 0, 1, 1, 1])
    split = OneClassSplit(data, "a")
    assert split.train.tolist() == [0, 1, 3]
    assert split.test.tolist() == [5, 6, 7]
    assert split.truth.tolist() == [0, 1, 1]
    assert split.calibration.tolist() == []
    assert split.X_train[:, 0, 0, 0].tolist() == [0, 1, 3]
    assert split.X_test[:, 0, 0, 0].tolist() == [5, 6, 7]
    assert split.X_calibration.shape == (0, 2, 2, 1)
    assert split.X_train is split.X_train
    assert split.has_anomalies
    assert split.has_normals


def test_real_digits_are_stratified():
    data = load_dataset("digits-8x8")
    split = OneClassSplit(data, 3, test_size=0.3, calibration=0.2, pollution=0.1)
    assert len(split.train) + len(split.calibration) < len(data) - len(split.test)
    counts = np.bincount(data.labels)
    np.testing.assert_array_equal(np.bincount(data.labels[split.test]), np.round(counts * 0.3))
    assert split.truth.sum() == (data.labels[split.test] != 3).sum()
    assert abs(len(split.calibration) - 0.2 * (counts[3] - round(counts[3] * 0.3))) <= 0.5
    assert split.X_train.dtype == np.uint8
    assert split.train_truth.mean() == pytest.approx(0.1, abs=0.005)


def test_several_normal_classes():
    data = make([0, 0, 1, 1, 2, 2] * 2, is_test=[0] * 6 + [1] * 6)
    for normal in (["a", "c"], (0, 2), [0, "c", 0], np.array([0, 2])):
        split = OneClassSplit(data, normal)
        assert split.normal_classes == (0, 2)
        assert split.truth.tolist() == [0, 0, 1, 1, 0, 0]
    assert split.normal_names == "a, c"


@settings(max_examples=60, deadline=None)
@example(
    n=20, pollution=0.0, calibration=0.0, test_size=0.8984375, seed=1, grouped=False, own=False
)
@given(
    n=st.integers(20, 120),
    pollution=st.floats(0, 0.3),
    calibration=st.floats(0, 0.9),
    test_size=st.floats(0.05, 0.9),
    seed=st.integers(0, 2**31),
    grouped=st.booleans(),
    own=st.booleans(),
)
def test_invariants(n, pollution, calibration, test_size, seed, grouped, own):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([[0] * 8, [1] * 8, rng.integers(0, 3, n)])
    n = len(labels)
    data = make(
        labels,
        groups=labels * 100 + rng.integers(0, 6, n) if grouped else None,
        is_test=np.arange(n) % 4 == 3 if own else None,
    )

    def split(**changes):
        options = {"calibration": calibration, "test_size": test_size, "random_state": seed}
        return OneClassSplit(data, "a", **{**options, **changes})

    try:
        clean = split()
    except DataError as error:  # a test share that leaves one image, or a single group
        assert "at least 2" in str(error) or "one group" in str(error)  # noqa: PT017
        return
    try:
        one = split(pollution=pollution)
    except DataError as error:
        assert "at most" in str(error)  # noqa: PT017
        one = clean
        pollution = 0.0
    used = np.concatenate([one.train, one.calibration, one.test])
    assert len(np.unique(used)) == len(used)
    for index in (one.train, one.calibration, one.test):
        assert (np.diff(index) > 0).all()
    np.testing.assert_array_equal(one.test, clean.test)
    np.testing.assert_array_equal(one.test, split(calibration=0.0).test)
    try:
        of_another = OneClassSplit(data, "b", test_size=test_size, random_state=seed)
    except DataError as error:  # this class has fewer images
        assert "at least 2" in str(error)  # noqa: PT017
    else:
        np.testing.assert_array_equal(one.test, of_another.test)
    np.testing.assert_array_equal(one.truth, labels[one.test] != 0)
    assert (labels[one.calibration] == 0).all()
    assert len(clean.train) > 0
    assert (len(one.calibration) > 0) == (calibration > 0)
    normals = (labels[one.train] == 0).sum()
    assert len(one.train) - normals == round(normals * pollution / (1 - pollution))
    np.testing.assert_array_equal(one.train, split(pollution=pollution).train)
    if own:
        np.testing.assert_array_equal(one.test, np.flatnonzero(data.is_test))
    if grouped:
        held = set(data.groups[one.calibration])
        assert not held & set(data.groups[clean.train])
        if not own:
            assert not set(data.groups[one.test]) & set(
                data.groups[np.union1d(one.train, one.calibration)]
            )


def test_seeds_differ():
    data = make(np.repeat([0, 1, 2], 40))
    first, second = (OneClassSplit(data, 0, random_state=seed) for seed in (0, 1))
    assert first.test.tolist() != second.test.tolist()


def test_contiguous_parts_are_not_copied():
    data = make([0, 0, 0, 1], is_test=[0, 0, 1, 1])
    split = OneClassSplit(data, 0)
    assert np.shares_memory(split.X_train, data.images)
    assert np.shares_memory(split.X_test, data.images)


def test_tracks_are_held_out_whole():
    data = make([0] * 12, groups=np.repeat([5, 6, 7, 8], 3), is_test=[0] * 9 + [1] * 3)
    split = OneClassSplit(data, 0, calibration=0.3)
    assert len(split.calibration) == 3
    assert len(set(data.groups[split.calibration])) == 1
    assert not split.has_anomalies
    assert split.truth.tolist() == [0, 0, 0]


def test_classes_by_number_word_and_index():
    data = make([0, 1, 2], names=("13 yield", "14 stop", "15 no vehicles"))
    assert [data.class_index(x) for x in ("14 stop", "stop", 14, "14", 1, "no vehicles")] == [
        1,
        1,
        1,
        1,
        1,
        2,
    ]
    digits = make([0, 1, 2], names=("3", "7", "11"))
    assert [digits.class_index(x) for x in (7, "7", 0, np.int64(11))] == [1, 1, 0, 2]


@pytest.mark.parametrize("normal", ["d", 3, -1, "", 1.5])
def test_unknown_classes_list_the_known(normal):
    with pytest.raises(DataError, match="its classes are: a, b, c"):
        make([0, 1, 2]).class_index(normal)


def test_too_few_images():
    with pytest.raises(DataError, match="has 0 images of c to train on"):
        OneClassSplit(make([0, 0, 2], is_test=[0, 0, 1]), "c")
    with pytest.raises(DataError, match="has 1 images of a to train on"):
        OneClassSplit(make([0, 1, 2]), "a")
    with pytest.raises(DataError, match="has 0 images of a"):
        OneClassSplit(make([0, 0, 0], is_test=[1, 1, 1]), "a")
    with pytest.raises(DataError, match="one group"):
        OneClassSplit(make([0] * 4, groups=[1] * 4, is_test=[0, 0, 0, 1]), 0, calibration=0.5)
    with pytest.raises(DataError, match=r"has 1 anomalous .*at most 0.25"):
        OneClassSplit(make([0, 0, 0, 1, 0], is_test=[0, 0, 0, 0, 1]), 0, pollution=0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"pollution": 1.0},
        {"pollution": -0.1},
        {"pollution": float("nan")},
        {"calibration": 1},
        {"calibration": "a"},
        {"test_size": -0.1},
        {"test_size": 1.0},
    ],
)
def test_shares_out_of_range(options):
    with pytest.raises(SpecError, match=f"{next(iter(options))} is a share"):
        OneClassSplit(make([0, 0, 1, 1]), 0, **options)


def test_without_a_test_part_all_is_trained_on():
    split = OneClassSplit(make([0, 0, 1, 2, 0]), [0, 2], test_size=0)
    assert split.train.tolist() == [0, 1, 3, 4]
    assert len(split.test) == 0
    assert not split.has_anomalies
    with_part = OneClassSplit(make([0, 0, 0, 1], is_test=[0, 0, 1, 1]), 0, test_size=0)
    assert (with_part.train.tolist(), with_part.test.tolist()) == ([0, 1], [2, 3])


def test_no_class_at_all():
    with pytest.raises(SpecError, match="At least one normal class"):
        OneClassSplit(make([0, 0, 1]), [])
