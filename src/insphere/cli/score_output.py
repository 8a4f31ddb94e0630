"""Scored images in words: what ``insphere score``, ``evaluate``, ``report`` and ``drift`` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from insphere.cli import console
from insphere.safe_text import visible

if TYPE_CHECKING:
    from insphere.scoring import AlarmSet
    from insphere.workflows.score_source import Scored

TOP = 10
WHY, MOST_REASONS = 5, 3  # samples that are explained, and reasons for each


def most_anomalous(scored: Scored) -> list[int]:
    """Return the rows with the highest scores, highest first."""
    from insphere.explain import extremes

    found: list[int] = extremes(scored.scores, TOP).most_anomalous.tolist()
    return found


def print_source(scored: Scored) -> None:
    """Print the method and the images that it scored, and what was left out."""
    console.explain(f"{visible(scored.what)}\n")
    console.explain(f"Found: {visible(scored.contents.sentence())}\n", style="dim")
    if scored.n_outside_range:
        console.note(
            f"{scored.n_outside_range:,} of these images have values outside the range of the "
            "training images; such values were clipped to that range."
        )
    if scored.data.skipped:
        some = "; ".join(scored.data.skipped[:3]) + ("; …" if len(scored.data.skipped) > 3 else "")
        console.note(
            f"Images left out because they cannot be read: {len(scored.data.skipped)} "
            f"({visible(some)})"
        )


def print_scores(scored: Scored, alarm_set: AlarmSet | None) -> None:
    """Print the number of anomalies, the guarantee of the threshold, and the highest scores."""
    import numpy as np
    from rich.table import Table
    from rich.text import Text

    print_source(scored)
    low, middle, high = np.quantile(scored.scores, (0, 0.5, 1))
    console.explain(f"{scored.verdict}\nScores from {low:.4g} to {high:.4g}, median {middle:.4g}.")
    if scored.judged:
        console.explain(scored.detector.guarantee, style="dim")
    if (share := scored.anomalous_share) is not None:
        console.explain(share.sentence(scored.detector.modality_.plural))
    if alarm_set is not None:
        console.explain(alarm_set.sentence())
    print_groups(scored)
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
            if alarm_set is not None and alarm_set.alarms[row]:
                verdict = Text("alarm", style="bold red")
            cells.append(verdict)
        table.add_row(*cells, *([Text(visible(scored.label(row)))] if scored.has_classes else []))
    console.out.print(table)
    if why := reasons(scored, most_anomalous(scored)[:WHY]):
        console.say("\nWhy (share of the score):", style="bold")
        for row in most_anomalous(scored)[:WHY]:
            parts = ", ".join(
                f"{visible(one['name'])} {100 * one['share']:.0f} %"
                + (f" ({visible(one['value'])})" if one["value"] else "")
                for one in why.get(row, [])[:MOST_REASONS]
            )
            console.explain(f"{visible(scored.name(row))}: {parts}")
    if scored.calibrated and scored.severities.max() > scored.detector.severity_scale.resolution:
        console.explain(
            f"\nSeverities above {scored.detector.severity_scale.resolution:.1f} are finer than "
            f"{scored.detector.n_calibration_:,} calibration {scored.detector.modality_.plural} "
            "can resolve. Those marked ~ are extrapolated by a fitted tail.",
            style="dim",
        )


def print_groups(scored: Scored) -> None:
    """Print what share of each group is called anomalous; nothing without groups."""
    from rich.table import Table
    from rich.text import Text

    if not (rates := scored.group_rates):
        return
    plural = scored.detector.modality_.plural
    what = plural if scored.truth is None else f"normal {plural}"
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("group", what, "called anomalous", "share", "between", "threshold"):
        table.add_column(title, justify="left" if title == "group" else "right")
    own = scored.detector.group_thresholds
    for one in rates:
        threshold = own.get(one.name)
        table.add_row(
            Text(visible(one.name)),
            f"{one.n:,}",
            f"{one.outside:,}",
            f"{100 * one.rate:.1f} %",
            f"{100 * one.low:.1f} and {100 * one.high:.1f} %",
            "that of all" if threshold is None else f"{threshold:.4g}",
        )
    console.say("")
    console.out.print(table)
    for sentence in scored.detector.group_sentences:
        console.explain(sentence, style="dim")


def reasons(scored: Scored, index: list[int]) -> dict[int, list[dict[str, Any]]]:
    """Return for rows of `scored` what adds most to their scores, where the kind of data says it.

    Returns
    -------
    dict
        By row: a list of name, share (0…1) and value, the largest share first.
    """
    import numpy as np

    places = scored.index[np.sort(index)]
    found = scored.detector.modality_.exhibits(scored.detector, scored.data, places)
    if found is None:
        return {}
    return {
        row: [
            {"name": bar.name, "share": round(bar.share, 4), "value": bar.value}
            for bar in exhibit.bars
        ]
        for row, exhibit in zip(sorted(index), found, strict=True)
        if exhibit.bars
    }


def severity_in_words(scored: Scored, row: int) -> str:
    """Return a severity with the name of its step, marked with ~ if it is extrapolated."""
    from insphere.scoring import severity_step

    severity = float(scored.severities[row])
    about = "~" if severity > scored.detector.severity_scale.resolution else ""
    return f"{about}{severity:.1f} {severity_step(severity)}"
