"""The normal training samples that look least normal, in the report of a fit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from insphere import DeepSVDD
from insphere.cli import main
from insphere.detectors import KNNDetector, MahalanobisDetector
from insphere.errors import DataError


@pytest.fixture(scope="module")
def mixed(digits):
    """A hundred and twenty zeros of which the last three are fours, and which these are."""
    images, target = digits
    rows = np.concatenate([np.flatnonzero(target == 0)[:117], np.flatnonzero(target == 4)[:3]])
    return images[rows], np.arange(120) >= 117


@pytest.mark.parametrize("params", [{}, {"contamination": 0.05}, {"false_alarm_rate": 0.1}])
@pytest.mark.parametrize("kind", [KNNDetector, MahalanobisDetector])
def test_wrong_normals_come_first_whether_held_out_or_trained_on(mixed, kind, params):
    images, wrong = mixed
    scores = kind(**params, random_state=0).fit(images).scores_of_normals(images)
    assert set(np.argsort(-scores)[:6]) >= set(np.flatnonzero(wrong))
    assert scores.min() > 0  # none is compared with itself


def test_held_out_samples_keep_their_scores(mixed):
    images, _ = mixed
    detector = DeepSVDD(epochs=1, pretrain_epochs=0, random_state=0).fit(images)
    scores = detector.scores_of_normals(images)
    assert np.isin(detector.calibration_scores_, scores).all()
    with pytest.raises(DataError, match="fit got 120 normal samples"):
        detector.scores_of_normals(images[:50])


def test_the_report_shows_them_with_their_files(mixed, tmp_path):
    images, wrong = mixed
    folder = tmp_path / "good"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / f"{'wrong' if wrong[i] else 'right'}{i}.png")
    report = tmp_path / "report.html"
    code = main(
        ["fit", str(folder), "--method", "knn", "--report", str(report), "--quiet", "--out",
         str(tmp_path / "model")]
    )  # fmt: skip
    assert code == 0
    section = report.read_text().split("Look at these normals")[1].split("</section>")[0]
    assert section.count("<li>") == 10
    assert section.count("data:image/") == 10
    for i in np.flatnonzero(wrong):
        assert f"wrong{i}.png" in section
