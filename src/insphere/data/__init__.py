"""Reading of images into one form, and their split for one-class learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from insphere.lazy_names import lazy_names

if TYPE_CHECKING:
    from insphere.data.cache import CacheInfo as CacheInfo
    from insphere.data.cache import cache_info as cache_info
    from insphere.data.cache import clear_cache as clear_cache
    from insphere.data.datasets.dataset_card import DatasetCard as DatasetCard
    from insphere.data.datasets.find import available_datasets as available_datasets
    from insphere.data.image_set import ImageSet as ImageSet
    from insphere.data.inputs import as_images as as_images
    from insphere.data.inputs import training_images as training_images
    from insphere.data.load import load_dataset as load_dataset
    from insphere.data.read_options import ReadOptions as ReadOptions
    from insphere.data.split import OneClassSplit as OneClassSplit

# Imported at first use, so that the runtime of exported models can read pixels with these files
# where only NumPy and Pillow are installed.
_HOME = {
    "CacheInfo": "cache",
    "DatasetCard": "datasets.dataset_card",
    "ImageSet": "image_set",
    "OneClassSplit": "split",
    "ReadOptions": "read_options",
    "as_images": "inputs",
    "available_datasets": "datasets.find",
    "cache_info": "cache",
    "clear_cache": "cache",
    "load_dataset": "load",
    "training_images": "inputs",
}

__all__ = [
    "CacheInfo",
    "DatasetCard",
    "ImageSet",
    "OneClassSplit",
    "ReadOptions",
    "as_images",
    "available_datasets",
    "cache_info",
    "clear_cache",
    "load_dataset",
    "training_images",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME.get)
