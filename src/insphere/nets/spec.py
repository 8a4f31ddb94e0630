"""Settings of a network, which can be written to YAML and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

RESNET18_WIDTHS = (64, 128, 256, 512)
COMPACT_WIDTHS = (32, 64, 128)
_DEFAULTS_OF_KIND: dict[str, dict[str, Any]] = {
    "resnet18": {"widths": RESNET18_WIDTHS, "kernel": 3},
    "compact": {"widths": COMPACT_WIDTHS, "kernel": 3, "rep_dim": COMPACT_WIDTHS[-1]},
}


class EncoderSpec(BaseModel):
    """Settings of an encoder φ(x; W).

    The defaults are the paper's rules against collapse: no bias, no affine normalisation, an
    unbounded activation. Everything from `input_norm` on is an option that is off by default; any
    of them may be combined.

    Parameters
    ----------
    kind : {"lenet", "mlp", "resnet18", "compact"}
        Convolutions with pooling or a residual network for images, dense layers for tables. The
        compact network is residual with one block in each stage, and halves the image at once.
    widths : tuple of int
        Channels of each convolution or residual stage, or units of each hidden layer. By default
        (8, 4), (64, 128, 256, 512) for resnet18, and (32, 64, 128) for compact.
    rep_dim : int
        Length of the representation φ(x). A compact network whose last width it is has no dense
        layer: its pooled features are the representation.
    kernel : int
        Side of the convolutions; odd. By default 5, and 3 for resnet18 and compact.
    norm : {"batch", "none"}
        Normalisation after each hidden layer.
    norm_affine : bool
        Whether every batch norm learns a scale and a shift. Allows collapse.
    bias : bool
        Whether layers learn a bias. Allows collapse.
    activation : {"leaky_relu", "relu", "tanh", "sigmoid"}
        The last two are bounded and allow collapse.
    leakiness : float
        Slope of the leaky ReLU for negative inputs.
    input_norm : {"none", "batch"}
        Batch norm of the images' channels, or of a table's columns, before the first layer.
    dropout : float
        Share of the features before the dense layer that is set to zero while training.
    dropout_kind : {"element", "channel"}
        Drop single values or whole channels of the last map.
    attention : {"none", "channel", "spatial", "self"}
        Squeeze-and-excitation or spatial gates in every stage, or self-attention over the last
        map; for images.
    residual : bool
        Skips around convolutions or hidden layers, projected where the width changes; resnet18
        and compact always have them.
    head_norm : {"none", "layer"}
        Layer norm of the representation, over the units of one sample. See the notes.
    head_norm_affine : bool
        Whether the layer norm learns a scale and a shift. Allows collapse.
    projection : tuple of int
        Widths of dense layers, each followed by the activation, between the features and the last
        dense layer, which gives the representation.

    Notes
    -----
    Layer norm without affine terms puts every representation on a sphere of radius √rep_dim around
    the origin. The centre, a mean of such points, lies inside of it, so that the loss has a floor
    (√rep_dim − ‖c‖)² and only directions are trained. The floor is reached by one constant point,
    though: a dense layer of rank one maps every sample on one side of a plane there. The
    `CollapseGuard` watches for it. Layer norm comes last, since layers after it could use it as a
    bias. With affine terms the scale can go to zero and the shift to the centre, whatever the rest
    of the network does; these are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["lenet", "mlp", "resnet18", "compact"] = "lenet"
    widths: tuple[PositiveInt, ...] = Field(default=(8, 4), min_length=1)
    rep_dim: PositiveInt = 32
    kernel: Literal[1, 3, 5, 7] = 5
    norm: Literal["batch", "none"] = "batch"
    norm_affine: bool = False
    bias: bool = False
    activation: Literal["leaky_relu", "relu", "tanh", "sigmoid"] = "leaky_relu"
    leakiness: float = Field(default=0.1, ge=0, lt=1)
    input_norm: Literal["none", "batch"] = "none"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    dropout_kind: Literal["element", "channel"] = "element"
    attention: Literal["none", "channel", "spatial", "self"] = "none"
    residual: bool = False
    head_norm: Literal["none", "layer"] = "none"
    head_norm_affine: bool = False
    projection: tuple[PositiveInt, ...] = ()

    @property
    def dense_widths(self) -> tuple[int, ...]:
        """Units of each dense layer after the features; the last gives the representation."""
        return (*self.projection, self.rep_dim)

    def derive(self, changes: Mapping[str, Any]) -> EncoderSpec:
        """Return this spec with some fields changed, all of them checked.

        Widths and kernel of one kind mean nothing to another: where the kind changes, they return
        to the defaults of the new one unless `changes` names them.

        Raises
        ------
        pydantic.ValidationError
            If a field is unknown or out of range.
        """
        kept = self.model_dump()
        if changes.get("kind", self.kind) != self.kind:
            new = _DEFAULTS_OF_KIND.get(str(changes["kind"]), {}).keys()
            kept = {k: v for k, v in kept.items() if k not in {"widths", "kernel", *new}}
        return EncoderSpec.model_validate(kept | dict(changes))

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_kind(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("kind"), str):
            return data
        usual = dict(_DEFAULTS_OF_KIND.get(data["kind"], {}))
        widths = data.get("widths")
        if data["kind"] == "compact" and isinstance(widths, (list, tuple)) and widths:
            usual["rep_dim"] = widths[-1]
        return usual | dict(data)

    @model_serializer(mode="wrap")
    def _only_options_in_use(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out options that are off, so that they change no identity of a plain network."""
        fields = type(self).model_fields
        written: dict[str, Any] = write(self)
        return {
            key: value
            for key, value in written.items()
            if key not in _OPTIONAL or getattr(self, key) != fields[key].default
        }


_OPTIONAL = {
    "input_norm",
    "dropout",
    "dropout_kind",
    "attention",
    "residual",
    "head_norm",
    "head_norm_affine",
    "projection",
}


MNIST = EncoderSpec(widths=(8, 4), rep_dim=32)
"""The paper's network for MNIST: 8×(5×5), pool, 4×(5×5), pool, dense 32."""

CIFAR10 = EncoderSpec(widths=(32, 64, 128), rep_dim=128)
"""The paper's network for CIFAR-10: 32, 64 and 128 5×5 filters, each pooled, dense 128."""

GTSRB = EncoderSpec(widths=(16, 32, 64), rep_dim=32)
"""The paper's network for GTSRB: 16, 32 and 64 5×5 filters, each pooled, dense 32."""

RESNET18 = EncoderSpec(kind="resnet18", widths=RESNET18_WIDTHS, kernel=3, rep_dim=128)
"""ResNet-18 without biases, with batch norm without affine terms, dense 128."""

COMPACT = EncoderSpec(kind="compact", widths=COMPACT_WIDTHS, kernel=3, rep_dim=COMPACT_WIDTHS[-1])
"""A small residual network: 12 million multiply-adds for an image of 28×28."""

NAMED = {
    "mnist": MNIST,
    "cifar10": CIFAR10,
    "gtsrb": GTSRB,
    "resnet18": RESNET18,
    "compact": COMPACT,
}
