"""Joined backbones: the maps and vectors of each lie side by side, in every method and file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from insphere.detectors import FeatureKNN, PatchGaussian, PretrainedFeatures
from insphere.detectors.model_folder import load_detector
from insphere.errors import SpecError
from insphere.export.graph import export_onnx, load_for_export
from insphere.export.verify import NETWORK_TOLERANCE, compare
from insphere.nets.backbones import load_backbone
from insphere.runtime import Scorer
from textures import texture

BOTH = "efficientnet-lite0+efficientnet-lite2"
SMALL = {"resolution": 64, "cache": False, "random_state": 0}


def textures(count: int, size: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return np.stack([texture(rng, size) for _ in range(count)])


@pytest.fixture(scope="module")
def both():
    return load_backbone(BOTH)


def test_each_sees_the_same_image(both) -> None:
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    wanted = ["efficientnet-lite0.s5", "efficientnet-lite2.head"]
    with torch.inference_mode():
        maps = both(x, wanted)
        assert list(maps) == wanted
        for full in wanted:
            name, stage = full.split(".")
            torch.testing.assert_close(maps[full], load_backbone(name)(x, [stage])[stage])


def test_the_card_says_what_is_joined(both) -> None:
    card = both.card
    one, other = (load_backbone(name).card for name in BOTH.split("+"))
    assert card.name == BOTH
    assert card.input_size == one.input_size
    assert len(card.stages) == len(one.stages) + len(other.stages)
    assert card.stage("efficientnet-lite2.s7").channels == other.stage("s7").channels
    assert card.pretrained
    assert not load_backbone(BOTH, "random").card.pretrained
    assert both.fingerprint not in {load_backbone(name).fingerprint for name in BOTH.split("+")}


def test_networks_with_another_normalisation_see_their_own() -> None:
    joined = load_backbone("efficientnet-lite0+resnet18", "random")
    alone = load_backbone("resnet18", "random")
    values = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def normalised(card):
        mean, std = (torch.tensor(v)[:, None, None] for v in (card.mean, card.std))
        return (values - mean) / std

    last = alone.card.stage_names[-1]
    with torch.inference_mode():
        found = joined(normalised(joined.card), [f"resnet18.{last}"])[f"resnet18.{last}"]
        torch.testing.assert_close(
            found, alone(normalised(alone.card), [last])[last], rtol=1e-4, atol=1e-4
        )


def test_vectors_lie_side_by_side() -> None:
    images = textures(6, 64)
    joined = PretrainedFeatures(backbone=BOTH, **SMALL).fit(images).transform(images)
    apart = [
        PretrainedFeatures(backbone=name, **SMALL).fit(images).transform(images)
        for name in BOTH.split("+")
    ]
    assert joined.shape == (6, 2560)
    np.testing.assert_allclose(joined, np.hstack(apart), rtol=0, atol=1e-6)


def test_a_saved_model_scores_alike(tmp_path: Path) -> None:
    images = textures(12, 64)
    detector = FeatureKNN(backbone=BOTH, contamination=0.1, **SMALL).fit(images)
    detector.save(tmp_path / "model")
    np.testing.assert_array_equal(
        load_detector(tmp_path / "model").anomaly_score(images), detector.anomaly_score(images)
    )


def test_an_exported_model_scores_alike(tmp_path: Path) -> None:
    images = textures(14, 64)
    detector = FeatureKNN(
        backbone=BOTH, contamination=0.1, precision="float32", device="cpu", **SMALL
    ).fit(images[:10])
    detector.save(tmp_path / "model")
    export_onnx(tmp_path / "model", tmp_path / "model.onnx")
    scorer = Scorer(tmp_path / "model.onnx")
    found = compare(scorer, load_for_export(tmp_path / "model"), images[10:])
    assert found.changed == ()
    assert found.largest <= NETWORK_TOLERANCE


def test_patches_have_the_default_stages_of_each() -> None:
    images = textures(12, 96)
    detector = PatchGaussian(
        backbone=BOTH, scale=1.0, cache=False, contamination=0.1, random_state=0
    ).fit(images)
    assert detector.form_.stages == tuple(
        f"{name}.{stage}" for name in BOTH.split("+") for stage in ("s4", "s5", "s6")
    )
    scratched = images.copy()
    scratched[:, 40:56, 40:56] = 255
    assert detector.anomaly_score(scratched).min() > detector.anomaly_score(images).max()
    heat = detector.anomaly_map(scratched[:1])[0]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert 24 <= row < 72
    assert 24 <= column < 72


@pytest.mark.parametrize(
    ("name", "weights", "says"),
    [
        ("efficientnet-lite0+efficientnet-lite0", None, "can be joined once"),
        ("efficientnet-lite0+efficientnet-lite9", None, "did you mean"),
        ("efficientnet-lite0+", None, "Unknown backbone ''"),
        (BOTH, "weights.pth", "the file of one backbone"),
    ],
)
def test_mistakes_are_told(name: str, weights: str | None, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        load_backbone(name, weights)


def test_what_joined_backbones_cannot_do_is_said() -> None:
    images = textures(6, 64)
    with pytest.raises(SpecError, match="cannot be"):
        FeatureKNN(backbone=BOTH, finetune=1, **SMALL).fit(images)
    with pytest.raises(SpecError, match=r"efficientnet-lite0\.s1"):
        FeatureKNN(backbone=BOTH, stages=["s1"], **SMALL).fit(images)
