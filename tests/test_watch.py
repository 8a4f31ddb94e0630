"""A watched folder: every image exactly one line, whatever happens in between."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from insphere.cli import main
from insphere.detectors import KNNDetector
from insphere.detectors.model_folder import load_detector
from insphere.errors import DataError, SpecError
from insphere.workflows import watching
from insphere.workflows.watch_log import WatchLog
from insphere.workflows.watching import Watcher, WatchSettings


@pytest.fixture(scope="module")
def model(digits, tmp_path_factory):
    """A calibrated detector of zeros, saved."""
    images, target = digits
    out = tmp_path_factory.mktemp("model") / "zeros"
    KNNDetector(false_alarm_rate=0.05, random_state=0).fit(images[target == 0]).save(out)
    return out


@pytest.fixture
def photos(digits):
    """A function that writes a digit into a file."""
    images, target = digits

    def write(path, digit, number=0):
        path.parent.mkdir(parents=True, exist_ok=True)
        image = images[np.flatnonzero(target == digit)[number], ..., 0]
        partial = path.with_name(f".{path.name}")
        Image.fromarray(image).save(partial, "png")
        partial.rename(path)

    return write


def lines(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def watched(model, folder, out, *arguments):
    return main(
        ["watch", str(model), str(folder), "--out", str(out), "--once", "--every", "0.05",
         "--settle", "0", *arguments]
    )  # fmt: skip


@pytest.mark.parametrize("name", ["scores.csv", "scores.jsonl"])
def test_each_image_gets_the_score_of_the_library_once(model, photos, tmp_path, name):
    incoming, out = tmp_path / "incoming", tmp_path / name
    for number in range(5):
        photos(incoming / f"good-{number}.png", 0, number)
        photos(incoming / "line 2" / f"odd-{number}.png", 7, number)
    (incoming / "notes.txt").write_text("no image")
    assert watched(model, incoming, out) == 0
    found = {row["path"]: row for row in lines(out)}
    assert len(lines(out)) == len(found) == 10
    detector = load_detector(model)
    for path, row in found.items():
        score = detector.anomaly_score(incoming / path)[0]
        assert float(row["score"]) == pytest.approx(score, rel=1e-6)
        assert row["verdict"] == ("anomalous" if score > detector.threshold_ else "normal")
        assert float(row["p_value"]) == pytest.approx(
            detector.p_value(incoming / path)[0], rel=1e-6
        )
    before = out.read_bytes()
    assert watched(model, incoming, out) == 0
    assert out.read_bytes() == before
    photos(incoming / "good-0.png", 0, 30)  # another image under an old name
    assert watched(model, incoming, out) == 0
    assert [row["path"] for row in lines(out)].count("good-0.png") == 2


def test_a_line_that_was_cut_off_is_written_again(model, photos, tmp_path):
    incoming, out = tmp_path / "incoming", tmp_path / "scores.csv"
    for number in range(4):
        photos(incoming / f"{number}.png", 0, number)
    watched(model, incoming, out)
    whole = lines(out)
    out.write_bytes(out.read_bytes()[:-20])
    watched(model, incoming, out)
    again = lines(out)
    assert [row["path"] for row in again] == [row["path"] for row in whole]
    assert [row["score"] for row in again] == [row["score"] for row in whole]


def test_alarms_are_moved_and_a_command_is_run(model, photos, tmp_path):
    incoming, out = tmp_path / "incoming", tmp_path / "scores.csv"
    photos(incoming / "a" / "good.png", 0)
    photos(incoming / "a" / "odd.png", 7)
    told = tmp_path / "told"
    (tmp_path / "tell.py").write_text(
        "import os, sys\n"
        f"print(sys.argv[1], os.environ['INSPHERE_SCORE'], file=open({str(told)!r}, 'a'))\n"
    )
    alarms = incoming / "alarms"  # below the watched folder: not watched itself
    code = watched(
        model, incoming, out, "--move-alarms", str(alarms),
        "--on-alarm", f"{sys.executable} '{tmp_path / 'tell.py'}'",
    )  # fmt: skip
    assert code == 0
    assert (alarms / "a" / "odd.png").exists()
    assert not (incoming / "a" / "odd.png").exists()
    assert (incoming / "a" / "good.png").exists()
    row = next(row for row in lines(out) if row["path"] == "a/odd.png")
    assert told.read_text() == f"{alarms / 'a' / 'odd.png'} {row['score']}\n"
    assert len(lines(out)) == 2


def test_an_alarm_that_a_crash_left_behind_is_put_away(model, photos, tmp_path):
    incoming, out, alarms = tmp_path / "incoming", tmp_path / "scores.jsonl", tmp_path / "alarms"
    photos(incoming / "odd.png", 7)
    watched(model, incoming, out)  # as if killed between the line and the move
    watched(model, incoming, out, "--move-alarms", str(alarms))
    assert (alarms / "odd.png").exists()
    assert not (incoming / "odd.png").exists()
    assert len(lines(out)) == 1


def test_two_alarms_of_one_name_are_both_kept(model, photos, tmp_path):
    incoming, out, alarms = tmp_path / "incoming", tmp_path / "scores.csv", tmp_path / "alarms"
    for number in range(2):
        photos(incoming / "odd.png", 7, number)
        watched(model, incoming, out, "--move-alarms", str(alarms))
    assert sorted(path.name for path in alarms.iterdir()) == ["odd-2.png", "odd.png"]


def test_a_half_copied_file_is_waited_for(model, photos, tmp_path, monkeypatch):
    incoming, out = tmp_path / "incoming", tmp_path / "scores.csv"
    photos(incoming / "whole.png", 0)
    content = (incoming / "whole.png").read_bytes()
    half = incoming / "half.png"
    half.write_bytes(content[:60])
    detector, clock = load_detector(model), [100.0]
    monkeypatch.setattr("insphere.workflows.watching.time.monotonic", lambda: clock[0])
    with WatchLog(out) as log:
        watcher = Watcher(detector, WatchSettings(incoming, settle=1.0), log)
        assert list(watcher.look()) == []  # nothing has settled
        clock[0] += 1.5
        assert [row["path"] for row in watcher.look()] == ["whole.png"]
        assert watcher.waiting == 1
        half.write_bytes(content)
        clock[0] += 0.5
        assert list(watcher.look()) == []
        clock[0] += 1.5
        (row,) = watcher.look()
        assert (row["path"], "error" in row) == ("half.png", False)
        (incoming / "broken.png").write_bytes(content[:60])
        for _ in range(2):
            assert list(watcher.look()) == []
            clock[0] += 1.5
        clock[0] += 20
        (row,) = watcher.look()
        assert row["path"] == "broken.png"
        assert "score" not in row
        assert row["error"]
    assert len(lines(out)) == 3


def test_a_file_that_is_completed_while_it_is_read_gets_one_line(
    model, photos, tmp_path, monkeypatch
):
    incoming, out = tmp_path / "incoming", tmp_path / "scores.csv"
    photos(incoming / "slow.png", 0)
    content = (incoming / "slow.png").read_bytes()
    (incoming / "slow.png").write_bytes(content[:60])
    read = watching.load_paths

    def completed_first(paths, **options):
        (incoming / "slow.png").write_bytes(content)
        return read(paths, **options)

    with WatchLog(out) as log:
        watcher = Watcher(load_detector(model), WatchSettings(incoming, settle=0.0), log)
        monkeypatch.setattr(watching, "load_paths", completed_first)
        assert list(watcher.look()) == []  # what was read is not what was found
        monkeypatch.setattr(watching, "load_paths", read)
        (row,) = watcher.look()
        assert row["bytes"] == len(content)
        assert list(watcher.look()) == []
    assert len(lines(out)) == 1


def test_hostile_names_stay_on_one_line_and_are_no_formula(model, photos, tmp_path):
    incoming, out = tmp_path / "incoming", tmp_path / "scores.csv"
    names = ["=cmd().png", "two\nlines.png", 'quo"te,comma.png', "ünïcode.png"]
    for number, name in enumerate(names):
        photos(incoming / name, 0, number)
    for _ in range(2):
        assert watched(model, incoming, out) == 0
        assert len(out.read_text().splitlines()) == 1 + len(names)
    found = {row["path"] for row in lines(out)}
    assert found == {"'=cmd().png", "two\\nlines.png", 'quo"te,comma.png', "ünïcode.png"}


@pytest.mark.slow
def test_killed_again_and_again_no_image_is_missed_or_scored_twice(model, photos, tmp_path):
    incoming, out = tmp_path / "incoming", tmp_path / "scores.csv"
    incoming.mkdir()
    command = [
        sys.executable, "-m", "insphere", "watch", str(model), str(incoming), "--out", str(out),
        "--every", "0.05", "--settle", "0.1", "--quiet",
    ]  # fmt: skip
    for burst in range(3):
        for number in range(40):
            photos(incoming / f"{burst}-{number}.png", number % 10, number // 10)
        process = subprocess.Popen(command)
        until = time.monotonic() + 60
        wanted = 40 * burst + 15
        while time.monotonic() < until and (
            not out.exists() or out.read_bytes().count(b"\n") < wanted
        ):
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert watched(model, incoming, out) == 0
    paths = [row["path"] for row in lines(out)]
    assert sorted(paths) == sorted(path.name for path in incoming.iterdir())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"settle": -1}, "settle is a number of seconds"),
        ({"move_alarms": "a", "copy_alarms": "b"}, "give one folder"),
        ({"move_alarms": "."}, "another folder than the one"),
        ({"on_alarm": "say 'hello"}, "is not understood"),
        ({"on_alarm": " "}, "is empty"),
    ],
)
def test_impossible_settings_are_refused(tmp_path, settings, said):
    given = {k: tmp_path / v if "alarms" in k else v for k, v in settings.items()}
    with pytest.raises(SpecError, match=said):
        WatchSettings(tmp_path, **given)


def test_mistakes_are_one_sentence(model, tmp_path, capsys):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "in").mkdir()
    for folder, out, said in (
        ("nowhere", "scores.csv", "no folder"),
        ("in", "other.csv", "no file of insphere watch"),
        ("in", "scores.txt", "ending in .csv or .jsonl"),
    ):
        assert watched(model, tmp_path / folder, tmp_path / out) == 2
        assert said in " ".join(capsys.readouterr().err.split())


def test_two_watchers_do_not_write_to_one_file(tmp_path):
    out = tmp_path / "scores.csv"
    with WatchLog(out), pytest.raises(DataError, match="Another insphere watch"), WatchLog(out):
        pass


def test_photos_of_other_sizes_are_read_as_those_trained_on(tmp_path):
    from sklearn.datasets import load_sample_image

    from insphere.workflows.score_source import score_source

    roof = load_sample_image("china.jpg")
    rng = np.random.default_rng(0)
    for kind, n in (("good", 24), ("new", 4)):
        (tmp_path / kind).mkdir()
        for number in range(n):
            height, width = rng.integers(24, 40, 2)
            top, left = rng.integers(180, 300), rng.integers(0, 500)
            piece = roof[top : top + height, left : left + width]
            Image.fromarray(piece).save(tmp_path / kind / f"{number}.png")
    out, log = tmp_path / "model", tmp_path / "log.csv"
    assert main(["fit", str(tmp_path / "good"), "--method", "knn", "--out", str(out), "-q"]) == 0
    assert watched(out, tmp_path / "new", log) == 0
    scored = score_source(load_detector(out), tmp_path / "new", progress=False)
    expected = {scored.name(row).rpartition("/")[2]: scored.scores[row] for row in range(4)}
    found = {row["path"]: float(row["score"]) for row in lines(log)}
    assert found == pytest.approx(expected)
