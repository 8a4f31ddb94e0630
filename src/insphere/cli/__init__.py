"""The command line: ``insphere demo | fit | score | evaluate | report | studio | sweep | ...``."""

from insphere.cli.app import main

__all__ = ["main"]
