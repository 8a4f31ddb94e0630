"""An SQLite file that several processes can write at the same time."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from filelock import FileLock

from insphere.errors import DataError, InsphereError, require
from insphere.parsing import ParseError, check_path
from insphere.safe_text import shown_path

require("sqlalchemy", "experiments", "The store of runs")

from sqlalchemy import Connection, Engine, MetaData, create_engine, event  # noqa: E402
from sqlalchemy.engine import ExceptionContext  # noqa: E402

VERSION = 2
Journal = Literal["wal", "delete"]
_BUSY_SECONDS = 60
_NO_DATABASE = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_ADVICE = {
    sqlite3.SQLITE_BUSY: "another program holds it; try again when that is done",
    sqlite3.SQLITE_LOCKED: "another program holds it; try again when that is done",
    sqlite3.SQLITE_READONLY: "make it writable or choose another folder",
    sqlite3.SQLITE_CANTOPEN: "choose another place",
}


def open_database(
    path: Path,
    journal: Journal | None,
    tables: MetaData,
    upgrade: Callable[[Connection], None],
) -> Engine:
    """Open the file, or create it with these tables.

    Transactions of ``engine.execution_options(write=True)`` get the write lock before they read.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    journal : {"wal", "delete"} or None
        See `insphere.experiments.store.run_store.Store`.
    tables : MetaData
        Tables of a new file.
    upgrade : callable
        Changes the content of a file of the version before, within a transaction.

    Raises
    ------
    DataError
        If the file is not a store, or has another version.
    InsphereError
        If it cannot be read or written, now or at any later use of the engine.
    """
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begun)
    event.listen(engine, "handle_error", partial(_refused, path))
    try:
        check_path(path)
        _check_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            _prepare(engine, path, journal, tables, upgrade)
    except ParseError as error:
        raise InsphereError(
            f"The store {shown_path(path)} {error}; choose another name."
        ) from error
    except OSError as error:
        raise InsphereError(
            f"The store {path} cannot be used: {error.strerror or error}; choose another place."
        ) from error
    return engine


def _check_file(path: Path) -> None:
    """Refuse what can be no database before a lock is laid beside it, or a pipe is waited for."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"The store {path} is not a file; choose another name.")
    except FileNotFoundError:
        return
    # Read by SQLite alone: to close a file that one opened oneself gives up all locks that this
    # process holds on it (SQLite, "How To Corrupt An SQLite Database File", 2.2).
    try:
        address = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_DATABASE:
            raise DataError(
                f"{path} is no store of runs, or is damaged; name another file."
            ) from error


def _prepare(
    engine: Engine,
    path: Path,
    journal: Journal | None,
    tables: MetaData,
    upgrade: Callable[[Connection], None],
) -> None:
    """Check the version of a file, and create the tables of a new one in one transaction."""
    with engine.connect() as connection:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar()
        count = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
    new = version == 0 and count == 0
    if not new and version not in (VERSION - 1, VERSION):
        raise DataError(f"{path} is no store of runs in the format {VERSION}; name another file.")
    if journal or new:
        with engine.execution_options(begin=False).connect() as connection:
            connection.exec_driver_sql(f"PRAGMA journal_mode={journal or 'wal'}")
    if new or version != VERSION:
        with engine.execution_options(write=True).begin() as connection:
            if new:
                tables.create_all(connection)
            else:
                upgrade(connection)
            connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")


def _refused(path: Path, context: ExceptionContext) -> None:
    """Turn every error of SQLite into one sentence."""
    error = context.original_exception
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
        return None  # a bug
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _NO_DATABASE:
        raise DataError(f"{path} is no store of runs, or is damaged; name another file.") from error
    advice = _ADVICE.get(code, "free some space or choose another folder")
    raise InsphereError(f"The store {path} cannot be used: {error}; {advice}.") from error


def _connected(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begun` says
    connection.execute("PRAGMA synchronous=NORMAL")


def _begun(connection: Any) -> None:
    options = connection.get_execution_options()
    if options.get("begin", True):  # the journal is changed outside of transactions
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("write") else "BEGIN")
