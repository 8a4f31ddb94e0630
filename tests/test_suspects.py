"""Neighbours among training samples of which some are anomalous."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import insphere
from insphere.detectors import FeatureKNN, KNNDetector
from insphere.detectors.base.suspects import neighbor_score, neighbors_to_keep, scores_as_if_new
from insphere.errors import SpecError

HARD = {"share": 0.1, "form": "hard"}
FORMS = [0.1, {"share": 0.1, "form": "refine"}, HARD]


@pytest.fixture
def polluted():
    """Return rows around 0, of which a tenth lies around a point nearby, and which these are."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    X[::10] = 4 + 0.5 * rng.normal(size=(20, 3))
    return X, np.arange(200) % 10 == 0


def mean_of_two(training, rows, itself=False):
    away = np.linalg.norm(rows[:, None] - training[None], axis=2)
    if itself:
        np.fill_diagonal(away, np.inf)
    return np.sort(away, axis=1)[:, :2].mean(axis=1)


def test_suspects_are_three_times_the_share_and_hold_what_lies_apart(polluted):
    X, anomalous = polluted
    training, suspects, kept = neighbors_to_keep(X, None, HARD, 2)
    assert (len(training), len(suspects)) == (140, 60)
    np.testing.assert_array_equal(X[kept], np.concatenate([training, suspects]))
    assert anomalous[kept[140:]].sum() >= 18
    left, none, places = neighbors_to_keep(X, np.arange(200) + 7, 0.1, 2)
    assert none is None
    np.testing.assert_array_equal(left, training)
    np.testing.assert_array_equal(places, kept[:140] + 7)


def test_without_pollution_nothing_is_set_aside(polluted):
    X, _ = polluted
    training, suspects, kept = neighbors_to_keep(X, None, None, 2)
    assert training is X
    assert suspects is None
    assert kept is None


def test_scores_are_the_distance_over_the_root_of_that_to_suspects(polluted):
    X, _ = polluted
    training, suspects, _ = neighbors_to_keep(X, None, HARD, 2)
    new = np.array([[0.0, 0, 0], [4.0, 4, 4], [-4.0, 4, 0]])
    plain = mean_of_two(training, new)
    np.testing.assert_allclose(neighbor_score(training, None, new, 2), plain)
    expected = plain / np.sqrt(mean_of_two(suspects, new))
    np.testing.assert_allclose(neighbor_score(training, suspects, new, 2), expected)
    own = scores_as_if_new(training, suspects, 2)
    np.testing.assert_allclose(
        own[:140],
        mean_of_two(training, training, True) / np.sqrt(mean_of_two(suspects, training)),
    )
    np.testing.assert_allclose(
        own[140:],
        mean_of_two(training, suspects) / np.sqrt(mean_of_two(suspects, suspects, True)),
    )


@pytest.mark.parametrize("pollution", FORMS, ids=["share", "refine", "hard"])
def test_saved_and_loaded_it_scores_the_same_bits(polluted, pollution, tmp_path):
    X, _ = polluted
    detector = KNNDetector(pollution=pollution, contamination=0.1, random_state=0).fit(X)
    again = insphere.load(detector.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.anomaly_score(X), detector.anomaly_score(X))
    assert detector.training_.shape == (140, 3)
    assert (detector.suspects_ is not None) == (pollution == HARD)


def test_an_image_equal_to_a_suspect_has_a_finite_score(polluted):
    X, _ = polluted
    detector = KNNDetector(n_neighbors=1, pollution=HARD, random_state=0).fit(X)
    assert np.isfinite(detector.anomaly_score(detector.suspects_)).all()
    assert np.isfinite([detector.threshold_, detector.score_std_]).all()


def test_it_wins_back_what_pollution_costs_on_real_digits(mnist):
    images, digit = mnist
    own, others = images[digit == 3], images[digit != 3]
    rng = np.random.default_rng(0)
    others = others[rng.permutation(len(others))]
    new = np.concatenate([own[300:], others[60:1500]])
    truth = np.arange(len(new)) >= len(own) - 300

    def auc(train, **options):
        detector = KNNDetector(n_neighbors=5, random_state=0, **options).fit(train)
        return roc_auc_score(truth, detector.anomaly_score(new))

    dirty = np.concatenate([own[:300], others[:33]])
    clean, blind = auc(own[:300]), auc(dirty)
    for pollution in FORMS[1:]:
        assert auc(dirty, pollution=pollution) > blind + 0.25 * (clean - blind)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"pollution": {"share": 0.1, "form": "soft"}}, "for networks that are trained"),
        ({"pollution": 0.7}, "less than 0.5"),
        ({"pollution": "much"}, "number"),
        ({"pollution": {"share": 0.1, "portion": 1}}, "portion"),
        ({"pollution": 0.001}, "too few for n_neighbors=2"),
        ({"pollution": 0.1, "distortion": 1}, "leave out"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, why):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    with pytest.raises(SpecError, match=why):
        KNNDetector(**options).fit(images)


def test_features_of_a_pretrained_network_take_it_too(tmp_path):
    coarse = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 3), dtype=np.uint8)
    images = coarse.repeat(8, axis=1).repeat(8, axis=2)
    detector = FeatureKNN(
        backbone="resnet18", weights="random", resolution=32, pollution=HARD, contamination=0.1,
        random_state=0,
    )  # fmt: skip
    scores = detector.fit(images).anomaly_score(images)
    assert (len(detector.training_), len(detector.suspects_)) == (42, 18)
    again = insphere.load(detector.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.anomaly_score(images), scores)
