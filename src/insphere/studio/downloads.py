"""What can be taken away: tables, pictures, reports and models."""

from __future__ import annotations


def register(studio):
    pass
