"""Attacks: images changed on purpose, so that a classifier or a detector is wrong about them."""

from insphere.attacks.boundary import boundary_attack
from insphere.attacks.pgd import Fooled, fool

__all__ = ["Fooled", "boundary_attack", "fool"]
