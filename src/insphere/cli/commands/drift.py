"""``insphere drift``: whether new images still look like the calibration images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from insphere.atomic import write_whole
from insphere.cli import console
from insphere.cli.options import Json, Model, Reading, Source, read_options, reads_images
from insphere.cli.score_output import print_source
from insphere.errors import SpecError

SUFFIXES = (".png", ".svg")


@reads_images("size", "grey", "skip_bad", "follow_links", "download")
def drift(
    model: Model,
    source: Source,
    *,
    chart: Annotated[
        str | None,
        typer.Option(
            help="Draw scores and evidence over time into this .png or .svg file.", metavar="FILE"
        ),
    ] = None,
    false_warning_rate: Annotated[
        float,
        typer.Option(help="Largest acceptable chance of a warning although nothing has changed."),
    ] = 0.01,
    reading: Reading,
    as_json: Json = False,
) -> None:
    """Warn if new images no longer look like the images that the model was calibrated on.

    The model must have been fitted with --false-alarm-rate. Images are taken in the order of
    their names, so names that begin with the date and time show when something changed. Which
    part of a source is used: see insphere score --help.

    For example:

        insphere drift model photos/this-week --chart drift.png
    """
    from insphere.detectors import load_detector
    from insphere.scoring import detect_drift
    from insphere.workflows.score_source import score_source

    if chart is not None and Path(chart).suffix.lower() not in SUFFIXES:
        raise SpecError(
            f"Name a file ending in {' or '.join(SUFFIXES)} for the chart, not {chart}."
        )
    detector = load_detector(model)
    detector.severity_scale  # noqa: B018 (says what is missing)
    scored = score_source(
        detector,
        source,
        read_options(reading),
        progress=False if as_json else None,
    )
    found = detect_drift(
        detector.calibration_scores_, scored.scores, false_warning_rate=false_warning_rate
    )
    if chart is not None:
        from insphere import figures

        figure = figures.drift_chart(
            scored.scores,
            detector.calibration_scores_,
            found.log10_capital,
            threshold=detector.threshold_,
            warning_level=found.warning_level,
            first_warning=found.first_warning,
        )
        draw = figures.to_svg if chart.lower().endswith(".svg") else figures.to_png
        write_whole(Path(chart), draw(figure), "The chart")
    at = found.first_warning
    if as_json:
        console.print_json(
            {
                "model": model,
                "dataset": scored.data.name,
                "part": scored.part,
                "n": len(scored),
                "n_calibration": detector.n_calibration_,
                "drift": found.warned,
                "first_warning": at,
                "first_warning_name": None if at is None else scored.name(at),
                "log10_capital": float(found.log10_capital[-1]),
                "warning_level": found.warning_level,
                "ks_statistic": found.ks_statistic,
                "ks_p_value": found.ks_p_value,
                "false_warning_rate": found.false_warning_rate,
                "chart": chart,
            }
        )
        return
    print_source(scored)
    kind = detector.modality_
    said = found.sentence(kind.singular, kind.plural, independent=kind.independent)
    console.explain(said, style="bold red" if found.warned else "")
    if at is not None:
        console.say(f"Noticed at: {scored.name(at)}")
    console.explain(
        f"Kolmogorov–Smirnov distance {found.ks_statistic:.2f} (p = {found.ks_p_value:.2g}); "
        f"highest evidence 10^{found.log10_capital.max():.1f}; a warning is given from "
        f"10^{found.warning_level:.1f} upwards.",
        style="dim",
    )
    if chart is not None:
        console.say(f"Chart: {console.shown(chart)}")
