"""Reading of images into one form, and their split for one-class learning."""

from insphere.data.cache import CacheInfo, cache_info, clear_cache
from insphere.data.datasets.dataset_card import DatasetCard
from insphere.data.datasets.find import available_datasets
from insphere.data.image_set import ImageSet
from insphere.data.inputs import as_images, training_images
from insphere.data.load import load_dataset
from insphere.data.read_options import ReadOptions
from insphere.data.split import OneClassSplit

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
