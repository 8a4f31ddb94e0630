"""Images as data URIs, small enough to be part of the page."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PIXELATED_UP_TO = 64  # smaller images are shown pixel by pixel, enlarged
LARGEST = 224


def data_uri(image: NDArray[np.uint8]) -> str:
    """Return an image as a data URI: PNG without loss when small, else a scaled-down JPEG.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        Pixels; C is 1 (grey) or 3 (RGB).
    """
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    buffer = io.BytesIO()
    if max(picture.size) <= PIXELATED_UP_TO:
        picture.save(buffer, format="PNG", optimize=True)
        kind = "png"
    else:
        picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
        picture.save(buffer, format="JPEG", quality=85)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
