"""The runtime of exported models: the same scores without torch, scikit-learn or SciPy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from insphere.data.load import load_dataset
from insphere.detectors.registry import build_detector
from insphere.errors import DataError, ModelError
from insphere.export.graph import export_onnx, load_for_export
from insphere.runtime import Scorer
from insphere.workflows.exporting import verify_model
from insphere.workflows.fit_config import FitConfig
from insphere.workflows.fitting import fit_source
from insphere.workflows.score_source import score_source
from textures import texture

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.usefixtures("operators_once")

# Nothing else may be imported, as if nothing else were installed.
ALONE = """
import sys

ALLOWED = {"numpy", "onnxruntime", "PIL", "insphere"} | set(sys.stdlib_module_names)


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())
sys.argv = ["insphere.runtime", *sys.argv[1:]]
import runpy

runpy.run_module("insphere.runtime", run_name="__main__")
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A model of photographs of several sizes and formats, its export, and new photographs."""
    base = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for part, count in (("good", 24), ("new", 12)):
        folder = base / part
        folder.mkdir(parents=True)
        for i in range(count):
            side = int(rng.integers(40, 300))
            image = Image.fromarray(texture(rng, side)[:, : max(20, side - int(rng.integers(20)))])
            if part == "new" and i % 3 == 0:
                image = image.convert("L")
            if part == "new" and i % 3 == 1:
                exif = Image.Exif()
                exif[0x0112] = 6  # on its side
                image.save(folder / f"{i:02}.jpg", exif=exif, quality=90)
                continue
            image.save(folder / (f"{i:02}.png" if i % 2 else f"{i:02}.jpg"))
    Image.new("RGBA", (50, 40), (200, 100, 50, 120)).save(base / "new" / "clear.png")
    (base / "new" / "notes.txt").write_text("not an image")
    config = FitConfig(
        source=str(base / "good"), method="knn", size=32, channels=3, out=str(base / "model"),
        false_alarm_rate=0.25,
    )  # fmt: skip
    fit_source(config, progress=False).detector.save(base / "model")
    export_onnx(base / "model", base / "model.onnx")
    return base


def test_photographs_of_any_size_get_the_scores_of_the_library(photos):
    found = Scorer(photos / "model.onnx").score(photos / "new")
    scored = score_source(load_for_export(photos / "model"), photos / "new", progress=False)
    wanted = {scored.name(row): row for row in range(len(scored))}
    paths = [str(photos / "new" / name) for name in found.names]
    assert set(paths) == set(wanted)
    rows = [wanted[path] for path in paths]
    np.testing.assert_allclose(found.scores, scored.scores[rows], rtol=1e-7)
    np.testing.assert_array_equal(found.verdicts, scored.flagged[rows])
    assert verify_model(photos / "model.onnx", photos / "model", photos / "new").equal


def test_photographs_on_a_canvas_keep_their_aspect_as_in_training(photos, tmp_path):
    for fit, size in ((None, None), ("letterbox", (40, 48))):
        config = FitConfig(
            source=str(photos / "good"), method="knn", channels=3, out=str(tmp_path / "m"),
            size=size, fit=fit,
        )  # fmt: skip
        fitted = fit_source(config, progress=False).detector
        assert fitted.trained_on_.fit in ("own", "letterbox")
        fitted.save(tmp_path / "m", overwrite=True)
        export_onnx(tmp_path / "m", tmp_path / "m.onnx", maps=False, overwrite=True)
        assert verify_model(tmp_path / "m.onnx", tmp_path / "m", photos / "new").equal
        found = Scorer(tmp_path / "m.onnx").score(photos / "new")
        scored = score_source(load_for_export(tmp_path / "m"), photos / "new", progress=False)
        np.testing.assert_allclose(np.sort(found.scores), np.sort(scored.scores), rtol=1e-7)


def test_files_lists_arrays_and_pictures_are_the_same(photos):
    scorer = Scorer(photos / "model.onnx")
    file = photos / "new" / "02.jpg"
    one = scorer.score(file)
    assert one.names == ("02.jpg",)
    listed = scorer.score([file, photos / "new" / "clear.png"])
    with Image.open(file) as picture:
        as_picture = scorer.score(picture)
    assert one.scores[0] == listed.scores[0] == as_picture.scores[0]


def run_alone(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {SOURCE!r})\n{ALONE}",
         *map(str, arguments)],
        capture_output=True, text=True,
    )  # fmt: skip


SOURCE = str(Path(__file__).parents[1] / "src")


def test_it_needs_numpy_onnxruntime_and_pillow_alone(photos):
    done = run_alone(photos / "model.onnx", photos / "new", "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found = Scorer(photos / "model.onnx").score(photos / "new")
    assert [row["name"] for row in rows] == list(found.names)
    assert [row["score"] for row in rows] == found.scores.tolist()
    assert [row["verdict"] == "anomalous" for row in rows] == found.verdicts.tolist()


def test_the_command_says_what_is_wrong_in_one_sentence(photos, tmp_path):
    done = run_alone(photos / "model.onnx", photos / "good" / "00.jpg")
    assert done.stdout.splitlines()[0] == "name,score,verdict,p_value,severity,z_score"
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xffnot really")
    for arguments, said in (
        ((tmp_path / "none.onnx", tmp_path), "There is no file"),
        ((photos / "model" / "card.md", tmp_path), "is no ONNX model"),
        ((photos / "model.onnx", tmp_path / "none"), "There is no file or folder"),
        ((photos / "model.onnx", tmp_path), "bad.jpg is no image"),
    ):
        done = run_alone(*arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_what_does_not_fit_is_refused(photos):
    scorer = Scorer(photos / "model.onnx")
    for wrong, said in (
        (np.zeros((2, 31, 32, 3), np.uint8), "images of 32×32×3"),
        (np.zeros((2, 32, 32, 3), np.float32), "takes uint8 images"),
        (np.zeros((0, 32, 32, 3), np.uint8), "N×H×W×C"),
        (np.zeros((32,), np.uint8), "N×H×W×C"),
        ([], "empty list"),
    ):
        with pytest.raises(DataError, match=said):
            scorer.score(wrong)


def test_an_onnx_model_from_elsewhere_is_refused(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Identity", ["x"], ["y"])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy"]
    graph = helper.make_graph([node], "other", values[:1], values[1:])
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), tmp_path / "o.onnx")
    with pytest.raises(ModelError, match="was not exported by insphere"):
        Scorer(tmp_path / "o.onnx")


def test_images_of_16_bits_are_read_with_all_of_them(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "deep"
    folder.mkdir()
    for i in range(20):
        values = rng.integers(1000, 1200, (8, 8), dtype=np.uint16)
        Image.fromarray(values).save(folder / f"{i:02}.png")
    data = load_dataset(folder, progress=False)
    build_detector("mahalanobis", {}, seed=0).fit(data.images).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    found = Scorer(tmp_path / "m.onnx").score(folder)
    wanted = load_for_export(tmp_path / "m").anomaly_score(data.images)
    np.testing.assert_allclose(found.scores, wanted, rtol=1e-6)
