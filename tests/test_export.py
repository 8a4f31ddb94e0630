"""Exported models: one ONNX file whose scores, verdicts and maps are those of the detector."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from insphere.cli import main
from insphere.data.letterbox import on_canvas
from insphere.data.load import load_dataset
from insphere.detectors.persistence.model_format import DESCRIPTION
from insphere.detectors.pretrained.scoring_heads import ComponentError
from insphere.detectors.registry import METHODS, build_detector, detector_class
from insphere.errors import DataError, ModelError, SpecError
from insphere.export.decisions import CrossScores, Decisions, Severity
from insphere.export.exported import ExportedModel
from insphere.export.golden import FILE, check_golden, drop_golden, keep_golden, read_golden
from insphere.export.graph import OPSET, export_onnx, load_for_export
from insphere.export.merged_bands import merge_bands
from insphere.export.shared_steps import split_shared
from insphere.export.verify import NETWORK_TOLERANCE, TOLERANCE, compare, differences, tolerance_of
from insphere.features.resizing import Resizing
from insphere.preprocess.contrast import GlobalContrast
from insphere.runtime import Scorer
from insphere.scoring.conformal import cross_scores
from insphere.scoring.pvalues import conformal_p_values
from insphere.scoring.severity import SeverityScale
from insphere.workflows.exporting import export_model, verify_model
from insphere.workflows.fit_config import FitConfig
from insphere.workflows.fitting import fit_source
from textures import texture

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.usefixtures("operators_once")

TINY = {
    "deep-svdd": {"epochs": 1, "pretrain_epochs": 1},
    "fcdd": {"epochs": 1, "pretrain_epochs": 1},
    "fcdd-labelled": {"epochs": 1, "pretrain_epochs": 1},
    "dcae": {"epochs": 1},
    "softmax": {"epochs": 1},
    "anogan": {"train_steps": 3, "search_steps": 3, "width": 4, "latent_dim": 8},
    "fpsvdd": {"epochs": 1, "objective": "both", "pooling": "weighted"},
    "feature-svdd": {"epochs": 1},
    "feature-knn": {"statistic": "both"},
    "feature-mahalanobis": {"finetune": {"stages": 1, "epochs": 1}},
    "feature-pca": {"normalize": "l2", "focus": 0.5, "mirrored": True},
    "feature-vim": {"n_components": 3},
    "patch-memory": {"bank_size": 50, "pooling": "top", "scale": None},
    "patch-gaussian": {"scale": None, "directions": 8},
    "patch-discriminator": {"scale": None, "epochs": 20},
    "kde": {"preprocess": "gcn"},
    "isolation-forest": {"n_estimators": 10},
    "deep-sad": {"epochs": 1, "pretrain_epochs": 1},
    "hsc": {"epochs": 1, "pretrain_epochs": 1},
    "untrained": {},
    "segmentation": {"epochs": 2, "widths": (4, 8, 8)},
}
# Exporting a network takes a while for each layer, so all but one have few, which are random.
FEW_LAYERS = {"backbone": "resnet18", "weights": "random", "stages": ["layer1", "layer2"]}
WHOLE_NETWORK = {"feature-mahalanobis", "feature-alternatives"}
EXPORTED = [m for m in METHODS if m != "anogan" and "images" in detector_class(m).card.takes]
RATE = 0.2


@pytest.fixture(scope="module")
def digits():
    data = load_dataset("digits-8x8", progress=False)
    return data.images[:600], data.labels[:600]


def fitted(method, digits, **changes):
    images, labels = digits
    card = detector_class(method).card
    params = dict(TINY.get(method, {})) | {"false_alarm_rate": RATE} | changes
    if card.needs_pretrained:
        params |= {"resolution": 32, "cache": False}
        params |= {} if method in WHOLE_NETWORK else FEW_LAYERS
    plain = card.family in ("shallow", "combined")
    others = {} if plain else {"precision": "float32", "device": "cpu"}
    detector = build_detector(method, params, seed=0, **others)
    if card.needs_labels:
        return detector.fit(images[:200], labels[:200])
    return detector.fit(images[labels == 3])


@pytest.fixture(scope="module")
def fitted_once(digits):
    """Fit a method to digits, once for all tests that only look at it."""
    return cache(lambda method: fitted(method, digits))


@pytest.fixture(scope="module")
def knn(digits, tmp_path_factory):
    """A model folder with golden samples, and its export."""
    folder = tmp_path_factory.mktemp("knn")
    fitted("knn", digits).save(folder / "model")
    keep_golden(folder / "model", digits[0][digits[1] == 3])
    written = export_model(folder / "model", folder / "model.onnx")
    return folder / "model", written[0]


# ------------------------------------------------------------------ what is computed


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize("sizes", [((8, 8), (32, 32)), ((61, 40), (32, 32)), ((300, 20), (64, 64))])
@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_of_bytes_is_that_of_torch_to_the_last_bit(kind, sizes, channels):
    before, after = sizes
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, 256, (3, channels, *before), dtype=np.uint8))
    wanted = F.interpolate(x, after, mode=kind, align_corners=False, antialias=True)
    assert torch.equal(Resizing(before, after, kind, whole=True)(x).to(torch.uint8), wanted)
    wanted = F.interpolate(x / 255, after, mode=kind, align_corners=False, antialias=True)
    found = Resizing(before, after, kind, whole=False)(x / 255)
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("n", [5, 40, 600])
@pytest.mark.parametrize("heavy", [False, True])
def test_severities_and_p_values_are_those_of_the_library(n, heavy):
    rng = np.random.default_rng(n)
    reference = rng.pareto(2, n) if heavy else rng.gamma(3, size=n)
    reference[: n // 5] = reference[0]  # ties
    scale = SeverityScale(reference)
    scores = np.concatenate([reference, rng.gamma(3, 2, size=200), [-1.0, 50.0, 1e6]])
    found = Severity(scale)(torch.tensor(scores)).numpy()
    np.testing.assert_allclose(found, scale(scores), rtol=1e-12, atol=1e-12)
    decide = Decisions(2.0, 3.0, scale, rounding=0.0)
    said = decide(torch.tensor(scores), torch.tensor(1.5, dtype=torch.double))
    np.testing.assert_array_equal(said["p_value"], conformal_p_values(reference, scores))
    np.testing.assert_array_equal(said["verdict"], scores > 1.5)
    np.testing.assert_allclose(said["z_score"], (scores - 2) / 3, rtol=1e-15)


def test_a_score_on_the_threshold_but_for_rounding_is_normal():
    scale = SeverityScale([1.0, 2.0, 3.0, 4.0])
    decide = Decisions(0.0, 1.0, scale, rounding=1e-6)
    scores = torch.tensor([3.0, 3.0 + 5e-7, 3.0 - 5e-7, 3.0 + 5e-6], dtype=torch.double)
    said = decide(scores, torch.tensor(3.0, dtype=torch.double))
    assert said["verdict"].tolist() == [False, False, False, True]
    assert said["p_value"].tolist() == [0.6, 0.6, 0.6, 0.4]


def test_cross_conformal_scores_are_those_of_the_library():
    rng = np.random.default_rng(0)
    scales = [SeverityScale(rng.gamma(2, size=n)) for n in (7, 8, 8)]
    x = np.concatenate([np.linspace(0, 12, 50), scales[1].calibration_scores])
    module = CrossScores([torch.nn.Identity()] * 3, scales, [s.rounding for s in scales])
    wanted = cross_scores([x, x, x], scales)
    np.testing.assert_allclose(module(torch.tensor(x)), wanted, rtol=1e-12)


@pytest.mark.parametrize("method", EXPORTED)
def test_the_module_that_is_exported_says_what_the_detector_says(method, digits, fitted_once):
    detector = fitted_once(method)
    module = ExportedModel(detector)
    x = digits[0][200:260]
    threshold = torch.tensor(detector.threshold_, dtype=torch.double)
    with torch.no_grad():
        said = dict(zip(module.outputs, module(torch.from_numpy(x), threshold), strict=True))
    scores = detector.anomaly_score(x)
    size = np.maximum(np.abs(scores), detector.score_std_)
    assert (np.abs(said["score"].numpy() - scores) / size).max() <= tolerance_of(detector)
    np.testing.assert_array_equal(said["verdict"], detector.predict(x) < 0)
    assert ("heat_map" in said) == hasattr(detector, "anomaly_map")
    if "heat_map" in said:
        maps = detector.anomaly_map(x)
        np.testing.assert_allclose(said["heat_map"], maps, rtol=0, atol=1e-3 * maps.max())


def test_modules_share_the_first_steps_that_are_equal():
    linear, width = torch.nn.Linear(3, 3), torch.ones(3)
    same = [ComponentError(np.full(3, 2.0), np.eye(3)) for _ in range(2)]
    other = ComponentError(np.full(3, 2.5), np.eye(3))
    first = torch.nn.Sequential(torch.nn.Sequential(linear, same[0]), torch.nn.ReLU())
    second = torch.nn.Sequential(linear, same[1], torch.nn.Tanh())
    shared, one, two = split_shared(first, second)
    assert [len(part) for part in (shared, one, two)] == [2, 1, 1]
    assert shared[0] is linear
    assert isinstance(one[0], torch.nn.ReLU)
    assert isinstance(two[0], torch.nn.Tanh)
    shared, one, two = split_shared(first, torch.nn.Sequential(linear, other, torch.nn.Tanh()))
    assert [len(part) for part in (shared, one, two)] == [1, 2, 2]
    shared, one, two = split_shared(torch.nn.ReLU(), second)
    assert torch.equal(shared(width), width)
    assert two is second


# ------------------------------------------------------------------ the file


def test_the_file_is_checked_and_holds_everything(knn):
    model, written = knn
    proto = onnx.load(written.path)
    onnx.checker.check_model(proto, full_check=True)
    assert {o.domain: o.version for o in proto.opset_import}[""] == OPSET >= 18
    (images, threshold) = proto.graph.input
    dims = images.type.tensor_type.shape.dim
    assert dims[0].dim_param
    assert [d.dim_value for d in dims[1:]] == [8, 8, 1]
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert threshold.name in {one.name for one in proto.graph.initializer}  # so it is optional
    scorer = Scorer(written.path)
    assert scorer.card == (model / "card.md").read_text("utf-8")
    said, detector = scorer.description, load_for_export(model)
    assert (said.detector, said.method, said.shape) == ("KNNDetector", "knn", [8, 8, 1])
    assert said.calibration_scores == detector.calibration_scores_.tolist()
    assert said.versions["torch"]
    assert said.versions["exported with onnx"]
    for node in proto.graph.node:  # notes of the exporter name paths of the machine
        assert not node.doc_string
        assert not node.metadata_props


def test_it_scores_any_number_of_images_as_the_model_does(knn, digits):
    model, written = knn
    scorer, detector = Scorer(written.path), load_for_export(model)
    for n in (1, 2, 300):
        x = digits[0][:n]
        found = scorer.score(x)
        np.testing.assert_allclose(found.scores, detector.anomaly_score(x), rtol=1e-7)
        np.testing.assert_array_equal(found.verdicts, detector.predict(x) < 0)
        np.testing.assert_allclose(found.severities, detector.severity(x), atol=1e-6)
        np.testing.assert_allclose(found.z_scores, detector.z_score(x), rtol=1e-6)
        np.testing.assert_allclose(found.heat_maps, detector.anomaly_map(x), atol=1e-6)
    assert written.golden is not None
    assert written.golden.equal


def test_the_threshold_can_be_another(knn, digits):
    scorer = Scorer(knn[1].path)
    scores = scorer.score(digits[0]).scores
    middle = float(np.median(scores))
    found = scorer.score(digits[0], threshold=middle)
    np.testing.assert_array_equal(found.verdicts, scores > middle)


def test_a_model_without_a_threshold_gives_no_verdicts(digits, tmp_path):
    few = digits[0][digits[1] == 3][:6]
    params = {"contamination": None, "false_alarm_rate": None}
    build_detector("knn", params, seed=0).fit(few).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx", maps=False)
    scorer = Scorer(tmp_path / "m.onnx")
    found = scorer.score(digits[0][:20])
    assert (found.verdicts, found.p_values, found.heat_maps) == (None, None, None)
    assert scorer.score(digits[0][:20], threshold=0.1).verdicts is not None


@pytest.mark.slow
@pytest.mark.parametrize("method", EXPORTED)
def test_every_method_scores_alike_in_onnx(method, digits, fitted_once, tmp_path):
    fitted_once(method).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    found = compare(Scorer(tmp_path / "m.onnx"), load_for_export(tmp_path / "m"), digits[0])
    assert found.equal, found


@pytest.mark.parametrize(
    "method", ["knn", "kde", "oc-svm", pytest.param("mahalanobis", marks=pytest.mark.slow)]
)
def test_a_map_stores_no_vectors_of_its_own(method, digits, tmp_path):
    images = digits[0][::2].repeat(4, axis=1).repeat(4, axis=2)  # small values are folded otherwise
    build_detector(method, {"false_alarm_rate": RATE}, seed=0).fit(images).save(tmp_path / "m")
    sizes = []
    for maps in (True, False):
        path = export_onnx(tmp_path / "m", tmp_path / f"{maps}.onnx", maps=maps).path
        stored = [onnx.numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer]
        sizes.append(sum(one.nbytes for one in stored))
        large = [one for one in stored if one.size > 8]
        for place, one in enumerate(large):
            for other in large[:place]:
                assert not np.array_equal(one, other)
                assert not np.array_equal(one, other.T)
    assert sizes[0] < 1.02 * sizes[1]


@pytest.mark.parametrize("method", ["mahalanobis", pytest.param("knn", marks=pytest.mark.slow)])
def test_a_detector_of_several_classes_is_exported(method, digits, tmp_path):
    images, labels = digits
    known = labels < 3
    detector = build_detector(method, {"false_alarm_rate": RATE}, seed=0)
    detector.fit(images[known], labels[known]).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    found = compare(Scorer(tmp_path / "m.onnx"), load_for_export(tmp_path / "m"), images)
    assert found.equal, found


@pytest.mark.slow
def test_members_of_a_combination_are_exported_in_float32(digits, tmp_path):
    params = FEW_LAYERS | {"resolution": 32, "cache": False, "precision": "bfloat16"}
    members = [{"method": "feature-knn", "params": params}, "mahalanobis"]
    images = digits[0][digits[1] == 3]
    build_detector("combination", {"members": members}, seed=0).fit(images).save(tmp_path / "m")
    detector = load_for_export(tmp_path / "m")
    assert detector.members_[0].precision == "float32"
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    found = compare(Scorer(tmp_path / "m.onnx"), detector, digits[0][:100])
    assert found.equal, found
    assert found.tolerance == NETWORK_TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("method", ["deep-svdd", "isolation-forest"])
def test_parts_of_a_cross_conformal_calibration_are_exported_too(method, digits, tmp_path):
    fitted(method, digits, calibration=3).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    found = compare(Scorer(tmp_path / "m.onnx"), load_for_export(tmp_path / "m"), digits[0][:200])
    assert found.equal, found


@pytest.mark.parametrize(
    ("method", "parts"),
    [
        ("mahalanobis", "auto"),
        ("table-svdd", "auto"),
        pytest.param("mahalanobis", 3, marks=pytest.mark.slow),
    ],
)
def test_tables_are_exported_with_their_columns(method, parts, tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 5)) * (1, 10, 100, 1, 1)
    rows[:, 3] = 7.0  # constant
    params = {"false_alarm_rate": RATE, "calibration": parts}
    build_detector(method, params, seed=0).fit(rows).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    new = rng.normal(size=(50, 5)) * (1, 10, 100, 1, 1)
    new[:, 3] = 7.0
    new[10:20, 3] = 7.5
    detector, scorer = load_for_export(tmp_path / "m"), Scorer(tmp_path / "m.onnx")
    with pytest.warns(UserWarning, match="Constant in training"):
        wanted = detector.anomaly_score(new)
    np.testing.assert_allclose(scorer.score(new).scores, wanted, rtol=1e-7)
    with pytest.raises(DataError, match="rows of 5 numbers"):
        scorer.score(new[:, :4])


@pytest.mark.parametrize("kind", ["uint16", pytest.param("float32", marks=pytest.mark.slow)])
def test_the_range_of_values_is_part_of_the_graph(kind, digits, tmp_path):
    raw = (digits[0].astype(np.float64) * 130 + 2000).astype(kind)
    normal = raw[digits[1] == 3]
    build_detector("mahalanobis", {"false_alarm_rate": RATE}, seed=0).fit(normal).save(
        tmp_path / "m"
    )
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    scorer, detector = Scorer(tmp_path / "m.onnx"), load_for_export(tmp_path / "m")
    np.testing.assert_allclose(
        scorer.score(raw[:100]).scores, detector.anomaly_score(raw[:100]), rtol=1e-6
    )
    with pytest.raises(DataError, match=f"takes {kind} images"):
        scorer.score(digits[0][:3])


EARLY = {"stages": ["s3"]}  # a third of the layers
OWN_SCALE = [
    ("patch-gaussian", {"scale": 2.0, "directions": 8, "places": "border"}),
    ("patch-gaussian", {"scale": 2.0, "directions": 8, "region": "0.2,0.1,0.8,0.9"} | EARLY),
    ("patch-memory", {"scale": 2.5, "bank_size": 60, "pooling": "top"} | EARLY),
    (
        "patch-memory",
        {"scale": None, "resolution": 64, "bank_size": 60, "region": "0,0.5,1,1"} | EARLY,
    ),
]


def photographs(count, size=(72, 90)):
    """Textures, of which every second of the last ten has a square in other colours."""
    rng = np.random.default_rng(0)
    found = np.stack([np.asarray(texture(rng, 120))[: size[0], : size[1]] for _ in range(count)])
    found[-10::2, 20:40, 30:50] = 255 - found[-10::2, 20:40, 30:50]
    return found


def convolutions(detector):
    """Return how many there are up to the last stage: score and heat map share all of them."""
    steps = detector._extractor.backbone.steps
    last = list(steps).index(detector.form_.stages[-1])
    used = [module for step in list(steps.values())[: last + 1] for module in step.modules()]
    return sum(isinstance(module, torch.nn.Conv2d) for module in used)


@pytest.mark.parametrize(("method", "params"), OWN_SCALE)
def test_photographs_of_one_size_at_their_own_scale_or_in_a_region(method, params, tmp_path):
    params = params | {"false_alarm_rate": RATE, "cache": False}
    images = photographs(30)
    others = {"device": "cpu", "precision": "float32"}
    build_detector(method, params, seed=0, **others).fit(images[:20]).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    scorer, detector = Scorer(tmp_path / "m.onnx"), load_for_export(tmp_path / "m")
    found = compare(scorer, detector, images[20:])
    assert found.changed == ()
    assert found.largest <= NETWORK_TOLERANCE
    assert found.heat_map < 2e-4
    nodes = onnx.load(tmp_path / "m.onnx").graph.node
    assert sum(node.op_type == "Conv" for node in nodes) == convolutions(detector)
    scale = params["scale"]
    height, width = (64, 64) if scale is None else (round(scale * 72), round(scale * 90))
    assert scorer.description.seen == 3 * height * width
    assert scorer.batch == min(2**22 // images[0].size, 2**19 // (3 * height * width))
    scores = scorer.score(images[20:]).scores
    assert scores[::2].min() > np.median(scores[1::2])
    if params["scale"] is not None:
        padded = on_canvas(images[0, :60], images.shape[1:3])[None]
        with pytest.raises(DataError, match=r"shows 60×90 pixels.*score it with the model folder"):
            scorer.score(padded)


AMPLIFIED = [
    ("feature-svdd", {"resolution": 64, "epochs": 5}),  # divides by small spreads
    ("feature-pca", {"resolution": 64}),  # takes roots of what is nearly zero
    ("feature-mahalanobis", {"resolution": 64, "finetune": {"stages": 1, "epochs": 2}}),
    ("patch-discriminator", {"scale": 1.0, "epochs": 20}),
    (
        "combination",
        {"members": [{"method": "patch-gaussian", "params": {"scale": 1.0}}, {"method": "knn"}]},
    ),
]


def whole_convolutions(path, images):
    """Check that smaller formats begin with convolutions without bands, of the same values."""
    model = onnx.load(path)
    before = [node for node in model.graph.node if node.op_type == "Conv"]
    banded = sum(len(node.input) == 2 for node in before)
    merge_bands(model)
    onnx.checker.check_model(model, full_check=True)
    after = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(after) == len(before)
    assert all(len(node.input) == 3 for node in after)
    assert banded > 5
    scores = Scorer(path).score(images).scores
    found = Scorer(model.SerializeToString()).score(images).scores
    np.testing.assert_allclose(found, scores, rtol=1e-3, atol=1e-3 * scores.std())


@pytest.mark.slow
@pytest.mark.parametrize(("method", "params"), AMPLIFIED)
def test_methods_that_multiply_the_last_bits_score_alike_too(method, params, tmp_path):
    images = photographs(60)
    others = {} if method == "combination" else {"device": "cpu", "precision": "float32"}
    params = params | {"false_alarm_rate": RATE}
    build_detector(method, params, seed=0, **others).fit(images[:30]).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx", maps=False)
    scorer, detector = Scorer(tmp_path / "m.onnx"), load_for_export(tmp_path / "m")
    for one in (detector, *getattr(detector, "members_", ())):
        one.set_params(**({"cache": False} if "cache" in one.get_params(deep=False) else {}))
    found = compare(scorer, detector, images[30:])
    assert found.changed == ()
    assert found.largest <= TOLERANCE
    whole_convolutions(tmp_path / "m.onnx", images[30:])
    whole = detector.anomaly_score(images[30:])
    for size in (1, 7):
        parts = [images[start : start + size] for start in range(30, 60, size)]
        again = np.concatenate([detector.anomaly_score(part) for part in parts])
        assert differences(again, whole, detector).max() <= TOLERANCE


@pytest.mark.slow
def test_photographs_larger_than_a_tile_are_looked_at_in_the_same_tiles(tmp_path):
    params = {"scale": 12.0, "bank_size": 40, "contamination": 0.1, "cache": False}
    images = photographs(12, (16, 96))  # 192×1152 pixels for the network
    others = {"device": "cpu", "precision": "float32"}
    build_detector("patch-memory", params, seed=0, **others).fit(images[:8]).save(tmp_path / "m")
    export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    found = compare(Scorer(tmp_path / "m.onnx"), load_for_export(tmp_path / "m"), images[8:])
    assert found.changed == ()
    assert found.largest < 2e-4


def test_photographs_of_several_sizes_say_that_they_cannot_be_exported(tmp_path):
    folder = tmp_path / "good"
    folder.mkdir()
    for i, image in enumerate(photographs(22)):
        Image.fromarray(image[: 50 + i]).save(folder / f"{i:02}.png")
    config = FitConfig(
        source=str(folder), method="patch-gaussian", options={"directions": 4, "cache": False},
        out=str(tmp_path / "m"), false_alarm_rate=RATE,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="differ in size"):
        fit_source(config, progress=False).detector.save(tmp_path / "m")
    with pytest.raises(ModelError, match="a graph is for one size; fit it with a size, or"):
        export_onnx(tmp_path / "m", tmp_path / "m.onnx")


def test_what_cannot_be_exported_says_why(digits, tmp_path):
    fitted("anogan", digits, false_alarm_rate=None).save(tmp_path / "m")
    with pytest.raises(ModelError, match="AnoGAN cannot be exported: it searches a latent vector"):
        export_onnx(tmp_path / "m", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


# ------------------------------------------------------------------ golden samples, verifying


def test_golden_samples_belong_to_one_model(knn, digits, tmp_path):
    golden = read_golden(knn[0])
    assert golden is not None
    assert golden.samples.shape == (16, 8, 8, 1)
    np.testing.assert_array_equal(
        golden.scores, load_for_export(knn[0]).anomaly_score(golden.samples)
    )
    model = tmp_path / "m"
    fitted("mahalanobis", digits).save(model)
    assert read_golden(model) is None
    (model / FILE).write_bytes((knn[0] / FILE).read_bytes())  # those of another model
    assert read_golden(model) is None
    with pytest.raises(ModelError, match="scores its golden samples differently here"):
        check_golden(load_for_export(model), golden, TOLERANCE)
    (model / FILE).write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"golden\.safetensors is damaged"):
        read_golden(model)
    drop_golden(model)
    assert not (model / FILE).exists()


def test_large_samples_are_few(monkeypatch, tmp_path):
    monkeypatch.setattr("insphere.export.golden.MOST_BYTES", 3000)
    images = np.random.default_rng(0).integers(0, 256, (6, 30, 30, 3), dtype=np.uint8)
    build_detector("knn", {}, seed=0).fit(images).save(tmp_path / "m")
    keep_golden(tmp_path / "m", images)
    golden = read_golden(tmp_path / "m")
    assert golden is not None
    assert len(golden.samples) == 1


def test_a_changed_verdict_fails(knn, digits, tmp_path):
    model, written = knn
    assert verify_model(written.path, model).equal
    proto = onnx.load(written.path)
    default = next(one for one in proto.graph.initializer if one.name == "threshold")
    lower = np.float64(read_golden(model).scores.min() * 0.9)
    default.CopyFrom(onnx.numpy_helper.from_array(lower, "threshold"))
    onnx.save(proto, tmp_path / "lower.onnx")
    with pytest.raises(ModelError, match=r"changed the verdict \(0, 1, 2"):
        verify_model(tmp_path / "lower.onnx", model)


def test_a_changed_score_fails(knn, tmp_path):
    model, written = knn
    proto = onnx.load(written.path)
    largest = max(len(one.raw_data) for one in proto.graph.initializer)
    for stored in proto.graph.initializer:  # the training images, for the score and for the map
        if len(stored.raw_data) == largest:
            values = onnx.numpy_helper.to_array(stored) * (1 + 1e-3)
            stored.CopyFrom(onnx.numpy_helper.from_array(values, stored.name))
    onnx.save(proto, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="does not score as the model folder does"):
        verify_model(tmp_path / "other.onnx", model)


def test_nothing_is_written_if_the_export_is_wrong(knn, monkeypatch, tmp_path):
    """A golden score that the graph does not reach stands for any wrong operator."""
    model = knn[0]
    from insphere.export import exported

    def doubled(self, images):
        return images.permute(0, 3, 1, 2).float() / 255 * 0.5

    monkeypatch.setattr(exported.RawImages, "forward", doubled)
    normalised = load_for_export(model)
    normalised.normalize = None  # else brightness would not matter
    normalised.save(tmp_path / "m")
    keep_golden(tmp_path / "m", read_golden(model).samples)
    with pytest.raises(ModelError, match="which was not written"):
        export_model(tmp_path / "m", tmp_path / "m.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


def test_files_are_not_replaced_unasked(knn, tmp_path):
    model, written = knn
    before = written.path.read_bytes()
    with pytest.raises(SpecError, match="exists already"):
        export_model(model, written.path)
    assert written.path.read_bytes() == before
    with pytest.raises(SpecError, match=r"ends in \.onnx"):
        export_model(model, tmp_path / "model.pt")


@pytest.mark.slow
def test_variants_are_measured(digits, tmp_path):
    fitted("deep-svdd", digits).save(tmp_path / "m")
    keep_golden(tmp_path / "m", digits[0][digits[1] == 3])
    plain, half, whole = export_model(
        tmp_path / "m", tmp_path / "m.onnx", variants=["float16", "int8"]
    )
    assert [one.variant for one in (plain, half, whole)] == ["float32", "float16", "int8"]
    assert plain.golden.largest <= NETWORK_TOLERANCE < half.golden.largest < 0.05
    assert half.golden.largest < whole.golden.largest
    assert half.path.name == "m.float16.onnx"
    assert onnx.load(half.path).metadata_props
    fitted("knn", digits).save(tmp_path / "k")
    keep_golden(tmp_path / "k", digits[0][digits[1] == 3])
    with pytest.raises(ModelError, match="no network in float32"):
        export_model(tmp_path / "k", tmp_path / "k.onnx", variants=["int8"])


@pytest.mark.slow
def test_the_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = ["fit", "digits-8x8", "--normal", "3", "--method", "mahalanobis", "-q"]
    assert main([*fit, "--out", "m"]) == 0
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "card.md", DESCRIPTION, FILE, "weights.safetensors",
    ]  # fmt: skip
    assert main(["export", "m", "--out", "m.onnx", "--images", "digits-8x8", "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["files"]
    assert said["golden"]["changed"] == said["images"]["changed"] == []
    assert said["auc"] > 0.9
    assert abs(said["auc_lost"]) < 1e-9
    assert main(["verify", "m.onnx", "m", "digits-8x8"]) == 0
    assert "no verdict changed" in capsys.readouterr().out
    assert main([*fit, "--out", "m", "--overwrite", "--no-golden"]) == 0
    assert not (tmp_path / "m" / FILE).exists()
    assert main(["verify", "m.onnx", "m"]) == 2
    assert "has no golden samples" in capsys.readouterr().err


def test_contrast_of_large_images_is_as_exact_in_onnx_as_in_torch(tmp_path):
    """Sums over all pixels keep their digits; added one by one in float32, two would be lost."""
    import onnxruntime

    x = torch.from_numpy(np.random.default_rng(0).random((2, 1, 256, 256), dtype=np.float32))
    x = 0.8 + 0.01 * x
    step = GlobalContrast().eval()
    torch.onnx.export(step, (x,), tmp_path / "gcn.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "gcn.onnx")
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    exact = step(x.double()).numpy()
    ours = np.abs(step(x).numpy() - exact).max()
    assert np.abs(found - exact).max() < 3 * ours
