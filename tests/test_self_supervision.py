"""Self-supervised pretraining, the encoder of views, and the heads that look at them."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

import insphere
from insphere.detectors import DeepSAD, DeepSVDD, KNNDetector
from insphere.detectors.spheres.untrained import UntrainedDeepSVDD
from insphere.errors import SpecError
from insphere.experiments.runs.run_builder import RunChoice, baseline_of, controls_of
from insphere.nets.build import build_decoder, build_encoder
from insphere.nets.spec import NAMED, EncoderSpec
from insphere.nets.view_encoder import ViewEncoder, ViewPlan
from insphere.nets.views import View, mirrored, nearest_mean, shifted, turned
from insphere.training.batch import Batch
from insphere.training.callbacks import Callback
from insphere.training.heads.combined import CombinedSpec
from insphere.training.heads.ellipsoid import EllipsoidSpec
from insphere.training.heads.neighbors import NeighborsSpec
from insphere.training.loop import seeded
from insphere.training.pretraining.rotation import (
    RotationPretraining,
    TellingViews,
    held_out,
    mirror_images_differ,
)
from insphere.training.recipe import BEST, FAST, Phase, Recipe, recipe_for

SMALL = EncoderSpec(kind="compact", widths=(8, 16))
QUICK = Recipe(
    pretrain=Phase(epochs=3, lr=3e-3, schedule="one-cycle", batch_size=64),
    train=Phase(epochs=0),
)
SETTINGS = {
    "encoder": SMALL, "recipe": QUICK, "pretraining": "rotation", "head": "combined",
    "precision": "float32", "device": "cpu", "random_state": 0, "contamination": 0.05,
}  # fmt: skip


@pytest.fixture(scope="module")
def digits(mnist):
    return mnist


@pytest.fixture(scope="module")
def threes(digits):
    images, target = digits
    return images[target == 3][:160]


def rows(n, d):
    return np.random.default_rng(0).normal(size=(n, d))


# ---------------------------------------------------------------- views


def test_each_image_gets_its_own_view():
    x = torch.randn(6, 2, 7, 7)
    turns = torch.tensor([0, 1, 2, 3, 1, 2])
    down, right = torch.tensor([0, 2, -3, 1, -1, 0]), torch.tensor([1, -2, 0, 3, -3, 0])
    side = torch.tensor([False, True, False, True, True, False])
    found = turned(shifted(mirrored(x, side), down, right), turns)
    for i in range(6):
        view = View(int(turns[i]), bool(side[i]), int(down[i]), int(right[i]))
        torch.testing.assert_close(found[i], view(x[i : i + 1])[0], rtol=0, atol=0)


def test_a_shift_reflects_at_the_border():
    x = torch.arange(5.0).view(1, 1, 1, 5).expand(1, 1, 5, 5)
    one, two = torch.tensor([0]), torch.tensor([2])
    assert shifted(x, one, two)[0, 0, 0].tolist() == [2, 1, 0, 1, 2]
    assert shifted(x, one, -two)[0, 0, 0].tolist() == [2, 3, 4, 3, 2]


def test_the_views_of_a_plan_and_their_classes():
    plan = ViewPlan(turns=(0, 1, 2, 3), mirrored=True, shift=(7, 7))
    assert plan.classes == {"turn": 8, "down": 3, "right": 3}
    assert plan.poses[5] == View(1, True)
    assert plan.shifts[0] == (View(down=-7, right=-7), 0, 0)
    assert ViewPlan().classes == {"turn": 4}


# ---------------------------------------------------------------- the encoder


def test_the_compact_encoder_cannot_collapse_and_fits_every_side():
    for shape in ((1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 41, 30), (3, 96, 96)):
        encoder = build_encoder(SMALL, shape)
        z = encoder(torch.rand(2, *shape))
        assert z.shape == (2, 16)
        assert build_decoder(SMALL, shape, bounded_output=True)(z).shape == (2, *shape)
    assert NAMED["compact"].rep_dim == 128
    assert EncoderSpec(kind="compact", widths=(8, 24)).rep_dim == 24
    dense = build_encoder(SMALL.derive({"rep_dim": 5}), (1, 28, 28))
    assert dense(torch.rand(2, 1, 28, 28)).shape == (2, 5)
    assert NAMED["mnist"].derive({"kind": "compact"}) == NAMED["compact"]


def test_rows_of_the_encoder_of_views():
    plan = ViewPlan(turns=(0, 2), mirrored=True, shift=(3, 3))
    encoder = build_encoder(SMALL, (1, 12, 12)).eval()
    viewed = ViewEncoder(encoder, 16, plan, (1, 12, 12)).eval()
    x = torch.rand(3, 1, 12, 12)
    rows = viewed(x)
    assert rows.shape == (3, 2 * 16 + 2)
    torch.testing.assert_close(rows[:, 16:32], encoder(x.rot90(2, (2, 3))))
    expected = torch.zeros(3)
    for true, pose in enumerate(plan.poses):
        expected -= viewed.classifiers["turn"](encoder(pose(x))).log_softmax(1)[:, true]
    torch.testing.assert_close(rows[:, 32], expected)
    viewed.surprised = False
    torch.testing.assert_close(viewed(x), rows[:, :32])


# ---------------------------------------------------------------- the pretraining


def test_the_loss_is_the_cross_entropy_of_all_questions():
    plan = ViewPlan(mirrored=True, shift=(7, 7))
    viewed = ViewEncoder(build_encoder(SMALL, (1, 28, 28)), 16, plan, (1, 28, 28))
    for classifier in viewed.classifiers.values():
        torch.nn.init.zeros_(classifier.weight)
        torch.nn.init.zeros_(classifier.bias)
    objective = TellingViews(viewed, jitter=2, mirrors=False)
    with seeded(0):
        loss = objective(Batch(torch.rand(16, 1, 28, 28)))
    assert float(loss) == pytest.approx(np.log(8) + 2 * np.log(3), rel=1e-5)
    loss.backward()
    assert all(c.weight.grad.abs().sum() > 0 for c in viewed.classifiers.values())
    with seeded(1):
        first, truth = objective.draw(torch.rand(16, 1, 28, 28))
    assert len(truth["turn"].unique()) > 3
    assert len(truth["down"].unique()) == 3
    assert first.shape == (16, 1, 28, 28)


def test_a_view_that_is_drawn_is_what_its_class_says():
    x = torch.rand(32, 1, 12, 12)
    viewed = ViewEncoder(torch.nn.Flatten(), 144, ViewPlan(mirrored=True), (1, 12, 12))
    with seeded(3):
        drawn, truth = TellingViews(viewed, jitter=0, mirrors=False).draw(x)
    for i, pose in enumerate(truth["turn"].tolist()):
        torch.testing.assert_close(drawn[i], viewed.plan.poses[pose](x[i : i + 1])[0])


def test_mirror_images_of_digits_are_told_and_of_symmetric_images_are_not(threes):
    assert mirror_images_differ(threes) > 0.8
    alike = np.concatenate([threes[:80], threes[80:, :, ::-1]])
    assert mirror_images_differ(alike) < 0.7
    assert RotationPretraining().for_samples(threes).mirror == "told"
    assert RotationPretraining().for_samples(alike).mirror == "ignored"
    assert RotationPretraining().for_samples(np.zeros((9, 20, 30, 1), np.uint8)).turns == (0, 2)


def test_a_tenth_is_held_out_always_the_same():
    assert int(held_out(203).sum()) == 20
    assert torch.equal(held_out(203), held_out(203))
    assert int(held_out(49).sum()) == 0


def test_training_lowers_the_loss_and_tells_more(threes):
    recipe = QUICK.override(pretrain={"epochs": 30, "batch_size": 32}, train={})
    detector = DeepSVDD(**SETTINGS | {"recipe": recipe}).fit(threes)
    first, last = detector.history_[0], detector.history_[-1]
    assert last["loss"] < 0.85 * first["loss"]
    assert last["turn_told"] > first["turn_told"] + 0.1
    before = UntrainedDeepSVDD(**SETTINGS).fit(threes)
    assert not np.allclose(before.transform(threes), detector.transform(threes))


@pytest.mark.parametrize("epoch", [1, 2])
def test_resuming_gives_what_an_uninterrupted_pretraining_gives(threes, tmp_path, epoch):
    class Stop(Callback):
        def epoch_end(self, record):
            if record["epoch"] == epoch:
                raise KeyboardInterrupt

    settings = SETTINGS | {"checkpoint_dir": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        DeepSVDD(**settings, callbacks=[Stop()]).fit(threes)
    resumed = DeepSVDD(**settings).fit(threes)
    whole = DeepSVDD(**SETTINGS).fit(threes)
    np.testing.assert_array_equal(resumed.anomaly_score(threes), whole.anomaly_score(threes))
    other_head = DeepSVDD(**settings | {"head": "ellipsoid"}).fit(threes)
    assert other_head.spec_.head == EllipsoidSpec()
    assert len(list(tmp_path.glob("pretrain-*"))) == 1


def test_a_warning_where_a_turn_cannot_be_told():
    round_ones = np.zeros((120, 16, 16, 1), np.uint8)
    rng = np.random.default_rng(0)
    grid = np.indices((16, 16)) - 7.5
    for image in round_ones:
        image[..., 0] = 255 * np.exp(-np.square(grid).sum(axis=0) / rng.uniform(5, 40))
    form = {"kind": "rotation", "shift": False, "jitter": 0}
    with pytest.warns(UserWarning, match="can hardly be told"):
        found = DeepSVDD(**SETTINGS | {"pretraining": form}).fit(round_ones)
    assert any("can hardly be told" in finding for finding in found.guard_findings_)


def test_a_warning_where_a_turn_is_told_at_once(threes):
    marked = threes.copy()
    marked[:, :9] = 255
    recipe = QUICK.override(pretrain={"epochs": 10, "schedule": "constant"}, train={})
    form = {"kind": "rotation", "shift": False, "mirror": "ignored", "jitter": 0}
    wide = EncoderSpec(kind="compact", widths=(32, 32))
    settings = SETTINGS | {"pretraining": form, "recipe": recipe, "encoder": wide}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector = DeepSVDD(**settings).fit(np.concatenate([marked] * 6))
    assert detector.history_[1]["turn_told"] > 0.98
    assert any("told at once" in str(one.message) for one in caught)


# ---------------------------------------------------------------- heads


def test_the_ellipsoid_is_the_mahalanobis_distance():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4)) + 3
    head = EllipsoidSpec(shrinkage=0.1).build(4).double()
    head.fit(Batch(torch.from_numpy(z)))
    covariance = np.cov(z.T, bias=True)
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / 4 * np.eye(4)
    centered = z - z.mean(axis=0)
    expected = np.einsum("ni,ij,nj->n", centered, np.linalg.inv(shrunk), centered)
    np.testing.assert_allclose(head(torch.from_numpy(z)), expected, rtol=1e-8)


def test_neighbours_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    stored, new = rng.normal(size=(50, 6)), rng.normal(size=(9, 6))
    head = NeighborsSpec(n_neighbors=3).build(6).double()
    head.fit(Batch(torch.from_numpy(stored)))
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (stored, new)]
    expected = NearestNeighbors(n_neighbors=3).fit(unit[0]).kneighbors(unit[1])[0].mean(axis=1)
    np.testing.assert_allclose(head(torch.from_numpy(new)), expected, rtol=1e-6)
    alone = nearest_mean(torch.from_numpy(stored), torch.from_numpy(stored), 3, itself=True)
    expected = NearestNeighbors(n_neighbors=3).fit(stored).kneighbors()[0].mean(axis=1)
    np.testing.assert_allclose(alone, expected, rtol=1e-6)


def test_a_stored_row_has_no_distance_to_itself():
    """In float32, products would leave a distance of 3e-4 between unit rows that are equal."""
    stored = torch.nn.functional.normalize(torch.from_numpy(rows(300, 32)).float(), dim=1)
    found = nearest_mean(stored, stored, 2)
    alone = torch.cat([nearest_mean(stored, one, 2) for one in stored.split(1)])
    torch.testing.assert_close(alone, found, rtol=1e-6, atol=0)
    exact = NearestNeighbors(n_neighbors=2).fit(stored.double()).kneighbors()[0][:, 0] / 2
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    twice = stored.repeat(2, 1)
    assert float(nearest_mean(twice, twice, 1, itself=True).max()) <= 1e-6


def test_parts_are_standardised_by_the_rows_set_apart():
    plan = ViewPlan(turns=(0, 2), shift=(2, 2))
    viewed = ViewEncoder(build_encoder(SMALL, (1, 8, 8)), 16, plan, (1, 8, 8))
    parts = ("surprise", "ellipsoid", "neighbors", "pixels")
    head = CombinedSpec(parts=parts).build_on(viewed)
    rows, apart = torch.rand(120, 2 * 16 + 2 + 64), held_out(120)
    head.fit_and_calibrate(rows, apart)
    again = CombinedSpec(parts=parts).build_on(viewed)
    again.fit(Batch(rows[~apart]))
    logs = (again.parts(rows[apart]) + 1e-4).log()
    torch.testing.assert_close(head.location, logs.mean(dim=0))
    torch.testing.assert_close(head.scale, logs.std(dim=0, correction=0))
    z = (head.parts(rows) + 1e-4).log().sub(head.location).div(head.scale).mean(dim=1)
    torch.testing.assert_close(head(rows), z.exp())
    torch.testing.assert_close(head.parts(rows)[:, 0], rows[:, 32:34].sum(dim=1))


@pytest.mark.parametrize("head", ["center", "ellipsoid", "neighbors", "combined"])
def test_a_saved_model_scores_the_same_bits(digits, threes, tmp_path, head):
    images, _ = digits
    parts = ("surprise", "ellipsoid", "neighbors", "pixels")
    given = {"kind": "combined", "parts": parts} if head == "combined" else head
    detector = DeepSVDD(**SETTINGS | {"head": given}).fit(threes)
    scores = detector.anomaly_score(images[::100])
    loaded = insphere.load(detector.save(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.anomaly_score(images[::100]), scores)
    assert loaded.transform(images[:3]).shape == (3, 16)
    assert loaded.spec_.pretraining.mirror == "told"


def test_an_exported_model_scores_alike(threes, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from insphere.export.graph import export_onnx
    from insphere.runtime import Scorer

    detector = DeepSVDD(**SETTINGS).fit(threes)
    path = export_onnx(detector.save(tmp_path / "model"), tmp_path / "model.onnx").path
    found = Scorer(path).score(threes[:20]).scores  # stored images: each is its own neighbour
    scores = detector.anomaly_score(threes[:20])
    np.testing.assert_allclose(found, scores, rtol=1e-4)
    alone = [detector.anomaly_score(threes[i : i + 1])[0] for i in range(20)]
    np.testing.assert_allclose(alone, scores, rtol=1e-4)


def test_stored_images_are_not_compared_with_themselves(digits, threes):
    images, target = digits
    new = images[target == 3][160:320]
    for head in ("neighbors", "combined"):
        detector = DeepSVDD(**SETTINGS | {"head": head}).fit(threes)
        assert (detector.anomaly_score(new) > detector.threshold_).mean() < 0.25


def test_settings_that_do_not_go_together():
    X = np.random.default_rng(0).integers(0, 255, (40, 12, 12, 1)).astype(np.uint8)
    for change, why in (
        ({"pretraining": "autoencoder"}, "take pretraining=rotation"),
        ({"epochs": 3}, "leave out epochs"),
        ({"objective": "soft-boundary"}, "head=center"),
    ):
        with pytest.raises(SpecError, match=why):
            DeepSVDD(**SETTINGS | change).fit(X)
    with pytest.raises(SpecError, match="Only images"):
        DeepSVDD(pretraining="rotation", random_state=0).fit(rows(40, 5))


# ---------------------------------------------------------------- the recipe


def test_the_best_recipe_chooses_by_what_is_asked_for(threes):
    quick = {"recipe": "best", "pretrain_epochs": 1, "random_state": 0, "contamination": 0.05}
    detector = DeepSVDD(**quick).fit(threes[:60])
    assert detector.spec_.encoder == NAMED["compact"]
    assert detector.spec_.pretraining.kind == "rotation"
    assert detector.spec_.head.kind == "combined"
    soft = DeepSVDD(**quick, objective="soft-boundary", epochs=1).fit(threes[:60])
    assert soft.spec_.head.kind == "center"
    assert soft.spec_.recipe.train.epochs == 1
    sad = DeepSAD(**quick, epochs=1).fit(threes[:60], np.r_[np.full(58, 1), -1, -1])
    assert sad.spec_.head.kind == "center"
    table = DeepSVDD(recipe="best", epochs=1, pretrain_epochs=1).fit(rows(60, 4))
    assert table.spec_.pretraining.kind == "autoencoder"


def test_the_best_recipe_is_for_images_of_any_colour():
    for shape in ((1, 28, 28), (3, 28, 28)):
        assert recipe_for("best", shape) is BEST
    assert recipe_for("best", (5,)) is FAST
    assert BEST.pretrain.epochs == 40


def test_the_form_names_the_recipe_and_its_controls_share_the_network():
    threes = {"dataset": "mnist-5k", "normal": ("3",)}
    for choice in (RunChoice(**threes), RunChoice(**threes, recipe="best")):
        assert choice.spec().params == {}
        controls = {spec.method: spec.params for spec in controls_of(choice.spec())}
        assert controls == {"untrained": {}, "knn": {}}
    fast = RunChoice(**threes, recipe="fast", pretraining="autoencoder", head="center").spec()
    assert fast.params == {"recipe": "fast"}
    assert baseline_of(fast) == fast
    sphere = {"pretraining": "autoencoder", "head": "center"}  # not what the default takes
    assert RunChoice(**threes, **sphere).spec().params == sphere
    for recipe in ("fast", "paper"):  # whose network and head are the same
        spec = RunChoice(**threes, recipe=recipe).spec()
        assert controls_of(spec)[0].params == {"recipe": "fast"}
    soft = RunChoice(**threes, objective="soft-boundary", epochs=3).spec()
    assert controls_of(soft)[0].params == {"objective": "soft-boundary", "epochs": 3}
    learning = RunChoice(**threes, method="deep-sad", recipe="best").spec()
    assert learning.params == {"recipe": "best"}
    assert baseline_of(learning).params == {}
    assert RunChoice(**threes, method="dcae", recipe="fast").spec().params == {}


@pytest.mark.slow
def test_on_mnist_it_is_ahead_of_nearest_neighbours_and_of_itself_untrained(digits):
    images, target = digits
    three = np.flatnonzero(target == 3)
    train = images[three[:250]]
    test = np.r_[three[250:], np.flatnonzero(target != 3)[::4]]
    truth = target[test] != 3

    def auc(detector):
        return roc_auc_score(truth, detector.fit(train).anomaly_score(images[test]))

    best = auc(DeepSVDD(recipe="best", pretrain_epochs=120, random_state=0))
    assert best > 0.985
    assert best > auc(KNNDetector(blur=1.0)) + 0.01
    assert best > auc(UntrainedDeepSVDD(recipe="best", random_state=0)) + 0.03
