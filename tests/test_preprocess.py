import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.datasets import load_digits

from insphere.errors import SpecError
from insphere.preprocess import (
    GlobalContrast,
    MinMax,
    Preprocessor,
    Standardize,
    ZCAWhitening,
    default_steps,
    parse_steps,
)
from insphere.preprocess.pipeline import to_batch


@pytest.fixture(scope="module")
def digits():
    return (load_digits().images[:300] / 16 * 255).astype(np.uint8)[..., None]


def fitted(steps, images):
    shape = (images.shape[3], *images.shape[1:3])
    return Preprocessor(parse_steps(steps), shape).fit(images)


def raw(images):
    return to_batch(images, torch.device("cpu"))


def test_global_contrast_by_hand():
    x = torch.tensor([[0.0, 1.0, 2.0, 5.0]])  # mean 2, deviations -2 -1 0 3
    np.testing.assert_allclose(GlobalContrast("l1")(x), [[-4 / 3, -2 / 3, 0, 2]], rtol=1e-6)
    rms = np.sqrt(14 / 4)
    np.testing.assert_allclose(
        GlobalContrast("l2")(x), [[-2 / rms, -1 / rms, 0, 3 / rms]], rtol=1e-6
    )


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_constant_image_becomes_zero_instead_of_nan(norm):
    assert GlobalContrast(norm)(torch.full((2, 1, 28, 28), 0.7)).abs().max() < 1e-6


def test_minmax_uses_extremes_of_the_training_images_after_contrast(digits):
    pipeline = fitted(["gcn", "minmax"], digits)
    contrast = GlobalContrast("l1")(raw(digits).float() / 255)
    step = pipeline.steps[1]
    assert step.low.item() == contrast.min().item()
    assert step.high.item() == contrast.max().item()
    out = pipeline(raw(digits))
    assert out.min() == 0
    assert out.max() == 1


def test_minmax_per_channel_by_hand():
    images = np.array([[[[0, 100, 7]]], [[[10, 200, 7]]]], dtype=np.uint8)  # 2×1×1×3
    out = fitted([{"step": "minmax", "scope": "channel"}], images)(raw(images))
    np.testing.assert_allclose(out[:, :, 0, 0], [[0, 0, 0], [1, 1, 0]], atol=1e-6)


@pytest.mark.parametrize("scope", ["all", "channel", "feature"])
def test_standardize_gives_zero_mean_and_unit_deviation(digits, scope):
    rng = np.random.default_rng(0)
    images = np.concatenate([digits, rng.integers(0, 255, digits.shape, np.uint8)], axis=3)
    images = np.concatenate([images, digits], axis=3)
    out = fitted([{"step": "standardize", "scope": scope}], images)(raw(images)).double()
    dims = {"all": (0, 1, 2, 3), "channel": (0, 2, 3), "feature": (0,)}[scope]
    np.testing.assert_allclose(out.mean(dims), 0, atol=1e-5)
    deviation = out.std(dims, correction=0)
    varies = deviation > 0
    np.testing.assert_allclose(deviation[varies], 1, rtol=1e-4)


def test_zca_decorrelates_and_stays_close_to_the_image(digits):
    out = fitted([{"step": "zca", "eps": 1e-6}], digits)(raw(digits)).flatten(1).double()
    covariance = out.T @ out / len(out)
    varied = covariance.diagonal() > 0.5
    kept = covariance[varied][:, varied]
    np.testing.assert_allclose(kept, np.eye(len(kept)), atol=0.2)
    # Zero-phase: each whitened pixel correlates most with its own pixel.
    pixels = raw(digits).flatten(1)[:, varied].double()
    correlation = np.corrcoef(pixels.numpy().T, out[:, varied].numpy().T)[: len(kept), len(kept) :]
    assert (correlation.argmax(axis=1) == np.arange(len(kept))).mean() > 0.9


def test_zca_matches_the_formula():
    x = np.random.default_rng(1).normal(size=(500, 3)) @ np.diag([3.0, 1.0, 0.1])
    step = ZCAWhitening((3,), eps=0.5).double()
    step.fit(lambda: [torch.from_numpy(x)])
    centered = x - x.mean(0)
    values, vectors = np.linalg.eigh(centered.T @ centered / len(x))
    matrix = vectors @ np.diag((values + 0.5 * values.mean()) ** -0.5) @ vectors.T
    np.testing.assert_allclose(step(torch.from_numpy(x)), centered @ matrix, rtol=1e-9)


def test_zca_refuses_huge_images():
    with pytest.raises(SpecError, match="resize"):
        ZCAWhitening((3, 256, 256))


@pytest.mark.parametrize("steps", [["minmax"], ["standardize"], ["zca"], ["minmax", "zca"]])
def test_inverse_restores_the_image(digits, steps):
    pipeline = fitted(steps, digits)
    back = pipeline.inverse(pipeline(raw(digits)))
    np.testing.assert_allclose(back, raw(digits).float() / 255, atol=2e-4)


def test_contrast_normalisation_cannot_be_undone(digits):
    pipeline = fitted(["gcn", "minmax"], digits)
    assert pipeline.inverse(pipeline(raw(digits))) is None


def test_statistics_come_from_the_fitted_images_alone(digits):
    pipeline = fitted(["gcn", "zca", "minmax"], digits[:100])
    before = {k: v.clone() for k, v in pipeline.state_dict().items()}
    pipeline(raw(255 - digits))
    for name, value in pipeline.state_dict().items():
        assert torch.equal(value, before[name])


@given(
    images=hnp.arrays(np.uint8, st.tuples(st.integers(1, 5), st.just(4), st.just(5), st.just(1))),
    steps=st.lists(st.sampled_from(["gcn", "minmax", "standardize", "zca"]), max_size=4),
)
def test_any_steps_on_any_images_stay_finite(images, steps):
    out = fitted(steps, images)(raw(images))
    assert out.shape == (len(images), 1, 4, 5)
    assert torch.isfinite(out).all()


def test_defaults_are_the_papers():
    assert [step.step for step in default_steps((1, 28, 28))] == ["gcn", "minmax"]
    assert [step.step for step in default_steps((7,))] == ["standardize"]


def test_a_name_alone_is_one_step():
    assert parse_steps("minmax") == parse_steps(["minmax"])


@pytest.mark.parametrize(
    "bad", ["blur", ["blur"], [{"step": "gcn", "norm": "l3"}], [{"step": "zca", "eps": 0}]]
)
def test_unknown_steps_are_refused_with_the_known_ones(bad):
    with pytest.raises(SpecError, match="gcn, minmax, standardize and zca"):
        parse_steps(bad)


def test_steps_as_modules_hold_their_statistics_as_buffers():
    assert set(dict(MinMax((1, 2, 2)).named_buffers())) == {"low", "high"}
    assert set(dict(Standardize((1, 2, 2)).named_buffers())) == {"mean", "std"}
