"""``insphere cache``: the size of the cache on disk, and its removal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import Json
from insphere.errors import SpecError
from insphere.storage import CacheInfo


def cache(
    clear: Annotated[
        str | None,
        typer.Option(
            "--clear",
            help="Remove what is kept: images, features or all.",
            metavar="KIND",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how much disk space decoded images and features take, or remove them.

    They are kept so that the next training starts faster. What is removed is computed again when
    it is needed.

    The environment variable INSPHERE_CACHE sets the folder. INSPHERE_FEATURES_GB limits the size
    of the features (20 by default); beyond it, the least recently used ones are removed.

    For example:

        insphere cache
        insphere cache --clear features
    """
    from insphere.data.cache import cache_info, clear_cache
    from insphere.features.store import clear_features, features_info, limit_bytes

    kinds: dict[str, tuple[Callable[[], CacheInfo], Callable[[], CacheInfo]]] = {
        "images": (cache_info, clear_cache),
        "features": (features_info, clear_features),
    }
    if clear is not None and clear not in (*kinds, "all"):
        raise SpecError(f"--clear takes {', '.join(kinds)} or all, but got {clear!r}.")
    selected = [kind for kind in kinds if clear in (kind, "all")]
    removed = {kind: kinds[kind][1]() for kind in selected}
    found = {kind: show() for kind, (show, _) in kinds.items()}
    if as_json:
        values: dict[str, Any] = {kind: _values(info) for kind, info in found.items()}
        values["features"]["limit_bytes"] = limit_bytes()
        values["removed"] = {kind: _values(info) for kind, info in removed.items()}
        console.print_json(values)
        return
    for kind, before in removed.items():
        gone = before.bytes - found[kind].bytes
        console.say(f"{kind}: removed {_size(gone)}")
    for kind, info in found.items():
        limit = f", at most {_size(limit_bytes())}" if kind == "features" else ""
        console.say(f"{kind}: {info.entries:,} entries, {_size(info.bytes)}{limit}, in {info.path}")


def _values(info: CacheInfo) -> dict[str, Any]:
    return {"path": str(info.path), "entries": info.entries, "bytes": info.bytes}


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
