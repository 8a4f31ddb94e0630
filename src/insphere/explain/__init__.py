"""Explanations of a score: heat maps, nearest normal images, latent dimensions, extremes."""

from insphere.explain.extremes import Extremes, extremes
from insphere.explain.faithful import (
    Curves,
    Localisation,
    deletion_and_insertion,
    localisation,
)
from insphere.explain.heat import HeatScale, heat_maps, heat_method, heat_scale
from insphere.explain.latent import Nearest, latent_contributions, nearest_normals

__all__ = [
    "Curves",
    "Extremes",
    "HeatScale",
    "Localisation",
    "Nearest",
    "deletion_and_insertion",
    "extremes",
    "heat_maps",
    "heat_method",
    "heat_scale",
    "latent_contributions",
    "localisation",
    "nearest_normals",
]
