"""The results of an ablation as tables; differences in percentage points of AUC."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

import numpy as np

from insphere.experiments.analysis.ablation_results import AblationResults, Comparison
from insphere.experiments.analysis.ablation_summary import (
    NOTHING,
    gain,
    note,
    points,
    z_score_words,
)
from insphere.experiments.analysis.published_results import REPORTED_Z_SCORE
from insphere.experiments.analysis.text_table import Column, Layout, Text
from insphere.experiments.runs.display_names import dataset_title
from insphere.safe_text import csv_row


def layouts(results: AblationResults) -> list[Layout]:
    """Return all tables of one data set."""
    tables = [summary(results), by_class(results)]
    return [*tables, z_score_table(results)] if results.z_scores else tables


def summary(results: AblationResults) -> Layout:
    """Return a table with a line for each arm: gain, p-value, assumed gain, verdict."""
    columns = [
        Column("option", words=True),
        Column("group", words=True),
        Column("gain ± 95 %"),
        Column("p, corrected"),
        Column("assumed gain", dim=True),
        Column("verdict", words=True),
    ]
    return Layout(
        dataset_title(results.dataset),
        "gain in AUC over the baseline, in percentage points, paired by class and seed",
        note(results),
        columns,
        _parts(results, _summary_line),
    )


def by_class(results: AblationResults) -> Layout:
    """Return a table of the difference in each class, below the AUC of the baseline."""
    classes = results.classes
    columns = [Column("option", words=True), *(Column(name) for name in classes), Column("mean")]
    own = results.baseline_by_class
    shown = [f"{100 * own[name]:.2f}" if name in own else NOTHING for name in classes]
    mean = f"{100 * np.mean(list(own.values())):.2f}" if len(own) == len(classes) else NOTHING
    first = [Text("Baseline, AUC in %"), *map(Text, shown), Text(mean)]

    def line(one: Comparison) -> list[Text]:
        means = one.pairs.by_class()
        cells = [points(means[name]) if name in means else NOTHING for name in classes]
        last = NOTHING if one.effect is None else points(one.effect.mean)
        return [Text(one.arm.title), *map(Text, cells), Text(last, _is_shown(one))]

    return Layout(
        dataset_title(results.dataset),
        "gain in AUC over the baseline by normal class, in percentage points, mean over seeds",
        "",
        columns,
        [[first], *_parts(results, line)],
    )


def z_score_table(results: AblationResults) -> Layout:
    """Return a table of the AUC of each class, from scores and from standardised scores."""
    reported = REPORTED_Z_SCORE.get(results.dataset, {})
    columns = [
        Column("normal class", words=True),
        Column("runs"),
        Column("AUC of the scores"),
        Column("of their z-scores"),
        Column("standardised over the test images"),
        Column("largest difference"),
    ]
    if reported:
        columns += [Column("report: baseline", dim=True), Column("report: z-score", dim=True)]
    lines = []
    for name in results.classes:
        cells = [cell for cell in results.z_scores if cell[0] == name and cell in results.baseline]
        if not cells:
            continue
        raw = [results.baseline[cell] for cell in cells]
        line, apart = [name, str(len(cells)), _mean(raw)], 0.0
        for key in ("auc", "auc_over_test_images"):
            values = [results.z_scores[cell].get(key) for cell in cells]
            both = [(new, old) for new, old in zip(values, raw, strict=True) if new is not None]
            line.append(_mean([new for new, _ in both]))
            apart = max([apart, *(abs(new - old) for new, old in both)])
        line.append("0" if apart == 0 else f"{apart:.1e}")
        if reported:
            line += [f"{value:.2f}" for value in reported[name]] if name in reported else ["–"] * 2
        lines.append([Text(text) for text in line])
    return Layout(
        dataset_title(results.dataset),
        "AUC in % of the baseline's scores, raw and standardised, mean over seeds",
        z_score_words(results),
        columns,
        [lines],
    )


def across(results: Sequence[AblationResults]) -> Layout:
    """Return a table of the gain of each option on several data sets; significant ones in bold."""
    columns = [Column("option", words=True), Column("group", words=True), Column("assumed")]
    columns += [Column(dataset_title(one.dataset)) for one in results]
    by_name = [{c.arm.name: c for c in one.comparisons} for one in results]
    arms = {c.arm.name: c.arm for one in results for c in one.comparisons}
    parts: dict[bool, list[list[Text]]] = {True: [], False: []}
    for name, arm in arms.items():
        line = [Text(arm.title), Text(arm.group), Text(_assumed(arm.assumed))]
        for comparisons in by_name:
            found = comparisons.get(name)
            if found is None or found.effect is None:
                line.append(Text(NOTHING))
            elif _is_shown(found):
                line.append(Text(f"{gain(found)}, {found.verdict}", bold=True))
            else:
                line.append(Text("0 exactly" if found.corrected is None else gain(found)))
        parts[arm.kind == "option"].append(line)
    return Layout(
        "Gain in AUC over the baseline",
        "percentage points, mean over classes ± half of the 95 % interval",
        "In bold what is shown at a corrected level of 0.05.",
        columns,
        [part for part in (parts[True], parts[False]) if part],
    )


def csv_table(results: Sequence[AblationResults]) -> str:
    """Write all numbers as one CSV: a line for each class, and for the mean over classes.

    AUCs and differences are between 0 and 1.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["dataset", "option", "kind", "group", "normal", "seeds", "missing_pairs", "baseline_auc",
         "gain", "low", "high", "p", "p_corrected", "assumed", "verdict"]
    )  # fmt: skip
    for one in results:
        own = one.baseline_by_class
        for found in one.comparisons:
            arm, e = found.arm, found.effect
            head = [one.dataset, arm.name, arm.kind, arm.group]
            for name, difference in found.pairs.by_class().items():
                seeds = sum(cell[0] == name for cell in found.pairs.differences)
                writer.writerow(csv_row([*head, name, seeds, "", own[name], difference, *[""] * 6]))
            numbers = [e.mean, e.low, e.high, e.p] if e else [None] * 4
            last = [found.pairs.missing, "", *numbers, found.corrected, arm.assumed, found.verdict]
            writer.writerow(
                csv_row([*head, "mean", "", *("" if value is None else value for value in last)])
            )
    return file.getvalue()


# ---------------------------------------------------------------------- inside


def _parts(
    results: AblationResults, line: Callable[[Comparison], list[Text]]
) -> list[list[list[Text]]]:
    parts = [results.of_kind("option"), results.of_kind("group", "all")]
    return [[line(one) for one in part] for part in parts if part]


def _summary_line(one: Comparison) -> list[Text]:
    held = {True: ", inside", False: ", outside", None: ""}[one.assumption_holds]
    texts = [
        one.arm.title,
        one.arm.group,
        "0 exactly" if one.verdict == "exactly equal" else gain(one),
        NOTHING if one.corrected is None else f"{one.corrected:.3f}",
        _assumed(one.arm.assumed) + held,
    ]
    return [*map(Text, texts), Text(one.verdict, _is_shown(one))]


def _mean(aucs: Sequence[float]) -> str:
    return f"{100 * np.mean(aucs):.6f}" if aucs else NOTHING


def _is_shown(one: Comparison) -> bool:
    return one.verdict in ("helps", "hurts")


def _assumed(value: float | None) -> str:
    return NOTHING if value is None else points(value)
