"""Files to arrays, with the code that reads the training images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from insphere.data.file_kinds import tell_kinds
from insphere.data.files import FolderFiles, ImageFiles, ListedFiles, ZipFiles
from insphere.data.letterbox import Canvas, content_size, on_canvas
from insphere.data.pixels import image_to_array, open_image, shape_of
from insphere.errors import DataError
from insphere.runtime.description import Description


def image_files(source: str | os.PathLike[str]) -> tuple[ImageFiles, tuple[str, ...]]:
    """Return the images of a folder, a zip or one file, in the order of their names.

    Raises
    ------
    DataError
        If there are none.
    """
    path = Path(source)
    if not os.fspath(source) or not path.exists():
        raise DataError(f"There is no file or folder {os.fspath(source)!r}.")
    files: ImageFiles
    if path.is_dir():
        files = FolderFiles(path)
    elif path.suffix.lower() == ".zip":
        files = ZipFiles(path)
    else:
        files = ListedFiles([Path(path.name)], path.parent)
        return files, tuple(files.names)
    names = tell_kinds(files).images
    if not names:
        raise DataError(f"There are no images in {path}.")
    return files, names


def read_image(
    content: bytes,
    model: Description,
    name: str = "the image",
    opened: Image.Image | None = None,
) -> NDArray[Any]:
    """Decode one file as the training images were decoded.

    Parameters
    ----------
    content : bytes
        The file.
    model : Description
        Says which size and channels.
    name : str
        What the image is called in messages.
    opened : PIL.Image.Image, optional
        The file, if its header has been read already.

    Returns
    -------
    ndarray of uint8, uint16 or float32, shape (H, W, C)

    Raises
    ------
    DataError
        If it is no image, or does not fit.
    """
    try:
        pixels = pixels_of(opened or open_image(content), model, content)
    except Image.DecompressionBombError as error:
        raise DataError(f"{name} is too large: {error}.") from error
    except (OSError, ValueError, SyntaxError, MemoryError, EOFError, OverflowError) as error:
        raise DataError(f"{name} is no image, or a damaged one.") from error
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise DataError(f"{name} is damaged and cannot be decoded.") from error
    check_shape(pixels.shape, model, name)
    return pixels


def pixels_of(image: Image.Image, model: Description, content: bytes | None = None) -> NDArray[Any]:
    """Return the pixels of an image as those of the training images were made.

    Parameters
    ----------
    image : PIL.Image.Image
        The image.
    model : Description
        Says which size, how images get there, and which channels.
    content : bytes, optional
        The file; without it the image is decoded already.

    Returns
    -------
    ndarray of uint8, uint16 or float32, shape (H, W, C)
    """
    reading = model.reading or {}
    size, channels = reading.get("size"), reading.get("channels")
    if channels is None and model.shape[2] == 3:
        channels = 3  # grey images converted to RGB lose nothing
    if size is None:
        return image_to_array(image, channels=channels)
    canvas = Canvas(int(size[0]), int(size[1]), reading.get("fit", "stretch"))
    if canvas.fit == "stretch":
        return image_to_array(image, size=canvas.size, channels=channels)
    seen = image.copy() if content is None else open_image(content)  # looking may decode it
    found = image_to_array(image, size=canvas.content(*shape_of(seen)), channels=channels)
    return on_canvas(found, canvas.size)


def check_shape(found: Sequence[int], model: Description, name: str) -> None:
    """Raise DataError unless one sample has the shape of the training samples."""
    if list(found) == model.shape:
        return
    shown, wanted = ("×".join(map(str, shape)) for shape in (found, model.shape))
    raise DataError(
        f"The model was trained on images of {wanted}, but {name} is {shown}: resize or convert it."
    )


def check_filled(image: NDArray[Any]) -> None:
    """Raise DataError if an image (H, W, C) does not fill its canvas.

    The library leaves out what fills a canvas, by patches; an exported model cannot.
    """
    height, width = content_size(image)
    if (height, width) != image.shape[:2]:
        raise DataError(
            f"An image shows {height}×{width} pixels, and below or beside that nothing but their "
            "mirror image: the exported model takes photographs of one size, so score it with the "
            "model folder."
        )


def in_batches(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yield consecutive parts of at most `size` names."""
    for start in range(0, len(names), size):
        yield names[start : start + size]


def stacked(images: Sequence[NDArray[Any]], model: Description) -> NDArray[Any]:
    """Stack images of one type.

    Raises
    ------
    DataError
        If they are of different types.
    """
    types = sorted({image.dtype.name for image in images})
    if len(types) > 1:
        raise DataError(
            f"The images are of different types ({', '.join(types)}), and the model takes "
            f"{model.dtype}: convert them."
        )
    return np.stack(images)
