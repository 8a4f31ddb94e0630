"""Display names of runs and data sets, for the command line, the studio, tables and figures.

This is the only module that names runs. It names a set of runs together: a name contains the
settings in which the runs of the set differ. So two runs have the same name if and only if they
differ in nothing but data set, normal class and seed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

from pydantic import ValidationError

from insphere.data.datasets.table import DATASETS, named_dataset
from insphere.detectors.registry import default_recipe, method_title
from insphere.errors import SpecError
from insphere.experiments.runs.processing_options import OPTIONS, apply_options
from insphere.experiments.runs.spec import ANOMALIES, BY_CLASS
from insphere.figures.measured import Measured
from insphere.modalities.examples import kind_of_example
from insphere.workflows.known_anomalies import KnownAnomalies

Row = Mapping[str, Any]


class HasSettings(Protocol):
    """A `RunSpec`, or a run of a store."""

    @property
    def identity(self) -> str:
        """Identity of the run."""

    @property
    def dataset(self) -> str:
        """Name or path of the data set."""

    @property
    def normal(self) -> Sequence[str]:
        """Names of the normal classes."""

    @property
    def method(self) -> str:
        """Key of the method."""

    @property
    def params(self) -> Mapping[str, Any]:
        """Constructor arguments of the detector."""

    @property
    def seed(self) -> int:
        """Seed of the run."""


AnyRun = Row | HasSettings

SHARES = (
    *("auc", "average_precision", "fpr_at_95_tpr", "precision", "recall", "f1"),
    *("false_alarm_rate", "balanced_accuracy"),
)
_FROM_OPTIONS = ("encoder", "preprocess", "allow_collapse")
_NOT_PLAIN = {*_FROM_OPTIONS, "objective", "pretraining", "head"}
_FIRST = (BY_CLASS, ANOMALIES, "recipe", "objective")  # parameters that come first in a name
_WORDS = {
    ("objective", "soft-boundary"): "soft boundary",
    ("recipe", "paper"): "paper recipe",
    ("recipe", "fast"): "fast recipe",
    ("recipe", "best"): "best recipe",
    ("gamma", "labelled-holdout"): "tuned on labelled test images",
    ("nu", "labelled-holdout"): "",  # tuned together with γ
    (BY_CLASS, ""): "one for each class",
}
_AND_SO_ON = 2  # number of options that are named one by one
_ARCHIVES = (".npz", ".npy", ".zip")


# ---------------------------------------------------------------------- runs


def run_names(runs: Iterable[AnyRun]) -> dict[str, str]:
    """Return a name for each run of a set, by identity.

    Runs have the same name if and only if they differ in nothing but data set, normal class and
    seed. A name says the method and those of its parameters that differ between the runs of that
    method. Processing options are recognised in the parameters (see `apply_options`) and named by
    their titles. If all runs have the same method, names with an option omit it.

    Parameters
    ----------
    runs : iterable of mapping, RunSpec or Run
        Rows of finished runs, specs, or runs of a store, also mixed.

    Examples
    --------
    >>> rows = [
    ...     {"run": "a", "method": "deep-svdd", "params": {}},
    ...     {"run": "b", "method": "deep-svdd", "params": {"objective": "soft-boundary"}},
    ...     {"run": "c", "method": "deep-svdd", "params": apply_options(["residual"], {})},
    ... ]
    >>> list(run_names(rows).values())
    ['Deep SVDD', 'Deep SVDD, soft boundary', 'Residual skips']
    >>> run_names([*rows, {"run": "d", "method": "kde", "params": {}}])["c"]
    'Deep SVDD + Residual skips'
    >>> both = [{"run": "a", "method": "knn", "params": {}}]
    >>> both += [{"run": "b", "method": "knn", "params": {"by_class": True}}]
    >>> run_names(both)["b"]
    '2-nearest-neighbour on pixels, one for each class'
    """
    keys = {_identity(run): settings_key(run) for run in runs}
    split = {key: _split(*json.loads(key)) for key in dict.fromkeys(keys.values())}
    methods = {key: json.loads(key)[0] for key in split}
    differing: dict[str, set[str]] = {}
    for method in set(methods.values()):
        own = [base for key, (_, base) in split.items() if methods[key] == method]
        differing[method] = {
            name
            for name in {name for base in own for name in base}
            if len({json.dumps(base.get(name)) for base in own}) > 1
        }
    alone = len(set(methods.values())) == 1 and len(split) > 1
    short, whole = {}, {}
    for key, (options, base) in split.items():
        shown = {name: value for name, value in base.items() if name in differing[methods[key]]}
        short[key] = _title(methods[key], _options_in_short(options), shown, named=not alone)
        whole[key] = _title(methods[key], _titles(options), base, named=True)
    counts = Counter(short.values())
    titles: dict[str, str] = {}
    taken: set[str] = set()
    for key in split:
        title = whole[key] if counts[short[key]] > 1 else short[key]
        unique, number = title, 2
        while unique in taken:  # not even the names with all parameters are different
            unique, number = f"{title} ({number})", number + 1
        titles[key] = unique
        taken.add(unique)
    return {identity: titles[key] for identity, key in keys.items()}


def settings_key(run: AnyRun) -> str:
    """Return a key for the settings of a run without data set, class and seed.

    Equal settings give equal keys. Settings that are equal to the defaults have no effect.

    Examples
    --------
    >>> settings_key({"method": "deep-svdd", "params": {"recipe": "best"}})
    '["deep-svdd", {}]'
    """
    method, params = (
        (run["method"], run["params"]) if isinstance(run, Mapping) else (run.method, run.params)
    )
    usual = _usual(method, params)
    given = {name: value for name, value in params.items() if usual.get(name) != value}
    return json.dumps([method, given], sort_keys=True)


def _usual(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of parameters that runs often spell out."""
    default = default_recipe(method)
    best = params.get("recipe", default) == "best"
    return {
        "objective": "one-class",
        "recipe": default,
        "pretraining": "auto" if best else "autoencoder",
        "head": "auto" if best else "center",
    }


def distinct_runs(runs: Iterable[Any]) -> list[Any]:
    """Return runs without repetitions, which have the same settings and seed as an earlier run."""
    found: dict[Any, Any] = {}
    for run in runs:
        row = isinstance(run, Mapping)
        place = (
            (run["dataset"], tuple(run["normal"]), run["seed"])
            if row
            else (run.dataset, tuple(run.normal), run.seed)
        )
        found.setdefault((settings_key(run), *place), run)
    return list(found.values())


def measured_runs(rows: Sequence[Row], among: Iterable[AnyRun] = ()) -> list[Measured]:
    """Return rows in the form for figures, each with a display name.

    Parameters
    ----------
    rows : sequence of mapping
        Finished runs; see `insphere.experiments.runs.run.RunResult.row`.
    among : iterable of mapping, RunSpec or Run
        Further runs from which the names must differ.
    """
    everyone = [*among, *rows]
    names, titles = run_names(everyone), dataset_titles(map(_dataset, everyone))
    return [
        Measured(
            titles[row["dataset"]],
            normal_title(row["normal"]),
            names[row["run"]],
            row["seed"],
            {key: float(row[key]) for key in SHARES if row.get(key) is not None},
            row["run"],
        )
        for row in rows
    ]


def plain_baseline(rows: Sequence[AnyRun], names: Mapping[str, str] | None = None) -> str | None:
    """Return the name of plain Deep SVDD among the rows: no options, one-class, by its recipe.

    None if there is none. Of several recipes it is the default, else the fast one. If there are
    still several, it is that with the fewest other parameters, and then that with the most runs.

    Parameters
    ----------
    rows : sequence of mapping, RunSpec or Run
        Some runs.
    names : mapping, optional
        Their names by identity; by default those of `run_names`.
    """
    names = run_names(rows) if names is None else names
    counts: dict[tuple[bool, int, str], int] = {}
    for row in rows:
        method, params = json.loads(settings_key(row))
        recipe = params.pop("recipe", "best")
        if method != "deep-svdd" or recipe not in ("best", "fast") or _NOT_PLAIN & set(params):
            continue
        key = recipe == "fast", len(params), names[_identity(row)]
        counts[key] = counts.get(key, 0) + 1
    return min(counts, key=lambda key: (*key[:2], -counts[key]))[2] if counts else None


def options_of(params: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]] | None:
    """Recognise the options in parameters, and return them with the other parameters.

    Parameters
    ----------
    params : mapping
        Constructor arguments of `DeepSVDD`.

    Returns
    -------
    tuple or None
        Keys of `OPTIONS` and the other parameters; None if no options lead to these parameters.
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


def option_keys(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of the processing options in parameters.

    Examples
    --------
    >>> option_keys(apply_options(["zca", "attention"], {"epochs": 3}))
    ('zca', 'attention')
    """
    found = options_of(params)
    return () if found is None else found[0]


def normal_title(normal: Iterable[str]) -> str:
    """Return the display name of the normal classes."""
    return " + ".join(normal)


def in_words(params: Mapping[str, Any]) -> str:
    """Write parameters as a list."""
    return ", ".join(
        _WORDS[BY_CLASS, ""] if key == BY_CLASS else _in_words(key, value)
        for key, value in params.items()
    )


# ---------------------------------------------------------------------- data sets


def dataset_title(dataset: str) -> str:
    """Return the display name of a data set.

    Examples
    --------
    >>> dataset_title("mnist-5k"), dataset_title("/data/screws.npz")
    ('MNIST (500 of each digit)', 'screws')
    """
    return dataset_titles([dataset])[dataset]


def dataset_titles(datasets: Iterable[str]) -> dict[str, str]:
    """Return different display names of several data sets, by name or path.

    The name of a path is its last part, with as many parts before it as are needed.

    Parameters
    ----------
    datasets : iterable of str
        Names or paths, as `insphere.data.load_dataset` takes them.

    Examples
    --------
    >>> list(dataset_titles(["cifar10", "/a/photos", "/b/photos"]).values())
    ['CIFAR-10', 'a/photos', 'b/photos']
    """
    names = list(dict.fromkeys(datasets))
    titles = {name: _dataset_title(name, 1) for name in names}
    most = max((len(_parts(name)) for name in names), default=0)
    for length in range(2, most + 1):
        taken = list(titles.values())
        titles = {
            name: _dataset_title(name, length) if taken.count(title) > 1 else title
            for name, title in titles.items()
        }
    taken = list(titles.values())
    return {name: name if taken.count(title) > 1 else title for name, title in titles.items()}


def _dataset_title(name: str, parts: int) -> str:
    if (kind := kind_of_example(name)) is not None and kind.example is not None:
        return kind.example.title
    if name not in DATASETS:
        title = "/".join(_parts(name)[-parts:]) or name
        return next((title.removesuffix(end) for end in _ARCHIVES if title.endswith(end)), title)
    what, comma, which = named_dataset(name).card.title.partition(", ")
    return f"{what} ({which})" if comma else what  # a list of data sets already contains commas


def _parts(path: str) -> tuple[str, ...]:
    return tuple(p for p in PurePosixPath(path.replace("\\", "/")).parts if p != "/")


# ---------------------------------------------------------------------- inside


def _dataset(run: AnyRun) -> str:
    """Return the name or path of the data set of a run."""
    return str(run["dataset"]) if isinstance(run, Mapping) else run.dataset


def _identity(run: AnyRun) -> str:
    return str(run["run"]) if isinstance(run, Mapping) else run.identity


def _split(method: str, params: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the options in parameters and the others, the most important first."""
    options, base = options_of(params) or ((), params)
    order = [*(name for name in _FIRST if name in base), *base]
    return options, {name: base[name] for name in order}


def _title(method: str, options: str, params: Mapping[str, Any], *, named: bool) -> str:
    words = [
        _WORDS.get((key, value) if isinstance(value, str) else (key, ""), _in_words(key, value))
        for key, value in params.items()
    ]
    title = method_title(method)
    name = " + ".join(part for part in (title if named or not options else "", options) if part)
    return ", ".join([name, *(word for word in words if word)])


def _titles(options: Sequence[str]) -> str:
    return " + ".join(OPTIONS[option].title for option in options)


def _options_in_short(options: Sequence[str]) -> str:
    if len(options) <= _AND_SO_ON:
        return _titles(options)
    groups = list(dict.fromkeys(OPTIONS[option].group for option in options))
    if len(groups) > _AND_SO_ON:
        return f"{len(options)} options, all groups"
    return f"{len(options)} options {' and '.join(groups)}"


def _in_words(key: str, value: Any) -> str:
    if key == ANOMALIES and isinstance(value, Mapping):
        return _shown_anomalies(value)
    return f"{key} {_value(value)}"


def _shown_anomalies(value: Mapping[str, Any]) -> str:
    """Write what `KnownAnomalies` says; of a value that is no such thing, what it is."""
    try:
        known = KnownAnomalies.model_validate(value)
    except ValidationError:
        return f"{ANOMALIES} {_value(value)}"
    many = "" if known.share is None else f"{100 * known.share:g} % "
    if known.source is not None:
        return f"shown {many}other images ({dataset_title(known.source)})"
    return f"shown {many}anomalies ({normal_title(known.classes or ())})"


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
    """Whether another option includes all changes of this one."""
    own = set(OPTIONS[name].encoder.items())
    return any(
        other != name and own and own < set(OPTIONS[other].encoder.items()) for other in found
    )
