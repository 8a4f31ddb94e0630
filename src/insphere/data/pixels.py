"""One image file of any kind to pixels.

What becomes of unusual files: 16-bit pixels stay uint16 and floating-point ones float32 (the range
that a set of images uses is found later, on the training images: see `insphere.data.value_range`);
palettes become grey if all their colours are, else RGB; transparent pixels are blended onto black,
the value that adds nothing in a network without biases; EXIF rotation is applied, and nothing else
of the metadata is read; of several frames or pages the first is taken. Resizing stretches to the
given height and width, with a triangle filter that averages when it shrinks.
"""

from __future__ import annotations

import io
from functools import cache
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from insphere.data.file_kinds import reads_heif
from insphere.data.metadata import without_metadata

Pixels = NDArray[Any]
Box = tuple[float, float, float, float]

ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = 5  # orientations from here on swap height and width
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow weighs 8-bit colours
OTHER_BYTE = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGB;16N": "RGB;16B",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16L": "RGBA;16B",
    "RGBA;16N": "RGBA;16B",
}
"""How 16-bit colours lie in a file, of which Pillow keeps 8, and the way to read the others.

"N" is the order of the machine, which is little-endian.
"""


@cache
def _formats() -> tuple[str, ...]:
    """Return formats that only hold pixels: none starts an interpreter, as PostScript would."""
    wanted = ("PNG", "JPEG", "MPO", "PPM", "BMP", "DIB", "GIF", "TIFF", "WEBP", "AVIF")
    Image.init()
    reads_heif()
    return tuple(name for name in (*wanted, "JPEG2000", "TGA", "HEIF") if name in Image.OPEN)


def open_image(data: bytes, most: int | None = None) -> Image.Image:
    """Read the header of an image; its pixels are decoded when they are first used.

    If its metadata cannot be read, it is read without them.

    Parameters
    ----------
    data : bytes
        The file.
    most : int, optional
        Number of pixels that it may have; by default ``PIL.Image.MAX_IMAGE_PIXELS``.

    Raises
    ------
    OSError
        If it is no image.
    PIL.Image.DecompressionBombError
        If it has more pixels.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except (UnidentifiedImageError, ValueError):
        plain = without_metadata(data)
        if plain is None or len(plain) == len(data):
            raise
        image = Image.open(io.BytesIO(plain), formats=_formats())
    limit = Image.MAX_IMAGE_PIXELS if most is None else most
    if limit is not None and image.width * image.height > limit:
        raise Image.DecompressionBombError(
            f"{image.width}×{image.height} pixels are more than the {limit} allowed"
        )
    return image


def pages(image: Image.Image) -> int:
    """Return how many pages or frames a file holds; previews within a photograph do not count."""
    if image.format in ("MPO", "HEIF"):
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a damaged list of pages says nothing about the first
        return 1


def has_colours(image: Image.Image) -> bool:
    """Whether pixels will have three channels, from the header; True for palettes."""
    return image.mode not in ("1", "L", "LA", "La", "F") and not image.mode.startswith("I")


def image_to_array(
    image: Image.Image,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    box: Box | None = None,
    border: float = 0.0,
) -> Pixels:
    """Turn an image of any mode into pixels.

    Parameters
    ----------
    image : PIL.Image.Image
        The image, decoded or not.
    size : tuple of int, optional
        Height and width of the result, in pixels.
    channels : {1, 3}, optional
        Grey or RGB; by default what the image is.
    box : tuple of float, optional
        Left, upper, right, lower edge of the part to keep, as shares of width and height.
    border : float
        Share of width and height to cut from each side if there is no `box`.

    Returns
    -------
    ndarray of uint8, uint16 or float32, shape (H, W, C)
        uint8 unless the file holds more than 8 bits for a value.

    Raises
    ------
    OSError, ValueError
        If the pixels cannot be decoded.
    """
    if size is not None and box is None and not border:
        image.draft(None, (2 * max(size), 2 * max(size)))  # large JPEGs need not be decoded in full
    if box is None:
        box = (border, border, 1 - border, 1 - border)
    deep = _deep_pixels(image)  # first: looking for metadata decodes a PNG
    orientation = _orientation(image)
    if deep is not None:
        return _deep_to_array(deep, orientation, size, channels, box)
    image = _to_grey_or_rgb(_turned(image, orientation))
    if channels is not None:
        image = image.convert("L" if channels == 1 else "RGB")
    image = _cut_and_resize(image, box, size)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def resized(values: Pixels, size: tuple[int, int], channels: int) -> Pixels:
    """Resize one image that is an array, and turn it grey or RGB.

    Parameters
    ----------
    values : ndarray of uint8, uint16 or float32, shape (H, W, C)
        The image.
    size : tuple of int
        Height and width wanted.
    channels : {1, 3}
        Channels wanted.
    """
    if values.dtype == np.uint8:
        image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
        return image_to_array(image, size=size, channels=channels)
    return _deep_to_array(values, 1, size, channels, (0.0, 0.0, 1.0, 1.0))


def mask_to_array(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Turn a mask into 0 and 255 of the given height and width, without blending its edges."""
    deep = _deep_pixels(image)  # first: looking for metadata decodes a PNG
    orientation = _orientation(image)
    if deep is not None:
        values = 255 * (deep > 0).any(axis=2).astype(np.uint8)
        mask = _turned(Image.fromarray(values), orientation)
    else:
        mask = _to_grey_or_rgb(_turned(image, orientation)).convert("L")
        mask = mask.point(lambda v: 255 * (v > 0))
    return np.asarray(mask.resize((size[1], size[0]), Image.Resampling.NEAREST))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, if there is none or the metadata are broken."""
    try:
        if image.format == "PNG":
            image.load()  # metadata may stand behind the pixels
            if not image.info:
                return 1
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # whatever the rest of the metadata leads Pillow to
        return 1


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    method = UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def shape_of(image: Image.Image, box: Box | None = None, border: float = 0.0) -> tuple[int, int]:
    """Return height and width, in pixels, of what `image_to_array` makes without a size.

    Parameters
    ----------
    image : PIL.Image.Image
        The image, decoded or not.
    box, border
        As in `image_to_array`.
    """
    width, height = image.size
    if _orientation(image) >= SIDEWAYS:
        width, height = height, width
    left, upper, right, lower = box or (border, border, 1 - border, 1 - border)
    edges = [round(e, 6) for e in (left * width, upper * height, right * width, lower * height)]
    x, y, right_edge, lower_edge = (round(edge) for edge in edges)
    return max(1, lower_edge - y), max(1, right_edge - x)


def _to_grey_or_rgb(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode in ("L", "RGB") and "transparency" not in image.info:
        image.load()
        return image
    if mode == "1":
        return image.convert("L")
    grey = mode in ("L", "LA", "La") or (mode in ("P", "PA") and _has_grey_palette(image))
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(opaque, image.convert("RGBA"))
    image = image.convert("RGB")
    return image.getchannel(0) if grey else image


def _has_grey_palette(image: Image.Image) -> bool:
    image.load()
    palette = image.getpalette("RGB") or []
    return palette[0::3] == palette[1::3] == palette[2::3]


# ------------------------------------------------------------------ more than 8 bits for a value


def _deep_pixels(image: Image.Image) -> Pixels | None:
    """Return the values of an image that has more than 8 bits for each; None if it has not.

    Returns
    -------
    ndarray of uint16 or float32, shape (H, W, C), or None
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if image.mode == "F" or values.dtype.kind == "i":
            values = _fitting(values)
        return np.ascontiguousarray(values, values.dtype.newbyteorder("="))[..., None]
    tiles = getattr(image, "tile", [])
    if not tiles:
        return None
    raw = tiles[0].args if isinstance(tiles[0].args, str) else (tiles[0].args or ("",))[0]
    if raw in ("LA;16B", "LA;16L"):
        raise ValueError("grey of 16 bits with transparency is not read: save it without")
    if image.format == "PPM" and image.mode == "RGB" and _largest_of_ppm(tiles[0]) > 255:
        return _deep_ppm(image, tiles[0])
    if raw not in OTHER_BYTE:
        return None
    other = Image.open(io.BytesIO(_content(image)), formats=_formats())
    other.tile = [_with_raw_mode(tile, OTHER_BYTE[raw]) for tile in other.tile]
    deep: Pixels = np.asarray(image).astype(np.uint16) << 8 | np.asarray(other)
    if deep.shape[2] == 4:
        share = deep[..., 3:].astype(np.float64) / 65535
        deep = np.rint(deep[..., :3] * share).astype(np.uint16)
    return deep


def _largest_of_ppm(tile: Any) -> int:
    """Return the largest value that a PPM may hold, as its header says."""
    args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    return next((value for value in args if isinstance(value, int)), 255)


def _deep_ppm(image: Image.Image, tile: Any) -> Pixels:
    """Return the colours of a PPM of more than 8 bits, of which Pillow keeps 8."""
    content = _content(image)[tile.offset :]
    count = 3 * image.height * image.width
    if tile.codec_name == "ppm_plain":
        colours = np.array(content.split()[:count], dtype=np.int64)
    else:
        colours = np.frombuffer(content, ">u2", min(count, len(content) // 2)).astype(np.int64)
    if len(colours) < count:
        raise OSError("image file is truncated")
    if colours.max(initial=0) > _largest_of_ppm(tile):
        raise ValueError("it holds values beyond the largest that its header names")
    return colours.astype(np.uint16).reshape(image.height, image.width, 3)


def _content(image: Image.Image) -> bytes:
    """Return the whole file of an image whose pixels have not been decoded yet."""
    source: Any = getattr(image, "fp", None)
    if source is None:
        raise ValueError("its file is closed, so that only 8 of its 16 bits are left")
    place = source.tell()
    source.seek(0)
    content: bytes = source.read()
    source.seek(place)
    return content


def _with_raw_mode(tile: Any, raw: str) -> Any:
    args = raw if isinstance(tile.args, str) else (raw, *tile.args[1:])
    return tile._replace(args=args)


def _fitting(values: Pixels) -> Pixels:
    """Return whole numbers as uint16 if they fit, and all other values as float32."""
    if values.dtype.kind == "i" and values.min() >= 0 and values.max() <= 65535:
        return values.astype(np.uint16)
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinite values")
    return values


def _deep_to_array(
    values: Pixels,
    orientation: int,
    size: tuple[int, int] | None,
    channels: int | None,
    box: Box,
) -> Pixels:
    """Turn, colour, cut and resize as 8-bit images are, without losing bits."""
    if channels == 1 and values.shape[2] == 3:
        grey = (values @ np.array(LUMA))[..., None]
        values = np.rint(grey).astype(np.uint16) if values.dtype == np.uint16 else grey
    planes = []
    for channel in range(values.shape[2]):
        plane = Image.fromarray(values[..., channel].astype(np.float32))
        planes.append(np.asarray(_cut_and_resize(_turned(plane, orientation), box, size)))
    result = np.stack(planes, axis=2)
    result = np.rint(result).astype(np.uint16) if values.dtype == np.uint16 else result
    return np.repeat(result, 3, axis=2) if channels == 3 and result.shape[2] == 1 else result


def _cut_and_resize(image: Image.Image, box: Box, size: tuple[int, int] | None) -> Image.Image:
    """Keep what lies in the box, whose edges may lie within pixels if there is a resampling."""
    left, upper, right, lower = box
    if not (0 <= left < right <= 1 and 0 <= upper < lower <= 1):
        raise ValueError(f"the region {box} lies outside the image")
    width, height = image.size
    edges = [round(e, 6) for e in (left * width, upper * height, right * width, lower * height)]
    if size is None:
        outer = [round(edge) for edge in edges]
    else:
        outer = [floor(edges[0]), floor(edges[1]), ceil(edges[2]), ceil(edges[3])]
    if outer != [0, 0, width, height]:
        image = image.crop((outer[0], outer[1], outer[2], outer[3]))
    if size is None:
        return image
    x, y = outer[:2]
    inner = (edges[0] - x, edges[1] - y, edges[2] - x, edges[3] - y)
    if image.size == (size[1], size[0]) and inner == (0, 0, *image.size):
        return image
    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box=inner)
