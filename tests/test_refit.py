"""Training again with reviewed photos: what is added, what is not, and that it is said."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from insphere.cli import main
from insphere.detectors import KNNDetector
from insphere.detectors.model_folder import load_detector
from insphere.errors import DataError, SpecError
from insphere.workflows.provenance import trained_on
from insphere.workflows.refitting import read_reviews, refit


@pytest.fixture(scope="module")
def place(digits, tmp_path_factory):
    """Eighty threes; a model of them; ten more threes and four eights that were reviewed."""
    folder = tmp_path_factory.mktemp("refit")
    images, labels = digits
    threes, eights = images[labels == 3], images[labels == 8]
    for name, some in (
        ("good", threes[:80]), ("reviews/good", threes[80:90]), ("reviews/anomalous", eights[:4]),
    ):  # fmt: skip
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(some):
            Image.fromarray(image[..., 0]).save(folder / name / f"{number:03}.png")
    detector = KNNDetector(false_alarm_rate=0.1, random_state=0)
    from insphere.data.read_options import ReadOptions

    data = ReadOptions().load(folder / "good", progress=False)
    detector.fit(data)
    detector.trained_on_ = trained_on(data, ReadOptions(), held_out=False)
    detector.save(folder / "model")
    return folder


def test_reviewed_good_photos_become_normals_and_anomalies_do_not(place):
    done = refit(place / "model", place / "good", place / "reviews", progress=False)
    before = load_detector(place / "model")
    assert (done.n_before, done.n_added, done.n_known, done.n_anomalous) == (80, 10, 0, 4)
    assert done.detector.n_train_ + done.detector.n_calibration_ == 90
    assert done.detector.n_calibration_ > before.n_calibration_
    assert done.same_normals
    assert done.detector.get_params() == before.get_params()
    counts = done.counts
    assert counts.false + counts.confirmed == 10
    assert counts.right + counts.missed == 4
    assert "10 reviewed good photos are added to the 80 before" in done.sentences()[0]
    again = refit(place / "model", place / "good", place / "reviews", progress=False)
    probe = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 1), dtype=np.uint8)
    assert np.array_equal(again.detector.anomaly_score(probe), done.detector.anomaly_score(probe))


def test_what_is_among_the_normals_already_is_not_added_twice(place, tmp_path):
    (tmp_path / "good").mkdir()
    for path in sorted((place / "good").iterdir())[:3]:
        (tmp_path / "good" / path.name).write_bytes(path.read_bytes())
    done = refit(place / "model", place / "good", tmp_path, progress=False)
    assert (done.n_added, done.n_known) == (0, 3)
    assert "among the normals already" in " ".join(done.sentences())
    (tmp_path / "fewer").mkdir()
    for path in sorted((place / "good").iterdir())[:60]:
        (tmp_path / "fewer" / path.name).write_bytes(path.read_bytes())
    other = refit(place / "model", tmp_path / "fewer", place / "reviews", progress=False)
    assert not other.same_normals
    assert "not the ones that the model was trained on" in " ".join(other.sentences())


def test_a_table_says_the_same_as_the_folders(place):
    table = place / "reviews.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "score", "review"])
        for kind, word in (("good", "False alarm"), ("anomalous", "right")):
            for path in sorted((place / "reviews" / kind).iterdir()):
                writer.writerow([path.relative_to(place), "1.5", word])
        writer.writerow(["not/reviewed.png", "0.1", ""])
    assert read_reviews(table).good == read_reviews(place / "reviews").good
    assert read_reviews(table).anomalous == read_reviews(place / "reviews").anomalous
    elsewhere = place / "tables" / "reviews.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(table.read_bytes())
    assert read_reviews(elsewhere, place) == read_reviews(table)
    table.write_text("path,review\na.png,perhaps\n")
    with pytest.raises(DataError, match=r"Line 2 .* calls a photo 'perhaps': write good or"):
        read_reviews(table)
    with pytest.raises(DataError, match="holds no reviews"):
        read_reviews(place / "nowhere")


def test_anomalies_alone_are_refused_and_told_where_they_belong(place, tmp_path):
    (tmp_path / "anomalous").mkdir()
    path = next((place / "reviews" / "anomalous").iterdir())
    (tmp_path / "anomalous" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(SpecError, match="with --anomalies"):
        refit(place / "model", place / "good", tmp_path, progress=False)


def test_the_command_makes_a_new_model_and_keeps_the_old_one(place, capsys):
    before = (place / "model" / "weights.safetensors").read_bytes()
    given = ["refit", str(place / "model"), "--normals", str(place / "good")]
    given += ["--reviews", str(place / "reviews"), "--out", str(place / "new"), "--json"]
    assert main(given) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["n_before"], told["n_added"], told["n_anomalous"]) == (80, 10, 4)
    assert (place / "model" / "weights.safetensors").read_bytes() == before
    assert load_detector(place / "new").n_train_ == 72
    given[given.index("--out") + 1] = str(place / "model")
    assert main(given) == 2
    assert "needs another folder" in capsys.readouterr().err
    defects = ["fit", str(place / "good"), "--anomalies", str(place / "reviews" / "anomalous")]
    defects += ["--epochs", "1", "--pretrain-epochs", "0", "--out", str(place / "sad"), "--json"]
    assert main(defects) == 0
    assert json.loads(capsys.readouterr().out)["n_anomalies"] == 4
