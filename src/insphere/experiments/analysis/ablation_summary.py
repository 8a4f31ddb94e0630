"""The results of an ablation in words; differences in percentage points of AUC."""

from __future__ import annotations

import numpy as np

from insphere.experiments.analysis.ablation_results import AblationResults, Comparison
from insphere.experiments.analysis.paired_stats import smallest_p

NOTHING = "–"


def in_words(results: AblationResults) -> str:
    """Return sentences on what helps, what hurts, and the error of the assumed gains."""
    options = results.of_kind("option")
    sentences = []
    if results.tested and not results.can_show:
        sentences.append(_too_few(results))
    for verdict, start in (("helps", "Helps"), ("hurts", "Hurts")):
        shown = [f"{one.arm.title} ({gain(one)})" for one in options if one.verdict == verdict]
        sentences.append(f"{start}: {', '.join(shown) or 'none'}.")
    unclear = sum(one.verdict == "no difference shown" for one in options)
    sentences.append(f"No difference shown: {unclear} of {len(options)} options.")
    judged = [one for one in options if one.arm.assumed is not None and one.effect is not None]
    if judged:
        assumed = float(np.mean([one.arm.assumed or 0.0 for one in judged]))
        measured = float(np.mean([one.effect.mean for one in judged if one.effect is not None]))
        inside = sum(one.assumption_holds is True for one in judged)
        sentences.append(
            f"The {len(judged)} assumed gains are {points(assumed)} on the mean, and measured are "
            f"{points(measured)}; {inside} of {len(judged)} lie in the interval."
        )
    return " ".join(sentences)


def z_score_words(results: AblationResults) -> str:
    """Return a sentence on the runs whose AUC is unchanged by standardisation."""
    equal = sum(
        all(values[key] == results.baseline[cell] for key in values if key.startswith("auc"))
        for cell, values in results.z_scores.items()
        if cell in results.baseline
    )
    return f"The AUC is the same to the last bit in {equal} of {len(results.z_scores)} runs."


def note(results: AblationResults) -> str:
    """Return a note on the runs behind the numbers, and on missing ones."""
    n, seeds, pairs = len(results.classes), len(results.seeds), len(results.cells)
    counted = [
        f"{n} class{'es' if n > 1 else ''}",
        f"{seeds} seed{'s' if seeds > 1 else ''}",
        f"{pairs} pair{'s' if pairs > 1 else ''} for each option",
    ]
    sentences = [f"{', '.join(counted)}."]
    own = results.baseline_by_class
    if own:
        mean = 100 * float(np.mean(list(own.values())))
        sentences[0] = f"{sentences[0][:-1]}; baseline {mean:.2f} % AUC."
    if results.seed_noise is not None:
        sentences.append(
            "Two seeds of the baseline lie "
            f"{100 * results.seed_noise:.2f} points apart in a class, on the mean."
        )
    if results.tested and not results.can_show:
        sentences.append(_too_few(results))
    sentences += [
        f"{one.arm.title}: {', '.join(one.arm.options)}." for one in results.of_kind("group", "all")
    ]
    absent = [one.arm.title for one in results.comparisons if one.effect is None]
    if absent:
        sentences.append(f"Not measured: {', '.join(absent)}.")
    partly: dict[str, list[str]] = {}
    for one in results.comparisons:
        if one.effect is not None and one.pairs.missing:
            partly.setdefault(_what_is_missing(one), []).append(one.arm.title)
    for missing, titles in partly.items():
        sentences.append(f"Missing pairs, {missing}: {', '.join(titles)}.")
    return " ".join(sentences)


def points(difference: float) -> str:
    """Write a difference in AUC in percentage points.

    Examples
    --------
    >>> points(0.005), points(-0.0123), points(0.0)
    ('+0.50', '−1.23', '0.00')
    """
    text = f"{100 * difference:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def gain(one: Comparison) -> str:
    """Write a mean gain with half of its interval."""
    if one.effect is None:
        return NOTHING
    if one.effect.high is None:
        return points(one.effect.mean)
    return f"{points(one.effect.mean)} ± {100 * (one.effect.high - one.effect.mean):.2f}"


def _too_few(results: AblationResults) -> str:
    n = len(results.classes)
    return (
        f"{n} class{'es are' if n > 1 else ' is'} too few for a verdict: no p-value can fall "
        f"below {smallest_p(n):.3g}, before it is corrected for {len(results.tested)} options."
    )


def _what_is_missing(one: Comparison) -> str:
    pairs = one.pairs
    parts = [
        f"{count} {what}"
        for count, what in (
            (pairs.without_option, "without its run"),
            (pairs.without_baseline, "without the baseline's"),
            (pairs.without_both, "without either run"),
        )
        if count
    ]
    return " and ".join(parts)
