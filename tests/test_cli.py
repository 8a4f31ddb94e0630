from __future__ import annotations

import csv
import errno
import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from insphere.cli import main
from insphere.detectors import load_detector
from insphere.detectors.registry import METHODS, detector_class, method_card

PROGRAM = [sys.executable, "-m", "insphere"]
TINY = ["--epochs", "1", "--pretrain-epochs", "1"]


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    """A flat folder of the digit 0, as real images of 8×8."""
    return write_digits(tmp_path / "normals", {0: ""}, 40)


def write_digits(folder: Path, places: dict[int, str], count: int, start: int = 0) -> Path:
    digits = load_digits()
    for digit, place in places.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        chosen = digits.images[digits.target == digit][start : start + count]
        for number, image in enumerate(chosen):
            pixels = np.rint(image * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / place / f"{digit}-{number:03d}.png")
    return folder


def mvtec(folder: Path) -> Path:
    write_digits(folder, {0: "train/good"}, 60)
    write_digits(folder, {0: "test/good", 1: "test/one", 7: "test/seven"}, 30, start=100)
    return folder


def files_here() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, says: str) -> None:
    """Exit code 2, one sentence on stderr, nothing on stdout and nothing left behind."""
    before = files_here()
    assert main([*arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert lines[0].endswith((".", "?")) or "pip install" in lines[0]
    assert says in lines[0]
    assert "Traceback" not in err
    assert files_here() == before
    cache = Path(os.environ["INSPHERE_CACHE"])
    assert not [path for path in cache.rglob("*") if "building" in path.name]


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert isinstance(values, dict)
    return values


# ---------------------------------------------------------------------- the whole way


def test_from_a_folder_of_normals_to_scores(normals, tmp_path, capsys):
    assert main(["fit", str(normals), *TINY, "--out", "model"]) == 0
    out, _ = capsys.readouterr()
    assert "40 images of 8×8×1" in out
    assert "insphere score model" in out
    new = write_digits(tmp_path / "new", {0: "", 1: ""}, 10, start=50)
    assert main(["score", "model", str(new), "--out", "scores.csv", "--report", "r.html"]) == 0
    out, _ = capsys.readouterr()
    assert "of 20" in out
    assert "Scores: scores.csv" in out
    with Path("scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    calibrated = ["p_value", "severity", "step"]  # 40 images were left out in turn
    assert list(rows[0]) == ["path", "score", "z_score", "verdict", *calibrated]
    detector = load_detector("model")
    expected = detector.anomaly_score(new)
    assert [float(row["score"]) for row in rows] == expected.tolist()
    assert [row["verdict"] == "anomalous" for row in rows] == (
        (expected > detector.threshold_).tolist()
    )
    assert all(Path(row["path"]).is_file() for row in rows)
    assert Path("r.html").read_text(encoding="utf-8").count("<html") == 1
    assert sorted(p.name for p in Path().iterdir()) == ["model", "r.html", "scores.csv"]
    assert not list(Path(os.environ["INSPHERE_CACHE"]).rglob("*.safetensors"))


def test_an_mvtec_folder_needs_no_normal_class_and_evaluates_on_its_test_part(tmp_path, capsys):
    folder = str(mvtec(tmp_path / "hazelnut"))
    fitted = json_of(capsys, "fit", folder, "--method", "knn", "--out", "model")
    assert fitted["normal"] == ["good"]
    assert fitted["n_train"] == 60
    measured = json_of(capsys, "evaluate", "model", folder)
    assert measured["part"] == "the test part"
    assert measured["evaluation"]["n_normal"] == 30
    assert measured["evaluation"]["n_anomalous"] == 60
    assert measured["evaluation"]["auc"] > 0.95
    counts = measured["evaluation"]
    assert counts["tp"] + counts["fn"] + counts["tn"] + counts["fp"] == 90
    assert main(["evaluate", "model", folder]) == 0
    out, _ = capsys.readouterr()
    assert "AUC" in out
    assert "truly anomalous" in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_source_without_test_part_is_evaluated_on_what_training_did_not_see(capsys):
    fitted = json_of(
        capsys, "fit", "digits-8x8", "--normal", "3", "--method", "knn", "--out", "model"
    )
    measured = json_of(capsys, "evaluate", "model", "digits-8x8")
    assert measured["part"] == "the images held out from training"
    total = fitted["n_train"] + measured["evaluation"]["n_normal"]
    assert total == int((load_digits().target == 3).sum())
    every = json_of(capsys, "score", "model", "digits-8x8", "--all")
    assert every["n"] == 1797
    assert every["part"] == "all images, also those trained on"
    assert len(every["scores"]) == 1797
    names = ["index", "score", "z_score", "verdict", "p_value", "severity", "step"]
    assert list(every["scores"][0]) == [*names, "class", "truth"]


def test_new_images_are_resized_and_coloured_as_the_training_images_were(tmp_path, capsys):
    big = tmp_path / "big"
    big.mkdir()
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(20, 30), (40, 25), (33, 33), (20, 20)]):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(big / f"{number}.png")
    assert main(["fit", str(big), "--method", "knn", "--size", "12x10", "--grey", "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert load_detector("insphere-model").image_shape_ == (12, 10, 1)
    scored = json_of(capsys, "score", "insphere-model", str(big / "1.png"))
    assert scored["n"] == 1
    described = json_of(capsys, "info", "insphere-model")
    assert described["trained_on"]["size"] == [12, 10]
    assert described["trained_on"]["channels"] == 1


def test_a_zip_and_a_folder_give_the_same_scores(normals, tmp_path, capsys):
    archive = tmp_path / "n.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(normals.iterdir()):
            file.write(path, path.name)
    json_of(capsys, "fit", str(archive), "--method", "knn", "--out", "model")
    scores = [
        [row["score"] for row in json_of(capsys, "score", "model", str(source))["scores"]]
        for source in (archive, normals)
    ]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 40


def test_parquet_holds_what_csv_holds(normals, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    main(["fit", str(normals), "--method", "knn", "--out", "model", "-q"])
    for name in ("s.csv", "s.parquet"):
        assert main(["score", "model", str(normals), "--out", name, "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    table = parquet.read_table("s.parquet").to_pylist()
    with Path("s.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [{k: str(v) for k, v in row.items()} for row in table] == rows


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such file names")
def test_file_names_that_are_no_text_and_look_like_markup(normals, capsys):
    main([*knn(str(normals)), "--contamination", "0.05", "-q"])  # few columns: names are whole
    Path("[red]").mkdir()
    content = next(normals.iterdir()).read_bytes()
    Path("[red]", "[bold].png").write_bytes(content)
    Path("[red]", os.fsdecode(b"\xff.png")).write_bytes(content)
    assert main(["score", "model", "[red]", "--out", "s.csv", "--report", "r.html"]) == 0
    assert main(["score", "model", "[red]", "--out", "s.parquet", "-q"]) == 0
    out = capsys.readouterr().out
    assert "[red]/[bold].png" in out
    assert "[red]/\\udcff.png" in out
    assert b"[red]/\xff.png" in Path("s.csv").read_bytes()
    assert "[bold].png" in Path("r.html").read_text(encoding="utf-8")


# The rest need labels of other classes, or minutes.
FROM_NORMALS = [
    method
    for method in METHODS
    if method not in ("softmax", "anogan") and "images" in method_card(method).takes
]


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory) -> str:
    """Real digits, 80 of the digit 0 and 40 of others: few enough for a network of photos."""
    digits = load_digits()
    zeros, others = np.flatnonzero(digits.target == 0)[:80], np.flatnonzero(digits.target != 0)[:40]
    rows = np.concatenate([zeros, others])
    path = tmp_path_factory.mktemp("few") / "digits.npz"
    images = np.rint(digits.images[rows] * (255 / 16)).astype(np.uint8)
    np.savez(path, images=images, labels=digits.target[rows])
    return str(path)


@pytest.mark.parametrize("method", FROM_NORMALS)
def test_every_method_fits_saves_scores_and_evaluates(method, few_digits, capsys):
    parameters = inspect.signature(detector_class(method)).parameters
    # An autoencoder learns its images from nothing, and the segmentation what damage is.
    epochs = {"dcae": "50", "segmentation": "60"}.get(method, "15")
    tiny = ["--epochs", epochs] if "epochs" in parameters else []
    tiny += ["--option", "lr=0.01"] if method == "dcae" else []
    # Networks are trained once; the usual threshold of so few images would take six trainings.
    tiny += ["--contamination", "0.05"] if "epochs" in parameters else []
    tiny += ["--pretrain-epochs", "1"] if "pretrain_epochs" in parameters else []
    tiny += ["--option", "resolution=64"] if "backbone" in parameters else []
    if "scale" in parameters and parameters["scale"].default is not None:
        tiny += ["--option", "scale=null"]
    fitted = json_of(
        capsys, "fit", few_digits, "--normal", "0", "--method", method, *tiny, "--out", "m"
    )
    assert fitted["method"] == method
    measured = json_of(capsys, "evaluate", "m", few_digits)["evaluation"]
    assert measured["auc"] > 0.8  # the digit 0 is easy, even for a random network


def test_the_methods_in_the_help_are_those_that_exist(capsys):
    assert main(["fit", "--help"]) == 0
    shown = "".join(capsys.readouterr().out.replace("│", "").split())
    assert all(method in shown for method in METHODS)


def test_several_normal_classes_and_a_false_alarm_rate(capsys):
    fitted = json_of(
        capsys,
        *("fit", "digits-8x8", "--normal", "0", "--normal", "1", "--method", "knn"),
        *("--false-alarm-rate", "0.1", "--option", "n_neighbors=5", "--seed", "3"),
    )
    assert fitted["normal"] == ["0", "1"]
    assert fitted["n_calibration"] > 0
    detector = load_detector("insphere-model")
    assert detector.get_params()["n_neighbors"] == 5
    assert detector.get_params()["random_state"] == 3


def test_report_of_a_saved_model(normals, capsys):
    main(["fit", str(normals), *TINY, "--out", "model", "--report", "fit.html", "-q"])
    assert main(["report", "model", str(normals), "--out", "sub/later.html"]) == 0
    assert "Report: sub/later.html" in capsys.readouterr().out
    for name in ("fit.html", "sub/later.html"):
        page = Path(name).read_text(encoding="utf-8")
        assert "Deep SVDD on normals" in page
        assert "http://" not in page.replace("http://www.w3.org", "")


def test_info_says_what_the_card_says(normals, capsys):
    main(["fit", str(normals), "--method", "knn", "--out", "model", "-q"])
    assert main(["info", "model"]) == 0
    out = capsys.readouterr().out
    assert "KNNDetector" in out
    assert "40 of 8×8×1" in out
    assert max(map(len, out.splitlines())) <= 80


def test_datasets_lists_names_and_says_what_is_here(capsys, monkeypatch):
    monkeypatch.delenv("INSPHERE_DATA", raising=False)
    listed = json_of(capsys, "datasets")["datasets"]
    here = {card["name"]: card["available"] for card in listed}
    assert here["digits-8x8"] is True
    assert here["mnist"] is False
    assert main(["datasets"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert 'pip install "insphere[vision]", then add --download' in " ".join(out.split())


def test_the_methods_are_listed_with_what_they_do(capsys):
    assert main(["methods"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name in METHODS:
        assert f"{name} {detector_class(name).card.summary}" in shown
    listed = json_of(capsys, "methods")["methods"]
    assert [one["name"] for one in listed] == list(METHODS)


def test_the_help_of_each_command_has_an_example_that_starts_with_the_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    order = [line.split()[1] for line in shown.splitlines() if re.match(r"│ [a-z]+ ", line)]
    assert order[:4] == ["demo", "fit", "score", "evaluate"]
    for name in set(order) - {"sweep"}:
        assert main([name, "--help"]) == 0
        assert f" insphere {name}" in capsys.readouterr().out.split("For example:")[1]


def test_version_and_help_need_neither_torch_nor_scikit_learn():
    code = (
        "import sys; from insphere.cli import main\n"
        "codes = [main(['--version']), main(['--help']), main([]), main(['fit', '--help'])]\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "assert codes == [0] * 4 and not heavy, (codes, heavy)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("insphere ")


# ---------------------------------------------------------------------- settings in YAML


def test_a_file_of_settings_gives_the_same_model_as_options(capsys):
    Path("spec.yaml").write_text(
        "source: digits-8x8\nnormal: 3\nmethod: knn\noptions: {n_neighbors: 4}\nseed: 7\nout: a\n",
        encoding="utf-8",
    )
    json_of(capsys, "fit", "--config", "spec.yaml")
    options = ("--normal", "3", "--method", "knn", "--option", "n_neighbors=4", "--seed", "7")
    fitted = json_of(capsys, "fit", "digits-8x8", *options, "--out", "b")
    names = ("weights.safetensors", "detector.json")
    same = [(Path(model) / name).read_bytes() for name in names for model in ("a", "b")]
    assert same[0] == same[1]
    assert same[2] == same[3]
    # what is printed as settings is a file of settings
    Path("again.yaml").write_text(yaml.safe_dump(fitted["settings"]), encoding="utf-8")
    json_of(capsys, "fit", "--config", "again.yaml", "--overwrite")
    weights = json.loads(Path("b/detector.json").read_text(encoding="utf-8"))["weights"]["file"]
    assert Path("b", weights).read_bytes() == same[0]  # under a new name, as the old was replaced


def test_options_come_before_the_file_and_say_so(capsys):
    Path("spec.yaml").write_text(
        "source: digits-8x8\nnormal: [3]\nmethod: knn\nseed: 7\noptions: {n_neighbors: 4}\n",
        encoding="utf-8",
    )
    arguments = ["fit", "--config", "spec.yaml", "--seed", "8", "--method", "knn", "--quiet"]
    assert main([*arguments, "--option", "n_neighbors=3"]) == 0
    err = capsys.readouterr().err
    assert "seed: 8 from the command line, not 7 from spec.yaml" in err
    assert "options.n_neighbors: 3 from the command line, not 4 from spec.yaml" in err
    assert "method" not in err  # given twice, but the same
    assert load_detector("insphere-model").get_params()["random_state"] == 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sed: 1", "unknown setting sed; did you mean seed?"),
        ("seed: -1", "seed = -1"),
        ("seed: 1.5", "seed = 1.5"),
        ("epochs: many", "epochs = 'many'"),
        ("size: 12y4", "12y4"),
        ("contamination: .nan", "contamination = nan"),
        ("- 1\n- 2", "must hold settings"),
        ("a: [1", "is not YAML"),
        ("options: {random_state: 3}", "is called seed"),
        ("options: {epochs: 3}", "epochs is a setting of its own"),
        ("!!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
def test_mistakes_in_a_file_of_settings(text, says, capsys):
    Path("spec.yaml").write_text(text, encoding="utf-8")
    refused(capsys, "fit", "digits-8x8", "--config", "spec.yaml", says=says)


# ---------------------------------------------------------------------- mistakes


def knn(*arguments: str) -> list[str]:
    return ["fit", *arguments, "--method", "knn", "--out", "model"]


def test_usage_mistakes_are_one_sentence(normals, capsys):
    refused(capsys, "fit", "--epoch", "3", says="--epoch")
    refused(capsys, "fti", says="fti")
    refused(capsys, "score", "model", says="SOURCE")
    refused(capsys, "fit", "x", "--epochs", "many", says="--epochs")
    refused(capsys, "demo", "--digit", "11", says="--digit")
    refused(capsys, "fit", says="nothing to train on")
    refused(capsys, "fit", str(normals), "--method", "deep-svd", says="deep-svdd")
    refused(capsys, *knn(str(normals), "--recipe", "fast"), says="no option recipe")
    refused(capsys, *knn(str(normals), "--option", "k"), says="NAME=VALUE")
    refused(capsys, *knn(str(normals), "--option", "n_neighbors=0"), says="n_neighbors")
    refused(capsys, *knn(str(normals), "--contamination", "0.9"), says="0.9")
    deep = ("--method", "deep-svdd", "--contamination", "0.05")
    fit = ("fit", str(normals), *deep, "--out", "m")
    refused(capsys, *fit, "--objective", "x", says="objective")
    refused(capsys, *fit, "--recipe", "x", says="fast")
    refused(capsys, *fit, "--nu", "7", says="nu")
    refused(capsys, *knn(str(normals), "--size", "0"), says="height x width")
    refused(capsys, "fit", "--config", "none.yaml", says="none.yaml")


def test_a_variable_of_the_shell_that_is_not_set_is_not_the_current_folder(normals, capsys):
    refused(capsys, *knn(""), says="Argument 2 of the command is empty")
    refused(capsys, "score", "", str(normals), says="is empty")
    refused(capsys, *knn(str(normals)), "--out", "", says="is empty")


def test_missing_sources_and_models(normals, capsys):
    refused(capsys, *knn("no/such/folder"), says="no/such/folder")
    refused(capsys, *knn("mnits"), says="did you mean mnist?")
    refused(capsys, "score", "no-model", str(normals), says="no-model does not exist")
    refused(capsys, "info", str(normals), says="detector.json is missing")
    refused(capsys, "evaluate", "no-model", str(normals), says="no-model")
    refused(capsys, "report", "no-model", str(normals), says="no-model")


def test_a_model_is_not_replaced_unasked_and_this_is_said_before_training(normals, capsys):
    assert main([*knn(str(normals)), "-q"]) == 0
    refused(capsys, *knn(str(normals)), says="add --overwrite")
    assert main([*knn(str(normals)), "-q", "--overwrite"]) == 0
    Path("other").mkdir()
    Path("other/precious.txt").write_text("mine", encoding="utf-8")
    arguments = ("fit", str(normals), "--method", "deep-svdd", "--out", "other", "--overwrite")
    refused(capsys, *arguments, says="holds something else")


def test_an_empty_folder_and_one_image(normals, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(capsys, *knn(str(empty)), says=str(empty))
    one = write_digits(tmp_path / "one", {0: ""}, 1)
    refused(capsys, *knn(str(one)), says="at least 2")
    refused(capsys, *knn(str(next(one.iterdir()))), says="at least 2")
    main([*knn(str(normals)), "-q"])
    refused(capsys, "score", "model", str(empty), says=str(empty))


def spoil_text(folder: Path) -> None:
    (folder / "notes.png").write_text("these are only words", encoding="utf-8")


def spoil_truncated(folder: Path) -> None:
    content = next(folder.iterdir()).read_bytes()
    (folder / "half.png").write_bytes(content[: len(content) // 2])


def spoil_corrupt(folder: Path) -> None:
    content = bytearray(next(folder.iterdir()).read_bytes())
    content[40:60] = bytes(20)
    (folder / "broken.png").write_bytes(bytes(content))


def spoil_bomb(folder: Path) -> None:
    Image.new("1", (12_000, 12_000)).save(folder / "bomb.png")


@pytest.mark.parametrize("spoil", [spoil_text, spoil_truncated, spoil_corrupt, spoil_bomb])
def test_bad_images_are_refused_or_counted_and_skipped(
    normals: Path, spoil: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    good = {path.name for path in normals.iterdir()}
    main([*knn(str(normals)), "-q"])
    spoil(normals)
    (bad,) = {path.name for path in normals.iterdir()} - good
    capsys.readouterr()
    refused(capsys, "fit", str(normals), "--method", "knn", says="1 of 41 images")
    refused(capsys, "fit", str(normals), "--method", "knn", says=bad)
    refused(capsys, "score", "model", str(normals), says="--skip-bad")
    fitted = json_of(capsys, *knn(str(normals)), "--overwrite", "--skip-bad")
    assert fitted["n_skipped"] == 1
    assert fitted["skipped"][0].startswith(bad)
    scored = json_of(capsys, "score", "model", str(normals), "--skip-bad")
    assert (scored["n"], scored["n_skipped"]) == (40, 1)
    assert main(["score", "model", str(normals), "--skip-bad"]) == 0
    assert bad in capsys.readouterr().err


def test_arrays_that_are_no_images(tmp_path, capsys):
    rng = np.random.default_rng(0)
    bad = {
        "nan": np.where(rng.random((9, 8, 8)) < 0.1, np.nan, 1.0),
        "inf": np.full((9, 8, 8), np.inf),
        "complex": np.ones((9, 8, 8), complex),
        "words": np.full((9, 8, 8), "pixel"),
        "many": np.ones((9, 8, 8, 2, 2), np.uint8),
        "five": np.ones((9, 8, 8, 5), np.uint8),
        "none": np.ones((0, 8, 8), np.uint8),
        "large": np.full((9, 8, 8), 2**53 + 1),
    }
    for name, array in bad.items():
        path = tmp_path / f"{name}.npy"
        np.save(path, array)
        refused(capsys, *knn(str(path)), says=f"{name}.npy")
    deep = {"fractions": rng.random((9, 8, 8)), "deep": rng.integers(0, 4096, (9, 8, 8))}
    for name, array in deep.items():
        np.save(tmp_path / f"{name}.npy", array)
        told = json_of(
            capsys, "fit", str(tmp_path / f"{name}.npy"), "--method", "knn", "--out", name
        )
        assert ("16-bit values" in told["values"]) == (name == "deep")
    pickled = tmp_path / "pickled.npy"
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    refused(capsys, *knn(str(pickled)), says="pickled.npy")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut off")
    refused(capsys, *knn(str(tmp_path / "cut.npz")), says="cut.npz")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 cut off")
    refused(capsys, *knn(str(tmp_path / "cut.zip")), says="cut.zip")


def test_mixed_sizes_lie_on_a_canvas_that_is_said_and_mixed_colours_become_rgb(
    normals, tmp_path, capsys
):
    Image.new("L", (9, 12), 40).save(normals / "other.png")
    assert main([*knn(str(normals)), "-q"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "on a canvas of 12×9 pixels" in said
    assert "size=12x9 or another resizes them" in said
    assert load_detector("model").image_shape_ == (12, 9, 1)
    assert main([*knn(str(normals)), "--size", "8", "--overwrite", "-q"]) == 0
    assert load_detector("model").image_shape_ == (8, 8, 1)
    mixed = write_digits(tmp_path / "mixed", {0: ""}, 5)
    Image.new("RGB", (8, 8), (200, 10, 10)).save(mixed / "red.png")
    assert main([*knn(str(mixed)), "--overwrite", "-q"]) == 0
    assert load_detector("model").image_shape_ == (8, 8, 3)


def test_classes_that_do_not_fit(tmp_path, capsys):
    refused(capsys, *knn("digits-8x8"), says="--normal")
    refused(capsys, *knn("digits-8x8", "--normal", "eleven"), says="has no class 'eleven'")
    folder = tmp_path / "parts"
    write_digits(folder, {0: "train/good"}, 10)
    write_digits(folder, {1: "test/bad", 0: "test/good"}, 10, start=20)
    refused(capsys, *knn(str(folder), "--normal", "bad"), says="0 images of bad")


def test_equal_pixels(tmp_path, capsys):
    path = tmp_path / "grey.npy"
    np.save(path, np.full((9, 8, 8), 128, np.uint8))
    refused(capsys, *knn(str(path)), says="128")
    refused(capsys, "fit", str(path), *TINY, says="nothing to learn")


def test_a_model_refuses_images_of_another_shape_and_says_how_to_fit_them(
    normals, tmp_path, capsys
):
    main([*knn(str(normals)), "-q"])
    path = tmp_path / "big.npy"
    np.save(path, np.zeros((3, 16, 10, 3), np.uint8))
    refused(capsys, "score", "model", str(path), "--out", "s.csv", says="--size 8 and")
    refused(capsys, "score", "model", str(path), "--size", "8", says="--grey")
    assert json_of(capsys, "score", "model", str(path), "--size", "8", "--grey")["n"] == 3


def test_truth_that_is_not_known(normals, capsys):
    main([*knn(str(normals)), "-q"])
    refused(capsys, "evaluate", "model", str(normals), says="truth about normals is not known")
    refused(capsys, "evaluate", "model", "digits-8x8", says="--normal")
    measured = json_of(capsys, "evaluate", "model", "digits-8x8", "--normal", "0")
    assert measured["evaluation"]["auc"] > 0.95
    refused(capsys, "evaluate", "model", "digits-8x8", "--normal", "x", says="no class 'x'")


def test_places_that_cannot_be_written(normals, capsys):
    main([*knn(str(normals)), "-q"])
    refused(capsys, "score", "model", str(normals), "--out", "s.txt", says=".parquet")
    Path("folder.csv").mkdir()
    refused(capsys, "score", "model", str(normals), "--out", "folder.csv", says="folder.csv")
    refused(capsys, "report", "model", str(normals), "--out", "folder.csv", says="folder.csv")
    Path("file").write_text("x", encoding="utf-8")
    refused(capsys, "fit", str(normals), "--method", "knn", "--out", "file/m", says="file/m")
    refused(capsys, "score", "model", str(normals), "--out", "file/s.csv", says="file/s.csv")
    refused(capsys, "report", "model", str(normals), "--out", "file/r.html", says="file/r.html")


def test_a_full_disk_while_scores_are_written(normals, capsys, monkeypatch):
    main([*knn(str(normals)), "-q"])
    Path("s.csv").write_text("old", encoding="utf-8")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        refused(capsys, "score", "model", str(normals), "--out", "s.csv", says="No space left")
        refused(capsys, *knn(str(normals)), "--overwrite", says="free some space")
        refused(capsys, "report", "model", str(normals), "--out", "r.html", says="No space left")
    assert Path("s.csv").read_text(encoding="utf-8") == "old"
    load_detector("model")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "limit", "says"),
    [("knn", 1000, "disk is full"), ("deep-svdd", 6000, "checkpoint could not be written")],
)
def test_files_that_may_not_grow(method, limit, says, normals, tmp_path):
    """A real limit of the system on the size of files: the cache and a checkpoint hit it."""
    resource = pytest.importorskip("resource")
    env = os.environ | {"OMP_NUM_THREADS": "1", "INSPHERE_CACHE": str(tmp_path / "limited")}
    tiny = TINY if method == "deep-svdd" else []
    done = subprocess.run(
        [*PROGRAM, "fit", str(normals), "--method", method, *tiny],
        capture_output=True,
        text=True,
        check=False,
        env=env,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert says in done.stderr
    assert files_here() == []
    rest = [path for path in (tmp_path / "limited").rglob("*") if path.is_file()]
    assert not [path for path in rest if ".partial" in path.name or "building" in str(path)]


@pytest.mark.skipif(not Path("/bin/sh").exists(), reason="needs a shell")
@pytest.mark.parametrize("output", ["datasets", "cache --json", "nonsense 2>&1"])
def test_a_reader_that_has_gone_is_no_error(output):
    """As ``| head -3`` does, but surely before anything is written."""
    program = shlex.join(PROGRAM)
    done = subprocess.run(
        ["sh", "-c", f"( sleep 1; {program} {output}; echo $? >code ) | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert int(Path("code").read_text()) == 141
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


YAML_FAULTS = {
    "options: &a {x: *a}": "alias that leads back to itself",
    "options: {x: " + "[" * 3000 + "]" * 3000 + "}": "is nested more than 30 deep",
    "seed: 2024-01-31": "has seed = '2024-01-31'",
    "seed: " + "9" * 5000: "number that cannot be read",
    "epochs: 0x" + "f" * 30: "too large",
    'source: "a\\0b"': "holds a NUL character",
    "report: " + "a" * 300: "too long for a file's name",
    "options: {power: .inf}": "not a finite number",
    "size: '99999999999999999999x3'": "ize is a number of pixels",
}


@pytest.mark.parametrize("text", YAML_FAULTS, ids=range(len(YAML_FAULTS)))
def test_settings_that_are_none(text, normals, capsys):
    Path("c.yaml").write_text(text, encoding="utf-8")
    source = [] if text.startswith("source") else [str(normals)]
    refused(capsys, "fit", *source, "--config", "c.yaml", says=YAML_FAULTS[text])


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["score", "a\0b", "NORMALS"], "holds a NUL character"),
        (["score", "model", "a\0b"], "holds a NUL character"),
        (["score", "model", "a" * 5000], "too long for a file's name"),
        (["score", "model", "~nobody-of-that-name/x"], "cannot be read"),
        (["score", "model", "NORMALS", "--out", "a\0b.csv"], "holds a NUL character"),
        (["report", "model", "NORMALS", "--out", "a" * 300 + ".html"], "too long"),
        (["fit", "NORMALS", "--out", "a\0b"], "holds a NUL character"),
        (["fit", "NORMALS", "--out", "a" * 300], "too long for a file's name"),
        (["fit", "NORMALS", "--option", "x=&a [*a]"], "alias that leads back to itself"),
        (["fit", "NORMALS", "--option", "x=" + "9" * 5000], "number that cannot be read"),
        (["studio", "--port", "99999"], "65535"),
    ],
)
def test_arguments_that_nothing_can_be_done_with(command, says, normals, capsys):
    main([*knn(str(normals)), "-q"])
    given = [str(normals) if word == "NORMALS" else word for word in command]
    refused(capsys, *given, says=says)


FIT_AND_DIE = """
import os, sys
import insphere.report as report
from insphere.cli import main
from insphere.detectors import OneClassDetector

def die(*_, **__):
    os._exit(9)

if sys.argv[1] == "before the report":
    report.write_report = die
else:
    OneClassDetector.save = die
main(sys.argv[2:])
"""


@pytest.mark.parametrize("moment", ["before the report", "before the model"])
def test_a_fit_with_a_report_that_was_killed_is_done_by_the_same_command(moment, normals, capsys):
    command = [*knn(str(normals)), "--report", "r.html"]
    done = subprocess.run(
        [sys.executable, "-c", FIT_AND_DIE, moment, *command], capture_output=True, check=False
    )
    assert done.returncode == 9, done.stderr
    assert not Path("model").exists()
    assert main([*command, "-q"]) == 0
    load_detector("model")
    assert "</html>" in Path("r.html").read_text(encoding="utf-8")
    assert sorted(path.name for path in Path().iterdir() if path != normals) == ["model", "r.html"]


def test_faults_of_the_program_keep_their_traceback(normals, monkeypatch):
    import insphere.workflows.fitting as room

    def fault(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(room, "fit_source", fault)
    with pytest.raises(ZeroDivisionError):
        main(["fit", str(normals), "--method", "deep-svdd", "--out", "model"])


# ---------------------------------------------------------------------- Ctrl-C


# The program with a pause after each checkpoint, so that it is interrupted before it is done.
UNHURRIED = """
import os, sys, time
from insphere.cli import main
from insphere.training import loop

write = loop.write_checkpoint

def write_and_wait(*arguments, **options):
    write(*arguments, **options)
    time.sleep(0.1)

loop.write_checkpoint = write_and_wait
sys.argv[0] = "insphere"
if "LOADED" in os.environ:
    open(os.environ["LOADED"], "w").close()
raise SystemExit(main())
"""


def interrupted(arguments: list[str], seen: Callable[[], bool]) -> subprocess.CompletedProcess:
    process = subprocess.Popen(
        [sys.executable, "-c", UNHURRIED, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        # A shell lets what it starts in the background ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 240
    while not seen() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=240)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.fixture
def one_thread():
    """As many threads in this process as in those started by `interrupted`."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("own_checkpoints", [False, True])
def test_interrupted_training_continues_and_ends_as_if_it_had_not_been(
    own_checkpoints, one_thread, tmp_path, capsys
):
    arguments = ["fit", "digits-8x8", "--normal", "3", "--epochs", "20", "--pretrain-epochs", "5"]
    place = Path(os.environ["INSPHERE_CACHE"]) / "checkpoints"
    if own_checkpoints:
        place = tmp_path / "mine"
        arguments += ["--contamination", "0.05", "--checkpoints", str(place)]

    def in_training() -> bool:
        return any(place.rglob("train-*.safetensors"))

    stopped = interrupted([*arguments, "--out", "a b"], in_training)
    assert stopped.returncode == 130, stopped.stderr
    last = stopped.stderr.strip().splitlines()[-1]
    assert last.startswith("Stopped. Finished epochs are kept in ")
    assert str(place) in last
    assert last.endswith("insphere " + " ".join([*arguments, "--out", "'a b'"]))
    assert "Traceback" not in stopped.stderr
    assert files_here() == []

    assert main([*arguments, "--out", "a b", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["n_train"] > 0
    if own_checkpoints:
        assert in_training()
        arguments[-1] = str(tmp_path / "fresh")
    else:
        assert "Continuing from the checkpoints" in err
        assert not in_training()
    assert main([*arguments, "--out", "b", "-q"]) == 0
    weights = [Path(name, "weights.safetensors").read_bytes() for name in ("a b", "b")]
    assert weights[0] == weights[1]
    first, second = load_detector("a b"), load_detector("b")
    assert first.threshold_ == second.threshold_
    assert [r["loss"] for r in first.history_] == [r["loss"] for r in second.history_]


def test_interrupted_before_the_model_is_there(tmp_path, tmp_path_factory, monkeypatch):
    # Not while the script above loads torch, which then sometimes aborts: it is not insphere yet.
    loaded = tmp_path_factory.mktemp("loaded") / "torch"
    monkeypatch.setenv("LOADED", str(loaded))
    arguments = ["fit", "digits-8x8", "--normal", "3", "--epochs", "100000"]
    stopped = interrupted(
        arguments, lambda: loaded.exists() and time.time() > loaded.stat().st_mtime + 0.2
    )
    assert stopped.returncode in (130, -signal.SIGINT, 1)  # while modules load, Python answers
    assert files_here() == []
