"""Errors that a user can act on: each message is one sentence that says what to do.

The command line prints the message alone and exits with code 2; from Python they are ordinary
exceptions that also derive from the built-in class a caller would expect.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType


class InsphereError(Exception):
    """Base of all errors that a user can cause and mend, as opposed to bugs."""


class DataError(InsphereError, ValueError):
    """Images, labels or tables that cannot be used as they are."""


class DataTypeError(DataError, TypeError):
    """Data that hold other things than numbers; a TypeError too, as scikit-learn has it."""


class SpecError(InsphereError, ValueError):
    """A setting that is unknown, out of range or does not fit another one."""


class CollapseError(InsphereError, RuntimeError):
    """A network that can collapse, or has collapsed."""


class ModelError(InsphereError, ValueError):
    """A saved model that cannot be read or written, or does not fit what it is asked to score."""


class MissingExtraError(InsphereError, ImportError):
    """An optional dependency that is not installed."""


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the end of a sentence about an unknown name: a similar known one, or `otherwise`.

    Examples
    --------
    >>> did_you_mean("mnits", ["mnist", "cifar10"], "use mnist or cifar10.")
    'did you mean mnist?'
    >>> did_you_mean("x", ["mnist", "cifar10"], "use mnist or cifar10.")
    'use mnist or cifar10.'
    """
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else otherwise


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional module, or raise an error that names the extra to install.

    Parameters
    ----------
    module : str
        Dotted name of the module, for example ``"mlxtend.data"``.
    extra : str
        Name of the extra in ``pip install "insphere[extra]"``.
    purpose : str
        What needs it, as the subject of the sentence: ``"the embedded MNIST digits"``.

    Raises
    ------
    MissingExtraError
        If the module, or its top-level package, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f'{purpose} needs the package {module.split(".")[0]}: pip install "insphere[{extra}]"'
        ) from error
