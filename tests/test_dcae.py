import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import insphere
from insphere.detectors import DeepCAE, DeepSVDD
from insphere.errors import ModelError, SpecError
from insphere.nets import EncoderSpec
from insphere.training.callbacks import Callback
from insphere.training.recipe import Phase, Recipe

QUICK = Recipe(
    pretrain=Phase(epochs=6, lr=1e-2, batch_size=50), train=Phase(epochs=1, batch_size=50)
)


class Epochs(Callback):
    def __init__(self):
        self.seen = []

    def epoch_end(self, record):
        self.seen.append(record["phase"])


@pytest.fixture(scope="module")
def threes(digits):
    images, target = digits
    return images[target == 3][:150]


@pytest.fixture(scope="module")
def fitted(threes):
    return DeepCAE(recipe=QUICK, random_state=0, contamination=0.05).fit(threes)


def weights_act_on_gradients(estimator):
    """Checks of scikit-learn that suppose a weight to be the same as a repeated row."""
    reason = "batches, preprocessing and threshold count each sample once"
    return {"check_sample_weight_equivalence_on_dense_data": reason}


@parametrize_with_checks(
    [DeepCAE(epochs=3, contamination=0.05)],
    expected_failed_checks=weights_act_on_gradients,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# ---------------------------------------------------------------- it works on real data


def test_auc_on_real_digits_and_training_is_what_makes_it(digits):
    images, target = digits
    normal = np.flatnonzero(target == 2)
    test = np.concatenate([normal[100:], np.flatnonzero(target != 2)])
    encoder = EncoderSpec(widths=(16, 8), rep_dim=16, kernel=3)
    aucs = []
    for epochs in (1, 60):
        detector = DeepCAE(
            encoder=encoder,
            epochs=epochs,
            lr=1e-2,
            batch_size=50,
            random_state=0,
            contamination=0.05,
        )
        scores = detector.fit(images[normal[:100]]).anomaly_score(images[test])
        aucs.append(roc_auc_score(target[test] != 2, scores))
    assert detector.history_[-1]["loss"] < 0.5 * detector.history_[0]["loss"]
    assert aucs[1] > 0.9
    assert aucs[1] > aucs[0] + 0.2


def test_table_of_real_measurements():
    X, y = load_breast_cancer(return_X_y=True)
    malignant, benign = X[y == 0], X[y == 1]
    detector = DeepCAE(random_state=0, contamination=0.05).fit(benign[:200])
    scores = detector.anomaly_score(np.vstack([benign[200:], malignant]))
    truth = np.repeat([0, 1], [len(benign) - 200, len(malignant)])
    assert roc_auc_score(truth, scores) > 0.85
    restored = detector.reconstruct(benign[200:])
    assert restored.shape == benign[200:].shape
    # The columns' own units: errors far below their spread, which reaches from 0.01 to 200.
    share = np.abs(restored - benign[200:]).mean(axis=0) / benign.std(axis=0)
    assert np.median(share) < 0.7


# ---------------------------------------------------------------- score and reconstruction


def test_score_is_the_squared_error_of_preprocessed_images(fitted, threes):
    network = fitted.autoencoder_
    with torch.no_grad():
        x = network.preprocessor(torch.from_numpy(threes[:9]).permute(0, 3, 1, 2))
        by_hand = (network.decoder(network.encoder(x)) - x).square().sum(dim=(1, 2, 3))
    np.testing.assert_allclose(fitted.anomaly_score(threes[:9]), by_hand, rtol=1e-4)
    assert fitted.transform(threes[:9]).shape == (9, 32)


def test_scores_do_not_depend_on_the_company(fitted, digits):
    images, _ = digits
    together = fitted.anomaly_score(images[:300])
    alone = np.concatenate([fitted.anomaly_score(images[i : i + 1]) for i in range(0, 300, 47)])
    np.testing.assert_allclose(alone, together[::47], rtol=1e-4)


@pytest.mark.parametrize("preprocess", [None, ["zca"], ["standardize", "gcn"], []])
def test_reconstructions_are_on_the_scale_of_the_images(threes, preprocess):
    threes = threes[:60]
    encoder = EncoderSpec(widths=(16, 16), rep_dim=32, kernel=3)
    settings = {"epochs": 60, "lr": 1e-2, "batch_size": 30, "random_state": 0}
    detector = DeepCAE(encoder=encoder, preprocess=preprocess, **settings)
    restored = detector.fit(threes).reconstruct(threes)
    pixels = threes / 255
    assert restored.shape == threes.shape
    assert restored.dtype == np.float32
    assert restored.min() >= 0
    assert restored.max() <= 1
    # Closer than the mean image, which is what a network without information would give.
    assert np.square(restored - pixels).mean() < 0.5 * np.square(pixels.mean(0) - pixels).mean()


def test_perfect_reconstruction_gives_the_image_back(fitted, threes):
    network = fitted.autoencoder_
    encoder, decoder = network.encoder, network.decoder
    try:
        network.encoder = network.decoder = torch.nn.Identity()
        x = torch.from_numpy(threes[:20]).permute(0, 3, 1, 2)
        x[3] = 77  # a constant image has no contrast to give back
        torch.testing.assert_close(network.reconstruct(x), x / 255, rtol=0, atol=1e-6)
    finally:
        network.encoder, network.decoder = encoder, decoder


# ---------------------------------------------------------------- one training for two detectors


@pytest.mark.parametrize("first", [DeepCAE, DeepSVDD])
def test_autoencoder_is_trained_once_for_both_detectors(threes, tmp_path, first):
    second = DeepSVDD if first is DeepCAE else DeepCAE
    before, after = Epochs(), Epochs()
    settings = {"recipe": QUICK, "random_state": 3, "checkpoint_dir": tmp_path}
    one = first(callbacks=[before], **settings).fit(threes)
    other = second(callbacks=[after], **settings).fit(threes)
    assert before.seen.count("pretrain") == QUICK.pretrain.epochs
    assert "pretrain" not in after.seen
    assert one.history_[: QUICK.pretrain.epochs] == other.history_[: QUICK.pretrain.epochs]
    assert len(list(tmp_path.glob("pretrain-*"))) == 1
    alone = second(recipe=QUICK, random_state=3).fit(threes)
    np.testing.assert_array_equal(alone.anomaly_score(threes), other.anomaly_score(threes))


def test_other_settings_get_an_autoencoder_of_their_own(threes, tmp_path):
    for changes in ({}, {"random_state": 1}, {"preprocess": []}, {"epochs": 3}):
        settings = {"recipe": QUICK, "random_state": 0, "checkpoint_dir": tmp_path} | changes
        DeepCAE(**settings).fit(threes)
    assert len(list(tmp_path.glob("pretrain-*"))) == 4


# ---------------------------------------------------------------- settings and saving


def test_same_random_state_same_scores(threes):
    first, second, other = (
        DeepCAE(recipe=QUICK, random_state=seed, contamination=0.05)
        .fit(threes)
        .anomaly_score(threes)
        for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_bias_terms_are_allowed_here(threes):
    encoder = EncoderSpec(widths=(4,), rep_dim=4, bias=True, norm_affine=True)
    DeepCAE(encoder=encoder, recipe=QUICK, contamination=0.05).fit(threes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "at least one epoch"),
        ({"epochs": -1}, "epochs"),
        ({"lr": 0.0}, "lr"),
        ({"encoder": "vgg"}, "mnist"),
        ({"preprocess": ["blur"]}, "zca"),
        ({"recipe": "slow"}, "paper"),
        ({"device": "abacus"}, "auto"),
    ],
)
def test_bad_settings_get_one_sentence(threes, change, message):
    with pytest.raises(SpecError, match=message) as caught:
        DeepCAE(**change).fit(threes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["images", "table"])
def test_reload_is_the_same_bit_for_bit(digits, tmp_path, kind):
    images, target = digits
    X = images if kind == "images" else images.reshape(len(images), -1) / 255.0
    detector = DeepCAE(recipe=QUICK, epochs=2, random_state=0, contamination=0.05).fit(
        X[target == 3]
    )
    loaded = insphere.load(detector.save(tmp_path / "model"))
    assert type(loaded) is DeepCAE
    for method in ("anomaly_score", "predict", "reconstruct", "transform"):
        np.testing.assert_array_equal(getattr(loaded, method)(X), getattr(detector, method)(X))
    assert loaded.spec_ == detector.spec_
    assert loaded.history_ == detector.history_


def test_weights_of_another_network_are_refused(fitted):
    arrays, meta = fitted._state()
    other = DeepCAE(contamination=0.05)
    other.modality_ = fitted.modality_
    meta["spec"]["encoder"]["rep_dim"] = 16
    with pytest.raises(ModelError, match="do not belong together"):
        other._set_state(arrays, meta)
