"""A small model of digits, and digits as PNG, for tests of what reads files."""

import io

from PIL import Image

from insphere.data.load import load_dataset
from insphere.detectors.registry import build_detector


def png(image):
    """Return a grey image as PNG."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def model_of_threes(folder):
    """Save a detector of the digit 3 as a model folder, and return all digits."""
    data = load_dataset("digits-8x8", progress=False)
    normal = data.images[data.labels == 3]
    build_detector("mahalanobis", {"false_alarm_rate": 0.2}, seed=0).fit(normal).save(folder)
    return data
