"""Attacks: images changed on purpose, so that a classifier or a detector is wrong about them."""

from insphere.attacks.boundary import boundary_attack


__all__ = ["boundary_attack"]
