"""Bringing a store of an earlier version up to date.

Up to format 1, runs of Deep SVDD and of its untrained control that named no recipe took the fast
one. Since then the default is another. So their parameters now say ``recipe: fast``, and with that
they have another identity; their results are what they were.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from insphere.detectors.registry import default_recipe
from insphere.errors import require
from insphere.experiments.runs.spec import RunSpec

require("sqlalchemy", "experiments", "The store of runs")

from sqlalchemy import Connection  # noqa: E402

FAST: dict[str, Any] = {"recipe": "fast"}


def name_the_recipe(connection: Connection, folder: Path) -> None:
    """Write the recipe into the runs and planned sweeps that named none.

    If a run that names it is there as well, the one with a result is kept.

    Parameters
    ----------
    connection : Connection
        Within a transaction for writing.
    folder : Path
        The folder beside the store, where each run has one of its own.
    """
    tables = {
        name
        for (name,) in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type='table'"
        )
    }
    for before, spec in list(_runs_without(connection)):
        _change(connection, before, spec, tickets="tickets" in tables)
        old, new = folder / before, folder / spec.identity
        if old.is_dir() and not new.exists():
            old.rename(new)
    if "sweeps" in tables:
        for key, content in list(connection.exec_driver_sql("SELECT key, content FROM sweeps")):
            text = json.dumps(with_recipe(json.loads(content)))
            connection.exec_driver_sql("UPDATE sweeps SET content=? WHERE key=?", (text, key))


def with_recipe(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a sweep file in which runs name the recipe that they took.

    Examples
    --------
    >>> with_recipe({"methods": ["knn", "svdd", {"method": "deep-svdd", "grid": {"nu": [0.1]}}]})
    {'methods': ['knn', {'method': 'svdd', 'params': {'recipe': 'fast'}}, \
{'method': 'deep-svdd', 'grid': {'nu': [0.1]}, 'params': {'recipe': 'fast'}}]}
    """
    methods = content["methods"]
    listed = methods if isinstance(methods, list) else [methods]
    return dict(content) | {"methods": [_part_with_recipe(part) for part in listed]}


def _part_with_recipe(part: Any) -> Any:
    whole: dict[str, Any] = {"method": part} if isinstance(part, str) else dict(part)
    params: dict[str, Any] = whole.get("params") or {}
    if not _took_fast(str(whole["method"])):
        return part
    if "recipe" in params or "recipe" in (whole.get("grid") or {}):
        return part
    return whole | {"params": FAST | params}


def _took_fast(method: str) -> bool:
    """Whether the default of a method was the fast recipe, and is another now."""
    return default_recipe(method) == "best"


def _runs_without(connection: Connection) -> Iterator[tuple[str, RunSpec]]:
    """Yield the identities of runs that name no recipe, and what they are called with it."""
    query = "SELECT identity, dataset, normal, method, params, seed FROM runs"
    for identity, dataset, normal, method, params, seed in connection.exec_driver_sql(query):
        given = json.loads(params)
        if _took_fast(method) and "recipe" not in given:
            yield (
                identity,
                RunSpec(
                    dataset=dataset,
                    normal=tuple(json.loads(normal)),
                    method=method,
                    params=FAST | given,
                    seed=seed,
                ),
            )


def _change(connection: Connection, before: str, spec: RunSpec, *, tickets: bool) -> None:
    now, run = spec.identity, connection.exec_driver_sql
    state = "SELECT state FROM runs WHERE identity=?"
    same = run(state, (now,)).scalar()
    dropped = None if same is None else before if same == "finished" else now
    if dropped is not None:
        run("DELETE FROM runs WHERE identity=?", (dropped,))
    if dropped != before:
        run(
            "UPDATE runs SET identity=?, params=? WHERE identity=?",
            (now, json.dumps(spec.params), before),
        )
    if tickets:
        if run("SELECT 1 FROM tickets WHERE identity=?", (now,)).scalar():
            run("DELETE FROM tickets WHERE identity=?", (before,))
        else:
            run("UPDATE tickets SET identity=? WHERE identity=?", (now, before))
