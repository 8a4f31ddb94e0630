"""The command line: ``insphere demo | datasets | fit | score | evaluate | sweep | info | ...``."""

from insphere.cli.app import main

__all__ = ["main"]
