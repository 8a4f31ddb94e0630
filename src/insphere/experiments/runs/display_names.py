"""What rows of runs are called in figures, and rows as figures take them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from insphere.data.named import DATASETS
from insphere.detectors.registry import method_title
from insphere.errors import SpecError
from insphere.experiments.runs.processing_options import OPTIONS, apply_options
from insphere.figures.measured import Measured

Row = Mapping[str, Any]

SHARES = (
    *("auc", "average_precision", "fpr_at_95_tpr", "precision", "recall", "f1"),
    *("false_alarm_rate", "balanced_accuracy"),
)
_FROM_OPTIONS = ("encoder", "preprocess", "allow_collapse")
_WORDS = {
    ("objective", "soft-boundary"): "soft boundary",
    ("objective", "one-class"): "one-class",
    ("recipe", "fast"): "fast recipe",
    ("recipe", "paper"): "paper recipe",
    ("gamma", "labelled-holdout"): "tuned on labelled test images",
    ("nu", "labelled-holdout"): "",  # tuned together with γ
}
_AND_SO_ON = 2  # options that are named one by one


def measured_runs(rows: Sequence[Row]) -> list[Measured]:
    """Return rows in the form that figures take, each with a name for what was run.

    Parameters
    ----------
    rows : sequence of mapping
        Finished runs; see `insphere.experiments.runs.run.RunResult.row`.
    """
    names, titles = option_names(rows), dataset_titles(rows)
    return [
        Measured(
            titles[row["dataset"]],
            " + ".join(row["normal"]),
            names[row["run"]],
            row["seed"],
            {key: float(row[key]) for key in SHARES if row.get(key) is not None},
            row["run"],
        )
        for row in rows
    ]


def dataset_titles(rows: Sequence[Row]) -> dict[str, str]:
    """Return what people call the datasets of rows; of a path, its last part if no other has it."""
    names = list(dict.fromkeys(row["dataset"] for row in rows))
    titles = {name: _dataset_title(name) for name in names}
    shared = [title for title in titles.values() if list(titles.values()).count(title) > 1]
    return {name: name if title in shared else title for name, title in titles.items()}


def _dataset_title(name: str) -> str:
    if name not in DATASETS:
        return PurePath(name).name
    what, comma, which = DATASETS[name].title.partition(", ")
    return f"{what} ({which})" if comma else what  # a list of datasets has commas of its own


def option_names(rows: Sequence[Row]) -> dict[str, str]:
    """Return a name for what each row ran, by identity; the same for all that differ in no setting.

    A name says the method and those of its parameters that differ between rows of that method.
    Processing options are recognised in the parameters (see `apply_options`) and called by their
    titles; with them, the method is left out.

    Parameters
    ----------
    rows : sequence of mapping
        Finished runs.

    Examples
    --------
    >>> names = option_names([
    ...     {"run": "a", "method": "deep-svdd", "params": {}},
    ...     {"run": "b", "method": "deep-svdd", "params": {"objective": "soft-boundary"}},
    ...     {"run": "c", "method": "deep-svdd", "params": apply_options(["residual"], {})},
    ...     {"run": "d", "method": "kde", "params": {}},
    ... ])
    >>> list(names.values())
    ['Deep SVDD', 'Deep SVDD, soft boundary', 'Residual skips', 'KDE']
    """
    split = {_key(row): _split(row) for row in rows}
    differing: dict[str, list[str]] = {}
    for method in {row["method"] for row in rows}:
        own = [base for key, (_, base) in split.items() if key[0] == method]
        keys = list(dict.fromkeys(name for base in own for name in base))
        differing[method] = [
            name for name in keys if len({json.dumps(base.get(name)) for base in own}) > 1
        ]
    titles: dict[tuple[str, str], str] = {}
    for key, (options, base) in split.items():
        title = _title(key[0], options, {k: v for k, v in base.items() if k in differing[key[0]]})
        taken = set(titles.values())
        unique, number = title, 2
        while unique in taken:
            unique, number = f"{title} ({number})", number + 1
        titles[key] = unique
    return {row["run"]: titles[_key(row)] for row in rows}


def options_of(params: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]] | None:
    """Find the options that `apply_options` put into parameters, and what is left without them.

    Parameters
    ----------
    params : mapping
        Constructor arguments of `DeepSVDD`.

    Returns
    -------
    tuple or None
        Keys of `OPTIONS` and the other parameters; None if no options give these parameters.
    """
    base = {key: value for key, value in params.items() if key not in _FROM_OPTIONS}
    if len(base) == len(params):
        return (), base
    encoder = params.get("encoder")
    encoder = encoder if isinstance(encoder, Mapping) else {}
    steps = params.get("preprocess") or []
    found = []
    for name, option in OPTIONS.items():
        wanted = {k: list(v) if isinstance(v, tuple) else v for k, v in option.encoder.items()}
        in_encoder = all(encoder.get(key) == value for key, value in wanted.items())
        in_steps = all(_has_step(steps, step) for step in option.steps)
        if (wanted or option.steps) and in_encoder and in_steps:
            found.append(name)
    whole = [name for name in found if not _within_another(name, found)]
    try:
        same = apply_options(whole, base) == dict(params)
    except SpecError:
        same = False
    return (tuple(whole), base) if same else None


def plain_baseline(rows: Sequence[Row]) -> str | None:
    """Return the name of plain Deep SVDD among the rows: no options, one-class, fast recipe.

    None if there is none; of several that are left, the one with the most runs.
    """
    names = option_names(rows)
    counts: dict[str, int] = {}
    for row in rows:
        found = options_of(row["params"]) if row["method"] == "deep-svdd" else None
        if found is None or found[0]:
            continue
        base = found[1]
        if base.get("objective", "one-class") == "one-class" and (
            base.get("recipe", "fast") == "fast"
        ):
            counts[names[row["run"]]] = counts.get(names[row["run"]], 0) + 1
    return max(counts, key=lambda name: counts[name]) if counts else None


def in_words(params: Mapping[str, Any]) -> str:
    """Write parameters as a list."""
    return ", ".join(f"{key} {_value(value)}" for key, value in params.items())


def _split(row: Row) -> tuple[tuple[str, ...], dict[str, Any]]:
    found = options_of(row["params"]) if row["method"] == "deep-svdd" else None
    return found or ((), dict(row["params"]))


def _title(method: str, options: Sequence[str], told: Mapping[str, Any]) -> str:
    words = [
        _WORDS.get((key, value) if isinstance(value, str) else (key, ""), f"{key} {_value(value)}")
        for key, value in told.items()
    ]
    if options:
        name = " + ".join(OPTIONS[option].title for option in options)
        if len(options) > _AND_SO_ON:
            groups = list(dict.fromkeys(OPTIONS[option].group for option in options))
            name = f"{len(options)} options {' and '.join(groups)}"
            if len(groups) > _AND_SO_ON:
                name = f"{len(options)} options, all groups"
    else:
        name = method_title(method)
    usual = [word for word in words if word not in ("", "one-class", "fast recipe")]
    return ", ".join([name, *usual])


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "(" + in_words(value) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _has_step(steps: Any, step: Any) -> bool:
    wanted = {"step": step} if isinstance(step, str) else dict(step)
    return any(
        isinstance(one, Mapping) and all(one.get(key) == value for key, value in wanted.items())
        for one in steps
    )


def _within_another(name: str, found: Sequence[str]) -> bool:
    """Whether another option does all that this one does, and more."""
    own = set(OPTIONS[name].encoder.items())
    return any(
        other != name and own and own < set(OPTIONS[other].encoder.items()) for other in found
    )


def _key(row: Row) -> tuple[str, str]:
    return row["method"], json.dumps(row["params"], sort_keys=True)
