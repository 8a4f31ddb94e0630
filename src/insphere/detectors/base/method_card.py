"""The description of a method, for the command line, the studio, sweeps, tables and docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Family = Literal[
    "sphere",
    "reconstruction",
    "self-supervised",
    "pretrained",
    "shallow",
    "texts",
    "graphs",
    "combined",
    "supervised",
]
Kind = Literal["images", "tables", "series", "texts", "graphs"]

FAMILIES: Mapping[Family, str] = MappingProxyType(
    {
        "sphere": "Deep SVDD: a network that encloses normal images",
        "reconstruction": "Reconstruction: a network that reproduces normal images",
        "self-supervised": "Self-supervised: a network that finds synthetic anomalies",
        "pretrained": "Features of a pretrained network",
        "shallow": "Raw pixels or tables, without a network",
        "texts": "Texts: a frozen language model, and the characters",
        "graphs": "Graphs: nodes with features and neighbours",
        "combined": "Several methods together",
        "supervised": "Supervised: with labels of several classes",
    }
)
"""Headings of the families, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True)
class MethodCard:
    """The description of one method.

    Parameters
    ----------
    key : str
        Name in specs and on the command line; the key in `METHODS`.
    title : str
        Name in tables and figures.
    family : str
        A key of `FAMILIES`.
    summary : str
        What it does, in one line without a full stop.
    takes : tuple of {"images", "tables", "series", "texts"}
        Kinds of data that it can be fitted to.
    needs_labels : bool
        Whether it needs the class of each training image, of at least two classes. It is then not
        a one-class method, and is offered only if there are labels.
    takes_anomalies : bool
        Whether it can be shown labelled anomalies: ``fit(X, y)`` with 0 for unlabelled, 1 for
        normal and -1 for anomalous samples.
    takes_classes : bool
        Whether ``fit(X, y)`` takes the class of each normal sample, and encloses each class.
    needs_pretrained : bool
        Whether it needs a pretrained network.
    needs_package : (str, str) or None
        A module that it imports when used, and the extra of insphere that brings it.
    has_options : bool
        Whether the processing options (`insphere.experiments.runs.processing_options`) apply.
    is_control : bool
        Whether it is a control: it learns little or nothing, and is run beside other methods.
    idle : tuple of str
        Parameters that it accepts but does not use.
    grid : mapping of str to tuple
        Values of parameters that can be tuned on labelled held-out images.
    """

    key: str = ""
    title: str = ""
    family: Family = "shallow"
    summary: str = ""
    takes: tuple[Kind, ...] = ("images", "tables")
    needs_labels: bool = False
    takes_anomalies: bool = False
    takes_classes: bool = False
    needs_pretrained: bool = False
    needs_package: tuple[str, str] | None = None
    has_options: bool = False
    is_control: bool = False
    idle: tuple[str, ...] = ()
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
