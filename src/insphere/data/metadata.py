"""Images without their metadata, for files whose metadata alone are broken."""

from __future__ import annotations

PNG = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")  # chunks that the pixels need
JPEG = b"\xff\xd8"
SCAN = 0xDA  # the marker after which the pixels of a JPEG come


def without_metadata(data: bytes) -> bytes | None:
    """Return a PNG or JPEG file without texts, profiles and the like; None for other files.

    Parameters
    ----------
    data : bytes
        A file, perhaps damaged.
    """
    if data.startswith(PNG):
        return _png_without(data)
    return _jpeg_without(data) if data.startswith(JPEG) else None


def _png_without(data: bytes) -> bytes:
    """Keep the chunks of the pixels; each has its length before and a checksum behind."""
    view = memoryview(data)
    pieces, at = [view[: len(PNG)]], len(PNG)
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(view[at : at + 4], "big")
        if view[at + 4 : at + 8] in PNG_PIXELS:
            pieces.append(view[at:end])
        at = end
    return b"".join(pieces)


def _jpeg_without(data: bytes) -> bytes:
    """Leave out application segments and comments, up to the pixels."""
    view = memoryview(data)
    pieces, at = [view[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != SCAN:
        end = at + 2 + int.from_bytes(view[at + 2 : at + 4], "big")
        if not (0xE0 <= data[at + 1] <= 0xEF or data[at + 1] == 0xFE):
            pieces.append(view[at:end])
        at = end
    return b"".join((*pieces, view[at:]))
