"""A sweep as a YAML file: datasets × normal classes × methods × options × seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import prod
from os import PathLike
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from insphere.data.datasets.table import DATASETS, named_dataset
from insphere.detectors.method_field import MethodKey, MethodName
from insphere.errors import SpecError
from insphere.experiments.runs.display_names import normal_title, run_names, settings_key
from insphere.experiments.runs.spec import RunSpec
from insphere.modalities.examples import load_named
from insphere.safe_text import shown_path
from insphere.validation import sentence
from insphere.workflows.fit_config import read_config
from insphere.workflows.known_anomalies import check_anomalies

EVERY = "*"  # key for all data sets that are not named


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Parameters
    ----------
    spec : RunSpec
        The run.
    column : str
        Title of its column in tables: that of the file, or else the display name; see `run_names`.
    option : str
        Name of the option; empty if the sweep has none.
    """

    spec: RunSpec
    column: str
    option: str = ""

    @property
    def normal(self) -> str:
        """Names of the normal classes as one text."""
        return normal_title(self.spec.normal)


MOST_SEEDS = 10_000
MOST_RUNS = 100_000  # before exclusions


def _list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _name(value: Any) -> Any:
    """Return a number as a name, because YAML reads the class 3 as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _names(value: Any) -> Any:
    return [_name(item) for item in _list(value)]


def _seeds(value: Any) -> Any:
    """Return a number of seeds as the list of the first ones."""
    if isinstance(value, int) and value > MOST_SEEDS:
        raise ValueError(f"{value} is more than {MOST_SEEDS:,} seeds")
    return list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value


def _classes(value: Any) -> Any:
    """Return all forms of `normal` as lists of lists of names by data set; [] is all classes."""
    by_dataset = value if isinstance(value, dict) else {EVERY: value}
    found: dict[Any, Any] = {}
    for dataset, classes in by_dataset.items():
        if classes == "all":
            found[dataset] = []
        elif classes in ([], None, {}):
            raise ValueError("name at least one class, or write all")
        else:
            found[dataset] = [_names(item) for item in _list(classes)]
            if [] in found[dataset]:
                raise ValueError("name at least one class in each list, or write all")
    return found


def _method(value: Any) -> Any:
    return {"method": value} if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(_names), Field(min_length=1)]
MethodNames = Annotated[list[MethodName], BeforeValidator(_names), Field(min_length=1)]
Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**31)]], BeforeValidator(_seeds), Field(min_length=1)
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MethodPart(_Part):
    """One method of a sweep, or several that differ in the values of `grid`.

    Parameters
    ----------
    method : str
        Key or alias of a method; see `insphere.detectors.method_table`.
    name : str, optional
        Title of its column, to which values of `grid` are added; by default the display names of
        its runs (see `insphere.experiments.runs.display_names.run_names`).
    params : dict
        Parameters of the detector.
    grid : dict
        Lists of values of further parameters; every combination is a separate method.
    seeds : int or list of int, optional
        Override those of the sweep.
    options : bool
        Whether the options of the sweep apply to it.
    """

    method: MethodKey
    name: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    seeds: Seeds | None = None
    options: bool = True

    @model_validator(mode="after")
    def _is_told_once(self) -> Self:
        if both := sorted(set(self.params) & set(self.grid)):
            raise ValueError(f"{both[0]} is both in params and in grid")
        return self

    def variants(self) -> list[tuple[str, dict[str, Any]]]:
        """Return title and parameters of each combination; the title is empty without a name."""
        found = []
        for values in product(*self.grid.values()):
            selected = dict(zip(self.grid, values, strict=True))
            suffix = f" ({', '.join(map(str, values))})" if values else ""
            found.append((f"{self.name}{suffix}" if self.name else "", self.params | selected))
        return found


class Exclude(_Part):
    """A rule for runs to leave out: those with all of these values."""

    dataset: Names | None = None
    normal: Names | None = None
    method: MethodNames | None = None
    option: Names | None = None
    seed: Annotated[list[int], BeforeValidator(_list)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("an empty rule would leave out every run")
        return self

    def matches(self, run: SweepRun) -> bool:
        """Return whether the rule applies to a run."""
        values = {
            "dataset": run.spec.dataset,
            "normal": run.normal,
            "method": run.spec.method,
            "option": run.option,
            "seed": run.spec.seed,
        }
        return all(values[key] in (getattr(self, key) or ()) for key in self.model_fields_set)


class Sweep(_Part):
    """A sweep: every method on every normal class of every data set with every seed.

    Parameters
    ----------
    name, description : str
        Texts for display.
    datasets : str or list of str
        Names or paths, as `insphere.data.load_dataset` takes them.
    normal : "all", list or dict
        Normal classes; an item that is itself a list is several classes that are normal together.
        As a dict, by dataset.
    methods : list
        Names of methods, or `MethodPart`.
    options : dict
        Arguments of the detector by the name of the option; each method is run with each.
    seeds : int or list of int
        Seeds, or their number.
    exclude : list of Exclude
        Rules for runs to leave out.
    """

    name: str = Field(min_length=1)
    description: str = ""
    datasets: Names
    normal: Annotated[dict[str, list[list[str]]], BeforeValidator(_classes)]
    methods: Annotated[
        list[Annotated[MethodPart, BeforeValidator(_method)]],
        BeforeValidator(_list),
        Field(min_length=1),
    ]
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    seeds: Seeds = [0]
    exclude: list[Exclude] = Field(default_factory=list)

    @model_validator(mode="after")
    def _classes_are_those_of_datasets(self) -> Self:
        for dataset in self.normal:
            if dataset not in (EVERY, *self.datasets):
                raise ValueError(f"normal names {dataset}, which is none of the datasets")
        for dataset in self.datasets:
            if dataset not in self.normal and EVERY not in self.normal:
                raise ValueError(f"normal says nothing about {dataset}")
        return self

    def runs(self) -> list[SweepRun]:
        """Return all runs, seed by seed, without repetitions.

        Raises
        ------
        SpecError
            If a data set lacks a named class, a rule of `exclude` matches no run, or no run is
            left.
        """
        self._check_count()
        found: dict[str, tuple[SweepRun, RunSpec]] = {}
        used = [False] * len(self.exclude)
        for seed, (dataset, normal) in product(self._all_seeds(), self._cells()):
            for run, base in self._runs_of(dataset, normal, seed):
                rules = [rule.matches(run) for rule in self.exclude]
                used = [a or b for a, b in zip(used, rules, strict=True)]
                if not any(rules):
                    found.setdefault(run.spec.identity, (run, base))
        if not all(used):
            rule = self.exclude[used.index(False)].model_dump(exclude_none=True)
            raise SpecError(f"The sweep {self.name} has no run that its exclude {rule} leaves out.")
        if not found:
            raise SpecError(f"The sweep {self.name} leaves out all of its runs.")
        return _with_columns(list(found.values()))

    def check(self) -> None:
        """Check every run by building its detector, without fitting it.

        Raises
        ------
        SpecError
            If a method does not have one of the given arguments, or a run is to be shown anomalies
            of a class that its data set lacks.
        DataError
            If a run is to be shown anomalies from a source that is not there.
        """
        seen: set[Any] = set()
        for run in self.runs():
            known = run.spec.known_anomalies
            for name in () if known is None else known.classes or ():
                self._check_class("anomalous", name, run.spec.dataset)
            if known is not None and known.source is not None and known.source not in seen:
                check_anomalies(known.source)
                seen.add(known.source)
            key = (run.spec.method, tuple(sorted(run.spec.params)))
            if key not in seen:
                run.spec.detector()
                seen.add(key)

    def _check_count(self) -> None:
        """Refuse more runs than anybody would wait for, before they are listed."""
        count = sum(
            len(self.seeds if part.seeds is None else part.seeds)
            * prod(len(values) for values in part.grid.values())
            * (len(self.options) or 1 if part.options else 1)
            for part in self.methods
        ) * len(self._cells())
        if count > MOST_RUNS:
            raise SpecError(
                f"The sweep {self.name} has {count:,} runs, but at most {MOST_RUNS:,} are planned "
                "at once: name fewer seeds, classes, options or values of grids."
            )

    def _all_seeds(self) -> list[int]:
        lists = [self.seeds, *(part.seeds or [] for part in self.methods)]
        return list(dict.fromkeys(seed for seeds in lists for seed in seeds))

    def _cells(self) -> list[tuple[str, tuple[str, ...]]]:
        cells = []
        for dataset in self.datasets:
            wanted = self.normal.get(dataset, self.normal.get(EVERY, []))
            for classes in wanted or [[name] for name in class_names(dataset)]:
                for name in classes:
                    self._check_class("normal", name, dataset)
                cells.append((dataset, tuple(classes)))
        return cells

    def _check_class(self, use: str, name: str, dataset: str) -> None:
        if name not in (known := class_names(dataset)):
            raise SpecError(
                f"The sweep {self.name} has the {use} class {shown_path(name)}, but the classes of "
                f"{dataset} are {', '.join(known)}."
            )

    def _runs_of(
        self, dataset: str, normal: tuple[str, ...], seed: int
    ) -> list[tuple[SweepRun, RunSpec]]:
        """Return runs, named as far as the file names them, and each without its option."""
        runs = []
        for part in self.methods:
            if seed not in (self.seeds if part.seeds is None else part.seeds):
                continue
            options = self.options if part.options and self.options else {"": {}}
            for (title, params), (option, more) in product(part.variants(), options.items()):
                spec, base = (
                    RunSpec(
                        dataset=dataset, normal=normal, method=part.method, params=own, seed=seed
                    )
                    for own in (params | more, params)
                )
                runs.append((SweepRun(spec, title, option), base))
        return runs


def _with_columns(planned: Sequence[tuple[SweepRun, RunSpec]]) -> list[SweepRun]:
    """Set the column of every run; different settings never share a column.

    Parameters
    ----------
    planned : sequence of (SweepRun, RunSpec)
        Runs whose column is what the file calls them, or empty; and each without its option.
    """
    names = run_names(run.spec for run, _ in planned)
    bases = run_names(base for _, base in planned)
    columns: dict[str, str] = {}
    settings: dict[str, set[str]] = {}
    for run, base in planned:
        column = run.column or bases[base.identity]
        if run.option:
            column = f"{column}, {run.option}"
        columns[run.spec.identity] = column
        settings.setdefault(column, set()).add(settings_key(run.spec))
    for identity, column in columns.items():
        if len(settings[column]) > 1:
            columns[identity] = f"{column} ({names[identity]})"
    return [replace(run, column=columns[run.spec.identity]) for run, _ in planned]


@lru_cache(maxsize=16)
def class_names(dataset: str) -> tuple[str, ...]:
    """Return the names of the classes of a data set; known data sets are not loaded for this."""
    known = named_dataset(dataset).class_names if dataset in DATASETS else ()
    return known or load_named(dataset).class_names


def read_sweep(path: str | PathLike[str]) -> Sweep:
    """Read a sweep from a YAML file.

    Raises
    ------
    SpecError
        If there is no such file, or it has a mistake; the message names the key.
    """
    return make_sweep(read_config(path), str(path))


def make_sweep(values: Mapping[str, Any], title: str = "The sweep") -> Sweep:
    """Return a sweep from the content of a file, after checking it.

    Parameters
    ----------
    values : mapping
        The content of the file.
    title : str
        Name of the file in messages.

    Examples
    --------
    >>> sweep = make_sweep({"name": "a", "datasets": "digits-8x8", "normal": 3, "methods": "knn"})
    >>> [run.column for run in sweep.runs()]
    ['2-nearest-neighbour on pixels']
    """
    try:
        return Sweep.model_validate(dict(values))
    except ValidationError as error:
        raise SpecError(sentence(error, title, Sweep, "key")) from error
