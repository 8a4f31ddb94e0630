"""The share of anomalies in a set of samples, from scores of known normal ones."""

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from insphere.detectors import KNNDetector
from insphere.errors import DataError, SpecError
from insphere.scoring import anomalous_share, conformal_p_values


def test_it_is_storeys_estimate_on_p_values():
    rng = np.random.default_rng(0)
    normal, new = rng.normal(size=99), np.r_[rng.normal(size=300), 5 + rng.normal(size=100)]
    p = conformal_p_values(normal, new)
    found = anomalous_share(normal, new, level=0.2)
    # 80 of 99 lie at or below t; p > 0.2 exactly at or below it
    assert found.share == pytest.approx(1 - (p > 0.2).mean() / (80 / 99))
    assert found.low < 0.25 < found.high
    below, inside = (p > 0.2).mean(), 80 / 99
    error = np.sqrt((1 - below) / (400 * below) + (1 - inside) / (99 * inside))
    assert found.low == pytest.approx(1 - below / inside * np.exp(1.6449 * error), abs=1e-4)
    assert found.high == pytest.approx(1 - below / inside * np.exp(-1.6449 * error), abs=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_the_interval_covers_the_share_nine_times_in_ten(share):
    rng = np.random.default_rng(1)
    covered, low = 0, []
    for _ in range(400):
        count = round(share * 500)
        new = np.r_[rng.normal(size=500 - count), 6 + rng.normal(size=count)]
        found = anomalous_share(rng.normal(size=200), new)
        low.append(found.low)
        covered += found.low <= share <= found.high
    assert covered / 400 > 0.86
    if not share:
        assert np.mean(np.array(low) > 0) < 0.08  # one side of the interval: 5 %


def test_anomalies_that_score_low_are_not_counted():
    rng = np.random.default_rng(2)
    weak = np.r_[rng.normal(size=9000), 1 + rng.normal(size=1000)]
    found = anomalous_share(rng.normal(size=9000), weak)
    assert 0 < found.share < 0.08


def test_what_cannot_be_estimated_is_refused():
    for normal, new in ((range(19), range(30)), (range(30), range(19)), ([np.nan] * 30, range(30))):
        with pytest.raises(DataError):
            anomalous_share(normal, new)
    with pytest.raises(SpecError, match="level"):
        anomalous_share(range(30), range(30), level=1.0)
    everything = anomalous_share(range(30), [99] * 30)
    assert everything.low > 0.75
    assert everything.share <= 1


def test_a_detector_says_how_many_of_new_images_are_anomalous():
    data = load_digits()
    images = (data.images * 15.9375).astype(np.uint8)[..., None]
    order = np.random.default_rng(0).permutation(len(images))  # writers follow each other
    images, target = images[order], data.target[order]
    threes, others = images[target == 3], images[target != 3]
    detector = KNNDetector(false_alarm_rate=0.05, calibration=0.4, random_state=0).fit(threes[:120])
    clean = detector.anomalous_share(threes[120:])
    assert clean.low == 0
    assert clean.sentence("images").startswith("No more of the images score high")
    mixed = detector.anomalous_share(np.concatenate([threes[120:], others[:60]]))
    assert mixed.low < 0.5 < mixed.high + 0.1
    assert "are not like normal ones" in mixed.sentence("images")
    uncalibrated = KNNDetector(contamination=0.05).fit(threes)
    with pytest.raises(SpecError, match="share of anomalies"):
        uncalibrated.anomalous_share(threes)


def test_the_command_line_says_it(tmp_path, capsys):
    from insphere.cli import main

    model = str(tmp_path / "model")
    command = ["fit", "digits-8x8", "--normal", "3", "--method", "knn", "--out", model, "--json"]
    options = ["--false-alarm-rate", "0.05", "--option", "calibration=0.4"]
    assert main([*command, *options]) == 0
    capsys.readouterr()
    assert main(["score", model, "digits-8x8", "--all", "--json"]) == 0
    share = json.loads(capsys.readouterr().out)["anomalous_share"]
    assert share["low"] > 0.7
    assert main(["score", model, "digits-8x8", "--all"]) == 0
    shown = capsys.readouterr()
    said = " ".join((shown.out + shown.err).split())
    assert "are not like normal ones: so many more score high than normal ones would." in said
