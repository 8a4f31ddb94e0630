"""Features: the right values, computed once, found again, whoever was interrupted."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import torch

from insphere.errors import DataError, SpecError
from insphere.features import (
    Extractor,
    Form,
    choose_pooled,
    clear_features,
    features,
    features_info,
    pooled_form,
)
from insphere.features import store as store_module
from insphere.features.form import middle_weights, patches, pooled
from insphere.nets.backbones import load_backbone

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("resnet18", "random")


@pytest.fixture(scope="module")
def extractor(backbone):
    return Extractor(backbone, resolution=32, precision="float32", device=CPU)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (150, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def cache_root(tmp_path, monkeypatch):
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path))
    monkeypatch.setattr(store_module, "BLOCK", 64)
    return tmp_path


class Counting:
    """An extractor that counts, and can be told to fail at some image."""

    def __init__(self, inner, fail_after=None):
        self.inner, self.fail_after, self.seen = inner, fail_after, 0
        self.settings = inner.settings
        self.lock = threading.Lock()

    def __call__(self, images, forms):
        if self.fail_after is not None and self.seen >= self.fail_after:
            raise KeyboardInterrupt
        with self.lock:
            self.seen += len(images)
        return self.inner(images, forms)


# ---------------------------------------------------------------- values


def test_pooled_vectors_are_mean_and_maximum(extractor, images):
    form = pooled_form(extractor.card)
    (values,) = extractor(images[:3], [form])
    with torch.inference_mode():
        maps = extractor.backbone(extractor.prepare(images[:3]), ["layer3"])["layer3"]
    mean = choose_pooled(values, extractor.card.stages, ["layer3"], ["mean"])
    both = choose_pooled(values, extractor.card.stages, ["layer3"], ["mean", "max"])
    np.testing.assert_allclose(mean, maps.mean(dim=(2, 3)), rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(both[:, 256:], maps.amax(dim=(2, 3)), rtol=2e-3, atol=1e-4)
    assert values.shape == (3, 2 * (64 + 128 + 256 + 512))


def test_neighbourhoods_are_averaged_over_what_there_is():
    m = torch.arange(9.0).reshape(1, 1, 3, 3)
    same = patches([m], 1, 3)[0, :, :, 0]
    torch.testing.assert_close(same, m[0, 0])
    averaged = patches([m], 3, 3)[0, :, :, 0]
    assert averaged[1, 1] == m.mean()
    assert averaged[0, 0] == (0 + 1 + 3 + 4) / 4  # a corner has four places


def test_maps_of_several_sizes_are_joined_on_one_grid():
    fine, coarse = torch.arange(16.0).reshape(1, 1, 4, 4), torch.full((1, 2, 1, 1), 7.0)
    joined = patches([fine, coarse], 1, 2)
    assert joined.shape == (1, 2, 2, 3)
    assert joined[0, 0, 0].tolist() == [(0 + 1 + 4 + 5) / 4, 7, 7]
    assert joined[0, 1, 1].tolist() == [(10 + 11 + 14 + 15) / 4, 7, 7]


def test_images_are_normalised_as_the_card_says(backbone):
    extractor = Extractor(backbone, resolution=32, precision="float32", device=CPU)
    white = np.full((1, 32, 32, 3), 255, np.uint8)
    x = extractor.prepare(white)
    card = backbone.card
    for channel in range(3):
        expected = (1 - card.mean[channel]) / card.std[channel]
        torch.testing.assert_close(x[0, channel], torch.full((32, 32), expected))
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_grey_is_the_same_as_equal_colours_and_floats_as_bytes(extractor, images):
    grey = images[:4, ..., :1]
    form = pooled_form(extractor.card)
    (as_grey,) = extractor(grey, [form])
    (as_rgb,) = extractor(np.repeat(grey, 3, axis=3), [form])
    np.testing.assert_array_equal(as_grey, as_rgb)
    # Bytes are rounded to bytes again after resizing, floats are not.
    (as_float,) = extractor(grey.astype(np.float32) / 255, [form])
    assert np.corrcoef(as_float.ravel(), as_grey.ravel())[0, 1] > 0.999
    with pytest.raises(DataError, match="between 0 and 1"):
        extractor(grey.astype(np.float32), [form])


def test_mirrored_features_are_those_of_both_sides(backbone, images):
    extractor = Extractor(backbone, resolution=32, precision="float32", mirrored=True, device=CPU)
    form = Form("patches", ("layer1",), 1, 8)
    (here,) = extractor(images[:4], [form])
    (there,) = extractor(images[:4, :, ::-1], [form])
    np.testing.assert_allclose(there, here[:, :, ::-1], rtol=1e-2, atol=2e-3)


def test_places_near_the_middle_count_more_as_computed_by_hand():
    # Three places in a row lie at −2/3, 0 and 2/3 of half the side.
    edge = np.exp(-((2 / 3) ** 2) / (2 * 0.5**2))
    row = np.array([edge, 1, edge])
    expected = np.outer(row, row) / row.sum() ** 2
    np.testing.assert_allclose(middle_weights(3, 3, 0.5).numpy(), expected, rtol=1e-6)
    m = torch.zeros(1, 2, 3, 3)
    m[0, 0, 1, 1], m[0, 1, 0, 0] = 4.0, 4.0
    found = pooled(m, 0.5)
    np.testing.assert_allclose(found[0, :2], 4 * expected[[1, 0], [1, 0]], rtol=1e-6)
    np.testing.assert_array_equal(found[0, 2:], [4, 4])  # the maximum has no weights
    wide = torch.rand(2, 5, 4, 6)
    torch.testing.assert_close(pooled(wide, 1e4), pooled(wide), rtol=1e-5, atol=1e-6)
    assert pooled(wide, 1e-3).isfinite().all()


def test_features_without_focus_are_found_where_they_were_before_it(extractor):
    assert "focus" not in pooled_form(extractor.card).settings()
    assert pooled_form(extractor.card, focus=0.5).settings()["focus"] == 0.5


def test_features_are_kept_as_the_network_computes_them(backbone, images):
    settings = {"resolution": 32, "device": CPU}
    single = Extractor(backbone, precision="float32", **settings)
    form = pooled_form(backbone.card)
    whole = single(images, [form])[0]
    assert whole.dtype == np.float32
    assert single.settings()["kept"] == "torch.float32"
    single.rounded = True  # as earlier versions did
    half = single(images, [form])[0]
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, whole.astype(np.float16))
    assert "kept" not in single.settings()  # so that what they stored is found
    brief = Extractor(load_backbone("resnet18", "random"), precision="bfloat16", **settings)
    assert brief(images[:2], [form])[0].dtype == np.float16
    assert "kept" not in brief.settings()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_stored_features_have_the_same_bits(images, precision):
    network = load_backbone("resnet18", "random")
    own = Extractor(network, resolution=32, precision=precision, device=CPU)
    form = pooled_form(network.card)
    first, again = (features(own, images, [form])[0] for _ in range(2))
    assert first.dtype == again.dtype
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("resolution", [0, -32, 33, 32.5, True, "64"])
def test_impossible_resolutions_get_one_sentence(backbone, resolution):
    with pytest.raises(SpecError, match="multiple of 32"):
        Extractor(backbone, resolution=resolution, device=CPU)


# ---------------------------------------------------------------- computed once


def test_whoever_asks_again_gets_the_same_without_computing(extractor, images):
    counting = Counting(extractor)
    form = Form("patches", ("layer1", "layer2"), 3, 4)
    (first,) = features(counting, images, [form])
    assert counting.seen == 150
    shuffled = np.random.default_rng(1).permutation(150)
    (again,) = features(counting, images[shuffled], [form])
    (subset,) = features(counting, images[7:31], [form])
    np.testing.assert_array_equal(again, first[shuffled])
    np.testing.assert_array_equal(subset, first[7:31])
    np.testing.assert_array_equal(features(extractor, images, [form], cache=False)[0], first)
    assert counting.seen == 150
    assert features_info().entries == 1


def test_only_new_images_are_computed_each_once(extractor, images):
    counting = Counting(extractor)
    form = pooled_form(extractor.card)
    features(counting, images[:100], [form])
    twice = np.concatenate([images, images])
    (values,) = features(counting, twice, [form])
    assert counting.seen in (100, 150)  # fifty new ones, too few for a file, once each
    np.testing.assert_array_equal(values[:150], values[150:])


def test_few_images_are_not_stored(extractor, images):
    form = pooled_form(extractor.card)
    features(extractor, images[:10], [form])
    assert features_info().entries == 0


def test_two_forms_come_from_one_pass(extractor, images):
    counting = Counting(extractor)
    pooled, grid = pooled_form(extractor.card), Form("patches", ("layer2",), 3, 4)
    features(counting, images, [pooled])
    a, b = features(counting, images, [pooled, grid])
    assert counting.seen == 300
    assert (a.shape, b.shape) == ((150, 1920), (150, 4, 4, 128))
    size = features_info().bytes
    assert size < 1.1 * (a.nbytes + b.nbytes)  # what was there is not written twice


def test_other_settings_are_other_features(backbone, images):
    form = pooled_form(backbone.card)
    for changes in ({}, {"resolution": 64}, {"resampling": "bilinear"}, {"mirrored": True}):
        settings = {"resolution": 32, "precision": "float32"} | changes
        features(Extractor(backbone, device=CPU, **settings), images, [form])
    features(
        Extractor(load_backbone("resnet18", "random"), resolution=32, device=CPU,
                  precision="float32"), images, [form],
    )  # fmt: skip
    assert features_info().entries == 4


def test_interrupted_extraction_continues(extractor, images):
    form = pooled_form(extractor.card)
    with pytest.raises(KeyboardInterrupt):
        features(Counting(extractor, fail_after=64), images, [form])
    counting = Counting(extractor)
    (values,) = features(counting, images, [form])
    assert counting.seen == 150 - 64
    np.testing.assert_array_equal(values, features(extractor, images, [form], cache=False)[0])


@pytest.mark.filterwarnings("ignore:Features in the cache")
@pytest.mark.parametrize(
    "damage",
    ["cut rows", "cut keys", "no rows", "left over", "one number", "keys swapped", "all other keys",
     "pipe", "loop of links"],
)  # fmt: skip
def test_damaged_blocks_are_computed_again(extractor, images, cache_root, damage):
    form = pooled_form(extractor.card)
    (wanted,) = features(extractor, images, [form])
    keys = sorted(cache_root.glob("features/*/*.keys.npy"))[0]
    rows = keys.with_name(keys.name.replace(".keys", ""))
    if damage == "cut rows":
        rows.write_bytes(rows.read_bytes()[:-5])
    elif damage == "cut keys":
        keys.write_bytes(keys.read_bytes()[:40])
    elif damage == "no rows":
        rows.unlink()
    elif damage == "one number":
        content = bytearray(rows.read_bytes())
        content[-1] ^= 4
        rows.write_bytes(content)
    elif damage == "keys swapped":
        order = np.load(keys)
        np.save(keys, order[::-1])
    elif damage == "all other keys":
        np.save(keys, np.load(keys) ^ 1)
    elif damage == "loop of links":
        about = keys.with_name("about.json")
        about.unlink()
        about.symlink_to(about.name)
    elif damage == "pipe":
        rows.unlink()
        os.mkfifo(rows)
    else:
        keys.unlink()
    (values,) = features(extractor, images, [form])
    np.testing.assert_array_equal(values, wanted)
    (values,) = features(extractor, images, [form])
    np.testing.assert_array_equal(values, wanted)


def test_a_changed_block_is_said(extractor, images, cache_root):
    form = pooled_form(extractor.card)
    (wanted,) = features(extractor, images, [form])
    rows = next(f for f in cache_root.glob("features/*/*.npy") if ".keys" not in f.name)
    np.save(rows, np.zeros_like(np.load(rows)))
    with pytest.warns(UserWarning, match="damaged or were changed, and are computed again"):
        (values,) = features(extractor, images, [form])
    np.testing.assert_array_equal(values, wanted)


def test_two_at_once_share_the_work(extractor, images):
    counting = Counting(extractor)
    form = pooled_form(extractor.card)
    results = [None, None]

    def work(i):
        results[i] = features(counting, images[:128], [form])[0]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(*results)
    assert counting.seen == 128


# ---------------------------------------------------------------- size, limit, clearing


def test_limit_is_kept_and_nothing_fails(extractor, images, monkeypatch):
    form = pooled_form(extractor.card)
    monkeypatch.setenv("INSPHERE_FEATURES_GB", "0.0003")  # one block of 64 needs 0.00025
    (values,) = features(extractor, images, [form])
    assert 0 < features_info().bytes < 300_000
    np.testing.assert_array_equal(values, features(extractor, images, [form], cache=False)[0])
    monkeypatch.setenv("INSPHERE_FEATURES_GB", "a lot")
    with pytest.raises(SpecError, match="INSPHERE_FEATURES_GB"):
        features(extractor, images[::-1].copy()[:100] // 2, [form])


def test_what_was_used_longest_ago_goes_first(extractor, images, cache_root, monkeypatch):
    import os

    old, new = Form("map", ("layer4",)), Form("map", ("layer3",))
    features(extractor, images[:64], [old])
    (about,) = cache_root.glob("features/*/about.json")
    os.utime(about, (1, 1))
    needed = features_info().bytes + 64 * 256 * 4 * 2
    monkeypatch.setenv("INSPHERE_FEATURES_GB", str((needed - 1) / 1e9))
    features(extractor, images[:64], [new])
    assert not about.exists()
    assert features_info().entries == 1


def test_info_and_clearing(extractor, images, cache_root):
    assert features_info().entries == 0
    assert clear_features().bytes == 0
    (values,) = features(extractor, images, [pooled_form(extractor.card)])
    info = features_info()
    assert info.path == cache_root / "features"
    assert values.nbytes < info.bytes < 1.2 * values.nbytes
    assert clear_features() == info
    assert features_info().bytes == 0


def test_cache_folder_that_cannot_be_made(extractor, images, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"cannot be written .*cache=False"):
        features(extractor, images, [pooled_form(extractor.card)])
