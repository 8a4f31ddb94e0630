"""The bodies of requests to samples, within the limits."""

from __future__ import annotations

import base64
import binascii
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from insphere.data.pixels import open_image
from insphere.errors import DataError
from insphere.modalities.tables.frame import Frame
from insphere.runtime.description import Description
from insphere.runtime.reading import read_image, stacked
from insphere.server.engines import Engine, Samples
from insphere.web.uploads import Limits, check_zip, headers

NAME_LENGTH = 200
SMALL_BYTES, SMALL_PIXELS = 16_384, 128 * 128
MOST_NUMBERS = 16_000_000


@dataclass(frozen=True, eq=False)
class Given:
    """The samples of a request.

    Parameters
    ----------
    samples : ndarray, shape (n, H, W, C) or (n, d)
        Checked against the model.
    names : list of str
        What they are called; for samples without a name their positions.
    """

    samples: Samples
    names: list[str]


def is_small(body: bytes) -> bool:
    """Whether a body is decoded in less time than handing it to another thread takes.

    That is a small image in the format PNG, which says its size in its first bytes, or a small
    JSON object.
    """
    if len(body) > SMALL_BYTES:
        return False
    if body[:8] == b"\x89PNG\r\n\x1a\n":
        width, height = (int.from_bytes(body[at : at + 4], "big") for at in (16, 20))
        return width * height <= SMALL_PIXELS
    return body[:1] == b"{" and b'"images"' not in body


def decode_files(files: Sequence[tuple[str, bytes]], engine: Engine, limits: Limits) -> Given:
    """Decode images and zips of images.

    Parameters
    ----------
    files : sequence of (str, bytes)
        Names and contents.
    engine : Engine
        The model that they are for.
    limits : Limits
        What is accepted.

    Raises
    ------
    DataError
        If one is no image, does not fit the model, or there is too much.
    """
    model = engine.description
    if model.kind != "images":
        raise DataError(
            'This model scores rows of numbers: send a JSON object such as {"rows": [[1, 2]]}.'
        )
    names: list[str] = []
    images: list[NDArray[Any]] = []
    pixels = 0

    def add(name: str, content: bytes, image: Image.Image) -> None:
        nonlocal pixels
        size = image.width * image.height
        pixels += size
        if size > limits.pixels:
            raise DataError(
                f"{name} has more than {limits.pixels // 1_000_000} million pixels; make it "
                "smaller."
            )
        if pixels > limits.all_pixels or len(images) >= limits.images:
            raise DataError(
                f"A request holds at most {limits.images:,} images with together "
                f"{limits.all_pixels // 1_000_000:,} million pixels; send fewer at a time."
            )
        names.append(name)
        images.append(read_image(content, model, name, image))

    for title, content in files:
        shown = _shown(title) or f"image {len(names)}"
        if content[:4] == b"PK\3\4" or content[:4] == b"PK\5\6":
            check_zip(io.BytesIO(content), limits)
            for name, inner, image in headers(io.BytesIO(content), limits):
                add(_shown(name), inner, image)
            continue
        try:
            opened = open_image(content)
        except Image.DecompressionBombError as error:
            raise DataError(f"{shown} is too large: {error}.") from error
        except Exception as error:  # decoders raise whatever a damaged file leads them to
            raise DataError(f"{shown} is no image, or a damaged one.") from error
        add(shown, content, opened)
    if not images:
        raise DataError("The request holds no image.")
    return Given(engine.check(stacked(images, model)), names)


def decode_json(body: bytes, engine: Engine, limits: Limits) -> Given:
    """Read rows of numbers, or images in base64, from a JSON object.

    Raises
    ------
    DataError
        If it is neither, or does not fit the model.
    """
    found = parse_object(body)
    if engine.description.kind == "tables":
        rows = found.get("rows")
        if not isinstance(rows, list) or not rows:
            raise DataError('The model scores rows of numbers: send {"rows": [[1, 2], …]}.')
        if len(rows) > limits.images:
            raise DataError(f"A request holds at most {limits.images:,} rows; send fewer.")
        given: Any = as_frame(rows, engine) if engine.frames else as_rows(rows, engine.description)
        samples = engine.check(given)
        return Given(samples, [str(i) for i in range(len(samples))])
    images = found.get("images")
    if not isinstance(images, list) or not images or not all(isinstance(i, str) for i in images):
        raise DataError(
            'Send an image, several as multipart/form-data, a zip, or {"images": ["BASE64", …]}.'
        )
    files = []
    for place, text in enumerate(images):
        try:
            files.append((f"image {place}", base64.b64decode(text, validate=True)))
        except (binascii.Error, ValueError) as error:
            raise DataError(f"Image {place} is not in base64.") from error
    return decode_files(files, engine, limits)


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    DataError
        If it is something else.
    """
    try:
        found = json.loads(body, parse_constant=_no_constant)
    except (ValueError, UnicodeDecodeError, RecursionError, MemoryError) as error:
        raise DataError("The body is no valid JSON.") from error
    if not isinstance(found, dict):
        raise DataError("The body is a JSON object, such as {…}.")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def as_rows(rows: Sequence[Any], model: Description) -> NDArray[np.float64]:
    """Return rows of numbers, or of a number for each column by its name.

    Raises
    ------
    DataError
        If they are something else.
    """
    width, columns = model.shape[0], model.columns
    plain = []
    for place, row in enumerate(rows):
        if isinstance(row, Mapping):
            if columns is None or set(row) != set(columns):
                wanted = "a list" if columns is None else f"the columns {', '.join(columns[:10])}"
                raise DataError(f"Row {place} is not {wanted}.")
            row = [row[name] for name in columns]
        if not isinstance(row, list) or len(row) != width or not all(map(_is_number, row)):
            raise DataError(f"Row {place} is not a list of {width} numbers.")
        plain.append(row)
    try:
        values = np.array(plain, dtype=np.float64)
    except (OverflowError, ValueError) as error:
        raise DataError("A number in the rows is too large.") from error
    if not np.isfinite(values).all():
        raise DataError("A number in the rows is too large.")
    return values


def as_frame(rows: Sequence[Any], engine: Engine) -> Frame:
    """Return rows with numbers, texts and gaps (null) as named columns.

    Raises
    ------
    DataError
        If a row does not have these columns, or a value is something else.
    """
    names = engine.description.columns or []
    columns: list[list[Any]] = [[] for _ in names]
    for place, row in enumerate(rows):
        if isinstance(row, Mapping):
            unknown = sorted(set(row) - set(names))
            if unknown:
                raise DataError(f"Row {place} has the unknown column {unknown[0][:60]!r}.")
            row = [row.get(name) for name in names]
        if not isinstance(row, list) or len(row) != len(names):
            raise DataError(f"Row {place} is not a list of {len(names)} values.")
        for column, value in zip(columns, row, strict=True):
            if not (value is None or isinstance(value, str | bool) or _is_number(value)):
                raise DataError(f"Row {place} holds something else than numbers and texts.")
            column.append(value)
    return Frame(tuple(names), tuple(map(_column, columns)))


def _column(values: list[Any]) -> NDArray[Any]:
    """Return numbers with NaN for null; or texts, if there is one."""
    if all(value is None or _is_number(value) for value in values):
        try:
            numbers = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
        except OverflowError as error:
            raise DataError("A number in the rows is too large.") from error
        if np.isinf(numbers).any():
            raise DataError("A number in the rows is too large.")
        return numbers
    return np.array([None if v is None else str(v) for v in values], dtype=object)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def multipart_files(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """Return names and contents of the files of a multipart/form-data body.

    Raises
    ------
    DataError
        If the body is damaged, or holds no file.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what is wrong is answered
    described = Message()
    described["content-type"] = content_type
    boundary = described.get_param("boundary")
    if not isinstance(boundary, str) or not boundary or len(boundary) > NAME_LENGTH:
        raise DataError("The multipart body has no boundary.")
    files: list[tuple[str, bytes]] = []
    state: dict[str, Any] = {}

    def on_part_begin() -> None:
        state.update(header=Message(), field=b"", value=b"", data=[])

    def on_header_field(data: bytes, start: int, end: int) -> None:
        state["field"] += data[start:end]

    def on_header_value(data: bytes, start: int, end: int) -> None:
        state["value"] += data[start:end]

    def on_header_end() -> None:
        name = state["field"].decode("latin-1").strip()
        if name.lower() == "content-disposition":
            value = state["value"].decode("utf-8", "replace").replace("\r", "").replace("\n", "")
            state["header"]["content-disposition"] = value
        state.update(field=b"", value=b"")

    def on_part_data(data: bytes, start: int, end: int) -> None:
        state["data"].append(data[start:end])

    def on_part_end() -> None:
        name = state["header"].get_filename()
        if name is not None:
            files.append((str(name), b"".join(state["data"])))

    callbacks: Any = {
        "on_part_begin": on_part_begin, "on_header_field": on_header_field,
        "on_header_value": on_header_value, "on_header_end": on_header_end,
        "on_part_data": on_part_data, "on_part_end": on_part_end,
    }  # fmt: skip
    try:
        parser = MultipartParser(boundary.encode("latin-1"), callbacks)
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError, KeyError, LookupError) as error:
        raise DataError("The multipart body is damaged.") from error
    if not files:
        raise DataError("The multipart body holds no file: send images as files.")
    return files


def _shown(name: str) -> str:
    """Return a name that can be given back: printable, and not too long."""
    return "".join(c if c.isprintable() else "?" for c in name)[:NAME_LENGTH]


# ------------------------------------------------------------------ the Open Inference Protocol

DATATYPES = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32,
    "UINT64": np.uint64, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32,
    "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
OF_NUMPY = {np.dtype(kind).name: name for name, kind in DATATYPES.items()}


def decode_tensor(
    given: Mapping[str, Any], raw: bytes | None, engine: Engine, limits: Limits
) -> Samples:
    """Read the one input tensor of an inference request.

    Parameters
    ----------
    given : mapping
        The entry of ``inputs``.
    raw : bytes or None
        Its values in binary, if they were sent so.
    engine : Engine
        The model.
    limits : Limits
        What is accepted.

    Raises
    ------
    DataError
        If it is not of the shape and type that the model takes.
    """
    model = engine.description
    wanted = OF_NUMPY[model.dtype]
    if given.get("datatype") != wanted:
        raise DataError(f"The input has the datatype {wanted}.")
    shape = given.get("shape")
    fits = (
        isinstance(shape, list)
        and all(isinstance(n, int) and not isinstance(n, bool) for n in shape)
        and shape[1:] == model.shape
        and 0 < shape[0] <= limits.images
    )
    if not fits or not isinstance(shape, list):
        inner = ", ".join(map(str, model.shape))
        raise DataError(f"The input has the shape [N, {inner}], with N from 1 to {limits.images}.")
    kind = np.dtype(DATATYPES[wanted])
    count = int(np.prod(shape, dtype=np.int64))
    if raw is not None:
        if len(raw) != count * kind.itemsize:
            raise DataError(f"The binary data of the input are not {count * kind.itemsize} bytes.")
        values = np.frombuffer(raw, kind.newbyteorder("<")).astype(kind)
    else:
        values = _numbers(given.get("data"), kind, count)
    return engine.check(values.reshape(shape))


def _numbers(data: Any, kind: np.dtype[Any], count: int) -> NDArray[Any]:
    """Return numbers of a JSON list, flat or nested, in a number format that holds them."""
    if not isinstance(data, list) or count > MOST_NUMBERS:
        raise DataError("The input has a list of numbers in data.")
    try:
        values = np.array(data)
    except (ValueError, OverflowError, RecursionError) as error:
        raise DataError("The data of the input are not numbers in a list of one shape.") from error
    if values.dtype.kind not in "iuf" or values.size != count:
        raise DataError(f"The data of the input are not {count} numbers.")
    if kind.kind == "u":
        highest = np.iinfo(kind).max
        if values.dtype.kind == "f" or values.min() < 0 or values.max() > highest:
            raise DataError(f"The data of the input are not whole numbers from 0 to {highest}.")
    values = values.astype(kind)
    if kind.kind == "f" and not np.isfinite(values).all():
        raise DataError("A number of the input is too large.")
    return values


def split_binary(body: bytes, length: str) -> tuple[bytes, bytes]:
    """Split a body with binary tensors after its JSON.

    Raises
    ------
    DataError
        If the header does not give a length that the body has.
    """
    if not length.isdecimal() or len(length) > 12 or int(length) > len(body):
        raise DataError("Inference-Header-Content-Length is not the length of the JSON part.")
    return body[: int(length)], body[int(length) :]


def heat_png(heat: NDArray[np.float32]) -> tuple[str, float]:
    """Return a heat map as a grey PNG of 16 bits in base64, and the value that is white."""
    top = float(heat.max(initial=0.0))
    scaled = np.rint(65535 * (heat / top if top > 0 else np.zeros_like(heat)).clip(0, 1))
    file = io.BytesIO()
    Image.fromarray(scaled.astype(np.uint16)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii"), top


def as_binary(values: NDArray[Any]) -> bytes:
    """Return values in the byte order of the protocol."""
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


__all__ = [
    "DATATYPES",
    "OF_NUMPY",
    "Given",
    "as_binary",
    "as_rows",
    "decode_files",
    "decode_json",
    "decode_tensor",
    "heat_png",
    "multipart_files",
    "parse_object",
    "split_binary",
]
