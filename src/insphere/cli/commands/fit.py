"""``insphere fit``."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import GroupBy, Json, Quiet, Reading, reads_images
from insphere.detectors.method_table import METHODS
from insphere.durations import duration
from insphere.errors import SpecError
from insphere.training.heads.table import HEADS
from insphere.training.pretraining.table import PRETRAININGS

if TYPE_CHECKING:
    from insphere.detectors.base.estimator import OneClassDetector
    from insphere.scoring.conformal import Calibration
    from insphere.workflows.fit_config import FitConfig
    from insphere.workflows.fitting import Fit

_TRAINING = "Training of Deep SVDD"
_FILES = "Files"


@reads_images()
def fit(
    source: Annotated[
        str | None,
        typer.Argument(
            help="Folder or zip file of images, a .csv or .parquet table, an .npz or .npy "
            "file, or the name of a data set (see insphere datasets).",
            metavar="SOURCE",
            show_default=False,
        ),
    ] = None,
    *,
    reading: Reading,
    method: Annotated[
        str | None,
        typer.Option(
            help="Method to train; auto compares several first, as insphere choose does. "
            "Default: auto for a folder of images, else deep-svdd; insphere methods describes "
            "each: " + ", ".join(METHODS) + ".",
            metavar="NAME",
        ),
    ] = None,
    choose_minutes: Annotated[
        float | None,
        typer.Option(
            help="Time in which --method auto compares methods; the fit follows (default 10).",
            metavar="MINUTES",
        ),
    ] = None,
    contamination: Annotated[
        float | None,
        typer.Option(
            help="Place the threshold so that this share of the training images is above it"
            ". This makes no promise about new images.",
        ),
    ] = None,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(
            help="Place the threshold on held-out calibration images instead, so that on average "
            "at most this share of new normal images is called anomalous (default 0.05, or "
            "what so few images allow). Of few images it is an estimate.",
        ),
    ] = None,
    anomalies: Annotated[
        str | None,
        typer.Option(
            help="Folder or zip of images that are known to be anomalous, or of any other things; "
            "or a .csv file with the columns path and review (see insphere label-queue). For a "
            "method that learns from them (default deep-sad; see insphere methods). They do not "
            "change the threshold.",
            metavar="SOURCE",
        ),
    ] = None,
    anomaly_share: Annotated[
        float | None,
        typer.Option(
            help="Draw as many of these anomalies as make up this share of all training images "
            "(default: all of them).",
            metavar="SHARE",
        ),
    ] = None,
    by_class: Annotated[
        bool | None,
        typer.Option(
            "--by-class",
            help="Give each of several normal classes a sphere of its own.",
            show_default=False,
        ),
    ] = None,
    group_by: GroupBy = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            help="Any other parameter of the method. Repeat it for several.",
            metavar="NAME=VALUE",
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            help="Judge only a part of each photo: a picture that is white there and black "
            "elsewhere, or TOP,LEFT,BOTTOM,RIGHT as shares, such as 0.1,0,0.9,1. For methods on "
            "patches.",
            metavar="REGION",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Recipe, a named set of epochs and learning rates: fast, paper, or for Deep SVDD "
            "on images best, which pretrains without labels and is the default there (else fast).",
            rich_help_panel=_TRAINING,
            metavar="NAME",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs: passes over the training images.", rich_help_panel=_TRAINING),
    ] = None,
    pretrain_epochs: Annotated[
        int | None,
        typer.Option(help="Epochs of pretraining; 0 for none.", rich_help_panel=_TRAINING),
    ] = None,
    pretraining: Annotated[
        str | None,
        typer.Option(
            help="Kind of pretraining: "
            + ", ".join(PRETRAININGS)
            + " (default: that of the recipe: rotation in best, else autoencoder).",
            rich_help_panel=_TRAINING,
            metavar="KIND",
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            help="Head, which encloses the representations of normal images: "
            + ", ".join(HEADS)
            + " (default center). With settings: '{kind: KIND, NAME: VALUE}'.",
            rich_help_panel=_TRAINING,
            metavar="KIND",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help="Objective: one-class or soft-boundary (default one-class).",
            rich_help_panel=_TRAINING,
            metavar="NAME",
        ),
    ] = None,
    nu: Annotated[
        float | None,
        typer.Option(
            help="ν of the soft-boundary objective, the share of training images that may lie "
            "outside the sphere, or ν of oc-svm (default 0.1).",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            help="Folder for checkpoints (default: in the cache until the model is saved).",
            rich_help_panel=_TRAINING,
            metavar="FOLDER",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="Folder for the model (default insphere-model).",
            rich_help_panel=_FILES,
            metavar="MODEL",
        ),
    ] = None,
    overwrite: Annotated[
        bool | None,
        typer.Option(
            "--overwrite",
            help="Replace the model that is in that folder.",
            rich_help_panel=_FILES,
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(
            help="Also write a report on the model and its scores.",
            rich_help_panel=_FILES,
            metavar="FILE.html",
        ),
    ] = None,
    golden: Annotated[
        bool,
        typer.Option(
            "--golden/--no-golden",
            help="Keep a few training samples and their scores in the model folder, with which "
            "exports are verified, or none.",
            rich_help_panel=_FILES,
        ),
    ] = True,
    config: Annotated[
        str | None,
        typer.Option(
            help="Read settings from a YAML file. Options on the command line override them.",
            rich_help_panel=_FILES,
            metavar="FILE.yaml",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a detector on normal images, and save the model.

    Give it a folder of normal images. If the source has several classes, name the normal one with
    --normal. Add --false-alarm-rate to place the threshold on held-out images. Run the same
    command again to continue an interrupted training.

    For example:

        insphere fit photos/good --size 64 --false-alarm-rate 0.05 --out model
        insphere fit mnist-5k --normal 3 --out threes
        insphere fit photos/good --method patch-gaussian --report report.html --out patches
    """
    given = {
        **reading,
        "source": source,
        "method": method,
        "choose_minutes": choose_minutes,
        "anomalies": anomalies,
        "anomaly_share": anomaly_share,
        "by_class": by_class,
        "group_by": group_by,
        "contamination": contamination,
        "false_alarm_rate": false_alarm_rate,
        "options": _options(option, region),
        "recipe": recipe,
        "epochs": epochs,
        "pretrain_epochs": pretrain_epochs,
        "pretraining": _value("--pretraining", pretraining),
        "head": _value("--head", head),
        "objective": objective,
        "nu": nu,
        "checkpoints": checkpoints,
        "out": out,
        "overwrite": overwrite,
        "report": report,
    }
    from insphere.workflows.fit_config import make_config, read_config

    file = None if config is None else read_config(config)
    settings, overridden = make_config(given, file, title=str(config))
    for name, (before, now) in overridden.items():
        console.note(
            f"{name}: {_word(now)} from the command line, not {_word(before)} from {config}"
        )
    from insphere.workflows.fitting import fit_source, training_together

    with training_together(settings) as is_first:
        if not is_first:  # the first process says and saves everything
            fit_source(settings, checkpoints=_checkpoints(settings), progress=False)
            return
        fitted = _fit_and_save(settings, show=not quiet, golden=golden)
    if as_json:
        console.print_json(_summary(fitted) | {"overridden": sorted(overridden)})
    elif not quiet:
        _print_result(fitted)


def _checkpoints(settings: FitConfig) -> Path:
    from insphere.data.cache import cache_dir

    return Path(settings.checkpoints or cache_dir() / "checkpoints" / settings.identity)


def _fit_and_save(settings: FitConfig, *, show: bool, golden: bool) -> Fit:
    from insphere.detectors.model_folder import check_destination
    from insphere.export.golden import drop_golden
    from insphere.training.progress_bar import ProgressBar
    from insphere.workflows.fitting import fit_source, keep_golden_samples

    check_destination(settings.out, overwrite=settings.overwrite)
    if settings.report is not None and Path(settings.report).is_dir():
        raise SpecError(f"{settings.report} is a folder; name a file for the report.")
    own = settings.checkpoints is None
    folder = _checkpoints(settings)
    if own and show and any(folder.glob("*.safetensors")):
        console.note(f"Continuing from the checkpoints in {console.shown(folder)}")
    try:
        fitted = fit_source(
            settings,
            checkpoints=folder,
            callbacks=[ProgressBar()] if show else [],
            planned=_say_plan if show else None,
            progress=None if show else False,
            choosing=console.note if show else None,
        )
        # The model comes last: where it stands, everything else does, and until then the same
        # command may run again and continues from the checkpoints.
        if settings.report is not None:
            _write_report(fitted, Path(settings.report), show)
        fitted.detector.save(settings.out, overwrite=settings.overwrite)
        if golden:
            keep_golden_samples(fitted)
        else:
            drop_golden(settings.out)
    except KeyboardInterrupt:
        raise console.Stopped(_stopped(folder)) from None
    if own:
        shutil.rmtree(folder, ignore_errors=True)
    return fitted


def _say_plan(plan: Calibration, seconds: float | None) -> None:
    if sentence := plan.sentence():
        about = "" if seconds is None else f"; about {duration(seconds)} together"
        console.note(sentence + about)


def _stopped(folder: Path) -> str:
    command = shlex.join(["insphere", *sys.argv[1:]])
    if not any(folder.glob("*.safetensors")):
        return f"Stopped before the first epoch ended, so nothing is kept. Start again: {command}"
    return f"Stopped. Finished epochs are kept in {folder}. To continue: {command}"


def _write_report(fitted: Fit, path: Path, show: bool) -> None:
    from insphere.report import write_report
    from insphere.workflows.reporting import report_data
    from insphere.workflows.score_source import score_data
    from insphere.workflows.suspicious import most_suspicious

    scored = score_data(fitted.detector, fitted.data, progress=None if show else False)
    suspects = most_suspicious(fitted)
    write_report(report_data(scored, spec=fitted.config.settings(), suspects=suspects), path)


def _values(fitted: Fit) -> str:
    """Return a sentence about the range of values, or nothing for images of 8 bits."""
    values = fitted.detector.value_range_
    return "" if values is None else str(values.sentence())


def _summary(fitted: Fit) -> dict[str, Any]:
    from insphere.data.contents import contents_of

    detector = fitted.detector
    return {
        "model": fitted.config.out,
        "report": fitted.config.report,
        "method": fitted.config.method,
        "dataset": fitted.data.name,
        "normal": list(fitted.normal),
        "n_train": detector.n_train_,
        "n_calibration": detector.n_calibration_,
        "n_anomalies": fitted.n_anomalies,
        "n_skipped": len(fitted.data.skipped),
        "skipped": list(fitted.data.skipped),
        "found": contents_of(fitted.data, fitted.normal).to_dict(),
        "values": _values(fitted),
        "image_shape": list(detector.image_shape_ or ()),
        "kind": detector.modality_.key,
        "size": detector.modality_.size,
        "threshold": detector.threshold_ if detector.judges else None,
        "threshold_rule": detector.threshold_rule_,
        "by_group": detector.group_sentences,
        "findings": list(getattr(detector, "guard_findings_", ())),
        "seconds": round(fitted.seconds, 3),
        "settings": fitted.config.settings(),
        "choice": None if fitted.choice is None else fitted.choice.table(),
    }


def _print_result(fitted: Fit) -> None:
    from rich.table import Table

    from insphere.data.contents import contents_of
    from insphere.workflows.score_source import method_title

    detector, config = fitted.detector, fitted.config
    shape = detector.modality_.size
    took = duration(fitted.seconds, measured=True)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "method": method_title(detector),
        "normal": f"{', '.join(fitted.normal)} of {fitted.data.name}",
        "found": contents_of(fitted.data, fitted.normal).sentence(),
        "trained on": f"{detector.n_train_:,} {detector.modality_.plural} of {shape}, in {took}",
        "threshold": _threshold(detector),
        "promise": detector.guarantee,
    }
    if approximation := getattr(detector, "approximation_", None):
        rows["approximation"] = approximation
    if by_group := detector.group_sentences:
        rows["by group"] = " ".join(by_group)
    if fitted.choice is not None:
        rows["chosen"] = fitted.choice.sentence
    if fitted.n_anomalies:
        rows["anomalies"] = f"{fitted.n_anomalies:,} labelled, of {config.anomalies}"
    if values := _values(fitted):
        rows["values"] = values
    if fitted.data.skipped:
        rows["left out"] = f"{len(fitted.data.skipped)}: {'; '.join(fitted.data.skipped[:3])}"
    for finding in getattr(detector, "guard_findings_", ()):
        rows["guard"] = finding
    rows["model"] = console.shown(config.out)
    if config.report is not None:
        rows["report"] = console.shown(config.report)
    from rich.text import Text

    for name, text in rows.items():
        table.add_row(name, Text(text))
    console.out.print(table)
    model, source = shlex.quote(config.out), shlex.quote(config.source)
    held_out = len(fitted.data.class_names) > 1 and config.test_size > 0
    verb = "evaluate" if held_out else "score"
    what = source if held_out else f"NEW-{detector.modality_.plural.upper()}"
    console.say(f"\nNext: insphere {verb} {model} {what}", style="bold")


def _threshold(detector: OneClassDetector) -> str:
    rule = detector.threshold_rule_
    return f"{detector.threshold_:.4g}: {rule}" if detector.judges else rule


def _options(given: list[str] | None, region: str | None = None) -> dict[str, Any] | None:
    if not given and region is None:
        return None
    options: dict[str, Any] = {} if region is None else {"region": region}
    for item in given or ():
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise SpecError(f"--option takes NAME=VALUE, but got {item!r}.")
        options[name.strip().replace("-", "_")] = _value("--option", value, item)
    return options


def _value(option: str, text: str | None, shown: str | None = None) -> Any:
    """Return the value of an option that takes YAML, such as a number or a mapping."""
    if text is None:
        return None
    from insphere.parsing import ParseError, parse_yaml
    from insphere.safe_text import shown_path

    try:
        return parse_yaml(text)
    except ParseError as error:
        item = shown_path(text if shown is None else shown)
        raise SpecError(f"The value of {option} {item!r} {error}.") from error


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
