"""An SQLite file that several processes may write at once."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from insphere.errors import DataError, InsphereError, require

require("sqlalchemy", "experiments", "The store of runs")

from sqlalchemy import Engine, MetaData, create_engine, event  # noqa: E402

VERSION = 1
Journal = Literal["wal", "delete"]
_BUSY_SECONDS = 60


def open_database(path: Path, journal: Journal | None, tables: MetaData) -> Engine:
    """Open the file, or make it with these tables.

    Transactions of ``engine.execution_options(write=True)`` wait for their turn before they read.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    journal : {"wal", "delete"} or None
        See `insphere.experiments.store.run_store.Store`.
    tables : MetaData
        What a new file holds.

    Raises
    ------
    DataError
        If the file is something else, or of another version.
    InsphereError
        If the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            _prepare(path, journal, tables)
    except (sqlite3.OperationalError, OSError) as error:
        raise InsphereError(f"The store {path} cannot be used: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path} is no store of runs; name another file.") from error
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begun)
    return engine


def _prepare(path: Path, journal: Journal | None, tables: MetaData) -> None:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (count,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        new = version == 0 and count == 0
        if not new and version != VERSION:
            raise DataError(
                f"{path} is no store of runs in the format {VERSION}; name another file."
            )
        if journal or new:
            connection.execute(f"PRAGMA journal_mode={journal or 'wal'}")
    finally:
        connection.close()
    if new:
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as setup:
            tables.create_all(setup)
            setup.exec_driver_sql(f"PRAGMA user_version={VERSION}")
        engine.dispose()


def _connected(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begun` says
    connection.execute("PRAGMA synchronous=NORMAL")


def _begun(connection: Any) -> None:
    writes = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
