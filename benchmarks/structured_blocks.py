"""Tables on several classes, a few labels and dirty normals, from the rows in ``results/``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from insphere.experiments.store.jsonl_rows import read_rows

RESULTS = Path(__file__).parent / "results"
TITLES = {"deep-sad": "Deep SAD", "hsc": "Hypersphere classifier"}
UNMEASURED = "This has not been measured yet.\n"
FORMS = {
    "clean": "clean training set",
    "blind": "polluted, nothing done",
    "refine": "`refine`: left out of the loss",
    "soft": "`soft`: half of each loss",
    "hard": "`hard`: the loss of an anomaly",
    "soft-boundary": "soft boundary, ν = 0.1",
}


def few_labels() -> str:
    """AUC by the share of labelled anomalies: on all, on the labelled digit, on unseen digits."""
    found = read_rows(RESULTS / "few-labels.jsonl")
    if not found:
        return UNMEASURED
    lines = [
        "| method | labelled anomalies | AUC, all digits | the labelled digit | unseen digits | "
        "runs |",
        "| --- |" + " ---: |" * 5,
    ]
    for method, title in TITLES.items():
        for share in sorted({row["share"] for row in found if row["method"] == method}):
            own = [r["measured"] for r in found if (r["method"], r["share"]) == (method, share)]
            seen = _mean(own, "auc_labelled") if share else "–"
            cells = [title, f"{100 * share:g} %", _mean(own, "auc"), seen, _mean(own, "auc_unseen")]
            lines.append("| " + " | ".join([*cells, str(len(own))]) + " |")
    return "\n".join(lines) + "\n"


def several_classes() -> str:
    """One model with ten spheres beside ten models."""
    found = read_rows(RESULTS / "several-classes.jsonl")
    if not found:
        return UNMEASURED
    one = next(row["measured"] for row in found if row["models"] == 1)
    own = [row["measured"] for row in found if row["models"] == 10]
    apart = read_rows(RESULTS / "mnist-fast.jsonl")
    aucs = [
        row["auc"]
        for row in apart
        if row["seed"] == 0 and row["params"].get("objective") == "one-class"
    ]
    seconds = np.mean([row["fit_seconds"] for row in own])
    lines = ["| | mean AUC, one digit against the others | training, s |", "| --- | ---: | ---: |"]
    lines.append(
        f"| one model with ten spheres (*supervised*) | {100 * np.mean(one['auc_by_class']):.1f} | "
        f"{one['fit_seconds']:.0f} |"
    )
    lines.append(
        f"| {len(aucs)} models of one digit each | {100 * np.mean(aucs):.1f} | "
        f"{len(aucs)} × {seconds:.0f} |"
    )
    lines += [
        "",
        f"The nearest sphere names the right digit for {100 * one['accuracy']:.1f} %. Times are "
        f"from a busy machine, one after the other; that of a single model is the mean of "
        f"{len(own)}.",
    ]
    return "\n".join(lines) + "\n"


def dirty_normals() -> str:
    """AUC of each form of training on a polluted set, and the share of the loss won back."""
    found = read_rows(RESULTS / "dirty-normals.jsonl")
    if not found:
        return UNMEASURED
    forms = {(row["normal"], row["form"]): row["measured"]["auc"] for row in found}
    digits = sorted({n for n, _ in forms if all((n, form) in forms for form in FORMS)})
    means = {form: float(np.mean([forms[n, form] for n in digits])) for form in FORMS}
    lost = means["clean"] - means["blind"]
    lines = ["| training | AUC | won back of what pollution costs |", "| --- | ---: | ---: |"]
    for form, title in FORMS.items():
        back = f"{100 * (means[form] - means['blind']) / lost:.0f} %"
        shown = "" if form in ("clean", "blind") else back
        lines.append(f"| {title} | {100 * means[form]:.1f} | {shown} |")
    names = ", ".join(map(str, digits))
    lines += ["", f"Mean over {len(digits)} digits as the normal class ({names}), one seed."]
    return "\n".join(lines) + "\n"


DATA = {"mnist": "MNIST by digit", "tiles": "magnetic tiles by exposure"}
METHODS = {
    "knn": "2-NN, pixels",
    "mahalanobis": "Mahalanobis",
    "deep-svdd": "Deep SVDD",
    "feature-knn": "2-NN on features",
    "patch-gaussian": "Gaussian patches",
}


def groups() -> str:
    """Show the worst group, with one threshold for all and with one for each group."""
    found = read_rows(RESULTS / "groups.jsonl")
    if not found:
        return UNMEASURED
    lines = [
        "| data, detector | promised | one threshold: worst group | one a group: worst group |",
        "| --- |" + " ---: |" * 3,
    ]
    for row in found:
        name = f"{DATA[row['data']]}, {METHODS[row['method']]}"
        for rate in row["rates"]:
            cells = [name, f"{100 * rate['rate']:g} %", _worst(rate, "one"), _worst(rate, "own")]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _worst(rate: dict[str, Any], title: str) -> str:
    known = [
        (value, error, name)
        for value, error, name in zip(
            rate[title], rate[f"{title}_error"], rate["groups"], strict=True
        )
        if value is not None
    ]
    if len(known) < len(rate["groups"]) and title == "own" and not known:
        return f"needs {rate['needed']} in each group"
    value, error, name = max(known)
    return f"{100 * value:.2f} ± {100 * error:.2f} % ({name})"


STATISTICS = {
    "far": "share beyond the upper quartile by 3 widths between quartiles",
    "far_log": "share of log scores beyond it by 1.5 widths",
    "mirrored": "upper tail of the log scores against the lower one, mirrored",
    "reach": "99 % quantile of the log scores, in widths between quartiles",
    "tail": "shape of the tail (generalised Pareto)",
}


def suspicious() -> str:
    """Show how well statistics of the scores tell clean training sets from dirty ones."""
    found = read_rows(RESULTS / "suspicious.jsonl")
    if not found:
        return UNMEASURED
    shares = sorted({row["share"] for row in found} - {0})
    clean = [row for row in found if not row["share"]]
    head = [f"AUC, clean against {100 * share:g} % dirty" for share in shares]
    lines = ["| statistic of the scores | " + " | ".join(head) + " |"]
    lines.append("| --- |" + " ---: |" * len(shares))
    for key, title in STATISTICS.items():
        cells = [title]
        for share in shares:
            dirty = [row for row in found if row["share"] == share]
            values = [row["statistics"][key] for row in (*clean, *dirty)]
            truth = np.repeat([0, 1], [len(clean), len(dirty)])
            cells.append(f"{100 * roc_auc_score(truth, values):.0f} %")
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    parts = []
    for share in shares:
        dirty = [row for row in found if row["share"] == share]
        top, expected = np.mean([row["in_top_ten"] for row in dirty]), 10 * share
        parts.append(
            f"with {100 * share:g} % anomalies {top:.1f} of the ten are anomalous, where "
            f"{expected:.1f} would be by chance"
        )
    lines.append(f"{len(clean)} tables. In the mean over tables, {'; '.join(parts)}.")
    return "\n".join(lines) + "\n"


def _mean(measured: list[dict[str, Any]], key: str) -> str:
    return f"{100 * np.mean([values[key] for values in measured]):.1f}"


BLOCKS: dict[str, Callable[[], str]] = {
    "few-labels": few_labels,
    "several-classes": several_classes,
    "dirty-normals": dirty_normals,
    "groups": groups,
    "suspicious": suspicious,
}
