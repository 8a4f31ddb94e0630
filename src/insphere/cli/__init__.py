"""The command line: ``insphere demo | datasets | fit | score | evaluate | report | info | sweep``."""

from insphere.cli.app import main

__all__ = ["main"]
