"""Where the threshold lies if nothing is asked for: by the number of images, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from insphere import DeepSVDD
from insphere.cli.app import app
from insphere.data import load_dataset
from insphere.detectors import KNNDetector, MahalanobisDetector, load_detector
from insphere.errors import SpecError
from insphere.experiments.runs.spec import RunSpec
from insphere.scoring import contamination_threshold
from insphere.scoring.conformal import in_unit_of, usual_calibration


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 3))


@pytest.mark.parametrize(
    ("n", "kind", "rate"),
    [
        (9, "none", None),
        (10, "cross-validated", 0.1),
        (19, "cross-validated", 0.1),
        (20, "cross-validated", 0.05),
        (94, "cross-validated", 0.05),
        (95, "held out", 0.05),
    ],
)
def test_the_number_of_images_decides(n: int, kind: str, rate: float | None) -> None:
    detector = MahalanobisDetector(random_state=0)
    plan = detector.planned_calibration(n)
    assert (plan.kind, plan.rate) == (kind, rate)
    assert plan.trainings == (1 + min(n, 20) if kind == "cross-validated" else 1)
    assert DeepSVDD().planned_calibration(n).trainings == (6 if plan.trainings > 1 else 1)
    detector.fit(rows(n))
    assert detector.calibration_kind_ == kind
    assert detector.judges == (kind != "none")


def test_groups_decide_too() -> None:
    few = np.repeat(np.arange(4), 50)
    some = np.repeat(np.arange(5), 40)
    many = np.repeat(np.arange(20), 10)
    kinds = [usual_calibration(200, groups).kind for groups in (few, some, many)]
    assert kinds == ["none", "cross-validated", "held out"]
    with pytest.raises(SpecError, match="groups"):
        KNNDetector().fit(rows(200), groups=few).predict(rows(3))
    for groups in (some, many):
        assert KNNDetector(random_state=0).fit(rows(200), groups=groups).judges


@pytest.mark.parametrize("n", [12, 30, 60, 120])
@pytest.mark.parametrize("cls", [KNNDetector, MahalanobisDetector])
def test_new_normal_rows_are_rarely_called_anomalous(cls: Any, n: int) -> None:
    called = [
        (cls(random_state=0).fit(rows(n, seed)).predict(rows(400, 1000 + seed)) == -1).mean()
        for seed in range(20)
    ]
    wanted = 0.1 if n < 20 else 0.05
    assert np.mean(called) < wanted + 3 * np.std(called) / np.sqrt(20)


def test_a_neighbour_is_left_out_without_another_training() -> None:
    detector = KNNDetector(random_state=0).fit(rows(40))
    assert detector.parts_ == []
    assert (detector.n_train_, detector.n_calibration_) == (40, 40)
    assert "without itself" in detector.guarantee
    assert detector.p_value(rows(5) + 9).max() == pytest.approx(1 / 41)


@pytest.mark.parametrize("n", [30, 120])
def test_scores_are_distances_of_the_detector_that_is_kept(n: int) -> None:
    """They do not depend on how the threshold was found."""
    detector = MahalanobisDetector(random_state=0).fit(rows(n))
    new = rows(50, 1)
    assert detector.parts_ == []
    alone = MahalanobisDetector(contamination=0.1).fit(rows(n))
    if n < 95:  # all rows are trained on
        np.testing.assert_array_equal(detector.anomaly_score(new), alone.anomaly_score(new))
    scores = detector.score_samples(new)
    np.testing.assert_array_equal(detector.decision_function(new), scores - detector.offset_)
    verdicts = detector.predict(new) == -1
    np.testing.assert_array_equal(verdicts, detector.anomaly_score(new) > detector.threshold_)
    np.testing.assert_array_equal(verdicts, detector.p_value(new) <= 0.05)
    severity = detector.severity(new)
    assert severity[verdicts].min() >= -np.log10(0.05) - 1e-9
    assert severity[~verdicts].max() < -np.log10(0.05)


@pytest.mark.parametrize("n", [30, 120])
def test_the_same_images_give_the_same_detector_without_a_seed(n: int) -> None:
    first, second = (MahalanobisDetector().fit(rows(n)) for _ in range(2))
    assert first.threshold_ == second.threshold_
    np.testing.assert_array_equal(first.anomaly_score(rows(9)), second.anomaly_score(rows(9)))


def test_scores_of_another_detector_in_its_own_unit() -> None:
    inside, outside = np.array([1.0, 2.0, 3.0]), np.array([4.0, 8.0])
    doubled = in_unit_of(outside, inside, 2 * inside)
    np.testing.assert_allclose(doubled, [8.0, 16.0])  # the unit is twice as large
    np.testing.assert_array_equal(in_unit_of(outside, inside, inside / 2), outside)
    logs = in_unit_of(outside - 9, inside - 9, inside - 4)
    np.testing.assert_allclose(logs, outside - 4)  # logarithms of a density are shifted
    zero = np.zeros(3)
    np.testing.assert_array_equal(in_unit_of(outside, zero, zero), outside)
    assert np.isfinite(in_unit_of(outside, zero, inside)).all()


def test_a_few_threes_are_not_called_anomalous() -> None:
    """A network knows its training images; new ones lie much further out."""
    data = load_dataset("digits-8x8")
    threes = data.images[data.labels == 3]
    train, new = threes[:40], threes[40:]
    detector = DeepSVDD(
        recipe="fast", pretrain_epochs=10, epochs=10, random_state=0, device="cpu"
    ).fit(train)
    in_sample = contamination_threshold(detector.anomaly_score(train), 0.05)
    assert (detector.anomaly_score(new) > in_sample).mean() > 0.1
    assert (detector.predict(new) == -1).mean() < 0.08
    assert detector.parts_ == []
    assert "not a promise" in detector.guarantee


def test_too_few_images_give_scores_and_no_verdicts(tmp_path: Path) -> None:
    detector = KNNDetector(random_state=0).fit(rows(6))
    for loaded in (detector, load_detector(detector.save(tmp_path / "model"))):
        assert np.isfinite(loaded.anomaly_score(rows(4, 1))).all()
        assert loaded.threshold_ == np.inf
        assert "at least 10 rows (20 for 5 %)" in loaded.threshold_rule_
        assert loaded.guarantee.startswith("No verdicts")
        for method in (loaded.predict, loaded.decision_function):
            with pytest.raises(SpecError, match="at least 10 rows"):
                method(rows(4, 1))
        with pytest.raises(SpecError):
            loaded.p_value(rows(4, 1))
    assert KNNDetector(contamination=0.05).fit(rows(6)).predict(rows(2)).shape == (2,)


def test_what_is_asked_for_comes_first(tmp_path: Path) -> None:
    asked = KNNDetector(contamination=0.1, random_state=0).fit(rows(200))
    assert (asked.calibration_kind_, asked.n_train_) == ("training", 200)
    asked = KNNDetector(false_alarm_rate=0.2, random_state=0).fit(rows(50))
    assert (asked.calibration_kind_, asked.n_calibration_) == ("held out", 10)
    with pytest.raises(SpecError, match="calibration is the share"):
        KNNDetector(calibration="none").fit(rows(50))


def test_a_promise_survives_saving(tmp_path: Path) -> None:
    for n in (15, 40, 120):
        detector = MahalanobisDetector(random_state=0).fit(rows(n))
        loaded = load_detector(detector.save(tmp_path / str(n)))
        assert loaded.guarantee == detector.guarantee
        assert np.array_equal(loaded.predict(rows(50, 1)), detector.predict(rows(50, 1)))


def test_runs_train_on_all_images() -> None:
    assert RunSpec(dataset="a", normal=("b",)).detector().contamination == 0.05
    held_out = RunSpec(dataset="a", normal=("b",), params={"false_alarm_rate": 0.1}).detector()
    assert (held_out.contamination, held_out.false_alarm_rate) == (None, 0.1)
    assert RunSpec(dataset="a", normal=("b",)).model_dump()["params"] == {}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        values = rng.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{i:02}.png")
    return folder


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_the_command_line_says_how_many_trainings(pictures: Path, tmp_path: Path) -> None:
    done = run("fit", str(pictures), "--method", "mahalanobis", "--out", str(tmp_path / "m"))
    assert done.exit_code == 0, done.output
    assert "13 trainings" in " ".join(done.output.split())


def test_the_command_line_leaves_verdicts_out(pictures: Path, tmp_path: Path) -> None:
    for path in sorted(pictures.iterdir())[7:]:
        path.unlink()
    model = str(tmp_path / "m")
    done = run("fit", str(pictures), "--method", "knn", "--out", model, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["threshold"] is None
    assert "at least 10 images" in told["threshold_rule"]
    table = tmp_path / "scores.csv"
    done = run("score", model, str(pictures), "--all", "--json", "--out", str(table))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["threshold"], told["n_anomalous"]) == (None, None)
    assert table.read_text().splitlines()[0] == "path,score,z_score"
    done = run("score", model, str(pictures), "--all")
    said = " ".join(done.output.split())
    assert done.exit_code == 0
    assert "No verdicts" in said
    assert "anomalous:" not in said
    assert run("info", model).exit_code == 0
    report = tmp_path / "r.html"
    for command in (
        ("report", model, str(pictures), "--all", "--out", str(report)),
        ("fit", str(pictures), "--method", "knn", "--out", model + "2", "--report", str(report)),
    ):
        refused = run(*command)
        assert refused.exit_code != 0
        assert not report.exists()
        assert isinstance(refused.exception, SpecError | SystemExit)
