"""Detectors on features: they find defects and where, survive a reload, and know their backbone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

import insphere
from insphere.cli import main
from insphere.detectors import (
    FeatureKNN,
    FeatureMahalanobis,
    FeaturePatchSVDD,
    FeaturePCA,
    FeatureSVDD,
    PatchMemory,
)
from insphere.detectors.frozen_features.pooled_features import pooled_vectors
from insphere.detectors.model_folder import load_detector
from insphere.detectors.pretrained.patch_memory import greedy_coreset
from insphere.detectors.pretrained.patch_scores import image_maps, pool_patches
from insphere.detectors.registry import METHODS, detector_class
from insphere.errors import CollapseError, DataError, ModelError, SpecError
from insphere.explain import heat_method
from insphere.features.views import random_views
from insphere.nets.backbones import load_backbone
from insphere.nets.backbones.lite import packaged_weights
from insphere.nets.backbones.weights import read_weights
from insphere.scoring.pixels import evaluate_maps
from insphere.training.callbacks import Callback
from insphere.training.contrastive import contrast
from textures import dataset, write_mvtec

ALL = (FeaturePatchSVDD, FeatureSVDD, FeatureKNN, FeatureMahalanobis, FeaturePCA, PatchMemory)
WITH_MAPS = (FeaturePatchSVDD, PatchMemory)
QUICK = {"resolution": 64, "precision": "float32", "contamination": 0.05, "random_state": 0}


def quick(cls, **changes):
    settings = dict(QUICK)
    if cls in (FeaturePatchSVDD, FeatureSVDD):
        settings |= {"epochs": 15}
    if cls is PatchMemory:
        settings |= {"bank_size": 300}
    if cls in WITH_MAPS:
        settings |= {"resolution": 128}
    return cls(**settings | changes)


@pytest.fixture(scope="module")
def textures():
    train, images, masks, kinds = dataset(40, 6)
    return train, images, masks, np.array(kinds) != "good"


@pytest.fixture(scope="module")
def fitted(textures):
    return {cls: quick(cls).fit(textures[0]) for cls in ALL}


# ---------------------------------------------------------------- they work


@pytest.mark.parametrize("cls", ALL)
def test_defects_are_found(fitted, textures, cls):
    _, images, _, truth = textures
    assert roc_auc_score(truth, fitted[cls].anomaly_score(images)) > 0.9


@pytest.mark.parametrize("cls", WITH_MAPS)
def test_maps_point_at_what_is_wrong(fitted, textures, cls):
    _, images, masks, truth = textures
    maps = fitted[cls].anomaly_map(images)
    assert maps.shape == masks.shape
    assert maps.dtype == np.float32
    measured = evaluate_maps(masks, maps)
    assert measured.pixel_auc > 0.9
    assert measured.pro > 0.7
    # The hottest place of most defective images lies in, or just beside, the defect.
    hits = 0
    for heat, mask in zip(maps[truth], masks[truth], strict=True):
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        hits += mask[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7].any()
    assert hits >= 0.8 * truth.sum()


def test_features_are_explained_by_their_own_map_or_from_outside(fitted):
    assert heat_method(fitted[FeaturePatchSVDD]) == "own"
    assert heat_method(fitted[FeatureSVDD]) == "occlusion"


def test_training_draws_patches_to_the_centre(fitted, textures):
    detector = fitted[FeaturePatchSVDD]
    losses = [record["loss"] for record in detector.history_]
    assert losses[-1] < 0.7 * losses[0]
    assert detector.history_[-1]["effective_rank"] > 2
    assert "No sign of collapse" in detector.guard_findings_[0]
    scores = detector.anomaly_score(textures[1])
    assert np.ptp(scores) > 0


@pytest.mark.parametrize("cls", [FeatureKNN, FeatureMahalanobis, FeaturePCA, FeatureSVDD])
def test_threshold_holds_for_new_normals(fitted, textures, cls):
    """Scores of the training images are as if each were new, so few new ones are flagged."""
    rng_train, _, _, _ = dataset(40, 1, seed=7)
    assert (fitted[cls].predict(rng_train) == 1).mean() > 0.8


def test_real_digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images * 15.9375).astype(np.uint8)[..., None]
    normal = np.flatnonzero(data.target == 3)
    test = np.concatenate([normal[60:100], np.flatnonzero(data.target != 3)[::30]])
    for cls, least in ((FeatureKNN, 0.9), (FeatureMahalanobis, 0.9)):
        scores = quick(cls).fit(images[normal[:60]]).anomaly_score(images[test])
        assert roc_auc_score(data.target[test] != 3, scores) > least


# ---------------------------------------------------------------- what a score is


@pytest.mark.parametrize("objective", ["patch", "image", "both"])
def test_score_follows_from_the_distances_of_patches(textures, objective):
    train, images, _, _ = textures
    detector = quick(FeaturePatchSVDD, objective=objective, epochs=2, pooling="max").fit(train)
    F = detector._patches(images)
    with torch.no_grad():
        z = detector.sphere_.represent(torch.from_numpy(F))
        patches = (z - detector.sphere_.center).square().sum(dim=2).max(dim=1).values.numpy()
        image = (z.mean(dim=1) - detector.sphere_.center).square().sum(dim=1).numpy()
    patch_scale, image_scale = detector.scales_
    expected = {
        "patch": patches,
        "image": image,
        "both": patches / patch_scale + image / image_scale,
    }[objective]
    np.testing.assert_allclose(detector.anomaly_score(images), expected, rtol=1e-4)


@given(
    arrays(np.float64, (3, 20), elements=st.floats(0, 1e6)),
    st.floats(0.01, 1),
)
def test_poolings_lie_between_mean_and_maximum(scores, share):
    mean, top = pool_patches(scores, "mean"), pool_patches(scores, "top", share)
    weighted, highest = pool_patches(scores, "weighted"), pool_patches(scores, "max")
    slack = 1e-9 * (1 + highest)
    assert (mean <= top + slack).all()
    assert (top <= highest + slack).all()
    assert (mean <= weighted + slack).all()
    assert (weighted <= highest + slack).all()
    np.testing.assert_allclose(pool_patches(scores, "top", 1.0), mean, rtol=1e-9, atol=1e-9)


def test_top_averages_the_highest():
    scores = np.array([[1.0, 5.0, 3.0, 0.0]])
    assert pool_patches(scores, "top", 0.5).tolist() == [4.0]
    assert pool_patches(scores, "top", 0.01).tolist() == [5.0]


def test_maps_keep_their_place_and_their_sum():
    grid = np.zeros((1, 4, 4))
    grid[0, 1, 2] = 1
    heat = image_maps(grid, (32, 48))[0]
    assert heat.shape == (32, 48)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert (abs(y - 11.5), abs(x - 29.5)) <= (1, 1.5)
    np.testing.assert_allclose(image_maps(np.full((1, 3, 3), 2.0), (30, 30)), 2.0, rtol=1e-6)


def test_vectors_are_normalised_stage_by_stage():
    card = load_backbone("resnet18", "random").card
    values = np.abs(np.random.default_rng(0).normal(size=(5, 1920))).astype(np.float16)
    vectors = pooled_vectors(values, card.stages, ["layer3", "layer4"], "mean", "root-l2")
    assert vectors.shape == (5, 256 + 512)
    np.testing.assert_allclose(np.square(vectors[:, :256]).sum(axis=1), 1, rtol=1e-5)
    raw = pooled_vectors(values, card.stages, ["layer3"], "mean", None)
    expected = raw / raw.sum(axis=1, keepdims=True)  # of positive values: shares
    np.testing.assert_allclose(np.square(vectors[:, :256]), expected, rtol=1e-4)


def test_mahalanobis_is_that_of_the_shrunk_covariance(fitted, textures):
    from sklearn.covariance import LedoitWolf

    detector = fitted[FeatureMahalanobis]
    F, new = detector._pooled(textures[0]), detector._pooled(textures[1])
    expected = np.sqrt(LedoitWolf().fit(F).mahalanobis(new))
    np.testing.assert_allclose(detector.anomaly_score(textures[1]), expected, rtol=1e-5)


def test_coreset_takes_the_furthest_each_time():
    rows = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [30.0]], np.float32)

    class First:
        def integers(self, _):
            return 0

    assert greedy_coreset(rows, 4, First()).tolist() == [0, 5, 4, 2]


def test_memory_does_not_compare_an_image_with_itself(fitted, textures):
    detector = fitted[PatchMemory]
    own = detector.anomaly_score(textures[0])  # some of these patches are in the bank
    assert detector.threshold_ > np.quantile(own, 0.5)
    assert detector.bank_.shape == (300, 152)


# ---------------------------------------------------------------- saved and loaded


@pytest.mark.parametrize("cls", ALL)
def test_reload_is_the_same_bit_for_bit(fitted, textures, tmp_path, cls):
    images = textures[1]
    detector = fitted[cls]
    path = detector.save(tmp_path / "model")
    loaded = insphere.load(path)
    assert type(loaded) is cls
    np.testing.assert_array_equal(loaded.anomaly_score(images), detector.anomaly_score(images))
    assert loaded.guard_findings_ == detector.guard_findings_
    assert loaded.backbone_fingerprint_ == detector.backbone_fingerprint_
    if cls in WITH_MAPS:
        np.testing.assert_array_equal(loaded.anomaly_map(images), detector.anomaly_map(images))
    again = loaded.save(tmp_path / "again")
    for name in ("weights.safetensors", "detector.json"):
        assert (again / name).read_bytes() == (path / name).read_bytes()


def test_other_weights_of_the_backbone_are_refused(textures, tmp_path):
    weights = {k: v.contiguous() for k, v in read_weights(packaged_weights()).items()}
    file = tmp_path / "weights.safetensors"
    save_file(weights, file)
    model = quick(FeatureKNN, weights=str(file)).fit(textures[0]).save(tmp_path / "model")
    insphere.load(model)
    weights["_conv_stem.weight"] = weights["_conv_stem.weight"] * 1.01
    save_file(weights, file)
    with pytest.raises(ModelError, match="other weights of efficientnet-lite0") as caught:
        insphere.load(model)
    assert "\n" not in str(caught.value)
    file.unlink()
    with pytest.raises(ModelError, match="INSPHERE_BACKBONE_WEIGHTS"):
        insphere.load(model)


def test_random_weights_are_no_result(textures):
    detector = quick(FeatureKNN, backbone="resnet18", weights="random").fit(textures[0])
    assert not detector.backbone_.pretrained
    assert "a control, not a result" in detector.guard_findings_[0]


@pytest.mark.parametrize("cls", [FeaturePatchSVDD, PatchMemory, FeatureSVDD])
def test_same_random_state_same_scores(textures, cls):
    train, images = textures[0][:16], textures[1][::3]
    settings = {"epochs": 2} if cls is not PatchMemory else {"bank_size": 50}
    one, two, other = (
        quick(cls, random_state=seed, **settings).fit(train).anomaly_score(images)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_interrupted_training_of_the_head_continues(textures, tmp_path):
    train, images = textures[0][:16], textures[1][::3]
    settings = {"epochs": 4, "random_state": 0}
    whole = quick(FeaturePatchSVDD, **settings).fit(train).anomaly_score(images)

    class StopAtTwo(Callback):
        def epoch_end(self, record):
            if record["epoch"] == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quick(FeaturePatchSVDD, checkpoint_dir=tmp_path, callbacks=[StopAtTwo()], **settings).fit(
            train
        )
    continued = quick(FeaturePatchSVDD, checkpoint_dir=tmp_path, **settings).fit(train)
    np.testing.assert_array_equal(continued.anomaly_score(images), whole)


# ---------------------------------------------------------------- fine-tuning


def test_finetuning_draws_features_together_and_survives_a_reload(textures, tmp_path):
    train, images, _, truth = textures
    finetune = {"stages": 2, "epochs": 4, "lr": 1e-4, "keep_spread": 0.1}
    detector = quick(FeatureKNN, finetune=finetune).fit(train)
    history = detector.finetune_history_
    assert history[-1]["spread"] < 0.9
    assert history[-1]["spread"] < history[0]["spread"]
    scores = detector.anomaly_score(images)
    assert roc_auc_score(truth, scores) > 0.9
    assert not np.array_equal(scores, quick(FeatureKNN).fit(train).anomaly_score(images))
    loaded = insphere.load(detector.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(images), scores)
    assert loaded.finetune_history_ == history


def test_contrastive_finetuning_tells_views_apart_and_survives_a_reload(textures, tmp_path):
    train, images, _, truth = textures
    finetune = {"objective": "contrastive", "stages": 1, "epochs": 3, "lr": 1e-4, "views": 2}
    detector = quick(FeatureKNN, finetune=finetune).fit(train)
    history = detector.finetune_history_
    assert history[-1]["loss"] < history[0]["loss"]
    scores = detector.anomaly_score(images)
    assert roc_auc_score(truth, scores) > 0.9
    loaded = insphere.load(detector.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(images), scores)


def test_contrastive_loss_against_a_hand_computed_value():
    """Two images, two views each, at right angles to the other image's: −log(e² / (e² + 2))."""
    z = torch.tensor([[3.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 5.0]])
    expected = -np.log(np.exp(2) / (np.exp(2) + 2))
    assert float(contrast(z, 0.5)) == pytest.approx(expected, rel=1e-5)


def test_random_views_keep_shape_and_kind_and_follow_the_seed(textures):
    for images in (textures[0][:8], (textures[0][:8] / 255).astype(np.float32)):
        views = random_views(images, 3)
        assert views.shape == images.shape
        assert views.dtype == images.dtype
        np.testing.assert_array_equal(views, random_views(images, 3))
        assert not np.array_equal(views, random_views(images, 4))
        assert views.min() >= 0
        assert views.max() <= (255 if images.dtype == np.uint8 else 1)


@pytest.mark.slow
def test_finetuning_ends_before_features_collapse(textures, tmp_path):
    settings = {"finetune": {"stages": 1, "epochs": 20, "lr": 1e-2}}
    detector = quick(FeatureMahalanobis, **settings).fit(textures[0])
    history = detector.finetune_history_
    assert len(history) < 20
    assert history[-1]["spread"] < 0.5
    assert all(record["spread"] >= 0.5 for record in history[:-1])
    assert "Fine-tuning ended" in detector.guard_findings_[0]
    # The weights are those before the features collapsed.
    vectors = detector._pooled(textures[0])
    before = quick(FeatureMahalanobis, **settings | {"finetune": None}).fit(textures[0])
    assert vectors.var(axis=0).sum() > 0.4 * before._pooled(textures[0]).var(axis=0).sum()


def test_untouched_tail_gives_the_features_of_the_whole(textures):
    """Cutting the network, and storing the maps in between, changes nothing but rounding."""
    train = textures[0]
    tuned = quick(FeatureKNN, finetune={"stages": 2, "epochs": 1, "lr": 1e-30}).fit(train)
    whole = quick(FeatureKNN).fit(train)
    np.testing.assert_allclose(tuned._pooled(train), whole._pooled(train), atol=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"finetune": 0}, "stages"),
        ({"finetune": 8}, "has only 8"),
        ({"finetune": {"epoch": 3}}, "epoch"),
        ({"finetune": {"objective": "contrastive", "views": 1}}, "views"),
        ({"finetune": 2, "mirrored": True}, "mirrored"),
        ({"finetune": 1, "stages": ["s3"]}, "stages names s3"),
        ({"finetune": 1, "backbone": "timm/resnet18", "weights": "random"}, "can be cut"),
    ],
)
def test_impossible_finetuning_gets_one_sentence(textures, change, message):
    with pytest.raises(SpecError, match=message) as caught:
        quick(FeatureKNN, **change).fit(textures[0][:6])
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- settings


def test_focus_changes_scores_and_is_kept_with_the_model(textures, tmp_path):
    train, test = textures[0][:16], textures[1][::3]
    even, focused = (
        quick(FeatureKNN, resolution=128, focus=focus).fit(train) for focus in (None, 0.4)
    )
    scores = focused.anomaly_score(test)
    assert not np.allclose(scores, even.anomaly_score(test))
    focused.save(tmp_path / "model")
    again = insphere.load(tmp_path / "model")
    np.testing.assert_array_equal(again.anomaly_score(test), scores)


def test_methods_are_registered_and_clone():
    names = [name for name in METHODS if detector_class(name) in ALL]
    assert len(names) == len(ALL)
    assert METHODS["fpsvdd"].place.endswith("FeaturePatchSVDD")
    for cls in ALL:
        copy = clone(quick(cls))
        assert copy.get_params() == quick(cls).get_params()


@pytest.mark.parametrize("cls", ALL)
def test_tables_are_refused(cls):
    with pytest.raises(DataError, match="takes images"):
        quick(cls).fit(np.random.default_rng(0).normal(size=(20, 4)))


@pytest.mark.parametrize(
    ("cls", "change", "message"),
    [
        (FeaturePatchSVDD, {"backbone": "vgg"}, "Unknown backbone"),
        (FeaturePatchSVDD, {"objective": "pixel"}, "unit"),
        (FeaturePatchSVDD, {"stages": ["layer1"]}, "s1, s2"),
        (FeaturePatchSVDD, {"neighbourhood": 2}, "odd"),
        (FeaturePatchSVDD, {"grid": 0}, "grid"),
        (FeaturePatchSVDD, {"pooling": "median"}, "weighted"),
        (FeaturePatchSVDD, {"top_share": 0}, "top_share"),
        (FeaturePatchSVDD, {"smoothing": -1}, "smoothing"),
        (FeaturePatchSVDD, {"resolution": 50}, "multiple of 32"),
        (FeaturePatchSVDD, {"resampling": "nearest"}, "bicubic"),
        (FeaturePatchSVDD, {"head": {"kind": "lenet"}}, "mlp"),
        (FeaturePatchSVDD, {"head": {"widths": []}}, "widths"),
        (FeaturePatchSVDD, {"epochs": -1}, "epochs"),
        (FeatureKNN, {"n_neighbors": 0}, "n_neighbors"),
        (FeatureKNN, {"normalize": "l1"}, "root-l2"),
        (FeatureKNN, {"statistic": "median"}, "both"),
        (FeatureKNN, {"focus": 0}, "focus"),
        (FeatureSVDD, {"focus": "middle"}, "focus"),
        (FeaturePCA, {"pca": 1.0}, "pca"),
        (PatchMemory, {"bank_size": 0}, "bank_size"),
    ],
)
def test_bad_settings_get_one_sentence(textures, cls, change, message):
    with pytest.raises(SpecError, match=message) as caught:
        quick(cls, **change).fit(textures[0][:4])
    assert "\n" not in str(caught.value)


def test_heads_that_could_collapse_are_refused(textures):
    with pytest.raises(CollapseError, match="bias"):
        quick(FeaturePatchSVDD, head={"bias": True}).fit(textures[0][:4])


# ---------------------------------------------------------------- from the command line


def test_folder_to_model_report_and_pixel_metrics(tmp_path, capsys):
    folder = write_mvtec(tmp_path / "weave", 30, 3)
    model, report = tmp_path / "model", tmp_path / "report.html"
    options = ["--option", "resolution=128", "--epochs", "8", "--quiet"]
    assert (
        main(["fit", str(folder), "--method", "fpsvdd", *options, "--out", str(model),
              "--normal", "good", "--report", str(report)]) == 0
    )  # fmt: skip
    page = report.read_text(encoding="utf-8")
    assert page.count("Heat map of this image") >= 12
    assert "per-region overlap" in page
    capsys.readouterr()
    assert main(["evaluate", str(model), str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["evaluation"]["auc"] > 0.85
    assert told["pixels"]["pixel_auc"] > 0.85
    assert told["pixels"]["regions"] == 9


@pytest.mark.parametrize("cls", [FeatureKNN, FeatureSVDD, PatchMemory])
def test_models_of_earlier_versions_round_features_as_they_did(cls, textures, tmp_path):
    train, images = textures[0][:20], textures[1][:20]
    now = quick(cls, cache=False, **({"epochs": 1} if cls is FeatureSVDD else {})).fit(train)
    assert not now.rounds_features
    scores = now.anomaly_score(images)
    alone = np.concatenate([now.anomaly_score(image[None]) for image in images])
    np.testing.assert_allclose(alone, scores, rtol=2e-5)
    now._extractor.rounded = True
    rounded = now.anomaly_score(images)
    arrays, meta = now._state()
    now._extractor.rounded = False
    del meta["rounded"]  # they did not name it
    before = clone(now)
    for name in ("modality_", "classes_"):
        if hasattr(now, name):
            setattr(before, name, getattr(now, name))
    before._set_state(arrays, meta)
    assert before.rounds_features
    np.testing.assert_array_equal(before._anomaly_score(images), rounded)
    assert (rounded != scores).any()
    now._extractor.rounded = True
    now.save(tmp_path / "model")
    again = load_detector(tmp_path / "model", precision="float32", device="cpu")
    assert again.rounds_features
    np.testing.assert_array_equal(again.anomaly_score(images), rounded)


def test_cache_command(tmp_path, monkeypatch, capsys, textures):
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path))
    quick(FeatureKNN).fit(np.concatenate([textures[0], textures[1]]))
    assert main(["cache", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["features"]["entries"] == 1
    assert told["features"]["bytes"] > 64 * 8000
    assert told["features"]["limit_bytes"] == 20_000_000_000
    assert main(["cache", "--clear", "features"]) == 0
    assert "removed 1.1 MB" in capsys.readouterr().out
    assert not list(tmp_path.glob("features/*/about.json"))
    assert main(["cache", "--clear", "everything"]) == 2
