"""``insphere score``, ``evaluate`` and ``report``: a saved model is applied to images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import (
    GroupBy,
    Json,
    Model,
    Quiet,
    Reading,
    Source,
    read_options,
    reads_images,
)
from insphere.cli.score_output import (
    most_anomalous,
    print_groups,
    print_scores,
    print_source,
    reasons,
)
from insphere.errors import SpecError

if TYPE_CHECKING:
    from insphere.scoring import AlarmSet
    from insphere.workflows.score_source import Scored

ORDERS = ("source", "severity", "score")
All = Annotated[
    bool,
    typer.Option(
        "--all",
        help="Use every image, including those that the model was trained on.",
        show_default=False,
    ),
]


@reads_images("normal", "size", "grey", "skip_bad", "follow_links", "download")
def score(
    model: Model,
    source: Source,
    *,
    out: Annotated[
        str | None,
        typer.Option(help="Write the scores to this .csv or .parquet file.", metavar="FILE"),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(help="Also write a report with heat maps.", metavar="FILE.html"),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            help="Order of the rows that are written: source (as they were read), severity or "
            "score (highest first)."
        ),
    ] = "source",
    false_discovery_rate: Annotated[
        float | None,
        typer.Option(
            "--false-discovery-rate",
            "--fdr",
            help="Select a set of alarms, of which on average at most this share is false (the "
            "false-discovery rate).",
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            help="Score very many images with workers: ray (this computer, or the cluster at "
            "RAY_ADDRESS) or processes. --out is then a folder of Parquet files; what is there "
            "is not scored again.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Workers of --backend (default: one for each core).", min=1),
    ] = None,
    image_column: Annotated[
        str,
        typer.Option(help="For --backend: where Parquet files hold the bytes of images."),
    ] = "image",
    group_by: GroupBy = None,
    reading: Reading,
    every_image: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score images: the higher the score, the more anomalous.

    Images are resized and converted as for training. A model that was fitted with
    --false-alarm-rate also gives p-values, severities and sets of alarms (--fdr).

    Which images are scored: if the source has a test part, only that part. If it is the data that
    the model was trained on, only the images that were held out. Otherwise all images. --all
    scores every image in all cases.

    For example:

        insphere score model photos/new --out scores.csv --report new.html
        insphere score model photos/new --fdr 0.1 --sort severity
        insphere score model s3://bucket/photos --backend ray --out s3://bucket/scores
    """
    from insphere.cli.score_table import check_table, write_table

    if backend is not None:
        more = (report, false_discovery_rate, group_by)
        if any(one is not None for one in more) or sort != "source":
            raise SpecError(
                "--backend writes scores alone: leave out --report, --fdr, --group-by and --sort."
            )
        if reading:
            raise SpecError(
                "--backend reads images as the model was trained on: leave out the options for "
                "reading, such as --size."
            )
        if out is None:
            raise SpecError("--backend needs a folder for the scores: --out FOLDER.")
        _score_many(model, source, out, backend, workers, image_column, as_json, quiet)
        return

    if sort not in ORDERS:
        raise SpecError(f"--sort is one of {', '.join(ORDERS)}, but got {sort}.")
    if out is not None:
        check_table(out)
    scored = _scored(model, source, reading, every_image, group_by, quiet=quiet)
    if sort == "severity":
        scored.detector.severity_scale  # noqa: B018 (raises an error that says what is missing)
    order = None if sort == "source" else scored.most_anomalous_first.tolist()
    alarm_set = alarm_set_of(scored, false_discovery_rate)
    alarms = None if alarm_set is None else alarm_set.alarms
    if out is not None:
        write_table(scored, Path(out), order, alarms)
    if report is not None:
        _write_report(scored, report)
    if as_json:
        from insphere.workflows.score_rows import rows, summary

        values = summary(scored, model) | {"out": out, "report": report}
        if alarm_set is not None:
            values |= {"n_alarms": int(alarm_set.alarms.sum()), "alarm_rule": alarm_set.sentence()}
        top = most_anomalous(scored)
        why = reasons(scored, top)
        values["most_anomalous"] = [
            found | ({"why": why[row]} if row in why else {})
            for row, found in zip(top, rows(scored, top, alarms), strict=True)
        ]
        if out is None:
            values["scores"] = list(rows(scored, order, alarms))
        console.print_json(values)
    elif not quiet:
        print_scores(scored, alarm_set)
        for name, path in (("Scores", out), ("Report", report)):
            if path is not None:
                console.say(f"{name}: {console.shown(path)}")


@reads_images("normal", "size", "grey", "skip_bad", "follow_links", "download")
def evaluate(
    model: Model,
    source: Source,
    *,
    group_by: GroupBy = None,
    reading: Reading,
    every_image: All = False,
    as_json: Json = False,
) -> None:
    """Measure how well a model separates normal from anomalous images.

    The source must have labels, such as one folder for each class. The normal classes are those
    that the model was trained on, or those named with --normal. If the source has masks of
    defects and the method makes heat maps, these are compared as well. Which part of a source is
    used: see insphere score --help.

    For example:

        insphere evaluate threes mnist-5k --normal 3
    """
    from insphere.workflows.localisation import evaluate_pixels

    scored = _scored(model, source, reading, every_image, group_by)
    measured = scored.evaluate()
    pixels = evaluate_pixels(scored)
    if as_json:
        from insphere.workflows.score_rows import summary

        values: dict[str, Any] = {"evaluation": measured.to_dict()}
        if pixels is not None:
            values["pixels"] = pixels.to_dict()
        console.print_json(summary(scored, model) | values)
        return
    from rich.table import Table

    print_source(scored)
    quality = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
    measures = {
        "AUC": measured.auc,
        "average precision": measured.average_precision,
        "FPR at 95 % TPR": measured.fpr_at_95_tpr,
    }
    if measured.balanced_accuracy is not None:
        measures["balanced accuracy"] = measured.balanced_accuracy
    for title in measures:
        quality.add_column(title)
    if pixels is not None:
        measures |= {"pixel AUC": pixels.pixel_auc, "PRO": pixels.pro}
        for title in ("pixel AUC", "PRO"):
            quality.add_column(title)
    quality.add_row(*(f"{100 * value:.2f} %" for value in measures.values()))
    console.out.print(quality)
    if measured.threshold is None:
        console.explain(f"\n{scored.verdict}")
        return
    confusion = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
    for title in ("", "called normal", "called anomalous"):
        confusion.add_column(title, justify="right" if title else "left")
    confusion.add_row("[bold]truly normal", f"{measured.tn:,}", f"{measured.fp:,}")
    confusion.add_row("[bold]truly anomalous", f"{measured.fn:,}", f"{measured.tp:,}")
    console.say("")
    console.out.print(confusion)
    if scored.groups is None:
        rule = f"{measured.threshold:.4g}: {scored.detector.threshold_rule_}"
        console.explain(f"\nThreshold {rule}.")
    print_groups(scored)


@reads_images("normal", "size", "grey", "skip_bad", "follow_links", "download")
def report(
    model: Model,
    source: Source,
    *,
    out: Annotated[
        str, typer.Option(help="File for the report.", metavar="FILE.html")
    ] = "insphere-report.html",
    group_by: GroupBy = None,
    reading: Reading,
    every_image: All = False,
    open_it: Annotated[
        bool, typer.Option("--open", help="Open the report in the browser.", show_default=False)
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a report on a model and the images that it scores.

    The report is one HTML page that opens offline. Which part of a source is used: see insphere
    score --help.

    For example:

        insphere report model photos/new --out new.html --open
    """
    scored = _scored(model, source, reading, every_image, group_by)
    _write_report(scored, out)
    if as_json:
        from insphere.workflows.score_rows import summary

        console.print_json(summary(scored, model) | {"report": out})
    else:
        print_source(scored)
        console.say(f"Report: {console.shown(out)}")
    if open_it:
        console.open_in_browser(out)


def alarm_set_of(scored: Scored, rate: float | None) -> AlarmSet | None:
    """Return the set of alarms at a false-discovery rate, if one is given."""
    if rate is None:
        return None
    from insphere.scoring import alarm_set

    detector = scored.detector
    detector.severity_scale  # noqa: B018 (raises an error that says what is missing)
    return alarm_set(scored.p_values, rate, detector.n_calibration_)


def _scored(
    model: str,
    source: str,
    reading: Reading,
    every_image: bool,
    group_by: str | None = None,
    *,
    quiet: bool = False,
) -> Scored:
    from insphere.detectors import load_detector
    from insphere.workflows.score_source import score_source

    return score_source(
        load_detector(model),
        source,
        read_options(reading),
        every_image=every_image,
        group_by=group_by,
        progress=False if quiet else None,
    )


def _score_many(
    model: str, source: str, out: str, backend: str, workers: int | None, column: str,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    from dataclasses import asdict

    from insphere.workflows.bulk_scoring import score_many

    found = score_many(
        model, source, out, backend=backend, workers=workers, column=column,
        progress=False if quiet or as_json else None,
    )  # fmt: skip
    if as_json:
        console.print_json(asdict(found))
    elif not quiet:
        rate = found.rows / max(found.seconds, 1e-9)
        console.say(
            f"{found.rows:,} scored in {found.seconds:.0f} s ({rate:,.0f} a second), "
            f"{found.anomalous:,} anomalous, {found.errors:,} unreadable; "
            f"{found.done_before:,} were there already."
        )
        console.say(f"Scores: {console.shown(out)}")


def _write_report(scored: Scored, path: str) -> None:
    from insphere.report import write_report
    from insphere.workflows.reporting import report_data

    if Path(path).is_dir():
        raise SpecError(f"{path} is a folder; name a file for the report.")
    write_report(report_data(scored), path)
