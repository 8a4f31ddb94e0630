"""Stop signs with all that can be wrong with them, and tracks that are never split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from insphere.data import ImageSet, OneClassSplit, available_datasets
from insphere.data.datasets.gtsrb import CLASS_NAMES
from insphere.data.datasets.stop_signs import BUDGETS, STOP, read_attacks, stop_signs
from insphere.data.perturb import KINDS, STRENGTHS, perturb
from insphere.detectors import KNNDetector
from insphere.errors import DataError, SpecError
from insphere.scoring.conformal import deal, held_out

TRACKS, FRAMES = 6, 5


@pytest.fixture(scope="module")
def gtsrb():
    """Six tracks of five frames, three test stop signs and two others; pixels say which."""
    n = TRACKS * FRAMES + 5
    images = np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3)).astype(np.uint8)
    images[:, 0, 0, 0] = np.minimum(np.arange(n) // FRAMES, TRACKS)  # the track, or 6 for none
    labels = np.full(n, STOP)
    labels[-2:] = 1
    return ImageSet(
        images,
        labels,
        CLASS_NAMES,
        "gtsrb",
        is_test=np.arange(n) >= TRACKS * FRAMES,
        paths=tuple(f"{i:05d}.ppm" for i in range(n)),
        groups=np.where(np.arange(n) < TRACKS * FRAMES, np.arange(n) // FRAMES, 100 + np.arange(n)),
    )


def test_attacked_signs_are_what_their_description_says():
    images, about = read_attacks()
    assert list(images) == list(BUDGETS) == [int(steps) for steps in about["budgets"]]
    for steps, signs in images.items():
        assert signs.dtype == np.uint8
        assert signs.shape == (BUDGETS[steps], 32, 32, 3)
        assert about["budgets"][str(steps)] == len(signs)
        assert len(signs) <= about["misclassified"][str(steps)] <= about["attacked"][str(steps)]
    most = max(BUDGETS.values())
    originals, starts = about["originals"], about["starts"]
    assert len(set(originals)) == len(set(starts)) == most
    assert not set(starts) & (set(originals) | set(about["known_signs"]))
    # More steps, less change; and the same row is the same sign whatever the steps.
    few, middle, many = BUDGETS
    distances = [about["distance_l2"][str(steps)]["median"] for steps in (few, middle, many)]
    assert distances == sorted(distances, reverse=True)
    same = min(BUDGETS.values())
    few, middle, many = (images[steps][:same].astype(float) for steps in BUDGETS)
    assert np.abs(middle - many).mean() < np.abs(middle - np.roll(many, 1, axis=0)).mean() / 4


def test_every_kind_is_a_class_of_the_test_part(gtsrb):
    data = stop_signs(gtsrb)
    counts = dict(zip(data.class_names, np.bincount(data.labels), strict=True))
    assert counts.pop("stop") == TRACKS * FRAMES + 3
    assert counts.pop("other signs") == 2
    assert [counts.pop(f"boundary {steps}") for steps in BUDGETS] == list(BUDGETS.values())
    assert counts == {f"{kind} {strength}": 3 for kind in KINDS for strength in STRENGTHS}
    split = OneClassSplit(data, "stop")
    np.testing.assert_array_equal(split.X_train, gtsrb.images[: TRACKS * FRAMES])
    assert (split.truth == 0).sum() == 3
    glare = data.images[data.labels == data.class_index("glare 3")]
    clean = gtsrb.images[TRACKS * FRAMES : TRACKS * FRAMES + 3]
    np.testing.assert_array_equal(glare, perturb(clean, "glare", 3).images)
    assert data.paths[-1].endswith(".ppm")
    card = next(card for card in available_datasets() if card.name == "stop-signs")
    assert card.n_classes == len(data.class_names)
    assert card.n_test == 270 * (1 + len(KINDS) * len(STRENGTHS)) + sum(BUDGETS.values()) + 2000
    with pytest.raises(DataError, match="0 stop signs to train on"):
        stop_signs(gtsrb.subset(slice(TRACKS * FRAMES, None)))


def test_tracks_are_split_neither_in_the_data_nor_for_calibration(gtsrb):
    class Noted(KNNDetector):
        def _fit(self, X, **known):
            tracks.append(set(X[:, 0, 0, 0].tolist()))
            super()._fit(X, **known)

        def _anomaly_score(self, X):
            tracks.append(set(X[:, 0, 0, 0].tolist()))
            return super()._anomaly_score(X)

    data = stop_signs(gtsrb)
    for seed in range(5):
        split = OneClassSplit(data, "stop", calibration=0.3, random_state=seed)
        assert not set(data.groups[split.train]) & set(data.groups[split.calibration])
        assert not set(data.groups[split.train]) & set(data.groups[split.test])
        whole = OneClassSplit(data, "stop", random_state=seed).training
        for calibration in (0.3, 3):
            tracks: list[set[int]] = []
            Noted(false_alarm_rate=0.25, calibration=calibration, random_state=seed).fit(whole)
            if calibration == 0.3:
                trained, calibrated = tracks
                assert trained | calibrated == set(range(TRACKS))
                assert not trained & calibrated
            else:  # three times: trained on some tracks, scored on the others; then on all
                for trained, left_out in zip(tracks[0:6:2], tracks[1:6:2], strict=True):
                    assert not trained & left_out


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=12),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 99),
)
def test_whole_groups_come_closest_to_the_share(sizes, share, seed):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    n = len(groups)
    try:
        mask = held_out(n, 0.5, share, seed, groups)
    except SpecError:
        return  # fewer than two images would be left to train on
    for group in range(len(sizes)):
        assert len(set(mask[groups == group])) == 1
    assert 1 <= mask.sum() <= n - 2
    assert abs(mask.sum() - share * n) <= max(sizes) + 1


def test_fewer_groups_than_parts_are_refused():
    with pytest.raises(SpecError, match="form 2 groups"):
        deal(30, 0.1, 5, 0, np.repeat([0, 1], 15))
