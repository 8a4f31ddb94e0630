"""Collapse is seen where it is allowed, refused where it is not, and the remedies are real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from insphere.cli import main
from insphere.detectors import DeepSVDD, load_detector
from insphere.errors import CollapseError, DataError, SpecError
from insphere.experiments.analysis.collapse_study import SCENARIOS, collapse_run, summary
from insphere.experiments.store.jsonl_rows import read_rows
from insphere.figures import collapse_curves
from insphere.nets import EncoderSpec
from insphere.training.deep_svdd import SphereSpec, train_sphere
from insphere.training.regularizers import covariance_loss, variance_loss

SMALL = EncoderSpec(widths=(8,), rep_dim=4, kernel=3, bias=True)
QUICK = {"encoder": SMALL, "pretrain_epochs": 0, "epochs": 3, "precision": "float32"}


@pytest.fixture(scope="module")
def threes() -> np.ndarray:
    data = load_digits()
    return (data.images[data.target == 3] * 15.9375).astype(np.uint8)[..., None]


def test_a_centre_at_the_origin_drives_radius_and_auc_to_nothing() -> None:
    plain, zero = (
        collapse_run(name, dataset="digits-8x8", epochs=50) for name in ("plain", "zero-centre")
    )
    assert [point["epoch"] for point in zero["history"]] == list(range(51))
    told, safe = summary(zero), summary(plain)
    assert told["radius_share"] < 0.5 * safe["radius_share"]
    assert told["refused"]
    assert zero["refused"].startswith("With the centre at the origin, zero weights map every")
    assert not safe["refused"]
    assert safe["guard_epoch"] is None
    assert safe["auc_end"] > told["auc_end"]
    assert len(collapse_curves([plain, zero]).axes) == 2
    with pytest.raises(DataError, match="1 to 6 runs, not 7"):
        collapse_curves([plain] * 7)


def test_every_unsafe_network_is_refused(threes) -> None:
    for name, scenario in SCENARIOS.items():
        unsafe = {"norm_affine": True} if name == "affine" else scenario.encoder
        if scenario.remedy or not unsafe:
            continue
        detector = DeepSVDD(
            encoder={"widths": (8,), "rep_dim": 4, "kernel": 3, **unsafe},
            pretrain_epochs=0, epochs=1, random_state=0,
        contamination=0.05)  # fmt: skip
        with pytest.raises(CollapseError):
            detector.fit(threes)
    with pytest.raises(SpecError, match="Unknown scenario 'rust'; use one of plain, bias"):
        collapse_run("rust")


def test_regularizers_by_hand() -> None:
    z = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 2.0]])
    # Standard deviations 0.5 and 2: only the first falls short of 1, by a half.
    assert float(variance_loss(z * torch.tensor([0.25, 2.0]))) == pytest.approx(0.25)
    # Covariance of the two columns: (−2·−1 + 0·1 + 2·0) / 2 = 1, twice, over two dimensions.
    assert float(covariance_loss(z)) == pytest.approx(1.0)


def test_a_variance_term_allows_bias_and_keeps_the_spread(threes, tmp_path: Path) -> None:
    with pytest.raises(CollapseError, match="learns a bias"):
        DeepSVDD(**QUICK, regularizers={"noise": 0.1}).fit(threes)
    settings = {**QUICK, "epochs": 25, "lr": 1e-2, "batch_size": 50, "random_state": 0}
    settings["contamination"] = 0.05
    bare = DeepSVDD(**settings, allow_collapse=True).fit(threes)
    kept = DeepSVDD(**settings, regularizers={"variance": 1.0, "covariance": 0.1}).fit(threes)
    assert kept.history_[-1]["spread"] > 3 * bare.history_[-1]["spread"]
    assert kept.spec_.regularizers.variance == 1.0
    loaded = load_detector(kept.save(tmp_path / "model"))
    assert loaded.anomaly_score(threes).tobytes() == kept.anomaly_score(threes).tobytes()
    assert loaded.spec_ == kept.spec_
    with pytest.raises(SpecError, match=r"regularizers|variance"):
        DeepSVDD(**QUICK, regularizers={"variance": -1}).fit(threes)


def test_options_that_are_off_change_no_identity(threes) -> None:
    spec = (
        DeepSVDD(epochs=1, pretrain_epochs=0, random_state=0, contamination=0.05)
        .fit(threes[:20])
        .spec_
    )
    assert not {"center", "regularizers"} & set(spec.model_dump(mode="json"))
    other = spec.model_copy(update={"center": "zero"})
    assert other.model_dump(mode="json")["center"] == "zero"
    assert SphereSpec.model_validate(other.model_dump(mode="json")) == other
    with pytest.raises(CollapseError, match="centre at the origin"):
        train_sphere(threes[:20], other, seed=0, device=torch.device("cpu"))


def test_the_command(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    command = [
        "collapse", "--dataset", "digits-8x8", "--epochs", "2", "--scenario", "plain",
        "--scenario", "zero-centre", "--out", "rows.jsonl", "--figure", "c.svg",
    ]  # fmt: skip
    assert main(command) == 0
    out, err = capsys.readouterr()
    text = " ".join(out.split())
    assert "as the paper" in text
    assert "refuses" in text
    assert "seed 0 …" in err
    assert Path("c.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert len(read_rows(Path("rows.jsonl"))) == 2
    assert main(command) == 0  # nothing is run again
    assert "seed 0 …" not in capsys.readouterr().err
    assert len(read_rows(Path("rows.jsonl"))) == 2
    assert main(["collapse", "--scenario", "rust"]) == 2
    assert "Unknown scenario rust; use one of plain" in capsys.readouterr().err
    assert main(["collapse", "--epochs", "0"]) == 2
    assert main(["collapse", "--figure", "c.gif"]) == 2
