"""Tables: rows with columns of numbers and categories, from files, frames and arrays."""

from insphere.modalities.tables.frame import Frame
from insphere.modalities.tables.kind import Tables
from insphere.modalities.tables.table_set import TableSet

__all__ = ["Frame", "TableSet", "Tables"]
