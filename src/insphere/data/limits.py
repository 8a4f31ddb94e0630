"""Upper bounds on what is read from a source.

Every limit can be set by an environment variable, ``INSPHERE_`` and its name in capitals: a number
of bytes, pixels or files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

from insphere.errors import SpecError


@dataclass(frozen=True)
class Limits:
    """Upper bounds, checked before anything is read, unpacked or decoded.

    Parameters
    ----------
    max_file_bytes : int
        Size of one file, as it lies on the disk or as it unpacks from a zip.
    max_files : int
        Files in one folder or zip.
    max_expansion : int
        How many times larger than the zip all that it holds may be; smaller sums than
        `free_bytes` are always allowed. Photographs do not shrink in a zip; drawings to a tenth.
    free_bytes : int
        See `max_expansion`.
    max_pixels_per_byte : int
        Pixels of a whole source for each byte of its files; fewer pixels than `free_pixels` are
        always allowed. A photograph has about 10, an empty 1-bit mask several thousand.
    free_pixels : int
        See `max_pixels_per_byte`.
    """

    max_file_bytes: int = 1 << 29
    max_files: int = 5_000_000
    max_expansion: int = 200
    free_bytes: int = 1 << 28
    max_pixels_per_byte: int = 2_000
    free_pixels: int = 1 << 28


def limits() -> Limits:
    """Return the limits, with those of environment variables.

    Raises
    ------
    SpecError
        If a variable is not a whole number above 0.
    """
    given = {}
    for field in fields(Limits):
        name = f"INSPHERE_{field.name.upper()}"
        text = os.environ.get(name)
        if text is None:
            continue
        if not text.isdecimal() or len(text) > 18 or int(text) == 0:
            raise SpecError(f"The environment variable {name} is a whole number, not {text!r}.")
        given[field.name] = int(text)
    return Limits(**given)
