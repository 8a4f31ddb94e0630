"""The report shows p-value, severity and heat map of each image, on one colour scale."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from insphere.data.load import load_dataset
from insphere.detectors import KNNDetector
from insphere.errors import DataError
from insphere.figures import heat_key, heat_overlay
from insphere.figures.overlay import YELLOW
from insphere.report import ReportData, render_report
from insphere.report.heat_section import shown_images
from insphere.workflows.reporting import report_data
from insphere.workflows.score_source import Scored, score_images


@pytest.fixture(scope="module")
def scored() -> Scored:
    data = load_dataset("digits-8x8")
    threes = np.flatnonzero(data.labels == 3)
    detector = KNNDetector(false_alarm_rate=0.05, calibration=0.4, random_state=0)
    detector.fit(data.images[threes[:120]])
    index = np.setdiff1d(np.arange(len(data)), threes[:120])
    return score_images(detector, data, index, "others", ("3",), progress=False)


@pytest.fixture(scope="module")
def data(scored: Scored) -> ReportData:
    return report_data(scored)


def test_each_shown_image_has_its_numbers_and_its_map(scored: Scored, data: ReportData) -> None:
    assert data.heat is not None
    shown = shown_images(scored.scores, data.threshold, scored.truth)
    assert sorted(data.heat.maps) == shown.tolist()
    position = int(shown[0])
    expected = scored.detector.anomaly_map(scored.images[position : position + 1])
    np.testing.assert_allclose(data.heat.maps[position], expected[0], rtol=1e-5)
    assert 0 < data.heat.threshold < data.heat.top
    text = render_report(data)
    tiles = re.findall(r"<li>(.*?)</li>", text, re.DOTALL)
    with_maps = [tile for tile in tiles if 'class="heat"' in tile]
    assert len(with_maps) >= len(shown) / 2
    assert all(("severity" in tile and "p 0." in tile) or "p 1." in tile for tile in with_maps)
    assert 'title="severity">~' in text
    assert scored.detector.guarantee in text
    assert "One scale for all images" in text
    worst = int(np.argmax(scored.scores))
    assert f"p {1 / (scored.detector.n_calibration_ + 1):#.2g}" in text
    assert data.severities is not None
    assert data.severities[worst] == data.severities.max()


def test_without_truth_the_queue_shows_the_same(scored: Scored) -> None:
    unknown = report_data(replace(scored, truth=None, normal=()))
    assert unknown.heat is not None
    assert len(unknown.heat.maps) == 100
    text = render_report(unknown)
    assert text.count('class="heat"') == 100
    assert text.count("One scale for all images") == 1


def test_a_model_without_calibration_promises_nothing(scored: Scored) -> None:
    images = scored.images
    detector = KNNDetector(contamination=0.05).fit(images[:200])
    other = score_images(detector, scored.data, scored.index[:300], "some", (), progress=False)
    plain = report_data(other)
    assert plain.p_values is None
    assert plain.severities is None
    text = render_report(plain)
    assert "severity" not in text.split("<body>")[1]
    assert 'class="heat"' in text


def test_colours_change_at_the_threshold_and_are_the_same_on_every_image() -> None:
    image = np.full((1, 4, 3), 128, dtype=np.uint8)
    over = heat_overlay(image, [[0.0, 0.9, 1.1, 2.0]], threshold=1.0, top=2.0)
    assert over.shape == (1, 4, 3)
    assert (over[0, 0] == over[0, 0, 0]).all()  # nothing to see: grey
    assert over[0, 1, 2] > over[0, 1, 0]  # within: blue
    yellow = np.array(to_rgb(YELLOW)) * 255
    assert np.abs(over[0, 2] - yellow).max() < 45
    assert over[0, 3, 0] > 180 > 60 > over[0, 3, 2]  # red
    lone = heat_overlay(image[:, 1:2], [[0.9]], threshold=1.0, top=2.0)
    np.testing.assert_array_equal(lone[0, 0], over[0, 1])
    assert heat_key(1.0, 2.0).shape == (10, 160, 3)
    with pytest.raises(DataError, match="does not fit"):
        heat_overlay(image, [[1.0]], 1.0, 2.0)
    with pytest.raises(DataError, match="must rise"):
        heat_overlay(image, [[1.0] * 4], 2.0, 2.0)
