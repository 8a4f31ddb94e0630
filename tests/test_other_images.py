"""Images of another source as known anomalies: how they are read, what they must not touch."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from insphere.cli import main
from insphere.data.load import load_dataset
from insphere.data.split import OneClassSplit
from insphere.detectors import DeepSAD, DeepSVDD
from insphere.detectors.model_folder import load_detector
from insphere.errors import DataError, SpecError
from insphere.experiments.runs.display_names import run_names
from insphere.experiments.runs.run import run
from insphere.experiments.runs.run_builder import RunChoice
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.runs.sweep_file import make_sweep
from insphere.workflows.known_anomalies import other_images, read_anomalies

QUICK = {"epochs": 2, "pretrain_epochs": 1}


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Forty colour images of 20 by 12 pixels, in two folders."""
    folder = tmp_path_factory.mktemp("others")
    rng = np.random.default_rng(0)
    for number in range(40):
        place = folder / ("stripes" if number % 2 else "noise")
        place.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12, 20, 3), dtype=np.uint8)).save(
            place / f"{number}.png"
        )
    return folder


@pytest.fixture(scope="module")
def digits_8x8():
    return load_dataset("digits-8x8")


def spec(anomalies, **changes):
    given = {"dataset": "digits-8x8", "normal": ("3",), "method": "deep-sad"} | changes
    return RunSpec(**given, params=QUICK | {"anomalies": anomalies})


def test_they_are_read_in_the_form_of_the_normal_images(others, digits_8x8, tmp_path):
    found = read_anomalies(str(others), digits_8x8)
    assert found.images.shape == (40, 8, 8, 1)
    packed = tmp_path / "others.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in others.rglob("*.png"):
            archive.write(path, path.relative_to(others))
    np.testing.assert_array_equal(read_anomalies(str(packed), digits_8x8).images, found.images)
    colour = load_dataset(others, size=16)
    assert read_anomalies("digits-8x8", colour).images.shape[1:] == (16, 16, 3)


def test_they_lie_on_the_canvas_on_which_photos_of_several_sizes_lie(others, tmp_path):
    for number in range(6):
        size = (30, 40 + 10 * (number % 2))
        Image.fromarray(np.full(size, 90 + number, np.uint8)).save(tmp_path / f"{number}.png")
    photos = load_dataset(tmp_path, progress=False)
    assert photos.fit != "stretch"
    assert photos.one_class(np.arange(6), "good").fit == photos.fit
    _, height, width, _ = photos.images.shape
    same = load_dataset(others, size=(height, width), fit=photos.fit, channels=1)
    np.testing.assert_array_equal(read_anomalies(str(others), photos).images, same.images)


def test_a_run_trains_on_them_and_on_nothing_else_of_theirs(others, digits_8x8):
    asked = spec(str(others))
    assert asked.params["anomalies"] == {"source": str(others)}
    assert asked == spec({"source": str(others)})
    result = run(asked, digits_8x8)
    split = OneClassSplit(digits_8x8, "3")
    X = np.concatenate([split.X_train, read_anomalies(str(others), digits_8x8).images])
    y = np.repeat([0, -1], [len(split.train), 40])
    direct = DeepSAD(**QUICK, contamination=0.05, random_state=0).fit(X, y)
    np.testing.assert_array_equal(result.scores, direct.anomaly_score(split.X_test))
    assert result.row()["labels"] == {"labelled_anomalies": 40, "anomalous_source": str(others)}
    assert len(result.scores) == len(split.test)
    # The threshold is that of the normal images, and so is the preprocessing.
    normal = direct.anomaly_score(split.X_train)
    assert (normal > result.detector.threshold_).sum() == int(0.05 * len(normal))
    alone = DeepSVDD(recipe="fast", **QUICK, contamination=0.05, random_state=0).fit(split.X_train)
    statistics, of_alone = (
        one.sphere_.preprocessor.state_dict() for one in (result.detector, alone)
    )
    assert statistics
    for name, value in of_alone.items():
        np.testing.assert_array_equal(statistics[name], value)


def test_a_share_draws_some_with_the_seed(others, digits_8x8):
    asked = spec({"source": str(others), "share": 0.2})
    use = run(asked, digits_8x8).row()["labels"]
    n = len(OneClassSplit(digits_8x8, "3").train)
    assert use["labelled_anomalies"] == round(n / 4)
    used = np.arange(n)
    drawn = [
        other_images(str(others), digits_8x8, used, n_normal=n, share=0.1, seed=seed).images
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert (drawn[0] != drawn[2]).any()
    with pytest.raises(DataError, match=r"has 40 images, of the \d+ that a share of 0.9 takes"):
        other_images(str(others), digits_8x8, used, n_normal=n, share=0.9)


def test_what_is_tested_or_normal_is_never_among_them(digits_8x8, tmp_path):
    split = OneClassSplit(digits_8x8, "3")
    rest = np.setdiff1d(np.arange(len(digits_8x8)), np.concatenate([split.train, split.test]))
    for index in (*split.train[:2], *split.test[:3], *rest[:4]):
        Image.fromarray(digits_8x8.images[index, ..., 0]).save(tmp_path / f"{index}.png")
    use = run(spec(str(tmp_path)), digits_8x8).row()["labels"]
    assert (use["labelled_anomalies"], use["left_out"]) == (4, 5)
    for index in rest[:4]:
        (tmp_path / f"{index}.png").unlink()
    with pytest.raises(DataError, match=r"All 5 images of .* are also normal or tested images"):
        run(spec(str(tmp_path)), digits_8x8)


def test_runs_with_other_images_are_told_apart(others):
    asked = [spec(str(others)), spec({"source": str(others), "share": 0.1}), spec("mnist-5k")]
    name = others.name
    assert list(run_names(asked).values()) == [
        f"Deep SAD, shown other images ({name})",
        f"Deep SAD, shown 10 % other images ({name})",
        "Deep SAD, shown other images (MNIST (500 of each digit))",
    ]
    choice = RunChoice(
        dataset="digits-8x8", normal=("3",), method="deep-sad", other_images=str(others),
        anomaly_share=0.1, **QUICK,
    )  # fmt: skip
    assert choice.spec() == asked[1]
    assert choice.model_copy(update={"anomaly_share": None}).spec() == asked[0]


def sweep_of(anomalies):
    method = {"method": "deep-sad", "params": QUICK, "grid": {"anomalies": anomalies}}
    return make_sweep({"name": "a", "datasets": "digits-8x8", "normal": 3, "methods": [method]})


def test_a_sweep_takes_the_same_and_is_checked_before_it_runs(others, tmp_path):
    sweep = sweep_of([str(others), {"source": str(others), "share": 0.1}])
    sweep.check()
    assert [one.spec for one in sweep.runs()] == [
        spec(str(others)), spec({"source": str(others), "share": 0.1})
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"There are no anomalies in .*nowhere: name a folder"):
        sweep_of([str(others), str(tmp_path / "nowhere")]).check()


@pytest.mark.parametrize(
    ("anomalies", "said"),
    [
        ({"share": 0.1}, "name either classes of the same images, or the source of others"),
        ({"source": "a", "classes": ["5"], "share": 0.1}, "name either classes"),
        ({"classes": ["5"]}, "say the share"),
        ({"source": "a", "share": 2}, "anomalies has share = 2"),
    ],
)
def test_what_says_no_anomalies_is_refused(anomalies, said):
    with pytest.raises(SpecError, match=said):
        spec(anomalies).detector()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "There are no anomalies in .*: name a folder or zip of images, or a data set"),
        ({}, "The anomalies cannot be read: .* holds no images"),
        ({"a.txt": b"words"}, "The anomalies cannot be read: .* holds no images but 1 .txt"),
        ({"a.png": b"no image"}, "The anomalies cannot be read: 1 of 1 images .* not an image"),
    ],
)
def test_a_folder_that_cannot_be_used_gets_one_sentence(digits_8x8, tmp_path, content, said):
    folder = tmp_path / "given"
    if content is not None:
        folder.mkdir()
        for name, data in content.items():
            (folder / name).write_bytes(data)
    with pytest.raises(DataError, match=said):
        run(spec(str(folder)), digits_8x8)


def test_the_command_line_draws_a_share_and_leaves_out_what_is_tested(
    digits_8x8, others, tmp_path, capsys
):
    good, split = tmp_path / "good.npz", OneClassSplit(digits_8x8, "3", random_state=0)
    names = np.array(digits_8x8.class_names)[digits_8x8.labels]
    np.savez(good, images=digits_8x8.images, labels=names)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for number, path in enumerate(sorted(others.rglob("*.png"))):
        Image.open(path).save(mixed / f"{number}.png")
    for index in split.test[:6]:
        Image.fromarray(digits_8x8.images[index, ..., 0]).save(mixed / f"tested-{index}.png")
    command = [
        "fit", str(good), "--normal", "3", "--epochs", "2", "--pretrain-epochs", "1",
        "--contamination", "0.05", "--json", "--anomalies",
    ]  # fmt: skip
    assert main([*command, str(mixed), "--out", str(tmp_path / "all")]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["n_anomalies"] == 40
    left_out = "6 images of mixed are also normal or tested images of good, and are left out."
    assert left_out in " ".join(said.err.split())
    assert load_detector(tmp_path / "all").n_labelled_["anomalous"] == 40
    out = ["--anomaly-share", "0.1", "--out", str(tmp_path / "some")]
    assert main([*command, str(mixed), *out]) == 0
    assert json.loads(capsys.readouterr().out)["n_anomalies"] == round(len(split.train) / 9)
    none = ["--anomaly-share", "0.1", "--out", str(tmp_path / "none")]
    assert main([*command[:-1], *none]) != 0
    assert "name their source too" in " ".join(capsys.readouterr().err.split())
