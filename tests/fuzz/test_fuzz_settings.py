"""YAML files of fit and sweep, of any content: settings, or one sentence."""

from __future__ import annotations

import warnings
from typing import Any

import yaml
from fuzzing import Drawn, altered, check_sentence, damaged, no_longer_than, tries
from hypothesis import example, given
from hypothesis import strategies as st

from insphere.errors import InsphereError
from insphere.experiments.runs.sweep_file import read_sweep
from insphere.workflows.fit_config import make_config, read_config

FIT = {
    "source": "set",
    "normal": ["good"],
    "size": [32, 48],
    "channels": 1,
    "test_size": 0.3,
    "seed": 1,
    "method": "deep-svdd",
    "recipe": "fast",
    "epochs": 2,
    "pretrain_epochs": 0,
    "nu": 0.1,
    "false_alarm_rate": 0.05,
    "anomalies": "others",
    "anomaly_share": 0.1,
    "options": {"calibration": 5, "batch_size": 32},
    "out": "model",
    "report": "report.html",
}
SWEEP = {
    "name": "two",
    "datasets": ["digits-8x8"],
    "normal": {"digits-8x8": ["3", "4"]},
    "seeds": [0, 1],
    "methods": [
        {"method": "knn", "params": {"n_neighbors": 2}},
        {"method": "deep-svdd", "params": {"epochs": 1}, "grid": {"nu": [0.1, 0.2]}},
        {
            "method": "deep-sad",
            "params": {"anomalies": {"classes": ["5", 6], "share": 0.1}},
            "grid": {"eta": [1, 2]},
        },
        {"method": "hsc", "params": {"anomalies": {"source": "mnist-5k"}}},
    ],
    "exclude": [{"method": "knn", "seed": 1}],
}


@st.composite
def texts(draw: Drawn, good: dict[str, Any]) -> bytes:
    """Draw settings with other values or other bytes."""
    value = draw(altered(good)) if draw(st.integers(0, 3)) else good
    try:
        content = yaml.safe_dump(value, allow_unicode=True).encode()
    except UnicodeError:
        content = yaml.safe_dump(value).encode("utf-8", "replace")
    return draw(damaged(content)) if draw(st.booleans()) else content


def check(read: Any) -> None:
    with no_longer_than(30), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read()
        except InsphereError as error:
            check_sentence(str(error), 600)


@tries(200)
@given(content=texts(FIT))
@example(content=b"options: &a {b: *a}")
@example(content=b"seed: 2024-99-99")
@example(content=b"[" * 3000)
def test_settings_of_fit(content, tmp_path):
    file = tmp_path / "fit.yaml"
    file.write_bytes(content)
    check(lambda: make_config({}, read_config(file), "fit.yaml"))


@tries(200)
@given(content=texts(SWEEP))
@example(content=b"seeds: 10000000000")
@example(content=b"methods: &a [*a]")
def test_sweeps(content, tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_bytes(content)

    def plan() -> None:
        sweep = read_sweep(file)
        sweep.check()
        for planned in sweep.runs():
            assert planned.spec.identity

    check(plan)
