"""Tables: rows with columns of numbers and categories, from files, frames and arrays.

What reads and encodes rows needs NumPy alone, so that exported models use it too.
"""

from typing import TYPE_CHECKING

from insphere.lazy_names import lazy_names

if TYPE_CHECKING:
    from insphere.modalities.tables.frame import Frame as Frame
    from insphere.modalities.tables.kind import Tables as Tables
    from insphere.modalities.tables.table_set import TableSet as TableSet

_PLACES = {"Frame": "frame", "TableSet": "table_set", "Tables": "kind"}

__all__ = ["Frame", "TableSet", "Tables"]

__getattr__, __dir__ = lazy_names(__name__, _PLACES.get)
