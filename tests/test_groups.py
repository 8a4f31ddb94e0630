"""False alarms by group: rates, intervals, thresholds that keep a promise in each group."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from scipy.stats import binom

from insphere import DeepSVDD
from insphere.cli import main
from insphere.detectors import DeepSAD, KNNDetector, MahalanobisDetector, load_detector
from insphere.errors import DataError, SpecError
from insphere.scoring.conformal import held_out
from insphere.scoring.pvalues import conformal_p_values
from insphere.scoring.strata import GroupedScores, group_rates
from insphere.scoring.thresholds import conformal_threshold


def two_cameras(n=1000, seed=0):
    """Rows of a camera that is sharp, and of one, a fifth of them, that varies more."""
    rng = np.random.default_rng(seed)
    camera = np.where(rng.random(n) < 0.2, "worn", "new")
    return rng.normal(size=(n, 4)) * np.where(camera == "worn", 2, 1)[:, None], camera


def test_the_interval_is_that_of_clopper_and_pearson():
    beyond = np.arange(40) < 4
    groups = np.array(["a"] * 20 + ["b"] * 20)
    first, second = group_rates(beyond, groups)
    assert (first.name, first.outside, first.n, second.outside) == ("a", 4, 20, 0)
    # With two groups each bound is missed with a chance of 0.1 / 2 / 2.
    assert binom.cdf(4, 20, first.high) == pytest.approx(0.025)
    assert binom.sf(3, 20, first.low) == pytest.approx(0.025)
    assert second.low == 0
    assert binom.cdf(0, 20, second.high) == pytest.approx(0.025)


def test_thresholds_and_p_values_of_each_group_are_those_of_its_own_scores():
    rng = np.random.default_rng(0)
    scores, codes = np.sort(rng.normal(size=200)), rng.integers(0, 2, 200)
    codes[:5] = 2
    grouped = GroupedScores(scores, codes, ["a", "b", "few"])
    assert grouped.thresholds(0.05) == {
        name: conformal_threshold(scores[codes == code], 0.05)
        for code, name in enumerate(["a", "b"])
    }
    groups = np.array(["a", "b", "few", "new"])
    assert_array_equal(
        grouped.thresholds_for(groups, 0.05, 7.0)[2:], [7.0, 7.0]
    )  # no promise of their own
    new = np.full(4, 1.2)
    expected = [conformal_p_values(scores[codes == code], [1.2])[0] for code in (0, 1)]
    expected += [conformal_p_values(scores, [1.2])[0]] * 2
    assert_array_equal(grouped.p_values(new, groups, 0.05), expected)


def test_each_group_gives_its_share_of_the_calibration_samples():
    strata = np.array(["a"] * 400 + ["b"] * 90 + ["c"] * 10)
    mask = held_out(500, 0.05, 0.2, 0, strata=strata)
    assert [int(mask[strata == name].sum()) for name in "abc"] == [80, 18, 2]
    plain = held_out(500, 0.05, 0.2, 0)
    assert mask.sum() == plain.sum() == 100


def test_one_threshold_breaks_the_promise_of_a_group_that_its_own_keeps():
    X, camera = two_cameras(4000)
    new, its = two_cameras(4000, seed=1)
    detector = MahalanobisDetector(false_alarm_rate=0.05, random_state=0).fit(X, strata=camera)
    worn = its == "worn"
    assert (detector.predict(new)[worn] == -1).mean() > 0.12
    by_group = detector.predict(new, strata=its) == -1
    assert by_group[worn].mean() < 0.08
    assert by_group[~worn].mean() < 0.08
    p = detector.p_value(new, strata=its)
    assert_array_equal(p <= 0.05, by_group)
    said = " ".join(detector.group_sentences)
    assert "the group with the most false alarms is worn" in said
    assert "on average at most 5 % of the new normal rows of every group" in said


def test_a_group_that_is_too_small_is_told_how_many_samples_it_takes():
    X, camera = two_cameras(400)
    camera = camera.astype(object)
    camera[:30] = "spare"
    detector = KNNDetector(random_state=0).fit(X, strata=camera)
    assert set(detector.group_thresholds) == {"new"}
    said = detector.group_sentences[-1]
    assert "it takes 19 calibration rows of the group, so about 95 to train on" in said
    assert "spare (6)" in said
    few = np.repeat("spare", 10)
    assert_array_equal(detector.predict(X[:10], strata=few), detector.predict(X[:10]))


def test_groups_are_saved_and_the_same_bytes_come_back(tmp_path):
    X, camera = two_cameras()
    fitted = KNNDetector(random_state=0).fit(X, strata=camera)
    detector = load_detector(fitted.save(tmp_path / "model"))
    assert detector.group_sentences == fitted.group_sentences
    assert_array_equal(detector.predict(X, strata=camera), fitted.predict(X, strata=camera))
    detector.save(tmp_path / "again")
    for name in ("detector.json", "weights.safetensors", "card.md"):
        assert (tmp_path / "model" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert "By group" in (tmp_path / "model" / "card.md").read_text()
    assert fitted.fit(X).group_sentences == []


def test_scores_and_threshold_of_all_do_not_depend_on_what_groups_are_called():
    X, camera = two_cameras()
    one = KNNDetector(random_state=0).fit(X, strata=camera)
    other = KNNDetector(random_state=0).fit(X, strata=np.where(camera == "new", 1, 2))
    assert other.by_group_.names == ("1", "2")
    assert one.threshold_ == other.threshold_
    assert_array_equal(one.calibration_scores_, other.calibration_scores_)


def test_labelled_anomalies_do_not_count_in_any_group():
    X, camera = two_cameras(200)
    y = np.where(np.arange(200) < 10, -1, 0)
    detector = DeepSAD(epochs=1, pretrain_epochs=0, random_state=0).fit(X, y, strata=camera)
    assert sum(detector.by_group_.sizes.values()) == detector.n_calibration_ == 38


def test_few_samples_are_counted_by_the_detectors_without_them():
    X, camera = two_cameras(60)
    detector = DeepSVDD(epochs=1, pretrain_epochs=0, random_state=0).fit(X, strata=camera)
    assert detector.calibration_kind_ == "cross-validated"
    assert detector.by_group_.sizes == {
        name: int((camera == name).sum()) for name in ("new", "worn")
    }


@pytest.mark.parametrize(
    ("params", "strata", "error", "said"),
    [
        ({"contamination": 0.05}, ["a"] * 200, SpecError, "leave out contamination"),
        (
            {"false_alarm_rate": 0.1, "calibration": 5},
            ["a"] * 200,
            SpecError,
            "leave out contamination",
        ),
        ({}, ["a"] * 199, DataError, "200 rows, but 199 groups"),
        ({}, [0.5] * 200, DataError, "one whole number or string"),
    ],
)
def test_what_cannot_be_counted_is_refused(params, strata, error, said):
    with pytest.raises(error, match=said):
        KNNDetector(**params).fit(two_cameras(200)[0], strata=strata)


def test_a_detector_without_groups_says_how_to_get_them():
    X, camera = two_cameras(200)
    detector = KNNDetector().fit(X)
    with pytest.raises(SpecError, match="fit it again with strata"):
        detector.predict(X, strata=camera)


# ---------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Grey photos of two cameras in folders of their own, normal and anomalous, and a table."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    lines = ["file,shift"]
    for part, n in (("train", 120), ("test", 30)):
        for camera, spread in (("left", 10), ("right", 25)):
            for kind, level in (("good", 90), ("bad", 200)):
                if (part, kind) == ("train", "bad"):
                    continue
                folder = root / part / kind / camera
                folder.mkdir(parents=True)
                for i in range(n):
                    pixels = np.clip(rng.normal(level, spread, (8, 8)), 0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(folder / f"{i:03}.png")
                    lines.append(f"{kind}/{camera}/{i:03}.png,{'day' if i % 3 else 'night'}")
    (root / "shifts.csv").write_text("\n".join(lines))
    return root


def ran(capsys, *arguments):
    code = main([*map(str, arguments), "--json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    return json.loads(said.out)


def test_folders_are_groups_on_the_command_line(photos, tmp_path, capsys):
    model = tmp_path / "model"
    summary = ran(
        capsys, "fit", photos / "train" / "good", "--normal", "left", "--normal", "right",
        "--test-size", "0.1", "--method", "mahalanobis", "--group-by", "folder", "--out", model,
    )  # fmt: skip
    assert "right" in " ".join(summary["by_group"])
    found = ran(
        capsys, "score", model, photos / "test" / "good", "--group-by", "folder", "--all",
        "--out", tmp_path / "scores.csv",
    )  # fmt: skip
    assert {one["name"]: one["n"] for one in found["groups"]} == {"left": 30, "right": 30}
    assert len({one["threshold"] for one in found["groups"]}) == 2
    head, first = (tmp_path / "scores.csv").read_text().splitlines()[:2]
    assert head.split(",").index("group") == first.split(",").index("left")
    report = tmp_path / "report.html"
    ran(capsys, "report", model, photos / "test" / "good", "--group-by", "folder", "--out", report)
    assert "False alarms by group" in report.read_text()
    assert main(["score", str(model), str(photos / "test" / "good"), "--group-by", "folder"]) == 0
    shown = capsys.readouterr().out
    assert "called anomalous" in shown


def test_a_table_names_the_group_of_each_file(photos, tmp_path, capsys):
    model, table = tmp_path / "model", f"{photos / 'shifts.csv'}:shift"
    summary = ran(
        capsys, "fit", photos / "train" / "good" / "left", "--method", "knn", "--group-by", table,
        "--out", model,
    )  # fmt: skip
    assert "day" in " ".join(summary["by_group"])
    assert load_detector(model).by_group_.sizes == {"day": 16, "night": 8}
    assert load_detector(model).trained_on_.group_by == table


def test_a_column_groups_the_rows_of_a_table(tmp_path, capsys):
    X, camera = two_cameras(300)
    rows = [f"{a},{b},{name}" for (a, b, *_), name in zip(X, camera, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,camera", *rows]))
    model = tmp_path / "model"
    ran(
        capsys, "fit", tmp_path / "rows.csv", "--method", "knn", "--group-by", "camera", "--out",
        model,
    )  # fmt: skip
    assert load_detector(model).by_group_.names == ("new", "worn")


@pytest.mark.parametrize("what", ["folder:9", "colour", "nowhere.csv:shift", "folder:0"])
def test_what_names_no_groups_is_refused_in_a_sentence(photos, tmp_path, capsys, what):
    code = main(
        ["fit", str(photos / "train" / "good" / "left"), "--method", "knn", "--group-by",
         what if "9" not in what else "folder:99", "--out", str(tmp_path / "model")]
    )  # fmt: skip
    said = capsys.readouterr().err
    assert code == 2
    assert "Traceback" not in said
    assert not (tmp_path / "model").exists()


def test_an_exported_model_knows_the_threshold_of_a_group(tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    from insphere.export.graph import export_onnx
    from insphere.runtime import Scorer

    X, camera = two_cameras(400)
    fitted = MahalanobisDetector(random_state=0).fit(X, strata=camera)
    export_onnx(fitted.save(tmp_path / "model"), tmp_path / "model.onnx")
    scorer = Scorer(tmp_path / "model.onnx")
    for name in ("new", "worn"):
        verdicts = scorer.score(X, group=name).verdicts
        expected = fitted.predict(X, strata=np.repeat(name, len(X))) == -1
        assert (verdicts != expected).mean() < 0.01  # but for scores at the threshold
    assert_array_equal(scorer.score(X, group="other").verdicts, scorer.score(X).verdicts)
