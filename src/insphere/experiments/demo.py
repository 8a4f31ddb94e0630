"""The demo: Deep SVDD and other methods on one digit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from insphere.atomic import write_whole
from insphere.data.image_set import ImageSet
from insphere.data.load import load_dataset
from insphere.data.read_options import ReadOptions
from insphere.data.sample_set import SampleSet
from insphere.data.split import OneClassSplit
from insphere.detectors.model_folder import check_destination
from insphere.detectors.registry import build_detector, method_title
from insphere.errors import MissingExtraError, SpecError
from insphere.experiments.runs.run import RunResult, run
from insphere.experiments.runs.spec import RunSpec
from insphere.modalities.modality import Modality
from insphere.report import write_report
from insphere.training.callbacks import Callback
from insphere.workflows.fit_config import make_config
from insphere.workflows.provenance import trained_on
from insphere.workflows.reporting import report_data
from insphere.workflows.score_source import Scored, part_to_score, score_images

RIVALS = ("untrained", "oc-svm", "isolation-forest", "knn")
RECIPE: dict[str, Any] = {"recipe": "best"}
BLURRED: dict[str, Any] = {"blur": 1.0}
DATASET, FALLBACK = "mnist-5k", "digits-8x8"


@dataclass(frozen=True)
class Demo:
    """The results of the demo.

    Parameters
    ----------
    dataset : str
        Name of the data.
    digit : int
        The normal class.
    rows : list of dict
        One for each method: name, auc, average_precision, fpr_at_95_tpr (shares), seconds.
    n_train, n_test : int
        Numbers of training and test images.
    findings : list of str
        Messages of the collapse guard.
    model, report, spec, results : pathlib.Path
        Model folder, HTML report, settings for ``insphere fit --config``, and the rows as JSON.
    """

    dataset: str
    digit: int
    rows: list[dict[str, Any]]
    n_train: int
    n_test: int
    findings: list[str]
    model: Path
    report: Path
    spec: Path
    results: Path


def demo_data() -> tuple[ImageSet, str]:
    """Return the embedded digits, and a note if they are not those of MNIST.

    These are 5,000 digits of MNIST. If the extra with them is not installed, these are the 1,797
    digits of scikit-learn.
    """
    try:
        return load_dataset(DATASET), ""
    except MissingExtraError as error:
        note = f"{error}; until then the demo shows the 8×8 digits of scikit-learn."
        return load_dataset(FALLBACK), note


def run_demo(
    data: ImageSet,
    out: Path,
    *,
    digit: int = 3,
    seed: int = 0,
    params: dict[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    started: Callable[[str], None] = lambda title: None,
) -> Demo:
    """Train Deep SVDD on one digit, compare it with other methods, and save model and report.

    Every method is trained on the same half of the images of that digit. It is tested on the other
    half and on half of the images of all other digits.

    Parameters
    ----------
    data : ImageSet
        Digits; see `demo_data`.
    out : pathlib.Path
        Folder for the results. Those of an earlier demo are replaced.
    digit : int
        The normal digit, 0 to 9.
    seed : int
        Seed of split and methods.
    params : dict, optional
        Parameters of Deep SVDD, trained and untrained, besides the recipe "best".
    callbacks : sequence of Callback
        Objects that follow the training.
    started : callable
        Called with the title of each method before it runs.

    Raises
    ------
    SpecError
        If there is no such digit.
    InsphereError
        If the results cannot be written.
    """
    if not 0 <= digit <= 9:
        raise SpecError(f"The digit is one from 0 to 9, but got {digit}.")
    model = out / "model"
    check_destination(model, overwrite=True)
    ours_params = RECIPE | (params or {})
    methods = [("deep-svdd", ours_params), ("untrained", ours_params)]
    methods += [(method, {}) for method in RIVALS if method != "untrained"]
    results: dict[str, RunResult] = {}
    for method, own in [*methods, ("knn", BLURRED)]:
        title = method_title(method) + (", blurred" if own is BLURRED else "")
        started(title)
        spec = RunSpec(
            dataset=data.name, normal=(str(digit),), method=method, params=own, seed=seed
        )
        results[title] = run(spec, data, callbacks=callbacks)

    ours = results[method_title("deep-svdd")]
    ours.detector.trained_on_ = trained_on(data, ours.spec.reading)
    ours.detector.save(model, overwrite=True)
    rows = [_row(result, title) for title, result in results.items()]
    settings: dict[str, Any] = {
        "source": data.name,
        "normal": str(digit),
        "seed": seed,
        "contamination": 0.05,
    }
    config, _ = make_config(settings | ours_params)
    spec_file = out / "spec.yaml"
    report = write_report(
        report_data(
            _scored(ours, data),
            title=f"Deep SVDD on the digit {digit}",
            comparison=rows,
            spec=config.settings() | {"trained with": ours.detector.spec_.model_dump(mode="json")},
        ),
        out / "report.html",
    )
    write_whole(spec_file, yaml.safe_dump(config.settings(), sort_keys=False), "The settings")
    table = json.dumps([r.row() for r in results.values()], indent=2)
    write_whole(out / "results.json", table, "The table")
    return Demo(
        dataset=data.name,
        digit=digit,
        rows=rows,
        n_train=ours.detector.n_train_,
        n_test=len(ours.split.test),
        findings=list(ours.detector.guard_findings_),
        model=model,
        report=report,
        spec=spec_file,
        results=out / "results.json",
    )


def _scored(result: RunResult, data: ImageSet) -> Scored:
    split = result.split
    _, part = part_to_score(data, result.detector.trained_on_)
    names = tuple(data.class_names[index] for index in split.normal_classes)
    scores = np.asarray(result.scores)
    return Scored(result.detector, data, split.test, part, scores, split.truth, names)


def _row(result: RunResult, title: str) -> dict[str, Any]:
    measured = result.evaluation
    return {
        "name": title,
        "auc": measured.auc,
        "average_precision": measured.average_precision,
        "fpr_at_95_tpr": measured.fpr_at_95_tpr,
        "seconds": result.fit_seconds + result.score_seconds,
    }


@dataclass(frozen=True)
class KindDemo:
    """The results of the demo of another kind than images.

    Parameters
    ----------
    data : SampleSet
        The data.
    normal : str
        The normal class.
    rows : list of dict
        One for each method; see `Demo`.
    scored : Scored
        The test part, scored by the first method.
    model, report : pathlib.Path
        Model folder and HTML report.
    """

    data: SampleSet
    normal: str
    rows: list[dict[str, Any]]
    scored: Scored
    model: Path
    report: Path


def run_kind_demo(
    kind: type[Modality],
    out: Path,
    *,
    seed: int = 0,
    started: Callable[[str], None] = lambda title: None,
) -> KindDemo:
    """Train the method for a kind of data on real data that is installed, beside controls.

    Parameters
    ----------
    kind : subclass of Modality
        The kind of data.
    out : pathlib.Path
        Folder for the results. Those of an earlier demo are replaced.
    seed : int
        Seed of split and methods.
    started : callable
        Called with the title of each method before it runs.

    Raises
    ------
    InsphereError
        If there is no data of this kind, or the results cannot be written.
    """
    data, normal = kind.demo()
    model = out / "model"
    check_destination(model, overwrite=True)
    split = OneClassSplit(data, normal, random_state=seed)
    rows, found = [], []
    for method in (kind.method, *kind.rivals):
        started(method_title(method))
        began = time.perf_counter()
        detector = build_detector(method, {"contamination": None}, seed=seed).fit(split.training)
        scored = score_images(detector, data, split.test, "the test part", (normal,))
        measured = scored.evaluate()
        found.append(scored)
        rows.append(
            {
                "name": method_title(method),
                "auc": measured.auc,
                "average_precision": measured.average_precision,
                "fpr_at_95_tpr": measured.fpr_at_95_tpr,
                "seconds": time.perf_counter() - began,
            }
        )
    ours = found[0]
    reading = ReadOptions(normal=(normal,), seed=seed)
    ours.detector.trained_on_ = trained_on(data, reading, (normal,), kind=kind.key)
    ours.detector.save(model, overwrite=True)
    report = write_report(report_data(ours, comparison=rows), out / "report.html")
    return KindDemo(data, normal, rows, ours, model, report)
