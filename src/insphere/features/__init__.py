"""Features of frozen pretrained networks: computed once, cached on disk, used by all heads."""

from insphere.features.extract import Extractor
from insphere.features.form import Form, choose_pooled, pooled_form
from insphere.features.store import clear_features, features, features_info

__all__ = [
    "Extractor",
    "Form",
    "choose_pooled",
    "clear_features",
    "features",
    "features_info",
    "pooled_form",
]
