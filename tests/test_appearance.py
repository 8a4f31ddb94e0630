"""What is usual for normal images that look alike: its numbers, its regression, its use."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

import insphere
from insphere import DeepSVDD
from insphere.data.load import load_dataset
from insphere.nets.appearance import Appearance
from insphere.nets.build import build_encoder
from insphere.nets.spec import EncoderSpec
from insphere.nets.view_encoder import ViewEncoder, ViewPlan
from insphere.training.heads.combined import CombinedSpec
from insphere.training.heads.usual_values import UsualValues
from insphere.training.pretraining.held_out import held_out


def test_the_numbers_are_those_of_their_definitions():
    image = np.random.default_rng(0).integers(0, 255, (3, 12, 9, 1)).astype(np.uint8)
    found = Appearance()(torch.from_numpy(image).permute(0, 3, 1, 2)).numpy()
    for row, one in zip(found, image[..., 0] / 255.0, strict=True):
        detail = one - gaussian_filter(one, 1.0, mode="constant")
        variation = np.abs(np.diff(one, axis=0)).mean() + np.abs(np.diff(one, axis=1)).mean()
        wanted = [one.mean(), one.std(), *np.log(1e-4 + np.array(
            [np.sqrt((one**2).mean()), variation, np.sqrt((detail**2).mean())]
        ))]  # fmt: skip
        assert_allclose(row, wanted, rtol=1e-4)
    floats = Appearance()(torch.from_numpy(image / np.float32(255)).permute(0, 3, 1, 2))
    assert_allclose(floats, found, rtol=1e-5)


def test_an_empty_image_has_numbers_too():
    assert torch.isfinite(Appearance()(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))).all()


def test_the_regression_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(200, 5)) * [1, 2, 0.1, 5, 1] + 3
    values = looks @ rng.normal(size=(5, 2)) + rng.normal(size=(200, 2))
    values -= values.mean(axis=0)
    usual = UsualValues(2, 5).double()
    usual.fit(torch.from_numpy(looks), torch.from_numpy(values))
    q = (looks - looks.mean(axis=0)) / looks.std(axis=0)
    wanted = Ridge(alpha=20, fit_intercept=False).fit(q, values)
    common = np.clip(q, *np.quantile(q, [0.1, 0.9], axis=0))
    assert_allclose(usual(torch.from_numpy(looks)), wanted.predict(common), rtol=1e-8)


def test_looking_unlike_most_normal_images_excuses_nothing():
    looks = torch.linspace(0, 1, 200)[:, None].double()
    usual = UsualValues(1, 1).double()
    usual.fit(looks, 3 * (looks - 0.5))
    far = usual(torch.tensor([[-100.0], [0.05], [0.95], [100.0]]).double())[:, 0]
    assert far[0] == far[1]
    assert far[2] == far[3]
    assert far[3] > far[0]


def test_images_that_all_look_the_same_have_one_usual_value():
    usual = UsualValues(1, 5).double()
    usual.fit(torch.ones(150, 5).double(), torch.randn(150, 1).double())
    found = usual(torch.randn(4, 5).double())
    assert torch.isfinite(found).all()
    assert_allclose(found, np.zeros((4, 1)), atol=1e-6)


def test_of_few_images_nothing_is_learned():
    usual = UsualValues(2, 5).double()
    usual.fit(torch.randn(99, 5).double(), torch.randn(99, 2).double())
    assert not usual(torch.randn(4, 5).double()).any()


def test_a_head_compares_with_images_that_look_alike():
    small = EncoderSpec(kind="compact", widths=(8, 8), rep_dim=16)
    viewed = ViewEncoder(build_encoder(small, (1, 8, 8)), 16, ViewPlan(turns=(0, 2)), (1, 8, 8))
    parts = ("neighbors", "pixels")
    head = CombinedSpec(parts=parts, appearance=True).build_on(viewed)
    assert viewed.described
    torch.manual_seed(0)
    rows, apart = torch.rand(1200, 2 * 16 + 64 + 5).double(), held_out(1200)
    head = head.double()
    head.fit_and_calibrate(rows, apart)
    plain = CombinedSpec(parts=parts, appearance=False).build_on(viewed).double()
    plain.fit_and_calibrate(rows[:, :-5], apart)
    logs = (plain.parts(rows[:, :-5]) + 1e-4).log()
    numbers = rows[:, -5:]
    calibrated = CombinedSpec(parts=parts, appearance=False).build_on(viewed).double()
    calibrated._adopt(rows[~apart][:, :-5])
    own = (calibrated.parts(rows[apart][:, :-5]) + 1e-4).log()
    usual = UsualValues(2, 5).double()
    usual.fit(numbers[apart], own - own.mean(dim=0))
    rest = own - own.mean(dim=0) - usual(numbers[apart])
    wanted = (logs - own.mean(dim=0) - usual(numbers)) / rest.std(dim=0, correction=0)
    torch.testing.assert_close(head.standardised(rows), wanted)
    torch.testing.assert_close(head(rows), wanted.mean(dim=1).exp())


QUICK = {"recipe": "best", "pretrain_epochs": 2, "random_state": 0, "contamination": 0.05}


@pytest.fixture(scope="module")
def digits():
    data = load_dataset("digits-8x8", progress=False)
    return data.images, data.labels


def test_it_is_the_default_for_grey_images_alone(digits):
    images, labels = digits
    ones = images[labels == 1][:100]
    grey = DeepSVDD(**QUICK).fit(ones)
    assert grey.spec_.head.appearance is True
    colour = DeepSVDD(**QUICK).fit(np.repeat(ones, 3, axis=3))
    assert colour.spec_.head.appearance is False
    asked = {"kind": "combined", "appearance": False}
    assert DeepSVDD(**QUICK, head=asked).fit(ones).spec_.head.appearance is False


def test_models_of_earlier_versions_score_as_before(digits, tmp_path):
    images, labels = digits
    plain = {"kind": "combined", "appearance": False}
    before = DeepSVDD(**QUICK, head=plain).fit(images[labels == 1][:100])
    scores = before.anomaly_score(images[:50])
    loaded = insphere.load(before.save(tmp_path / "model"))
    arrays, state = before._state()
    without(state)
    assert "appearance" not in json.dumps(state)
    loaded._set_state(arrays, state)
    assert loaded.anomaly_score(images[:50]).tobytes() == scores.tobytes()


def without(state):
    """Remove the setting wherever it stands."""
    for value in list(state.values()):
        if isinstance(value, dict):
            value.pop("appearance", None)
            without(value)


def test_new_models_score_the_same_after_saving(digits, tmp_path):
    images, labels = digits
    detector = DeepSVDD(**QUICK).fit(images[labels == 1][:100])
    scores = detector.anomaly_score(images[:50])
    loaded = insphere.load(detector.save(tmp_path / "model"))
    assert loaded.anomaly_score(images[:50]).tobytes() == scores.tobytes()


def test_simple_images_are_not_normal_for_being_simple():
    """Beside an eight, most digits have less ink, and lie near some eight or other."""
    data = load_dataset("mnist-5k", progress=False)
    normal = np.isin(data.labels, (2, 5, 8))
    own = np.random.default_rng(0).permutation(data.images[normal])
    new = np.concatenate([own[1100:], data.images[~normal]])
    truth = np.r_[np.zeros(len(own) - 1100), np.ones((~normal).sum())]
    aucs = {}
    for appearance in (True, False):
        head = {"kind": "combined", "parts": ["pixels"], "appearance": appearance}
        detector = DeepSVDD(**QUICK, head=head).fit(own[:1100])
        aucs[appearance] = roc_auc_score(truth, detector.anomaly_score(new))
    assert aucs[True] > aucs[False] + 0.003
