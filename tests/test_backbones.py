"""Backbones: what their cards say is so, weights are read without running code, random says so."""

from __future__ import annotations

import pickle
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter

from insphere.errors import MissingExtraError, ModelError, SpecError
from insphere.nets.backbones import backbone_cards, check_stages, load_backbone
from insphere.nets.backbones.banded import BandedConvolution, bands_of, in_bands
from insphere.nets.backbones.lite import packaged_weights
from insphere.nets.backbones.weights import read_weights


@pytest.fixture(scope="module")
def lite():
    return load_backbone()


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("efficientnet-lite0", None),
        ("resnet18", "random"),
        ("timm/resnet18", "random"),
        ("timm/vit_tiny_patch16_224", "random"),
    ],
)
def test_maps_are_what_the_card_says(name, weights):
    backbone = load_backbone(name, weights)
    side = 64
    with torch.inference_mode():
        maps = backbone(torch.randn(1, 3, side, side), backbone.card.stage_names)
    assert tuple(maps) == backbone.card.stage_names
    for stage in backbone.card.stages:
        assert maps[stage.name].shape == (
            1,
            stage.channels,
            side // stage.stride,
            side // stage.stride,
        )
    assert set(backbone.card.default_patches) <= set(maps)
    assert set(backbone.card.default_pooled) <= set(maps)
    assert backbone.card.input_size % backbone.card.multiple == 0
    assert not backbone.training
    assert not any(p.requires_grad for p in backbone.parameters())


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_what_a_position_responds_to_lies_where_the_card_says(name):
    backbone = load_backbone(name)
    stages = [s for s in backbone.card.stages if s.stride >= 8 and s.name != "head"]
    rng = np.random.default_rng(0)
    side, spots = 256, 24
    noise = gaussian_filter(rng.normal(size=(side, side)), 1.5) * 1.5
    places = np.arange(side) + 0.5
    middles = rng.uniform(96, side - 96, (spots, 2))
    near = np.exp(-np.square(places - middles[..., None]) / (2 * 5**2))  # (spots, 2, side)
    painted = noise + rng.choice([-1, 1], (spots, 1, 1)) * near[:, 0, :, None] * near[:, 1, None]
    x = torch.from_numpy(np.concatenate([noise[None], painted])).float()[:, None]
    with torch.inference_mode():
        maps = backbone(x.expand(-1, 3, -1, -1), [s.name for s in stages])
    for stage in stages:
        change = (maps[stage.name][1:] - maps[stage.name][:1]).square().sum(dim=1).numpy()
        own = (np.arange(side // stage.stride) + 0.5) * stage.stride
        total = change.sum(axis=(1, 2))
        seen = np.stack([change.sum(axis=2) @ own / total, change.sum(axis=1) @ own / total], 1)
        offset = (middles - seen).mean(axis=0) / stage.stride
        assert np.abs(offset - backbone.card.offset).max() < 0.25, stage.name


def test_cut_and_folded_network_is_the_packaged_one(lite):
    """The stages, run one after the other, give what the package's own forward pass gives."""
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(read_weights(packaged_weights()))
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.extract_features(x)
        maps = lite(x, ["s5", "head"])
        rest = lite.after("s5", maps["s5"], ["head"])["head"]
    torch.testing.assert_close(maps["head"], expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(rest, maps["head"], rtol=0, atol=0)


def test_long_sums_are_short_ones_in_every_batch(lite):
    short = in_bands(lite.to(memory_format=torch.channels_last))
    plain, banded = (
        [m for m in network.modules() if isinstance(m, (torch.nn.Conv2d, BandedConvolution))]
        for network in (lite, short)
    )
    bands = {conv.in_channels: bands_of(conv) for conv in plain if conv.groups == 1}
    assert bands == {
        3: 3, 16: 1, 24: 1, 32: 1, 40: 1, 80: 1, 96: 1, 112: 1, 144: 2, 192: 2, 240: 2, 320: 4,
        480: 4, 672: 6, 1152: 9,
    }  # fmt: skip
    assert all(bands_of(conv) == 1 for conv in plain if conv.groups > 1)
    for before, after in zip(plain, banded, strict=True):
        assert isinstance(after, BandedConvolution) == (bands_of(before) > 1)
        assert after.weight.numel() == before.weight.numel()
        assert isinstance(after, BandedConvolution) or after.weight is before.weight
    x = torch.randn(9, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    names = lite.card.stage_names
    with torch.inference_mode():
        whole, wanted = short(x, names), lite(x, names)
        for size in (1, 2, 7):
            parts = [short(part, names) for part in torch.split(x, size)]
            for name in names:
                found = torch.cat([part[name] for part in parts])
                # Whole numbers of the last bit of what is added up; without bands, ten of them.
                torch.testing.assert_close(found, whole[name], rtol=0, atol=1e-6)
    for name in names:
        assert whole[name].stride() == wanted[name].stride()
        off = (whole[name] - wanted[name]).norm() / wanted[name].norm()
        assert off < 1e-5


def test_other_networks_stay_as_they_are():
    network = load_backbone("resnet18", "random")
    assert in_bands(network) is network


def test_only_what_is_needed_is_computed(lite):
    with torch.inference_mode():
        assert list(lite(torch.zeros(1, 3, 64, 64), ["s2"])) == ["s2"]
    calls = []
    hook = lite.steps["s3"].register_forward_hook(lambda *_: calls.append(1))
    lite(torch.zeros(1, 3, 64, 64), ["s2"])
    hook.remove()
    assert calls == []


def test_random_weights_say_so_everywhere(lite):
    random = load_backbone(weights="random")
    assert not random.card.pretrained
    assert random.card.weights.startswith("random")
    assert random.fingerprint != lite.fingerprint
    assert random.fingerprint == load_backbone(weights="random").fingerprint
    assert lite.card.pretrained
    assert all(card.pretrained for card in backbone_cards())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file_have_the_same_fingerprint(lite, tmp_path, suffix):
    weights = read_weights(packaged_weights())
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in weights.items()}}, path)
    else:
        save_file({k: v.contiguous() for k, v in weights.items()}, path)
    loaded = load_backbone(weights=path)
    assert loaded.fingerprint == lite.fingerprint
    assert path.name in loaded.card.weights
    assert loaded.card.pretrained


def test_moved_weights_are_found_through_the_environment(lite, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match="INSPHERE_BACKBONE_WEIGHTS"):
        load_backbone(weights=tmp_path / "gone.pth")
    monkeypatch.setenv("INSPHERE_BACKBONE_WEIGHTS", str(packaged_weights()))
    assert load_backbone(weights=tmp_path / "gone.pth").fingerprint == lite.fingerprint


class Bomb:
    def __reduce__(self):
        return (print, ("a weights file ran code",))


def test_code_in_a_weights_file_is_refused_and_not_run(tmp_path, capsys):
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.zeros(2), "bomb": Bomb()}, path)
    with pytest.raises(ModelError, match="more than weights"):
        load_backbone(weights=path)
    path.write_bytes(pickle.dumps({"bomb": Bomb()}))
    with pytest.raises(ModelError):
        load_backbone(weights=path)
    assert "ran code" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no state dict"),
        ({"a": 3}, "no state dict"),
        ({"conv1.weight": torch.zeros(3)}, "not those of efficientnet-lite0"),
    ],
)
def test_files_of_something_else_get_one_sentence(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(ModelError, match=message) as caught:
        load_backbone(weights=path)
    assert "\n" not in str(caught.value)


def test_damaged_file_gets_one_sentence(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"12345678nothing")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        load_backbone(weights=path)


def test_missing_download_names_the_alternatives(tmp_path, monkeypatch):
    def offline(*_args, **_kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    with pytest.raises(ModelError, match=r"no network.*weights=.*insphere\[pretrained\]") as caught:
        load_backbone("resnet18")
    assert "\n" not in str(caught.value)


def test_missing_download_of_timm_names_the_alternatives(monkeypatch):
    import timm

    def offline(name, pretrained, **_):
        assert pretrained
        raise OSError("cannot reach the hub")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match=r"cannot reach the hub.*insphere\[pretrained\]"):
        load_backbone("timm/resnet18")


def test_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingExtraError, match=r"insphere\[pretrained\]"):
        load_backbone()


def test_unknown_names_get_one_sentence(lite):
    with pytest.raises(SpecError, match="did you mean resnet50"):
        load_backbone("resnet5")
    with pytest.raises(SpecError, match=r"timm\.list_models"):
        load_backbone("timm/nothing-like-it", "random")
    with pytest.raises(SpecError, match="s1, s2"):
        check_stages(lite.card, ["layer1"])
    with pytest.raises(SpecError, match="s1, s2"):
        check_stages(lite.card, [])
    assert check_stages(lite.card, ["s5", "s3"]) == ("s3", "s5")
