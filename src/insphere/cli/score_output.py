"""What ``insphere score`` and its relatives say about scored images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from insphere.cli import console
from insphere.safe_text import visible

if TYPE_CHECKING:
    from insphere.scoring import AlarmSet
    from insphere.workflows.score_source import Scored

TOP = 10


def summary(scored: Scored, model: str) -> dict[str, Any]:
    """Return what was scored and how many images are anomalous, for JSON."""
    return {
        "model": model,
        "dataset": scored.data.name,
        "part": scored.part,
        "normal": list(scored.normal),
        "n": len(scored),
        "n_anomalous": int(scored.flagged.sum()) if scored.judged else None,
        "n_skipped": len(scored.data.skipped),
        "skipped": list(scored.data.skipped),
        "threshold": scored.detector.threshold_ if scored.judged else None,
        "threshold_rule": scored.detector.threshold_rule_,
        "guarantee": scored.detector.guarantee,
        "n_outside_range": scored.n_outside_range,
        "found": scored.contents.to_dict(),
    }


def most_anomalous(scored: Scored) -> list[int]:
    """Return the rows of the highest scores."""
    from insphere.explain import extremes

    found: list[int] = extremes(scored.scores, TOP).most_anomalous.tolist()
    return found


def tell_what(scored: Scored) -> None:
    """Print which method looked at what, and what was left out."""
    console.explain(f"{visible(scored.what)}\n")
    console.explain(f"Found: {visible(scored.contents.sentence())}\n", style="dim")
    if scored.n_outside_range:
        console.note(
            f"{scored.n_outside_range:,} of these images hold values outside the range of the "
            "training images, which were set to its ends."
        )
    if scored.data.skipped:
        some = "; ".join(scored.data.skipped[:3]) + ("; …" if len(scored.data.skipped) > 3 else "")
        console.note(
            f"Left out, because they cannot be read: {len(scored.data.skipped)} ({visible(some)})"
        )


def tell_scores(scored: Scored, chosen: AlarmSet | None) -> None:
    """Print how many images are anomalous, what that promises, and the most anomalous ones."""
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    tell_what(scored)
    low, middle, high = np.quantile(scored.scores, (0, 0.5, 1))
    console.explain(f"{scored.verdict}\nScores from {low:.4g} to {high:.4g}, median {middle:.4g}.")
    if scored.judged:
        console.explain(scored.detector.guarantee, style="dim")
    if chosen is not None:
        console.explain(chosen.sentence())
    console.say("")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("most anomalous", overflow="fold")
    for title in ("score", "z-score", *(("p-value", "severity") if scored.calibrated else ())):
        table.add_column(title, justify="right")
    if scored.judged:
        table.add_column("verdict")
    if scored.has_classes:
        table.add_column("class")
    used = 75 if scored.calibrated else 50
    for row in most_anomalous(scored):
        cells: list[str | Text] = [
            Text(console.shortened(scored.name(row), max(12, console.out.width - used))),
            f"{scored.scores[row]:.4g}",
            f"{scored.z_scores[row]:+.1f}",
        ]
        if scored.calibrated:
            cells += [f"{scored.p_values[row]:.2g}", severity_in_words(scored, row)]
        if scored.judged:
            anomalous = bool(scored.flagged[row])
            verdict = Text("anomalous", style="red") if anomalous else Text("normal", style="green")
            if chosen is not None and chosen.alarms[row]:
                verdict = Text("alarm", style="bold red")
            cells.append(verdict)
        table.add_row(*cells, *([Text(visible(scored.label(row)))] if scored.has_classes else []))
    console.out.print(table)
    if scored.calibrated and scored.severities.max() > scored.detector.severity_scale.resolution:
        console.explain(
            f"\nSeverities above {scored.detector.severity_scale.resolution:.1f} are finer than "
            f"{scored.detector.n_calibration_:,} calibration images can resolve, and rest on a "
            "fitted tail (~).",
            style="dim",
        )


def severity_in_words(scored: Scored, row: int) -> str:
    """Return a severity with the name of its step, marked where it rests on the fitted tail."""
    from insphere.scoring import severity_step

    severity = float(scored.severities[row])
    about = "~" if severity > scored.detector.severity_scale.resolution else ""
    return f"{about}{severity:.1f} {severity_step(severity)}"
