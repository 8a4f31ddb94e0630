"""Training on normals of which some are anomalous."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.metrics import roc_auc_score

from insphere import DeepSVDD
from insphere.errors import SpecError
from insphere.training.pollution import Pollution

DISTANCES = torch.tensor([1.0, 8.0, 2.0, 4.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("refine", [1, 0, 2, 0]),
        ("soft", [1, 0.5 * 8 + 0.5 / 8, 2, 0.5 * 4 + 0.5 / 4]),
        ("hard", [1, 1 / 8, 2, 1 / 4]),
    ],
)
def test_losses_by_hand(form, expected):
    losses = Pollution(share=0.49, form=form).losses(DISTANCES)
    assert losses.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_share_below_one_sample_changes_nothing():
    assert_array_equal(Pollution(share=0.1).losses(DISTANCES), DISTANCES)


def test_hard_pushes_out_what_is_taken_to_be_anomalous():
    d = DISTANCES.clone().requires_grad_()
    Pollution(share=0.25, form="hard").losses(d).sum().backward()
    assert d.grad[1] < 0
    assert (d.grad[[0, 2, 3]] == 1).all()


@pytest.mark.slow
def test_refining_wins_back_auc_on_polluted_digits(digits):
    images, target = digits
    gains = []
    for normal in (0, 6):
        own, others = np.flatnonzero(target == normal), np.flatnonzero(target != normal)
        train = np.concatenate([own[:90], others[:10]])
        test = np.concatenate([own[90:], others[10:]])
        aucs = [
            roc_auc_score(
                target[test] != normal,
                DeepSVDD(
                    epochs=40,
                    pretrain_epochs=0,
                    pollution=pollution,
                    random_state=0,
                    contamination=0.05,
                )
                .fit(images[train])
                .anomaly_score(images[test]),
            )
            for pollution in (None, {"share": 0.1, "form": "refine"})
        ]
        gains.append(aucs[1] - aucs[0])
    assert np.mean(gains) > 0


@pytest.mark.parametrize(
    "pollution", [0.5, 0, -0.1, {"share": 0.1, "form": "brush"}, {"form": "soft"}]
)
def test_impossible_shares_are_refused(pollution):
    with pytest.raises(SpecError):
        DeepSVDD(recipe="fast", epochs=1, pollution=pollution, contamination=0.05).fit(
            np.random.default_rng(0).normal(size=(20, 3))
        )


def test_pollution_and_the_soft_boundary_are_refused_together():
    with pytest.raises(SpecError, match="do not go together"):
        DeepSVDD(
            recipe="fast", epochs=1, pollution=0.1, objective="soft-boundary", contamination=0.05
        ).fit(np.random.default_rng(0).normal(size=(20, 3)))
