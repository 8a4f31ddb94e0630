"""What the command line says about p-values, severity, alarms and drift."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from insphere.cli import main
from insphere.detectors import load_detector


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> str:
    """A model of the digit 0, calibrated on 50 of them; the current folder is empty."""
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = written(tmp_path / "normals", 0, 0, 120)
    arguments = ["fit", str(folder), "--method", "mahalanobis", "--false-alarm-rate", "0.05"]
    assert main([*arguments, "--option", "calibration=0.4", "--out", "../model"]) == 0
    capsys.readouterr()
    return "../model"


def written(folder: Path, digit: int, start: int, stop: int, turn: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    data = load_digits()
    for number, image in enumerate(data.images[data.target == digit][start:stop]):
        pixels = np.rint((np.rot90(image) if turn else image) * (255 / 16)).astype(np.uint8)
        name = f"{'b' if turn or digit else 'a'}-{number:03d}.png"
        Image.fromarray(pixels).save(folder / name)
    return folder


def said(capsys: pytest.CaptureFixture, *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_scores_come_with_p_value_severity_and_guarantee(model, tmp_path, capsys):
    new = written(written(tmp_path / "new", 0, 120, 150), 7, 0, 10)
    assert main(["score", model, str(new), "--sort", "severity", "--out", "s.csv"]) == 0
    out, _ = capsys.readouterr()
    text = " ".join(out.split())
    assert "At most 5 % of new normal images are called anomalous" in text
    assert "p-value" in out
    assert "severity" in out
    assert "finer than 48 calibration images can resolve" in text
    assert max(map(len, out.splitlines())) <= 80
    with Path("s.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = ["path", "score", "z_score", "verdict", "p_value", "severity", "step"]
    assert list(rows[0]) == names
    severity = [float(row["severity"]) for row in rows]
    assert severity == sorted(severity, reverse=True)
    detector = load_detector(model)
    order = [row["path"] for row in rows]
    by_path = dict(zip(sorted(order), detector.severity(new), strict=True))
    assert severity == [by_path[path] for path in order]
    assert [row["verdict"] == "anomalous" for row in rows] == [
        float(row["p_value"]) <= 0.05 for row in rows
    ]
    # The folder holds ten sevens: they are the first ten of the queue.
    assert sum("b-" in Path(path).name for path in order[:10]) >= 9
    assert rows[0]["step"] in ("severe", "extreme")


def test_alarm_sets(model, tmp_path, capsys):
    new = written(written(tmp_path / "new", 0, 120, 150), 7, 0, 10)
    found = said(capsys, "score", model, str(new), "--fdr", "0.2")
    assert found["alarm_rule"].endswith("48 calibration images).")
    assert found["n_alarms"] == sum(row["alarm"] for row in found["scores"])
    assert 8 <= found["n_alarms"] <= 13
    assert found["guarantee"].startswith("At most 5 %")
    assert main(["score", model, str(new), "--fdr", "0.01"]) == 2
    assert "needs at least 99 calibration images, but there are 48" in capsys.readouterr().err


def test_an_uncalibrated_model_says_what_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = str(written(tmp_path / "normals", 0, 0, 40))
    share = ["--contamination", "0.05"]
    assert main(["fit", folder, "--method", "knn", *share, "--out", "m", "-q"]) == 0
    for arguments in (
        ["score", "m", folder, "--sort", "severity"],
        ["score", "m", folder, "--fdr", "0.1"],
        ["drift", "m", folder],
    ):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.strip().splitlines()) == 1
        assert "fit it again with --false-alarm-rate 0.05" in err
    assert main(["score", "m", folder, "--sort", "name"]) == 2
    assert "--sort is one of source, severity, score" in capsys.readouterr().err
    assert main(["score", "m", folder]) == 0
    assert "fit with --false-alarm-rate for one that is kept" in " ".join(
        capsys.readouterr().out.split()
    )
    arguments = ["fit", folder, "--method", "knn", "--false-alarm-rate", "0.05", "--out", "n"]
    assert main([*arguments, "--option", "calibration=0.2"]) == 2
    assert "or take all 40 in turn with --option calibration=5" in capsys.readouterr().err
    assert main([*arguments, "--option", "calibration=5"]) == 0
    assert load_detector("n").n_calibration_ == 40


@pytest.mark.parametrize(("n", "how"), [(20, "about 5 %"), (60, "≤ 5 %"), (140, "≤ 5 %")])
def test_a_rate_alone_works_on_few_photos_and_on_many(n, how, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))
    folder = str(written(tmp_path / "normals", 0, 0, n))
    command = ["fit", folder, "--false-alarm-rate", "0.05", "--out", str(tmp_path / "m")]
    assert main([*command, "--method", "mahalanobis"]) == 0
    said = capsys.readouterr()
    assert f"false-alarm rate {how}" in " ".join(said.out.split())
    # That it takes more than one training is said before, with its time.
    assert bool(re.search(r"21 trainings: .* about .* together", said.err)) == (n == 20)


def test_drift_is_noticed_and_drawn(model, tmp_path, capsys):
    calm = written(tmp_path / "calm", 0, 120, 178)
    found = said(capsys, "drift", model, str(calm))
    assert found["drift"] is False
    assert found["first_warning"] is None
    changed = written(calm, 0, 0, 100, turn=True)
    assert main(["drift", model, str(changed), "--chart", "charts/d.svg"]) == 0
    out, _ = capsys.readouterr()
    assert any(line.startswith("Drift: scores are higher") for line in out.splitlines())
    assert "Noticed at: " in out
    assert "b-0" in out.split("Noticed at: ")[1].splitlines()[0]
    assert Path("charts/d.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert [path.name for path in Path("charts").iterdir()] == ["d.svg"]
    assert said(capsys, "drift", model, str(changed), "--chart", "d.png")["drift"] is True
    assert Path("d.png").read_bytes().startswith(b"\x89PNG")
    assert main(["drift", model, str(changed), "--chart", "d.txt"]) == 2
    assert "ending in .png or .svg" in capsys.readouterr().err
    assert main(["drift", model, str(changed), "--false-warning-rate", "2"]) == 2
    assert "between 0 and 1" in capsys.readouterr().err
