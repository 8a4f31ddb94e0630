"""What a method says about itself: read by command line, studio, sweeps, tables and docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Family = Literal["sphere", "reconstruction", "pretrained", "shallow", "supervised"]
Kind = Literal["images", "tables"]

FAMILIES: Mapping[Family, str] = MappingProxyType(
    {
        "sphere": "A network that encloses normal images",
        "reconstruction": "A network that reconstructs normal images",
        "pretrained": "Features of a pretrained network",
        "shallow": "Raw pixels, without a network",
        "supervised": "With labels of several classes",
    }
)
"""Headings of the families, in the order in which people see them."""


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """One method, for people and for programs that offer it.

    Parameters
    ----------
    key : str
        Name in specs and on the command line; that of its line in `METHODS`.
    title : str
        Name in tables and figures.
    family : str
        A key of `FAMILIES`.
    summary : str
        What it does, in one line without a full stop.
    takes : tuple of {"images", "tables"}
        What it can be fitted to.
    needs_labels : bool
        Whether it must be told the class of each training image, of at least two classes. It is
        then no one-class method, and is offered only where labels are given.
    needs_pretrained : bool
        Whether it cannot do without a pretrained network.
    needs_package : (str, str) or None
        A module that it imports when used, and the extra of insphere that brings it.
    has_options : bool
        Whether the processing options (`insphere.experiments.runs.processing_options`) apply.
    is_control : bool
        Whether it learns nothing or next to nothing, and is run beside others for comparison.
    idle : tuple of str
        Parameters that it accepts and that make no difference.
    grid : mapping of str to tuple
        Values to try of parameters that may be tuned on a labelled hold-out.
    """

    key: str = ""
    title: str = ""
    family: Family = "shallow"
    summary: str = ""
    takes: tuple[Kind, ...] = ("images", "tables")
    needs_labels: bool = False
    needs_pretrained: bool = False
    needs_package: tuple[str, str] | None = None
    has_options: bool = False
    is_control: bool = False
    idle: tuple[str, ...] = ()
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
