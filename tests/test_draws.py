"""Random draws belong to a fit, and training computes gradients: whatever else the process does."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from insphere.detectors import (
    AnoGAN,
    ConvolutionalSVDD,
    DeepCAE,
    DeepSVDD,
    SoftmaxThreshold,
    load_detector,
)
from insphere.nets.draws import Dropout, current_draws, drawing, initial_weights

FEW = {"epochs": 2, "random_state": 0, "contamination": 0.05}
DETECTORS = {
    "deep-svdd": lambda: DeepSVDD(recipe="fast", pretrain_epochs=2, **FEW),
    "dropout": lambda: DeepSVDD(
        recipe="fast",
        pretrain_epochs=1,
        encoder={"base": "auto", "dropout": 0.3},
        allow_collapse=True,
        **FEW,
    ),
    "fcdd": lambda: ConvolutionalSVDD(**FEW),
    "dcae": lambda: DeepCAE(**FEW),
    "anogan": lambda: AnoGAN(
        train_steps=4, search_steps=2, width=4, latent_dim=8, random_state=0, contamination=0.05
    ),
}


@pytest.fixture(scope="module")
def threes():
    X, y = load_digits(return_X_y=True)
    return (X.reshape(-1, 8, 8) * 15.9375).astype(np.uint8)[y == 3][:60]


@pytest.mark.parametrize("name", DETECTORS)
def test_fits_in_several_threads_equal_one_alone(name, threes):
    def one(_=None):
        return DETECTORS[name]().fit(threes).anomaly_score(threes)

    alone = one()
    with ThreadPoolExecutor(3) as pool:
        for scores in pool.map(one, range(3)):
            np.testing.assert_array_equal(scores, alone)


@pytest.mark.parametrize("name", DETECTORS)
def test_loading_leaves_the_random_state_of_the_process_alone(name, threes, tmp_path):
    DETECTORS[name]().fit(threes).save(tmp_path / "m")
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    load_detector(tmp_path / "m").anomaly_score(threes)
    assert torch.equal(torch.rand(3), wanted)


def test_a_fit_leaves_the_random_state_of_the_process_alone(threes):
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    DETECTORS["dropout"]().fit(threes)
    assert torch.equal(torch.rand(3), wanted)


def test_draws_of_the_process_do_not_change_a_fit(threes):
    torch.manual_seed(1)
    one = DETECTORS["dropout"]().fit(threes).anomaly_score(threes)
    torch.manual_seed(2)
    np.testing.assert_array_equal(DETECTORS["dropout"]().fit(threes).anomaly_score(threes), one)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["deep-svdd", "fcdd", "dcae", "anogan"])
def test_training_works_where_gradients_are_switched_off(off, name, threes):
    wanted = DETECTORS[name]().fit(threes).anomaly_score(threes)
    with off():
        detector = DETECTORS[name]().fit(threes)
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(detector.anomaly_score(threes), wanted)


def test_a_classifier_trains_where_gradients_are_switched_off():
    X, y = load_digits(return_X_y=True)
    X = (X.reshape(-1, 8, 8) * 15.9375).astype(np.uint8)[:200]
    with torch.no_grad():
        detector = SoftmaxThreshold(normal=[3], epochs=1, random_state=0, contamination=0.05).fit(
            X, y[:200]
        )
    assert np.isfinite(detector.anomaly_score(X)).all()


@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 6, 6), (300, 512)])
@pytest.mark.parametrize("whole", [False, True])
def test_dropout_has_the_values_of_torch(shape, whole):
    if whole and len(shape) != 4:
        pytest.skip("there are no maps")
    x = torch.rand(shape)
    if len(shape) == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    theirs = nn.Dropout2d(0.3) if whole else nn.Dropout(0.3)
    with initial_weights(5):
        expected = theirs(x)
    ours = Dropout(0.3, whole_maps=whole)
    with drawing(5):
        torch.testing.assert_close(ours(x), expected, rtol=0, atol=0)
        assert not torch.equal(ours(x), expected)  # the next draw is another
    assert torch.equal(ours.eval()(x), x)


def test_draws_end_with_their_block():
    cpu = torch.device("cpu")
    assert current_draws(cpu) is None
    with drawing(1):
        outer = current_draws(cpu)
        with drawing(2):
            assert current_draws(cpu) is not outer
        assert current_draws(cpu) is outer
    assert current_draws(cpu) is None
