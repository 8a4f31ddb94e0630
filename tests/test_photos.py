"""Photographs as they are: canvases, their own scale, tiles, regions, places and Gaussians."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from insphere.data import load_dataset
from insphere.data.letterbox import Canvas, choose_canvas, content_size, on_canvas
from insphere.detectors import FeaturePatchSVDD, PatchGaussian, PatchMemory, load_detector
from insphere.detectors.pretrained.patch_scores import image_maps, pool_patches
from insphere.detectors.pretrained.places import UsualScores, places_of
from insphere.detectors.pretrained.regions import judged, read_region
from insphere.errors import SpecError
from insphere.features import Form
from insphere.features.photos import PhotoExtractor
from insphere.nets.backbones import load_backbone

QUICK = {
    "weights": "random",
    "cache": False,
    "random_state": 0,
    "precision": "float32",
    "contamination": 0.05,
}


def textures(n: int, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(60, 190, (n, height, width, 1), dtype=np.uint8)


def extractor(scale: float, tile: int = 768) -> PhotoExtractor:
    backbone = load_backbone(weights="random")
    return PhotoExtractor(
        backbone, scale=scale, tile=tile, precision="float32", device=torch.device("cpu")
    )


# ------------------------------------------------------------------ canvases


@pytest.mark.parametrize("size", [(5, 7), (12, 9), (30, 40), (5, 40)])
def test_what_lies_on_a_canvas_is_found_again(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    padded = on_canvas(image, size)
    assert padded.shape == (*size, 3)
    np.testing.assert_array_equal(padded[:5, :7], image)
    assert content_size(padded) == (5, 7)


def test_the_padding_is_a_mirror_image() -> None:
    row = np.arange(1, 4, dtype=np.uint8).reshape(1, 3, 1)
    assert on_canvas(row, (1, 8))[0, :, 0].tolist() == [1, 2, 3, 3, 2, 1, 1, 2]


def test_an_image_of_one_colour_is_kept_whole() -> None:
    assert content_size(np.full((6, 8, 1), 9, np.uint8)) == (6, 8)


def test_similar_sizes_keep_their_scale_and_others_are_scaled_to_fit() -> None:
    own = choose_canvas([(200, 100), (150, 160)])
    assert own == Canvas(200, 160, "own")
    assert own.content(150, 160) == (150, 160)
    assert own.content(400, 100) == (200, 50)  # too high: shrunk, not cut
    mixed = choose_canvas([(200, 100)] * 3 + [(4000, 2000)])
    assert mixed == Canvas(200, 100, "letterbox")
    assert mixed.content(4000, 1000) == (200, 50)


def test_a_folder_of_different_sizes_needs_no_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for i, size in enumerate([(40, 30), (36, 44), (40, 44)]):
        pixels = rng.integers(0, 255, size, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    with pytest.warns(UserWarning, match="canvas of 40×44 pixels, each at its own scale"):
        data = load_dataset(tmp_path, cache=False)
    assert data.image_shape == (40, 44, 1)
    assert data.fit == "own"
    assert [content_size(image) for image in data.images] == [(40, 30), (36, 44), (40, 44)]
    stretched = load_dataset(tmp_path, size=(20, 20), cache=False)
    assert stretched.fit == "stretch"
    fitted = load_dataset(tmp_path, size=(20, 20), fit="letterbox", cache=False)
    assert content_size(fitted.images[0]) == (20, 15)


# ------------------------------------------------------------------ features at their own scale


def test_padding_leaves_no_features_and_changes_none() -> None:
    image = textures(1, 64, 96)
    padded = on_canvas(image[0], (128, 160))[None]
    looking = extractor(1.0)
    form = Form("patches", ("s5",), 1, *_grid(looking, (128, 160), 16))
    alone = Form("patches", ("s5",), 1, *_grid(looking, (64, 96), 16))
    (seen,), (own,) = looking(padded, [form]), looking(image, [alone])
    assert seen.shape == (1, 8, 10, 112)
    known = ~np.isnan(seen[0, ..., 0])
    assert known[:4, :6].all()
    assert not known[4:].any()
    assert not known[:, 6:].any()
    np.testing.assert_array_equal(seen[0, :4, :6], own[0, :4, :6])


def _grid(
    looking: PhotoExtractor, size: tuple[int, int], stride: int
) -> tuple[int, None, int, int]:
    rows, columns = looking.grid(size, stride)
    return rows, None, columns, stride


def test_tiles_leave_no_seams() -> None:
    image = textures(1, 576, 640)
    whole, tiled = extractor(1.0), extractor(1.0, tile=256)
    form = Form("patches", ("s5",), 1, *_grid(whole, (576, 640), 16))
    (expected,), (found,) = whole(image, [form]), tiled(image, [form])
    assert found.shape == expected.shape
    off = np.abs(found.astype(float) - expected.astype(float)).mean(axis=3)[0]
    spread = expected.astype(float).std(axis=(1, 2)).mean()
    assert off.max() < 0.05 * spread


def test_the_scale_enlarges() -> None:
    looking = extractor(2.0)
    form = Form("patches", ("s5",), 1, *_grid(looking, (32, 48), 16))
    assert looking(textures(1, 32, 48), [form])[0].shape == (1, 4, 6, 112)


# ------------------------------------------------------------------ places, regions, maps


def test_places_are_distances_to_the_borders() -> None:
    places = places_of(9, 8)
    assert places[0, 0] == 0
    assert places[8, 7] == 48
    assert (places[3:6, 3:4] == places[4, 3]).all()
    np.testing.assert_array_equal(places_of(20, 30)[:4, :4], places[:4, :4])


def test_usual_scores_count_in_deviations_at_each_place() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(5, 1, (400, 8, 8))
    scores[:, 0] = rng.normal(50, 10, (400, 8))
    usual = UsualScores.of(scores)
    new = np.full((1, 8, 8), 5.0)
    new[0, 0, 3], new[0, 4, 3] = 80, 8
    placed = usual(new)
    assert placed[0, 0, 3] == pytest.approx(1 + 3, abs=0.4)
    assert placed[0, 4, 3] == pytest.approx(1 + 3, abs=0.4)
    assert placed[0, 1, 3] == pytest.approx(1, abs=0.2)
    assert (np.diff(usual(np.linspace(0, 9, 64).reshape(64, 1, 1))[:, 0, 0]) > 0).all()


def test_a_region_is_a_rectangle_or_a_picture(tmp_path: Path) -> None:
    mask = read_region((0.25, 0.0, 1.0, 0.5))
    assert mask is not None
    np.testing.assert_array_equal(
        judged(mask, (1.0, 1.0), (4, 4)), [[0, 0, 0, 0], *[[1, 1, 0, 0]] * 3]
    )
    white = np.zeros((8, 8), np.uint8)
    white[4:] = 255
    Image.fromarray(white).save(tmp_path / "region.png")
    picture = read_region(str(tmp_path / "region.png"))
    assert picture is not None
    np.testing.assert_array_equal(picture, white > 0)
    for wrong in ("nothing.png", (0.5, 0, 0.4, 1), "0,0,1"):
        with pytest.raises(SpecError, match="region"):
            read_region(wrong)


def test_scores_and_maps_leave_out_what_is_missing() -> None:
    scores = np.array([[[1.0, 2.0, np.nan], [3.0, 4.0, np.nan]]])
    assert pool_patches(scores.reshape(1, -1), "mean").tolist() == [2.5]
    assert pool_patches(scores.reshape(1, -1), "top", 0.25).tolist() == [4.0]
    maps = image_maps(scores, (8, 12), 0.0)
    assert (maps[0, :, 8:] == 0).all()
    assert (maps[0, :, :8] > 0).all()


def grain(n: int, height: int, width: int, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(size=(n, height, width))
    smooth = gaussian_filter(noise, (0, 1.5, 1.5))
    return np.clip(120 + 20 * smooth / smooth.std(), 0, 255).astype(np.uint8)[..., None]


@pytest.mark.parametrize(
    ("backbone", "stages", "stride"),
    [
        ("efficientnet-lite0", None, 16),  # s4, s5 and s6
        ("efficientnet-lite0", ["s6"], 32),
        ("efficientnet-lite0", ["s5"], 16),
        ("efficientnet-lite1", None, 16),
        ("efficientnet-lite2", ["s6"], 32),
        ("efficientnet-lite2", ["s5"], 16),
    ],
)
def test_the_peak_of_a_map_lies_on_the_damage(
    backbone: str, stages: list[str] | None, stride: int
) -> None:
    height, width = 288, 352
    detector = PatchGaussian(
        backbone=backbone,
        stages=stages,
        scale=1.0,
        cache=False,
        contamination=0.05,
        random_state=0,
    ).fit(grain(12, height, width, seed=0))
    assert detector.form_.stride == stride
    rng = np.random.default_rng(1)
    images = grain(18, height, width, seed=5)
    down, across = np.mgrid[:height, :width] + 0.5
    middles = np.stack([rng.uniform(96, n - 96, 18) for n in (height, width)], axis=1)
    for image, (y, x), radius in zip(images, middles, (7, 11, 16) * 6, strict=True):
        image[(down - y) ** 2 + (across - x) ** 2 < radius**2] = 250
    peaks = [np.unravel_index(heat.argmax(), heat.shape) for heat in detector.anomaly_map(images)]
    off = np.array(peaks) + 0.5 - middles
    assert np.abs(off).max() < stride / 2  # the grid is no finer
    assert np.abs(off.mean(axis=0)).max() < stride / 6


# ------------------------------------------------------------------ the Gaussian of patches


def damaged(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    changed = images.copy()
    changed[:, 40:72, 40:72] = 255
    return changed


def test_the_gaussian_is_a_mahalanobis_distance(tmp_path: Path) -> None:
    images = textures(12, 96, 96)
    detector = PatchGaussian(stages=["s5"], places="none", scale=1.0, pooling="max", **QUICK)
    detector.fit(images)
    F = detector._patches(images).astype(np.float64).reshape(-1, 112)
    covariance = np.cov(F.T, bias=True)
    covariance += 0.01 * np.trace(covariance) / 112 * np.eye(112)
    off = F - F.mean(axis=0)
    expected = np.sqrt(np.einsum("nc,cd,nd->n", off, np.linalg.inv(covariance), off))
    np.testing.assert_allclose(
        detector.anomaly_score(images), expected.reshape(12, -1).max(axis=1), rtol=1e-3
    )


def test_stages_are_independent_blocks_of_the_covariance(tmp_path: Path) -> None:
    images = textures(12, 96, 96)
    settings = {"places": "none", "scale": 1.0, "pooling": "max"} | QUICK
    detector = PatchGaussian(**settings).fit(images)
    assert detector.form_.stages == ("s4", "s5", "s6")
    F = detector._patches(images).astype(np.float64).reshape(-1, 384)
    expected = np.zeros(len(F))
    for block in (slice(0, 80), slice(80, 192), slice(192, 384)):
        off = F[:, block] - F[:, block].mean(axis=0)
        width = off.shape[1]
        covariance = off.T @ off / len(off)
        covariance += 0.01 * np.trace(covariance) / width * np.eye(width)
        expected += np.einsum("nc,cd,nd->n", off, np.linalg.inv(covariance), off)
    expected = np.sqrt(expected).reshape(12, -1).max(axis=1)
    np.testing.assert_allclose(detector.anomaly_score(images), expected, rtol=1e-3)
    module = detector.scoring_module()
    seen = module(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).detach()
    np.testing.assert_allclose(seen, expected, rtol=1e-3)
    joint = PatchGaussian(joint=True, **settings).fit(images)
    assert [one.shape for one in joint.whitenings_] == [(1, 384, 384)]
    for one in (detector, joint):
        one.save(tmp_path / str(one.joint))
        again = load_detector(tmp_path / str(one.joint))
        np.testing.assert_array_equal(again.anomaly_score(images), one.anomaly_score(images))


def test_a_model_of_an_earlier_version_has_one_block() -> None:
    images = textures(8, 96, 96)
    old = PatchGaussian(stages=["s4", "s5"], joint=True, scale=1.0, **QUICK).fit(images)
    arrays, meta = old._state()
    assert "whitenings.1" not in arrays
    loaded = PatchGaussian(stages=["s4", "s5"], scale=1.0, **QUICK)  # which knew no `joint`
    loaded.modality_ = old.modality_
    loaded._set_state(arrays, meta)
    F = old._patches(images)
    np.testing.assert_array_equal(loaded._patch_scores(F), old._patch_scores(F))


@pytest.mark.parametrize(
    "detector",
    [
        PatchGaussian(scale=1.0, **QUICK),
        PatchMemory(stages=["s5"], scale=1.0, places="border", bank_size=60, **QUICK),
        FeaturePatchSVDD(
            stages=["s5"], scale=1.0, places="border", start="whitened", epochs=1, **QUICK
        ),
    ],
    ids=["gaussian", "memory", "fpsvdd"],
)
def test_heads_find_damage_on_photographs_of_different_sizes(detector, tmp_path: Path) -> None:
    small = textures(10, 96, 80)
    images = np.concatenate(
        [textures(10, 128, 96, seed=1), np.stack([on_canvas(one, (128, 96)) for one in small])]
    )
    detector.fit(images)
    new = np.concatenate(
        [
            textures(3, 128, 96, seed=5),
            np.stack([on_canvas(one, (128, 96)) for one in textures(3, 96, 80, seed=6)]),
        ]
    )
    bad = new.copy()
    for i in range(6):
        height, width = content_size(new[i])
        part = damaged(new[i : i + 1, :height, :width])[0]
        bad[i] = on_canvas(part, (128, 96))
    assert detector.anomaly_score(bad).min() > detector.anomaly_score(new).max()
    maps = detector.anomaly_map(bad)
    assert maps[0, 40:72, 40:72].mean() > detector.anomaly_map(new)[0, 40:72, 40:72].mean()
    assert (maps[4, 96:] == 0).all()  # padding
    assert (maps[4, :, 80:] == 0).all()
    assert maps[4, 95, 79] > 0
    detector.save(tmp_path / "model")
    again = load_detector(tmp_path / "model")
    np.testing.assert_array_equal(again.anomaly_score(bad), detector.anomaly_score(bad))
    np.testing.assert_array_equal(again.anomaly_map(bad), maps)
    module = detector.scoring_module()
    whole = torch.from_numpy(bad[:3].transpose(0, 3, 1, 2).copy())
    np.testing.assert_allclose(module(whole).detach(), detector.anomaly_score(bad[:3]), rtol=1e-3)


def test_what_is_outside_the_region_is_not_judged() -> None:
    images = textures(10, 96, 128)
    bad = images[:2].copy()
    bad[:, :, 96:] = 255
    inside = PatchGaussian(stages=["s4"], scale=1.0, region=(0, 0, 1, 0.4), **QUICK).fit(images)
    assert (inside.anomaly_map(bad)[:, :, 64:] == 0).all()
    everything = PatchGaussian(stages=["s4"], scale=1.0, **QUICK).fit(images)
    change = inside.anomaly_score(bad) - inside.anomaly_score(images[:2])
    seen = everything.anomaly_score(bad) - everything.anomaly_score(images[:2])
    assert (np.abs(change) < 0.2 * seen).all()


def test_an_automatic_scale_enlarges_small_images_only() -> None:
    detector = PatchGaussian(**QUICK)
    assert detector._resolve_scale((64, 64), textures(2, 64, 64)) == 5.25
    assert detector._resolve_scale((400, 700), textures(2, 400, 700)) == 1.0
    with pytest.raises(SpecError, match="scale keeps images"):
        PatchGaussian(resolution=224, **QUICK).fit(textures(4, 64, 64))


# ------------------------------------------------------------------ a head near the identity


def test_a_whitened_start_is_a_mahalanobis_distance_and_training_keeps_it_apart() -> None:
    from insphere.nets.near_identity import LIPSCHITZ, NearIdentity

    x = torch.randn(50, 12, generator=torch.Generator().manual_seed(0))
    network = NearIdentity(12, 8)
    torch.testing.assert_close(network(x), x)
    with torch.no_grad():
        network.strength.fill_(100.0)
    for _ in range(50):
        network(x)  # the power iteration
    before, after = torch.pdist(x), torch.pdist(network.eval()(x))
    assert (after >= (1 - LIPSCHITZ) * before * 0.98).all()
    assert (after <= (1 + LIPSCHITZ) * before * 1.02).all()


def test_several_centers_count_the_nearest() -> None:
    from insphere.nets.patches import squared_distances

    z = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    centers = torch.tensor([[0.0, 1.0], [3.0, 3.0]])
    assert squared_distances(z, centers).tolist() == [1.0, 1.0]
    with pytest.raises(SpecError, match="start"):
        FeaturePatchSVDD(centers=2, **QUICK).fit(textures(4, 64, 64))


def test_reweighting_is_equation_7_of_patchcore() -> None:
    images = textures(8, 64, 64)
    plain = PatchMemory(stages=["s5"], scale=1.0, bank_size=20, **QUICK).fit(images)
    weighted = PatchMemory(stages=["s5"], scale=1.0, bank_size=20, reweighting=3, **QUICK)
    weighted.fit(images)
    np.testing.assert_array_equal(weighted.bank_, plain.bank_)
    patches = weighted._patches(textures(1, 64, 64, seed=9))
    F = patches.astype(np.float64)[0]
    bank = weighted.bank_.astype(np.float64)
    to_bank = np.linalg.norm(F[:, None] - bank[None], axis=2)
    best = to_bank.argmin(axis=1)
    expected = []
    for patch, m in enumerate(best):
        within = np.linalg.norm(bank - bank[m], axis=1)
        near = np.exp(to_bank[patch, np.argsort(within)[:4]])
        expected.append((1 - np.exp(to_bank[patch, m]) / near.sum()) * to_bank[patch, m])
    found = weighted._patch_scores(patches)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    module = weighted.scoring_module()
    new = textures(2, 64, 64, seed=4)
    scores = module(torch.from_numpy(new.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(scores.detach(), weighted.anomaly_score(new), rtol=1e-3)


def test_a_greedy_coreset_takes_the_furthest_next() -> None:
    from insphere.detectors.pretrained.patch_memory import greedy_coreset

    rows = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    chosen = greedy_coreset(rows, 25, np.random.default_rng(1))
    assert len(set(chosen.tolist())) == 25
    for i in range(1, 25):
        nearest = np.linalg.norm(rows[:, None] - rows[None, chosen[:i]], axis=2).min(axis=1)
        assert nearest[chosen[i]] == pytest.approx(nearest.max(), rel=1e-4)


def test_python_takes_photographs_of_any_size_by_path_and_as_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for part in ("good", "new"):
        (tmp_path / part).mkdir()
        for i, size in enumerate([(96, 80), (80, 96), (96, 96), (64, 80)]):
            pixels = rng.integers(60, 190, size, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / part / f"{i}.png")
    detector = PatchGaussian(stages=["s4"], scale=1.0, **QUICK)
    with pytest.warns(UserWarning, match="canvas of 96×96"):
        detector.fit(tmp_path / "good")
    (tmp_path / "new" / "2.png").unlink()
    with pytest.warns(UserWarning, match="canvas"):
        scores = detector.anomaly_score(tmp_path / "new")
    pictures = [Image.open(path) for path in sorted((tmp_path / "new").glob("*.png"))]
    np.testing.assert_array_equal(detector.anomaly_score(pictures), scores)
    alone = detector.anomaly_score(tmp_path / "new" / "3.png")
    np.testing.assert_allclose(alone, scores[2:], rtol=1e-5)


def test_a_whitened_head_starts_at_mahalanobis_and_learns() -> None:
    from insphere.training.patches import PatchSpec, train_patches

    rng = np.random.default_rng(0)
    mix = rng.normal(size=(8, 8))
    X = (rng.standard_t(4, size=(200, 8)) @ mix + 5).astype(np.float16)[:, None]
    quick = PatchSpec().phase.model_copy(update={"epochs": 20, "min_steps": 0})
    start = PatchSpec(start="whitened", whiten=1e-6, phase=quick)
    trained = train_patches(X, start, seed=0, device=torch.device("cpu"))
    still = start.model_copy(update={"phase": quick.model_copy(update={"lr": 1e-12})})
    untrained = train_patches(X, still, seed=0, device=torch.device("cpu"))
    rows = X[:, 0].astype(np.float64)
    off = rows - rows.mean(axis=0)
    expected = np.einsum("nc,cd,nd->n", off, np.linalg.inv(np.cov(rows.T, bias=True)), off)
    with torch.no_grad():
        found = untrained.sphere(torch.from_numpy(X))[0][:, 0]
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=0.01)
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    assert trained.history[-1]["spread"] > 0.5 * untrained.history[-1]["spread"]
    assert "No sign of collapse" in trained.guard.summary()[0]


def test_maps_lie_where_the_patches_are() -> None:
    images = textures(8, 200, 200)
    detector = PatchGaussian(stages=["s4"], scale=1.28, places="none", smoothing=0.0, **QUICK)
    detector.fit(images)
    bad = images[:1].copy()
    bad[:, 150:175, 50:75] = 255
    change = (detector.anomaly_map(bad) - detector.anomaly_map(images[:1]))[0]
    rows, columns = np.indices(change.shape)
    weight = np.clip(change, 0, None) ** 2
    found = [float((place * weight).sum() / weight.sum()) for place in (rows, columns)]
    assert found == pytest.approx([162, 62], abs=4)
