"""A damaged model folder is refused, or scores as before; a forged one breaks nothing else."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import Drawn, altered, check_sentence, damaged, no_longer_than, tries
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as dump_arrays

from insphere.detectors import (
    IsolationForestDetector,
    KNNDetector,
    MahalanobisDetector,
    OneClassDetector,
    describe_model,
    load_detector,
)
from insphere.detectors.persistence.model_format import DESCRIPTION, WEIGHTS, digest
from insphere.errors import InsphereError, ModelError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (40, 5, 5), np.uint8)
ROWS = RNG.normal(size=(40, 3))
MODELS: dict[str, tuple[OneClassDetector, Any]] = {
    "knn": (KNNDetector(n_neighbors=2, false_alarm_rate=0.2, calibration=3), IMAGES),
    "mahalanobis": (MahalanobisDetector(), ROWS),
    "forest": (IsolationForestDetector(n_estimators=3), IMAGES),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Save a model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    return {name: fresh.fit(X).save(folder / name) for name, (fresh, X) in MODELS.items()}


def load(folder: Path) -> OneClassDetector | None:
    """Load a model; None if it is refused as one may be."""
    with no_longer_than(60), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            describe_model(folder)
            return load_detector(folder)
        except ModelError as error:
            check_sentence(str(error))
            return None


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", sorted(MODELS))
@tries(40)
@given(data=st.data())
def test_changed_bytes_are_refused_or_change_no_score(name, models, tmp_path, data):
    files = {part: (models[name] / part).read_bytes() for part in (DESCRIPTION, WEIGHTS)}
    part = data.draw(st.sampled_from(sorted(files)))
    files[part] = data.draw(damaged(files[part]))
    found = load(write(tmp_path / "m", files))
    if found is not None:
        X = MODELS[name][1]
        expected = load_detector(models[name]).score_samples(X)
        np.testing.assert_array_equal(found.score_samples(X), expected)


@st.composite
def forged(draw: Drawn, description: dict[str, Any], weights: bytes) -> dict[str, bytes]:
    """Change what a model says, or its arrays, and sign it as a forger would."""
    description = json.loads(json.dumps(description))
    if draw(st.integers(0, 2)):
        part = draw(st.sampled_from(["params", "fitted", "state", "parts"]))
        if part in description:
            description[part] = draw(altered(description[part]))
    else:
        arrays = load_arrays(weights)
        key = draw(st.sampled_from(sorted(arrays)))
        how = draw(st.sampled_from(["gone", "empty", "flat", "huge", "integers", "fewer", "other"]))
        value = arrays.pop(key)
        changed = {
            "gone": None,
            "empty": value.reshape(-1)[:0],
            "flat": value.reshape(-1),
            "huge": np.full_like(value, np.inf if value.dtype.kind == "f" else 2**31 - 1),
            "integers": value.astype(np.int64) * 0 - 7,
            "fewer": value[: len(value) // 2] if value.ndim else value,
            "other": value[None],
        }[how]
        if changed is not None:
            arrays[key] = np.ascontiguousarray(changed)
        weights = dump_arrays(arrays)
        import hashlib

        description["weights"] |= {
            "sha256": hashlib.sha256(weights).hexdigest(), "bytes": len(weights),
        }  # fmt: skip
    try:
        description["sha256"] = digest(description)
        text = json.dumps(description).encode()
    except (ValueError, UnicodeError):
        text = b"{}"
    return {DESCRIPTION: text, WEIGHTS: weights}


@pytest.mark.parametrize("name", sorted(MODELS))
@tries(50)
@given(data=st.data())
def test_a_forged_model_is_refused_or_scores(name, models, tmp_path, data):
    description = json.loads((models[name] / DESCRIPTION).read_bytes())
    files = data.draw(forged(description, (models[name] / WEIGHTS).read_bytes()))
    found = load(write(tmp_path / "m", files))
    if found is None:
        return
    with warnings.catch_warnings(), no_longer_than(60):
        warnings.simplefilter("ignore")
        try:
            scores = found.score_samples(MODELS[name][1])
            found.predict(MODELS[name][1])
        except InsphereError as error:
            check_sentence(str(error))
        else:
            assert scores.shape == (40,)
            assert not np.isnan(scores).any()
