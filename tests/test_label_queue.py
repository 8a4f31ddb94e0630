"""Which images to label next, and the way of the labels back into a training."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from insphere.cli import main
from insphere.detectors import load_detector
from insphere.errors import SpecError
from insphere.explain.label_queue import farthest_first, most_useful
from insphere.workflows.refitting import read_reviews


def test_the_furthest_row_comes_next():
    rows = np.array([[0.0], [1.0], [10.0], [4.0], [9.0]])
    assert_array_equal(farthest_first(rows, 3), [0, 2, 3])  # 4 is 4 from 0, and 6 from 10
    assert sorted(farthest_first(rows, 9)) == [0, 1, 2, 3, 4]
    assert sorted(farthest_first(np.zeros((4, 2)), 3)) == [0, 1, 2]  # none is taken twice


def test_samples_near_the_threshold_that_differ_are_chosen():
    rng = np.random.default_rng(0)
    scores = np.arange(100.0)
    vectors = rng.normal(size=(100, 2))
    vectors[45:55] = 0  # alike
    vectors[52] = 50  # but for one
    chosen = most_useful(scores, 49.5, vectors, 2)
    assert chosen[0] in (49, 50)
    assert chosen[1] == 52
    wide = most_useful(scores, 49.5, vectors, 4)
    assert np.abs(scores[wide] - 49.5).max() <= 10  # of the twenty nearest
    assert len(most_useful(scores, 200.0, vectors, 500)) == 100
    with pytest.raises(SpecError, match="at least one sample"):
        most_useful(scores, 0.0, vectors, 0)


@pytest.fixture(scope="module")
def photos(digits, tmp_path_factory):
    """Zeros, and new images: zeros and ones."""
    images, target = digits
    root = tmp_path_factory.mktemp("photos")
    zeros, ones = np.flatnonzero(target == 0), np.flatnonzero(target == 1)
    for folder, rows in (("good", zeros[:100]), ("new", [*zeros[100:160], *ones[:12]])):
        (root / folder).mkdir()
        for number, row in enumerate(rows):
            name = f"{'one' if target[row] else 'zero'}{number:03}.png"
            Image.fromarray(images[row, ..., 0]).save(root / folder / name)
    return root


def test_a_queue_that_a_person_filled_in_is_trained_with(photos, tmp_path, capsys):
    model, queue, better = tmp_path / "model", tmp_path / "queue.csv", tmp_path / "better"
    assert (
        main(["fit", str(photos / "good"), "--method", "knn", "--quiet", "--out", str(model)]) == 0
    )
    capsys.readouterr()
    code = main(
        ["label-queue", str(model), str(photos / "new"), "--count", "10", "--out", str(queue),
         "--json"]
    )  # fmt: skip
    assert code == 0
    said = json.loads(capsys.readouterr().out)
    assert len(said["queue"]) == 10
    with queue.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [row["path"] for row in said["queue"]]
    assert len({row["path"] for row in rows}) == 10
    for row in rows[:-1]:  # the last stays open
        row["review"] = "anomalous" if "one" in row["path"] else "good"
    anomalous = sum(row["review"] == "anomalous" for row in rows)
    assert anomalous
    with queue.open("w") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    reviews = read_reviews(queue)
    assert (len(reviews.anomalous), len(reviews.good)) == (anomalous, 9 - anomalous)
    code = main(
        ["fit", str(photos / "good"), "--anomalies", str(queue), "--epochs", "1",
         "--pretrain-epochs", "0", "--quiet", "--out", str(better)]
    )  # fmt: skip
    assert code == 0
    assert load_detector(better).n_labelled_ == {"normal": 0, "anomalous": anomalous}


def test_a_table_without_anomalies_is_refused(photos, tmp_path, capsys):
    table = tmp_path / "queue.csv"
    table.write_text(f"path,review\n{next((photos / 'new').iterdir())},good\n")
    code = main(
        ["fit", str(photos / "good"), "--anomalies", str(table), "--out", str(tmp_path / "model")]
    )
    assert code == 2
    assert "calls no image anomalous" in " ".join(capsys.readouterr().err.split())
