"""Tables on several classes, a few labels and dirty normals, from the rows in ``results/``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from insphere.experiments.store.jsonl_rows import read_rows
from insphere.nets.backbones.joined import JOIN
from tables_of_rows import markdown

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
    header = ["method", "labelled anomalies", "AUC, all digits", "the labelled digit"]
    lines = []
    for method, title in TITLES.items():
        for share in sorted({row["share"] for row in found if row["method"] == method}):
            own = [r["measured"] for r in found if (r["method"], r["share"]) == (method, share)]
            seen = _mean(own, "auc_labelled") if share else "–"
            cells = [title, f"{100 * share:g} %", _mean(own, "auc"), seen, _mean(own, "auc_unseen")]
            lines.append([*cells, str(len(own))])
    return markdown([*header, "unseen digits", "runs"], lines)


PUBLISHED = {"mnist": {0.01: 96.4, 0.1: 96.9}, "cifar10": {0.01: 72.6, 0.1: 79.8}}
"""Mean AUC of Deep SAD by data set and share of labelled anomalies (Ruff et al. 2020)."""
SETS = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
EPOCHS = (10, 40)  # of pretraining; the recipe takes 40


def few_labels_best() -> str:
    """Deep SAD after pretraining without labels, beside what is published."""
    header = ["Deep SAD, recipe `best`", "pretraining, epochs", "labelled anomalies"]
    header += [
        "AUC, all classes",
        "the labelled class",
        "unseen classes",
        "published, all classes",
        "runs",
    ]
    lines = []
    for name, title in SETS.items():
        found = read_rows(RESULTS / f"few-labels-best-{name}.jsonl")
        for epochs, (share, published) in product(EPOCHS, PUBLISHED[name].items()):
            own = [
                row["measured"]
                for row in found
                if (row["pretrain_epochs"], row["share"]) == (epochs, share)
            ]
            if own:
                means = [_mean(own, key) for key in ("auc", "auc_labelled", "auc_unseen")]
                shown = [str(epochs), f"{100 * share:g} %"]
                lines.append([title, *shown, *means, f"{published:.1f}", str(len(own))])
    return markdown(header, lines)


def other_images() -> str:
    """HSC without an anomaly and with images of another data set, one line a set."""
    lines = []
    for name, title in OTHER_SETS.items():
        aucs: dict[bool, dict[int, float]] = {False: {}, True: {}}
        for row in read_rows(RESULTS / f"other-images-{name}.jsonl"):
            aucs[row["shown"] is not None][row["normal"]] = row["measured"]["auc"]
        both = sorted(set(aucs[False]) & set(aucs[True]))
        if both:
            means = [100 * np.mean([aucs[shown][k] for k in both]) for shown in (False, True)]
            gains = [aucs[True][k] - aucs[False][k] for k in both]
            better = f"{sum(gain > 0 for gain in gains)} of {len(both)}"
            other = OTHER_SETS[next(one for one in OTHER_SETS if one != name)]
            lines.append([title, other, *(f"{mean:.1f}" for mean in means), better])
    header = ["normal images", "other images", "none shown", "a tenth are other images"]
    return markdown([*header, "classes that gain"], lines) if lines else UNMEASURED


def several_classes() -> str:
    """One model with ten spheres beside ten models, by data set and recipe."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in read_rows(RESULTS / "several-classes.jsonl"):
        groups.setdefault((row["set"], row["recipe"]), []).append(row)
    lines, said = [], []
    for (name, recipe), rows in groups.items():
        one = next((row["measured"] for row in rows if row["models"] == 1), None)
        own = [row["measured"] for row in rows if row["models"] == 10]
        if one is None or len(own) < 10:
            continue
        title = f"{ALL_CLASSES[name]}, `{recipe}`"
        seconds = sum(row["fit_seconds"] for row in own)
        lines += [
            [
                f"{title}: one model (*supervised*)",
                f"{100 * np.mean(one['auc_by_class']):.1f}",
                f"{one['fit_seconds']:.0f}",
                f"{one['peak_mib']:,}",
                f"{one['saved_kib']:,}",
            ],
            [
                f"{title}: ten models",
                f"{100 * np.mean([row['auc'] for row in own]):.1f}",
                f"{seconds:.0f}",
                f"{max(row['peak_mib'] for row in own):,}",
                f"{sum(row['saved_kib'] for row in own):,}",
            ],
        ]
        share = one["fit_seconds"] / seconds
        said.append(f"{title}: {100 * one['accuracy']:.1f} % ({share:.2f} of the time)")
    if not lines:
        return UNMEASURED
    header = ["mean AUC, %", "training, s", "peak memory, MiB", "on disk, KiB"]
    table = markdown(["one class against the others", *header], lines)
    return f"{table}\nThe one model names the right class of test images for: {'; '.join(said)}.\n"


def dirty_normals() -> str:
    """AUC of each form of training on a polluted set, and the share of the loss won back."""
    found = read_rows(RESULTS / "dirty-normals.jsonl")
    if not found:
        return UNMEASURED
    forms = {(row["normal"], row["form"]): row["measured"]["auc"] for row in found}
    digits = sorted({n for n, _ in forms if all((n, form) in forms for form in FORMS)})
    means = {form: float(np.mean([forms[n, form] for n in digits])) for form in FORMS}
    lost = means["clean"] - means["blind"]
    lines = []
    for form, title in FORMS.items():
        back = f"{100 * (means[form] - means['blind']) / lost:.0f} %"
        shown = "" if form in ("clean", "blind") else back
        lines.append([title, f"{100 * means[form]:.1f}", shown])
    names = ", ".join(map(str, digits))
    said = f"Mean over {len(digits)} digits as the normal class ({names}), one seed."
    header = ["training", "AUC", "won back of what pollution costs"]
    return f"{markdown(header, lines)}\n{said}\n"


FEATURE_FORMS = {
    "clean": "clean training set",
    "blind": "polluted, nothing done",
    "refine": "`refine`: suspects are left out",
    "hard": "`hard`: distances beside those to suspects",
}


def dirty_features() -> str:
    """Neighbours in pretrained features on a polluted set, by form and number of neighbours."""
    found = read_rows(RESULTS / "dirty-features.jsonl")
    aucs = {
        (row["normal"], row["n_neighbors"], row["form"]): row["measured"]["auc"] for row in found
    }
    counts = sorted({count for _, count, _ in aucs})
    wanted = [(count, form) for count in counts for form in FEATURE_FORMS]
    classes = sorted({n for n, *_ in aucs if all((n, *one) in aucs for one in wanted)})
    if not classes:
        return UNMEASURED
    means = {one: float(np.mean([aucs[n, *one] for n in classes])) for one in wanted}
    clean, blind = means[counts[0], "clean"], means[counts[0], "blind"]
    header = ["training"]
    for count in counts:
        header += [f"{count} neighbours: AUC", "won back"]
    lines = []
    for form, title in FEATURE_FORMS.items():
        cells = [title]
        for count in counts:
            mean = means[count, form]
            shown = "" if form == "clean" else f"{100 * (mean - blind) / (clean - blind):.0f} %"
            cells += [f"{100 * mean:.1f}", shown]
        lines.append(cells)
    kept = [r["measured"]["anomalies_kept"] for r in found if r["form"] == "refine"]
    before = [r["measured"]["anomalies_kept"] for r in found if r["form"] == "blind"]
    said = (
        f"Mean over {len(classes)} classes, one seed. *Won back* is the share of the "
        f"{100 * (clean - blind):.1f} points that pollution costs {counts[0]} neighbours, the "
        f"default. Of {np.mean(before):.0f} anomalies, {np.mean(kept):.0f} are left among the "
        "normal images after `refine`."
    )
    return f"{markdown(header, lines)}\n{said}\n"


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
    header = ["data, detector", "promised", "one threshold: worst group"]
    lines = []
    for row in found:
        name = f"{DATA[row['data']]}, {METHODS[row['method']]}"
        whole = f"{name}, divided by whole tiles ({row.get('n_units')})"
        for title, rates in ((name, row["rates"]), (whole, row.get("rates_by_unit", []))):
            for rate in rates:
                wanted = f"{100 * rate['rate']:g} %"
                lines.append([title, wanted, _worst(rate, "one"), _worst(rate, "own")])
    return markdown([*header, "one a group: worst group"], lines)


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


ARMS = {
    "none": "no labels",
    "random": "twenty labels at random",
    "queue": "twenty labels that the queue asks for",
}


def label_queue() -> str:
    """Show the AUC with labels that the queue asks for beside labels drawn at random."""
    found = read_rows(RESULTS / "label-queue.jsonl")
    runs = {(r["normal"], r["seed"], r["arm"]): r["measured"] for r in found}
    whole = sorted({(n, s) for n, s, _ in runs if all((n, s, arm) in runs for arm in ARMS)})
    if not whole:
        return UNMEASURED
    means = {arm: np.mean([runs[n, s, arm]["auc"] for n, s in whole]) for arm in ARMS}
    lines = []
    for arm, title in ARMS.items():
        labelled = np.mean([runs[n, s, arm]["anomalies_labelled"] for n, s in whole])
        gained = "" if arm == "none" else f"{100 * (means[arm] - means['none']):+.2f}"
        shown = "" if arm == "none" else f"{labelled:.1f}"
        lines.append([title, f"{100 * means[arm]:.2f}", gained, shown])
    digits = ", ".join(sorted({str(n) for n, _ in whole}))
    table = markdown(["", "AUC", "gained", "anomalies among the labels"], lines)
    return f"{table}\nMean over {len(whole)} runs (digits {digits} as the normal class).\n"


def unified() -> str:
    """Show UniAD's protocol on CIFAR-10 beside the published values."""
    found = read_rows(RESULTS / "unified.jsonl")
    if not found:
        return UNMEASURED
    aucs = {"UniAD, published": UNIAD}
    for row in sorted(found, key=lambda row: (_form(row)[0], row["images"])):
        own = aucs.setdefault(_form(row)[1], {})
        own[row["split"]] = 100 * row["auc"]
    lines = [
        [
            title,
            *(f"{own[split]:.1f}" if split in own else "–" for split in UNIAD),
            f"{np.mean(list(own.values())):.1f}" if set(own) >= set(UNIAD) else "–",
        ]
        for title, own in aucs.items()
    ]
    return markdown(["", *UNIAD, "mean"], lines)


def _form(row: dict[str, Any]) -> tuple[int, str]:
    """Return the place of a form in the table, and its title."""
    images = f"{row['images']:,} images of each class"
    if row.get("head") == "combination":
        return 30, f"`combination` of four members, as above, {images}"
    if "tuned" in row:
        background, vim = "background" in row["tuned"], row.get("head") == "feature-vim"
        said = ", `background=True`" if background else ""
        head = "`feature-vim`" if vim else "10-NN"
        place = 20 + background + 2 * vim
        return place, f"{head}, fine-tuned by the normal classes, {images}{said}"
    joined = JOIN in row["features"].get("backbone", "")
    networks = "three networks" if joined else "one network"
    if row["head"] == "feature-vim":
        return 12, f"`feature-vim`, {networks}, {images}"
    place = 10 * joined + (row["head"] != "one memory")
    return place, f"10-NN, {networks}, {images}, {row['head']}"


ALL_CLASSES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
OTHER_SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
UNIAD = {"0-4": 84.4, "5-9": 79.6, "even": 93.0, "odd": 89.1}
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
    lines = []
    for key, title in STATISTICS.items():
        cells = [title]
        for share in shares:
            dirty = [row for row in found if row["share"] == share]
            values = [row["statistics"][key] for row in (*clean, *dirty)]
            truth = np.repeat([0, 1], [len(clean), len(dirty)])
            cells.append(f"{100 * roc_auc_score(truth, values):.0f} %")
        lines.append(cells)
    parts = []
    for share in shares:
        dirty = [row for row in found if row["share"] == share]
        top, expected = np.mean([row["in_top_ten"] for row in dirty]), 10 * share
        parts.append(
            f"with {100 * share:g} % anomalies {top:.1f} of the ten are anomalous, where "
            f"{expected:.1f} would be by chance"
        )
    header = ["statistic of the scores"]
    header += [f"AUC, clean against {100 * share:g} % dirty" for share in shares]
    said = f"{len(clean)} tables. In the mean over tables, {'; '.join(parts)}."
    return f"{markdown(header, lines)}\n{said}\n"


def _mean(measured: list[dict[str, Any]], key: str) -> str:
    return f"{100 * np.mean([values[key] for values in measured]):.1f}"


BLOCKS: dict[str, Callable[[], str]] = {
    "few-labels": few_labels,
    "few-labels-best": few_labels_best,
    "other-images": other_images,
    "several-classes": several_classes,
    "dirty-normals": dirty_normals,
    "dirty-features": dirty_features,
    "groups": groups,
    "suspicious": suspicious,
    "label-queue": label_queue,
    "unified": unified,
}
