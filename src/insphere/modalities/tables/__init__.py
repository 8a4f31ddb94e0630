"""Tables: rows with columns of numbers and categories, from files, frames and arrays.

What reads and encodes rows needs NumPy alone, so that exported models use it too.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insphere.modalities.tables.frame import Frame as Frame
    from insphere.modalities.tables.kind import Tables as Tables
    from insphere.modalities.tables.table_set import TableSet as TableSet

_PLACES = {"Frame": "frame", "TableSet": "table_set", "Tables": "kind"}

__all__ = ["Frame", "TableSet", "Tables"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
