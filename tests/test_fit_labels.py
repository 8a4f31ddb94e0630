"""`insphere fit` with labelled anomalies, and with a sphere for each of several classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from insphere.cli import main
from insphere.detectors.model_folder import load_detector

QUICK = ("--epochs", "2", "--pretrain-epochs", "1", "--contamination", "0.05", "--quiet")


@pytest.fixture(scope="module")
def photos(digits, tmp_path_factory):
    """A folder of zeros alone, one of ones, and one of three classes."""
    images, target = digits
    root = tmp_path_factory.mktemp("photos")
    for folder, digit, count in (
        ("good", 0, 60), ("bad", 1, 8),
        ("all/two", 2, 40), ("all/three", 3, 40), ("all/four", 4, 9),
    ):  # fmt: skip
        (root / folder).mkdir(parents=True)
        for number, index in enumerate(np.flatnonzero(target == digit)[:count]):
            Image.fromarray(images[index, ..., 0]).save(root / folder / f"{number:03}.png")
    return root


def fitted(capsys, *arguments):
    code = main(["fit", *map(str, arguments), *QUICK])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_anomalies_of_a_folder_make_it_deep_sad(photos, tmp_path, capsys):
    out = tmp_path / "model"
    code = main(
        ["fit", str(photos / "good"), "--anomalies", str(photos / "bad"), "--out", str(out),
         "--json", *QUICK]
    )  # fmt: skip
    assert code == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["method"] == "deep-sad"
    assert (summary["n_train"], summary["n_anomalies"]) == (68, 8)
    detector = load_detector(out)
    assert detector.n_labelled_ == {"normal": 0, "anomalous": 8}
    scores = detector.anomaly_score(photos / "good")
    assert (scores > detector.threshold_).sum() == 3  # 5 % of the 60 normal images


def test_each_class_gets_a_sphere(photos, tmp_path, capsys):
    out = tmp_path / "model"
    code, said = fitted(
        capsys, photos / "all", "--normal", "two", "--normal", "three", "--by-class", "--out", out
    )
    assert code == 0, said
    assert load_detector(out).classes_ == ["three", "two"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("good", "--anomalies", "bad", "--method", "deep-svdd"), "use the method deep-sad, hsc"),
        (
            (
                "all",
                "--normal",
                "two",
                "--normal",
                "three",
                "--by-class",
                "--method",
                "knn",
                "--anomalies",
                "bad",
            ),
            "learns from normal images alone",
        ),
        (("nowhere", "--anomalies", "bad", "--method", "auto"), "The method auto compares methods"),
        (("nowhere", "--anomalies", "bad", "--method", "kde"), "learns from normal images alone"),
        (("good", "--anomalies", "nowhere"), "nowhere"),
        (("good", "--by-class"), "name several, such as --normal"),
        (
            ("all", "--normal", "two", "--normal", "three", "--by-class", "--method", "hsc"),
            "one normal class only",
        ),
    ],
)
def test_what_a_method_cannot_use_is_refused(
    photos, tmp_path, capsys, monkeypatch, arguments, said
):
    monkeypatch.chdir(photos)
    code, output = fitted(capsys, *arguments, "--out", tmp_path / "model")
    assert code != 0
    assert said in " ".join(output.split())
    assert "Traceback" not in output
    assert not (tmp_path / "model").exists()
