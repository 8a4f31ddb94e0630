"""Models in repositories of the Hugging Face hub, with a card of measured numbers.

A repository holds the files of a model folder as they are, and a ``README.md`` that the hub shows.
Weights are safetensors and the rest is JSON; `load_detector` checks every hash.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from insphere.atomic import atomic_folder
from insphere.detectors import load_detector
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.model_folder import model_files
from insphere.errors import ModelError, require
from insphere.export.golden import FILE as GOLDEN

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
README = "README.md"
PATTERNS = ("*.json", "*.safetensors", "*.md")
MEASURES = {
    "auc": ("roc_auc", "AUC"),
    "average_precision": ("average_precision", "Average precision"),
    "fpr_at_95_tpr": ("fpr_at_95_tpr", "False-positive rate at 95 % true positives"),
    "balanced_accuracy": ("balanced_accuracy", "Balanced accuracy at the threshold"),
}


def is_repository(text: str) -> bool:
    """Whether this names a repository, OWNER/NAME, and no folder that is there."""
    return bool(REPOSITORY.fullmatch(text)) and not Path(text).exists()


def push_model(
    model: str | os.PathLike[str],
    to: str,
    *,
    measured: Mapping[str, Any] | None = None,
    measured_on: str = "",
    golden: bool = False,
    private: bool = True,
    message: str = "A model of insphere",
) -> str:
    """Write a model to a repository of the hub, or to a folder with the same files.

    Parameters
    ----------
    model : path
        The model folder.
    to : str
        ``OWNER/NAME`` on the hub, or a folder that does not exist or is empty.
    measured : mapping, optional
        Fields of `insphere.scoring.metrics.Evaluation`, for the card.
    measured_on : str
        Name of the data that they were measured on.
    golden : bool, default=False
        Whether the golden samples go along; they are training samples.
    private : bool, default=True
        Whether a repository that is made now is private.
    message : str
        Of the commit.

    Returns
    -------
    str
        Where it is now.

    Raises
    ------
    ModelError
        If it is no model, the folder holds something, or the hub refuses it.
    MissingExtraError
        If ``huggingface_hub`` is needed and not installed.
    """
    detector = load_detector(model)
    files: dict[str, bytes] = dict(model_files(model))
    files[README] = _readme(detector, to, measured, measured_on).encode()
    if golden and (Path(model) / GOLDEN).is_file():
        files[GOLDEN] = (Path(model) / GOLDEN).read_bytes()
    if not is_repository(to):
        folder = Path(to)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ModelError(f"{to} holds something already; name an empty folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as unfinished:
            _write(unfinished, files)
        return str(folder)
    hub: Any = require("huggingface_hub", "hub", "Pushing to the hub")
    with tempfile.TemporaryDirectory() as folder_name:
        _write(Path(folder_name), files)
        try:
            hub.create_repo(to, private=private, exist_ok=True)
            return str(
                hub.upload_folder(
                    repo_id=to,
                    folder_path=folder_name,
                    commit_message=message,
                    delete_patterns=["weights*.safetensors"],
                )
            )
        except (hub.errors.HfHubHTTPError, OSError, ValueError) as error:
            raise ModelError(f"The hub did not take {to}: {_first_line(error)}.") from error


def pull_model(
    source: str,
    out: str | os.PathLike[str],
    *,
    revision: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    offline: bool = False,
) -> OneClassDetector:
    """Take a model out of a repository of the hub, or out of a folder with the same files.

    Parameters
    ----------
    source : str
        ``OWNER/NAME`` on the hub, or a folder.
    out : path
        Where the model folder goes; it must not exist, or be empty.
    revision : str, optional
        Branch, tag or commit.
    cache : path, optional
        Cache of the hub; by default that of ``huggingface_hub``.
    offline : bool, default=False
        Take what is in the cache, without asking the hub.

    Returns
    -------
    OneClassDetector
        Loaded, so that every hash was checked.

    Raises
    ------
    ModelError
        If there is no such model, or it is damaged.
    MissingExtraError
        If ``huggingface_hub`` is needed and not installed.
    """
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ModelError(f"{out} holds something already; name a new folder.")
    folder = Path(source)
    if is_repository(source):
        hub: Any = require("huggingface_hub", "hub", "Pulling from the hub")
        try:
            found = hub.snapshot_download(
                source, revision=revision, cache_dir=cache, local_files_only=offline,
                allow_patterns=list(PATTERNS),
            )  # fmt: skip
        except (hub.errors.HfHubHTTPError, OSError, ValueError) as error:
            raise ModelError(f"{source} cannot be pulled: {_first_line(error)}.") from error
        folder = Path(found)
    with tempfile.TemporaryDirectory() as plain:
        # The cache of the hub is made of links, which a model folder may not hold.
        for file in folder.iterdir() if folder.is_dir() else ():
            if file.is_file() and any(file.match(pattern) for pattern in PATTERNS):
                shutil.copyfile(file, Path(plain) / file.name)
        files = dict(model_files(plain))
        if (Path(plain) / GOLDEN).is_file():
            files[GOLDEN] = (Path(plain) / GOLDEN).read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(target) as unfinished:
        _write(unfinished, files)
    return load_detector(target)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _readme(
    detector: OneClassDetector, to: str, measured: Mapping[str, Any] | None, on: str
) -> str:
    """Return the card that the hub shows: what is measured in its header and in a table."""
    title, modality = detector.card.title, detector.modality_
    name = to.rpartition("/")[2] or title
    header: dict[str, Any] = {
        "library_name": "insphere",
        "tags": ["anomaly-detection", "one-class-classification", detector.card.key],
    }
    rows = []
    if measured is not None:
        found = {key: measured[key] for key in MEASURES if measured.get(key) is not None}
        rows = [f"| {MEASURES[key][1]} | {100 * value:.2f} % |" for key, value in found.items()]
        metrics = [
            {"type": MEASURES[key][0], "name": MEASURES[key][1], "value": float(value)}
            for key, value in found.items()
        ]
        header["model-index"] = [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "anomaly-detection"},
                        "dataset": {"name": on or "unnamed", "type": "private"},
                        "metrics": metrics,
                    }
                ],
            }
        ]
    said = getattr(detector, "approximation_", None)
    counts = (
        f" ({measured['n_normal']:,} normal, {measured['n_anomalous']:,} anomalous)"
        if measured is not None
        else ""
    )
    lines = [
        "---", yaml.safe_dump(header, sort_keys=False, allow_unicode=True).strip(), "---", "",
        f"# {name}", "",
        f"{title}: {detector.card.summary}. Trained on {detector.n_train_:,} normal "
        f"{modality.plural} of {modality.size}; a higher score is more anomalous.", "",
        f"- **Threshold:** {detector.threshold_!r}, {detector.threshold_rule_}.",
        f"- **Promise:** {detector.guarantee}",
        *([f"- **Approximation:** {said}."] if said else []), "",
    ]  # fmt: skip
    if rows:
        lines += [f"Measured on {on}{counts}:", "", "| measure | value |", "| --- | ---: |", *rows]
    else:
        lines += ["Nothing was measured on labelled data when this was written."]
    lines += [
        "", "```sh", 'pip install "insphere[hub]"', f"insphere pull {to} --out model",
        "insphere score model photos/new", "```", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
