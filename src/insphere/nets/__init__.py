"""Networks built from a small spec, and checked so that they cannot learn a constant."""

from insphere.nets.build import build_decoder, build_encoder, default_encoder
from insphere.nets.collapse_check import collapse_paths
from insphere.nets.spec import CIFAR10, GTSRB, MNIST, RESNET18, EncoderSpec

__all__ = [
    "CIFAR10",
    "GTSRB",
    "MNIST",
    "RESNET18",
    "EncoderSpec",
    "build_decoder",
    "build_encoder",
    "collapse_paths",
    "default_encoder",
]
