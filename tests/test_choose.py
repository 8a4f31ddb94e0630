"""Choosing a method: what is compared, how it is judged, and what is recommended."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import insphere
from insphere.cli.app import main
from insphere.data.letterbox import content_size, on_canvas
from insphere.detectors.registry import method_card
from insphere.errors import SpecError
from insphere.synthetic_anomalies import KINDS
from insphere.workflows import fitting
from insphere.workflows.choose import UNKNOWN, Choice, _rows, choose
from insphere.workflows.choosing.candidates import CANDIDATES, Candidate, applicable, preferred
from insphere.workflows.choosing.challenges import HALVES, make_challenges
from insphere.workflows.choosing.judging import Scores, combined, judge
from insphere.workflows.fit_config import FitConfig

SHALLOW = (
    Candidate(name="knn", method="knn"),
    Candidate(name="kde", method="kde"),
    Candidate(name="forest", method="isolation-forest", params={"n_estimators": 20}),
)


@pytest.fixture(scope="module")
def threes() -> np.ndarray:
    digits = load_digits()
    images = (digits.images[digits.target == 3] * 15.9).astype(np.uint8)
    return np.kron(images, np.ones((1, 3, 3), dtype=np.uint8))[..., None]


def scores_of(normal, anomalous, origin, group="local") -> Scores:
    return Scores(
        {"a": np.asarray(normal, float)},
        {"a": np.asarray(anomalous, float)},
        {"a": np.asarray(origin)},
        {"a": group},
    )


def test_auc_and_interval_by_hand() -> None:
    judged = judge(scores_of([1, 2, 3, 4], [3.5, 2, 0], [0, 1, 2]))
    assert judged.auc["a"] == pytest.approx((3 + 1.5 + 0) / 12)
    assert judged.proxy == judged.auc["a"]
    low, high = judged.interval
    assert low < judged.proxy < high
    perfect = judge(scores_of([1, 2, 3], [4, 5], [0, 2]))
    assert (perfect.proxy, *perfect.interval) == (1, 1, 1)


def test_a_resampled_auc_is_that_of_the_repeated_images() -> None:
    rng = np.random.default_rng(0)
    normal, anomalous = rng.normal(size=6), rng.normal(0.5, 1, 6)
    draws = judge(scores_of(normal, anomalous, np.arange(6)), seed=3).draws
    counts = np.random.default_rng((3, 6)).multinomial(6, np.full(6, 1 / 6), 300)
    for row in (0, 7):
        again = np.repeat(np.arange(6), counts[row])
        values = np.r_[normal[again], anomalous[again]]
        assert draws[row] == pytest.approx(roc_auc_score(np.repeat([0, 1], 6), values))


def test_local_and_whole_weigh_the_same_and_far_nothing() -> None:
    normal = np.array([1.0, 2.0])
    names = {"a": 3.0, "b": 0.0, "c": 3.0, "d": 0.0}
    scores = Scores(
        dict.fromkeys(names, normal),
        {name: np.array([value]) for name, value in names.items()},
        {name: np.array([0]) for name in names},
        {"a": "local", "b": "local", "c": "whole", "d": "far"},
    )
    assert judge(scores).proxy == pytest.approx((0.5 + 1.0) / 2)


def test_two_blind_methods_see_more_together() -> None:
    rng = np.random.default_rng(0)
    shape = (200,)
    one, two = (rng.normal(size=shape) for _ in range(2))
    half = np.arange(200) < 100
    first = scores_of(one, rng.normal(size=shape) + 6 * half, np.arange(200))
    second = scores_of(two, rng.normal(size=shape) + 6 * ~half, np.arange(200))
    both = judge(combined([first, second])).proxy
    assert both > 0.9 > max(judge(first).proxy, judge(second).proxy)


def test_challenges_come_from_the_held_out_images(threes) -> None:
    made = make_challenges(threes[:40], threes[40:], seed=0)
    assert [one.name for one in made if one.group == "local"] == list(KINDS)
    assert {one.group for one in made} == {"local", "whole", "far"}
    again = make_challenges(threes[:40], threes[40:], seed=0)
    for one, same in zip(made, again, strict=True):
        np.testing.assert_array_equal(one.images, same.images)
        assert one.images.shape[1:] == threes.shape[1:]
        assert len(one.images) == len(one.origin) <= 40
        if one.group != "far":
            assert (one.images != threes[one.origin]).any(axis=(1, 2, 3)).mean() > 0.9


def test_padding_stays_the_mirror_image_of_what_was_made() -> None:
    """Methods find the photograph on a canvas by its mirror image; see insphere.data.letterbox."""
    rng = np.random.default_rng(0)
    sizes = [(30, 40), (40, 25), (36, 36), (40, 40)]
    photos = [rng.integers(0, 256, (*size, 1), dtype=np.uint8) for size in sizes]
    held = np.stack([on_canvas(photo, (40, 40)) for photo in photos])
    for one in make_challenges(held, held, seed=0):
        if one.group != "far":
            contents = [content_size(image) for image in one.images]
            assert contents == [sizes[row] for row in one.origin], one.name


def test_the_halves_hold_every_kind_once() -> None:
    assert sorted([*HALVES[0], *HALVES[1]]) == sorted(KINDS)


def test_candidates_are_methods_with_known_options() -> None:
    from insphere.detectors.registry import build_detector

    assert len({one.name for one in CANDIDATES}) == len(CANDIDATES)
    for one in CANDIDATES:
        assert "images" in method_card(one.method).takes
        build_detector(one.method, {**one.params, **one.trial}, seed=0)
    small = applicable(CANDIDATES, (28, 28, 1), 500)
    large = applicable(CANDIDATES, (256, 256, 3), 500)
    assert "segmentation" in applicable(CANDIDATES, (256, 256, 3), 50)[1]
    assert "segmentation" in small[1]
    assert "knn" in large[1]


def test_the_best_candidate_leads_and_says_why(threes, tmp_path) -> None:
    said: list[str] = []
    choice = choose(threes, candidates=SHALLOW, folder=tmp_path, progress=said.append)
    assert {row.name for row in choice.rows if len(row.members) == 1} == {"knn", "kde", "forest"}
    assert any(len(row.members) == 3 for row in choice.rows)
    others = [row.judged.proxy for row in choice.rows[1:] if len(row.members) == 1]
    assert others == sorted(others, reverse=True)
    assert choice.sentence.startswith(f"Take {choice.best.name}: ")
    assert "AUC" in choice.sentence
    json.dumps(choice.table())
    detector = choice.detector(seed=1).fit(threes)
    assert np.isfinite(detector.anomaly_score(threes[:5])).all()
    again = choose(threes, candidates=SHALLOW, folder=tmp_path)
    assert again.table() == choice.table()
    assert again.seconds < choice.seconds


def test_the_simpler_one_leads_unless_another_is_clearly_better() -> None:
    rng = np.random.default_rng(0)
    noise, origin = rng.normal(size=(2, 40)), np.arange(40)
    by_name = {one.name: one for one in SHALLOW}
    seconds = dict.fromkeys(by_name, 1.0)
    good = scores_of(noise[0], noise[1] + 1.0, origin)
    hardly = scores_of(noise[0], noise[1] + 1.01, origin)
    clearly = scores_of(noise[0], noise[1] + 4.0, origin)
    rows = _rows(by_name, {"knn": good, "kde": hardly}, seconds, 0)
    assert rows[0].name == "knn"
    assert judge(hardly).proxy >= judge(good).proxy
    rows = _rows(by_name, {"knn": good, "kde": clearly}, seconds, 0)
    assert rows[0].name == "kde"


def test_on_photographs_those_that_mark_the_place_are_preferred() -> None:
    names = [one.name for one in CANDIDATES]
    assert [one.name for one in preferred(CANDIDATES, (28, 28, 1))] == names
    first = preferred(CANDIDATES, (480, 640, 3))
    assert sorted(one.name for one in first) == sorted(names)
    assert first[0].draws_maps
    assert not first[-1].draws_maps
    rng = np.random.default_rng(0)
    noise, origin = rng.normal(size=(2, 40)), np.arange(40)
    alike = {
        "feature-mahalanobis": scores_of(noise[0], noise[1] + 1.0, origin),
        "patch-gaussian": scores_of(noise[0], noise[1] + 0.99, origin),
    }
    for shape, leader in (((64, 64, 1), "feature-mahalanobis"), ((65, 80, 3), "patch-gaussian")):
        by_name = {one.name: one for one in preferred(CANDIDATES, shape)}
        choice = Choice(_rows(by_name, alike, dict.fromkeys(alike, 1.0), 0), {}, 40, 40, 1.0)
        assert choice.best.name == leader
    assert "patch-gaussian marks the place" in choice.sentence


def test_it_continues_where_it_was_stopped(threes, tmp_path) -> None:
    def stop(sentence: str) -> None:
        if sentence.startswith("kde: fitting"):
            raise KeyboardInterrupt

    part = choose(threes, candidates=SHALLOW, folder=tmp_path, progress=stop)
    assert [row.name for row in part.rows] == ["knn"]
    assert part.stopped
    assert "stopped" in part.left_out["kde"]
    said: list[str] = []
    whole = choose(threes, candidates=SHALLOW, folder=tmp_path, progress=said.append)
    assert not any(sentence.startswith("knn: fitting") for sentence in said)
    fresh = choose(threes, candidates=SHALLOW, folder=tmp_path / "other")
    assert [row["auc"] for row in whole.table()] == [row["auc"] for row in fresh.table()]


def test_time_is_kept_and_said(threes, tmp_path) -> None:
    slow = Candidate(name="slow", method="kde", params={"bandwidth": 2.0}, cost=1e6)
    choice = choose(threes, candidates=(*SHALLOW, slow), minutes=1, folder=tmp_path)
    assert "more than is left" in choice.left_out["slow"]


def test_who_learns_from_made_up_anomalies_is_judged_by_other_kinds(threes, tmp_path) -> None:
    learner = Candidate(
        name="learner",
        method="segmentation",
        trial={"steps": 2, "widths": [4, 8], "device": "cpu"},
        learns=True,
    )
    choice = choose(threes, candidates=(learner,), folder=tmp_path)
    normal = choice.scores["learner"].normal
    assert set(normal) >= set(KINDS)
    assert not np.array_equal(normal["cut-paste"], normal["crack"])  # two detectors
    np.testing.assert_array_equal(normal["cut-paste"], normal["spots"])


def test_groups_stay_together(threes, tmp_path) -> None:
    groups = np.arange(len(threes)) // 4
    choice = choose(threes, candidates=SHALLOW[:1], groups=groups, folder=tmp_path)
    assert choice.n_held % 4 == 0 or choice.n_held == 60
    assert choice.n_train + choice.n_held <= len(threes)


def test_mistakes_are_said(threes, tmp_path) -> None:
    with pytest.raises(SpecError, match="at least 20 normal images"):
        choose(threes[:10], folder=tmp_path)
    bad = Candidate(name="bad", method="kde", params={"bandwidth": -1.0})
    with pytest.raises(SpecError, match="No candidate could be fitted"):
        choose(threes, candidates=(bad,), folder=tmp_path)


@pytest.fixture
def few_candidates(monkeypatch, tmp_path) -> None:
    """The command compares methods that are quick, and keeps its record for itself."""
    monkeypatch.setattr(fitting, "choose", partial(choose, candidates=SHALLOW, folder=tmp_path))
    monkeypatch.chdir(tmp_path)


def test_the_command_says_what_it_found_and_what_it_cannot_know(few_candidates, capsys) -> None:
    assert main(["choose", "digits-8x8", "--normal", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recommended"] in {"knn", "kde", "isolation-forest", "combination"}
    assert found["sentence"].startswith("Take ")
    assert found["unknown"] == UNKNOWN
    assert len(found["candidates"]) == 5
    assert main(["choose", "digits-8x8", "--normal", "3"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert found["sentence"] in shown
    assert UNKNOWN in shown


def test_fit_with_the_method_auto_is_choose_inside(few_candidates, capsys) -> None:
    command = ["fit", "digits-8x8", "--normal", "3", "--method", "auto", "--out", "m", "--json"]
    assert main(command) == 0
    fitted = json.loads(capsys.readouterr().out)
    best = fitted["choice"][0]
    assert fitted["method"] == best["method"]
    assert main(["evaluate", "m", "digits-8x8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluation"]["auc"] > 0.8
    rest = ["choose", "digits-8x8", "--normal", "3", "--out", "n", "--json"]
    assert main(rest) == 0
    assert json.loads(capsys.readouterr().out)["recommended"] == best["method"]
    assert type(insphere.load("n")) is type(insphere.load("m"))


def test_methods_for_tables_are_named(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(40, 3))
    np.savetxt("rows.csv", rows, delimiter=",", header="a,b,c", comments="")
    assert main(["fit", "rows.csv", "--kind", "table", "--method", "auto"]) == 2
    assert "images only" in " ".join(capsys.readouterr().err.split())


def test_a_folder_of_images_is_compared_by_default(few_candidates, threes, tmp_path) -> None:
    folder = tmp_path / "good"
    folder.mkdir()
    for number, image in enumerate(threes[:40]):
        Image.fromarray(image[..., 0]).save(folder / f"{number}.png")
    found = fitting.fit_source(FitConfig(source=str(folder)))
    assert found.choice is not None
    assert found.config.method == found.choice.best.method
    trained = fitting.fit_source(FitConfig(source=str(folder), epochs=1, pretrain_epochs=0))
    assert (trained.choice, trained.config.method) == (None, "deep-svdd")
    for number in range(12, 40):
        (folder / f"{number}.png").unlink()
    few = FitConfig(source=str(folder), contamination=0.05, size=(8, 8))
    small = fitting.fit_source(few)
    assert (small.choice, small.config.method) == (None, "deep-svdd")
