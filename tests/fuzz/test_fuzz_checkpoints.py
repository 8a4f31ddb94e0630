"""A checkpoint of other bytes or other content is said and not used, or changes nothing."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import ODD, Drawn, altered, damaged, no_longer_than, tries
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from insphere.nets import EncoderSpec
from insphere.preprocess import default_steps
from insphere.training.checkpoint import _META, _SHA256, _digest, read_checkpoint
from insphere.training.deep_svdd import SphereSpec, train_sphere
from insphere.training.recipe import Phase, Recipe

CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 255, (24, 8, 8, 1), np.uint8)
SPEC = SphereSpec(
    encoder=EncoderSpec(widths=(3, 2), rep_dim=4, kernel=3),
    preprocess=default_steps((1, 8, 8)),
    recipe=Recipe(
        pretrain=Phase(epochs=0, lr=1e-2, batch_size=24),
        train=Phase(epochs=2, lr=1e-2, batch_size=24),
        radius_every=2,
        radius_warm_up=2,
    ),
)


def train(folder: Path) -> dict[str, torch.Tensor]:
    found = train_sphere(IMAGES, SPEC, seed=1, device=CPU, checkpoints=folder)
    return found.sphere.state_dict()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train once and keep the checkpoint."""
    folder = tmp_path_factory.mktemp("checkpoints")
    train(folder)
    (path,) = folder.glob("train-*.safetensors")
    return path


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@tries(25)
@given(data=st.data())
def test_other_bytes_change_no_training(data, checkpoint, tmp_path):
    content = data.draw(damaged(checkpoint.read_bytes()))
    (tmp_path / checkpoint.name).write_bytes(content)
    with no_longer_than(60), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert same(train(tmp_path), train(checkpoint.parent))


@st.composite
def forged(draw: Drawn, path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Draw other tensors or other notes."""
    import json

    tensors, meta = read_checkpoint(path)
    meta = (
        draw(altered(meta)) if draw(st.booleans()) else draw(ODD) if draw(st.booleans()) else meta
    )
    for name in draw(st.lists(st.sampled_from(sorted(tensors)), max_size=2, unique=True)):
        value = tensors.pop(name)
        how = draw(st.sampled_from(["gone", "renamed", "flat", "half", "double", "empty", "more"]))
        changed = {
            "gone": None,
            "renamed": value,
            "flat": value.reshape(-1).clone(),
            "half": value.half(),
            "double": value.double(),
            "empty": value.reshape(-1)[:0].clone(),
            "more": value[None].repeat(2, *[1] * value.ndim),
        }[how]
        if changed is not None:
            tensors[name + "x" * (how == "renamed")] = changed.contiguous()
    return tensors, json.dumps(meta, default=str)


@tries(30)
@given(data=st.data())
def test_other_content_with_a_true_digest_breaks_nothing(data, checkpoint, tmp_path):
    tensors, text = data.draw(forged(checkpoint))
    path = tmp_path / checkpoint.name
    try:
        save_file(tensors, path, metadata={_META: text, _SHA256: _digest(tensors, text)})
    except UnicodeEncodeError:
        return
    with no_longer_than(60), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(tmp_path)
