"""The processing options of the study: what each changes, and the gain that was assumed for it.

The baseline is plain Deep SVDD as in the paper's released code, and that code already has batch
norm without affine terms after every convolution. "Add batch norm" can therefore mean two things,
and both are here. ``batch-norm`` also normalises the *input*: the report that is followed here puts
it before the network, so this adds to the baseline. ``no-batch-norm`` removes the inner
normalisation; its loss is the gain of the batch norm in the baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from insphere.errors import SpecError, did_you_mean
from insphere.nets.spec import EncoderSpec
from insphere.preprocess.pipeline import chosen_steps, parse_steps

Group = Literal["before", "during", "after"]


@dataclass(frozen=True)
class Option:
    """One processing option.

    Parameters
    ----------
    group : {"before", "during", "after"}
        What it changes: the input, the network, or the representation and the score.
    title : str
        Name for tables.
    encoder : mapping
        Fields of `EncoderSpec` that it sets.
    steps : tuple of str or dict
        Preprocessing steps that it adds. They set the scale of the values, so they replace a final
        min-max step.
    safe : bool
        False if the network can then collapse; `allow_collapse` is then set.
    assumed : float, optional
        Gain in AUC (0 to 1) that the report assumed without a training; None if it gave none.
    note : str
        A note for readers of a table.
    """

    group: Group
    title: str
    encoder: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[str | Mapping[str, Any], ...] = ()
    safe: bool = True
    assumed: float | None = None
    note: str = ""


OPTIONS: dict[str, Option] = {
    # ---- before
    "standardize": Option(
        "before", "Input standardisation", steps=("standardize",),
        note="mean 0 and deviation 1 of each channel, in place of min-max",
    ),
    "zca": Option("before", "ZCA whitening", steps=("zca",), note="in place of min-max"),
    "batch-norm": Option(
        "before", "Batch norm of the input", {"input_norm": "batch"}, assumed=0.005,
        note="the baseline already has batch norm inside the network",
    ),
    "batch-norm-affine": Option(
        "before", "Batch norm, affine", {"input_norm": "batch", "norm_affine": True}, safe=False,
        note="of the input and inside, with learned scales and shifts",
    ),
    "no-batch-norm": Option(
        "before", "Without batch norm", {"norm": "none"},
        note="removes the batch norm of the baseline",
    ),
    "dropout": Option(
        "before", "Dropout of elements", {"dropout": 0.1, "dropout_kind": "element"},
        note="of the features before the dense layer",
    ),
    "channel-dropout": Option(
        "before", "Dropout of channels", {"dropout": 0.1, "dropout_kind": "channel"},
        note="of the last feature map before the dense layer",
    ),
    # ---- during
    "attention": Option(
        "during", "Channel attention", {"attention": "channel"}, assumed=0.008,
        note="squeeze-and-excitation; the report does not say which kind of attention it means",
    ),
    "spatial-attention": Option("during", "Spatial attention", {"attention": "spatial"}),
    "self-attention": Option("during", "Self-attention", {"attention": "self"}),
    "residual": Option("during", "Residual skips", {"residual": True}, assumed=0.007),
    "resnet18": Option("during", "ResNet-18 encoder", {"kind": "resnet18"}),
    # ---- after
    "layer-norm": Option(
        "after", "Layer norm", {"head_norm": "layer"}, assumed=0.004,
        note="of the representation, without affine terms",
    ),
    "layer-norm-affine": Option(
        "after", "Layer norm, affine", {"head_norm": "layer", "head_norm_affine": True},
        safe=False, note="with a learned scale and shift, which make a collapse possible",
    ),
    "projection": Option(
        "after", "Dense projection", {"projection": (64,)}, assumed=0.003,
        note="one more dense layer of 64 units",
    ),
    "z-score": Option(
        "after", "z-score of the scores",
        note="changes the scale of the scores but not their order, so it cannot change an AUC",
    ),
}  # fmt: skip
"""Every option by its name in specs and on the command line."""


def apply_options(names: Sequence[str], params: Mapping[str, Any]) -> dict[str, Any]:
    """Add options to the parameters of `DeepSVDD` for images.

    The result consists of JSON values and does not depend on the order of `names`.

    Parameters
    ----------
    names : sequence of str
        Keys of `OPTIONS`; without any, `params` is returned.
    params : mapping
        Parameters; the options are added to their `encoder` and `preprocess`.

    Returns
    -------
    dict
        Parameters with the options.

    Raises
    ------
    SpecError
        If a name is unknown, or two settings contradict each other.

    Examples
    --------
    >>> apply_options(["layer-norm", "attention"], {"nu": 0.1})
    {'nu': 0.1, 'encoder': {'base': 'auto', 'attention': 'channel', 'head_norm': 'layer'}}
    >>> apply_options(["zca"], {})
    {'preprocess': [{'step': 'gcn'}, {'step': 'zca'}]}
    """
    for name in names:
        if name not in OPTIONS:
            hint = did_you_mean(name, OPTIONS, f"use one of {', '.join(OPTIONS)}.")
            raise SpecError(f"Unknown option {name!r}; {hint}")
    selected = {name: option for name, option in OPTIONS.items() if name in names}
    merged = dict(params)
    changes = _changes(selected)
    if changes:
        merged["encoder"] = _with_changes(params.get("encoder"), changes)
    steps = [step for option in selected.values() for step in option.steps]
    if steps:
        merged["preprocess"] = _with_steps(params.get("preprocess"), steps)
    if not all(option.safe for option in selected.values()):
        merged["allow_collapse"] = True
    return merged


def _changes(selected: Mapping[str, Option]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    source: dict[str, str] = {}
    for name, option in selected.items():
        for key, value in option.encoder.items():
            if changes.get(key, value) != value:
                raise SpecError(
                    f"The options {source[key]} and {name} exclude each other; leave one out."
                )
            changes[key] = list(value) if isinstance(value, tuple) else value
            source[key] = name
    return changes


def _with_changes(encoder: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an encoder with changes, in any form that `DeepSVDD` accepts."""
    given: dict[str, Any]
    if encoder is None:
        given = {"base": "auto"}
    elif isinstance(encoder, str):
        given = {"base": encoder}
    elif isinstance(encoder, EncoderSpec):
        given = encoder.model_dump(mode="json", exclude_defaults=True)
    else:
        given = dict(encoder)
    for key, value in changes.items():
        if key in given and given[key] != value:
            raise SpecError(
                f"The encoder has {key} = {given[key]!r}, but an option sets it to {value!r}; "
                "leave one out."
            )
    return given | dict(changes)


def _with_steps(preprocess: Any, added: Sequence[Any]) -> list[dict[str, Any]]:
    """Append steps to those given, instead of a final min-max."""
    before = [_written(step) for step in chosen_steps(preprocess, (1, 1, 1))]
    if before and before[-1]["step"] == "minmax":
        before.pop()
    return [*before, *(_written(step) for step in parse_steps(added))]


def _written(step: Any) -> dict[str, Any]:
    settings: dict[str, Any] = step.model_dump(mode="json", exclude_defaults=True)
    return {"step": step.step} | settings
