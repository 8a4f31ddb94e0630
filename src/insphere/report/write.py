"""Fill the template and put the page on disk, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from insphere import figures
from insphere.atomic import write_whole
from insphere.durations import duration
from insphere.explain import extremes
from insphere.figures.history import series
from insphere.modalities.exhibit import Exhibit
from insphere.report import words
from insphere.report.heat_section import GRID_SIZE, QUEUE_SIZE
from insphere.report.numbers import Quality, comparison, confusion, quality
from insphere.report.report_data import ReportData
from insphere.report.thumbnails import PIXELATED_UP_TO, data_uri


@dataclass(frozen=True)
class Tile:
    """One image of a grid or of the queue."""

    uri: str
    alt: str
    score: str
    z: str | None
    p: str | None
    severity: str | None
    heat: str | None
    truth: str | None
    flagged: bool
    path: str | None
    exhibit: Exhibit | None = None
    curves: Markup | None = None


@dataclass(frozen=True)
class Grid:
    """Images that have something in common."""

    key: str
    heading: str
    lead: str
    tiles: list[Tile]
    nothing: str = ""


def write_report(data: ReportData, path: str | os.PathLike[str]) -> Path:
    """Write the report as one self-contained HTML file.

    The file appears whole or not at all; an older report of that name is replaced.

    Parameters
    ----------
    data : ReportData
        What to say.
    path : path-like
        Where to; missing folders are made.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InsphereError
        If the file cannot be written.
    """
    target = Path(path)
    write_whole(target, render_report(data), "The report")
    return target


def render_report(data: ReportData) -> str:
    """Return the report as one HTML page, a string."""
    environment = Environment(
        loader=PackageLoader("insphere.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=words.percent,
        seconds=partial(duration, measured=True),
        score=words.score,
        z_score=words.z_score,
        short=words.short_path,
    )
    measured = None if data.truth is None else quality(data.scores, data.truth)
    methods = comparison(data, measured)
    table = None if data.truth is None else confusion(data.truth, data.flagged)
    height, width = (0, 0) if data.images is None else data.images.shape[1:3]
    return environment.get_template("report.html").render(
        data=data,
        quality=measured,
        methods=methods,
        has_seconds=any(method.seconds is not None for method in methods),
        table=table,
        flagged=int(data.flagged.sum()),
        n=len(data.scores),
        verdict=words.verdict(data, measured, methods),
        outcome=[] if table is None else words.outcome(table, data),
        plots=_plots(data, measured),
        grids=_grids(data),
        queue=_queue(data) if data.truth is None else [],
        training=_training(data.history),
        heat_key=None
        if data.heat is None
        else data_uri(figures.heat_key(data.heat.threshold, data.heat.top)),
        suspects=[
            (one, None if one.image is None else data_uri(one.image)) for one in data.suspects
        ],
        suspects_intro=words.suspects(len(data.suspects), data.plural),
        spec=words.to_yaml(data.spec) if data.spec else "",
        summary=words.summary(data.scores),
        sample_size=data.sample_size or _image_size(data),
        pixelated=max(height, width) <= PIXELATED_UP_TO,
    )


def _plots(data: ReportData, measured: Quality | None) -> dict[str, Markup]:
    drawn: dict[str, tuple[Figure, str]] = {}
    alt = f"Histogram of {len(data.scores):,} scores, threshold at {words.score(data.threshold)}."
    if data.truth is not None:
        alt += f" Normal {data.plural} are solid, anomalous {data.plural} hatched."
    drawn["scores"] = figures.score_histogram(data.scores, data.threshold, data.truth), alt
    if measured is not None and measured.auc is not None and data.truth is not None:
        working = (data.scores, data.truth, data.threshold)
        drawn["roc"] = (
            figures.roc_curve(*working),
            f"ROC curve, area {words.percent(measured.auc, 2)}.",
        )
        drawn["pr"] = (
            figures.precision_recall_curve(*working),
            f"Precision–recall curve, average precision "
            f"{words.percent(measured.average_precision, 2)}.",
        )
    if data.history:
        drawn["training"] = figures.training_curves(data.history), "Training curves by epoch."
        if figures.has_guard_curves(data.history):
            drawn["guard"] = (
                figures.guard_curves(data.history),
                "What the collapse guard watched by epoch.",
            )
    return {
        key: Markup(figures.to_inline_svg(figure, prefix=key, alt=text))
        for key, (figure, text) in drawn.items()
    }


def _tiles(data: ReportData, index: NDArray[np.int64]) -> list[Tile]:
    tiles = []
    for i in index.tolist():
        flagged = bool(data.flagged[i])
        truth = None if data.truth is None else ("anomalous" if data.truth[i] else "normal")
        value = words.score(float(data.scores[i]))
        place = "beyond" if flagged else "within"
        alt = f"{data.singular.capitalize()} {i}, score {value}, {place} the threshold"
        tiles.append(
            Tile(
                uri="" if data.images is None else data_uri(_shown_part(data, i, data.images[i])),
                alt=alt + (f", truly {truth}" if truth else ""),
                score=value,
                z=None if data.z_scores is None else words.z_score(float(data.z_scores[i])),
                p=None if data.p_values is None else words.p_value(float(data.p_values[i])),
                severity=None
                if data.severities is None
                else words.severity(float(data.severities[i]), data.resolution),
                heat=_heat(data, i),
                truth=truth,
                flagged=flagged,
                path=None if data.paths is None else str(data.paths[i]),
                exhibit=None if data.exhibits is None else data.exhibits.get(i, Exhibit()),
                curves=_curves(data, i),
            )
        )
    return tiles


def _image_size(data: ReportData) -> str:
    if data.images is None:
        return ""
    _, height, width, channels = data.images.shape
    return f"{height}×{width}, {'grey' if channels == 1 else 'colour'}"


def _curves(data: ReportData, position: int) -> Markup | None:
    """Draw the lines of an exhibit."""
    if data.exhibits is None or position not in data.exhibits:
        return None
    if not (curves := data.exhibits[position].curves):
        return None
    figure = figures.stretches([(c.name, np.array(c.y), c.marked) for c in curves])
    alt = f"{', '.join(c.name for c in curves)} of {data.singular} {position}."
    return Markup(figures.to_inline_svg(figure, prefix=f"curve{position}", alt=alt))


def _heat(data: ReportData, position: int) -> str | None:
    heat = data.heat
    if heat is None or data.images is None or position not in heat.maps:
        return None
    over = figures.heat_overlay(
        data.images[position], heat.maps[position], heat.threshold, heat.top
    )
    return data_uri(_shown_part(data, position, over))


def _shown_part(data: ReportData, position: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the photograph that lies on a canvas, without what pads it."""
    height, width = data.contents.get(position, image.shape[:2])
    return image[:height, :width]


def _grids(data: ReportData) -> list[Grid]:
    if data.truth is None:
        return []
    found = extremes(data.scores, GRID_SIZE, data.truth)
    alarms, misses = found.most_anomalous_normals, found.most_normal_anomalies
    if alarms is None or misses is None:
        raise RuntimeError("Extremes with the truth lack the mistakes.")
    n_alarms = int((data.flagged & ~data.truth).sum())
    n_misses = int((~data.flagged & data.truth).sum())
    return [
        Grid("most-normal", "Most normal", "The lowest scores.", _tiles(data, found.most_normal)),
        Grid(
            "most-anomalous",
            "Most anomalous",
            "The highest scores.",
            _tiles(data, found.most_anomalous),
        ),
        Grid(
            "false-alarms",
            "False alarms",
            f"Normal {data.plural} beyond the threshold, the highest score first"
            + _shown(n_alarms),
            _tiles(data, alarms[data.flagged[alarms]]),
            f"No normal {data.singular} lies beyond the threshold.",
        ),
        Grid(
            "misses",
            "Misses",
            f"Anomalous {data.plural} within the threshold, the lowest score first"
            + _shown(n_misses),
            _tiles(data, misses[~data.flagged[misses]]),
            f"No anomalous {data.singular} lies within the threshold.",
        ),
    ]


def _shown(n: int) -> str:
    return f": {n:,}." if n <= GRID_SIZE else f": {GRID_SIZE} of {n:,}."


def _queue(data: ReportData) -> list[Tile]:
    return _tiles(data, extremes(data.scores, QUEUE_SIZE).most_anomalous)


def _training(history: Sequence[Mapping[str, Any]]) -> str:
    phases = [str(row.get("phase", "train")) for row in history]
    parts = []
    for phase, name in (("pretrain", "of pretraining"), ("train", "of training")):
        epochs = phases.count(phase)
        if epochs:
            speed = series(history, phase, "images_per_second")[1]
            text = f"{epochs:,} epoch{'' if epochs == 1 else 's'} {name}"
            if speed.size:
                text += f" at {np.nanmean(speed):,.0f} images a second"
            parts.append(text)
    return ", then ".join(parts) + "." if parts else ""
