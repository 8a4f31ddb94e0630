"""Hooks of MkDocs: pages that are made from other files, and links that lead out of ``docs``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "src")]

import api_pages  # noqa: E402
import command_page  # noqa: E402

COPIED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
REPOSITORY = re.search(r'^Repository = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the API reference into the navigation."""
    (reference,) = (item["Reference"] for item in config.nav or [] if "Reference" in item)
    entries = [{page.package: page.path} for page in api_pages.pages()]
    for item in reference:
        if "API" in item:
            item["API"] = entries
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that have no file under ``docs``."""
    made = {page.path: api_pages.text_of(page) for page in api_pages.pages()}
    made["commands.md"] = command_page.text()
    made |= {name: (ROOT / source).read_text("utf-8") for source, name in COPIED.items()}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links as they work in the repository into links of the site."""
    copied = {name: source for source, name in COPIED.items()}
    at_root = page.file.src_uri in copied

    def link(match: re.Match[str]) -> str:
        target = match["target"]
        if "://" in target or target.startswith("#"):
            return match[0]
        path, _, anchor = target.partition("#")
        inside = path if at_root else f"docs/{path}"
        inside = Path(inside).as_posix() if ".." not in inside else _resolved(inside)
        return f"]({_on_site(inside)}{'#' * bool(anchor)}{anchor})"

    return re.sub(r"\]\((?P<target>[^)\s]+)\)", link, markdown)


def _resolved(path: str) -> str:
    parts: list[str] = []
    for part in path.split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def _on_site(path: str) -> str:
    """Return where a file of the repository is to be found from a page at the top of the site."""
    if path in COPIED:
        return COPIED[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    assert REPOSITORY
    return f"{REPOSITORY[1]}/blob/main/{path}"
