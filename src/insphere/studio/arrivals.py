"""Photos that arrive from a visitor's browser, one file in each request, until they are used."""

from __future__ import annotations

import json
import re
import shutil
import time
import zipfile
from collections.abc import AsyncIterator, Collection, Iterable
from pathlib import Path, PurePosixPath
from uuid import uuid4

from insphere.data.file_kinds import HEIF_SUFFIXES
from insphere.data.files import IMAGE_SUFFIXES
from insphere.data.layouts.vocabulary import is_mask_folder, part_of
from insphere.errors import DataError
from insphere.web.uploads import LIMITS, check_zip

TICKET = re.compile(r"[0-9a-f]{16}")
MOST_PHOTOS, MOST_BYTES = 50_000, 20_000_000_000
FORGOTTEN = 7 * 86_400.0  # seconds after which photos that were never used are removed
SUFFIXES = (*IMAGE_SUFFIXES, *HEIF_SUFFIXES)
_CHUNK = 1 << 20


class Arrivals:
    """Photos on their way: a folder for each ticket, which a form of one visitor holds.

    Parameters
    ----------
    folder : pathlib.Path
        Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self._taken: dict[str, tuple[int, int]] = {}  # photos and bytes by ticket

    def ticket(self) -> str:
        """Return a new ticket, and remove what was forgotten."""
        self.root.mkdir(parents=True, exist_ok=True)
        for path in self.root.iterdir():
            if time.time() - path.stat().st_mtime > FORGOTTEN:
                shutil.rmtree(path, ignore_errors=True)
        found = uuid4().hex[:16]
        (self.root / found / "photos").mkdir(parents=True)
        return found

    def photos(self, ticket: str) -> Path:
        """Return the folder of the photos of a ticket.

        Raises
        ------
        DataError
            If there is no such ticket.
        """
        folder = self.root / ticket / "photos"
        if not TICKET.fullmatch(ticket) or not folder.is_dir():
            raise DataError("These photos are not here any more; choose them again.")
        return folder

    def names(self, ticket: str) -> list[tuple[str, str]]:
        """Return the file of each photo, and the name that it came with."""
        folder = self.photos(ticket)
        path = folder.parent / "names.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        known = dict(json.loads(line) for line in lines)  # a name may be taken again
        return [(file, name) for file, name in known.items() if (folder / file).is_file()]

    def folders(self, ticket: str) -> dict[str, int]:
        """Count the photos by the folder that they came from; "" for those without one."""
        found: dict[str, int] = {}
        for _, name in self.names(ticket):
            parent = _parent(name)
            found[parent] = found.get(parent, 0) + 1
        return found

    def keep_only(self, ticket: str, folders: Collection[str]) -> None:
        """Remove the photos that came from other folders."""
        here = self.photos(ticket)
        for file, name in self.names(ticket):
            if _parent(name) not in folders:
                (here / file).unlink(missing_ok=True)

    def arrange(self, ticket: str) -> dict[str, str]:
        """Put photos that came from several folders into one for each, under their own names.

        Returns
        -------
        dict of str to str
            By the file of each photo in `names`, where it lies now.
        """
        here, folders, names = self.photos(ticket), self.folders(ticket), self.names(ticket)
        if len(folders) < 2:
            return {file: file for file, _ in names}
        called = short_names(folders)
        moved = {}
        for file, name in names:
            folder = here / called[_parent(name)]
            folder.mkdir(exist_ok=True)
            place = (here / file).rename(free_place(folder, PurePosixPath(name).name))
            moved[file] = place.relative_to(here).as_posix()
        return moved

    async def receive(self, ticket: str, name: str, content: AsyncIterator[bytes]) -> Path:
        """Save one file as it arrives.

        Returns
        -------
        pathlib.Path
            A photo in its place; or a zip beside, for `unpack`.

        Raises
        ------
        DataError
            If it is no photo and no zip, or there are too many.
        """
        folder = self.photos(ticket)
        name = clean_name(name)
        is_zip = name.lower().endswith(".zip")
        if not is_zip and not name.lower().endswith(SUFFIXES):
            raise DataError(f"{name} is no photo.")
        count, size = self._taken.get(ticket, (0, 0))
        if count >= MOST_PHOTOS or size >= MOST_BYTES:
            raise DataError(f"At most {MOST_PHOTOS:,} photos and 20 GB are taken at once.")
        partial = folder.parent / f".{uuid4().hex}"
        try:
            with partial.open("wb") as file:
                async for chunk in content:
                    file.write(chunk)
            if not (arrived := partial.stat().st_size):
                raise DataError(f"{name} is empty.")
            # From here on nothing is awaited, so no other file takes the same name.
            place = free_place(folder, name)
            target = folder.parent / f"{uuid4().hex}.zip" if is_zip else place
            partial.rename(target)
            count, size = self._taken.get(ticket, (0, 0))
            self._taken[ticket] = count + 1, size + arrived
        finally:
            partial.unlink(missing_ok=True)
        if not is_zip:
            _note(folder, target.name, name)
        return target


def unpack(file: Path, folder: Path) -> int:
    """Unpack the photos of a zip into a folder, and remove the zip; return their number.

    Raises
    ------
    DataError
        If it is no zip, is encrypted, or exceeds a limit.
    """
    try:
        check_zip(file, LIMITS)
        count = 0
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                name = clean_name(member.filename)
                hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
                if member.is_dir() or hidden or not name.lower().endswith(SUFFIXES):
                    continue
                place = free_place(folder, name)
                left = member.file_size
                with archive.open(member) as source, place.open("wb") as target:
                    while left > 0 and (chunk := source.read(min(_CHUNK, left))):
                        left -= len(chunk)
                        target.write(chunk)
                _note(folder, place.name, name)
                count += 1
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, EOFError) as error:
        raise DataError("This file is no zip, or a damaged one; pack the photos again.") from error
    finally:
        file.unlink(missing_ok=True)
    return count


def clean_name(text: str) -> str:
    r"""Return a path of a photo without anything that could lead elsewhere.

    Examples
    --------
    >>> clean_name("C:/a/../../etc/b c.png"), clean_name("good\\1.JPG"), clean_name("..")
    ('C_/a/etc/b c.png', 'good/1.JPG', 'photo')
    """
    parts = [
        re.sub(r"[^\w .()+,=@#&'-]", "_", part)[:100].strip()
        for part in re.split(r"[/\\]", text)
        if part.strip(". ")
    ]
    return "/".join(parts[-4:]) or "photo"


def short_names(folders: Iterable[str]) -> dict[str, str]:
    """Return a name of one part for each folder, all different.

    Names that mean something else in a data set get an ending.

    Examples
    --------
    >>> short_names(["parts/bolt", "parts/nut"]), short_names(["a/1", "b/1"])["b/1"]
    ({'parts/bolt': 'bolt', 'parts/nut': 'nut'}, 'b-1')
    >>> short_names(["", "x/test"])
    {'': 'no-folder', 'x/test': 'test-photos'}
    """
    named = {folder: folder or "no-folder" for folder in folders}
    last = {folder: name.rsplit("/", 1)[-1] for folder, name in named.items()}
    if len({name.lower() for name in last.values()}) < len(last):
        last = {folder: name.replace("/", "-") for folder, name in named.items()}
    found: dict[str, str] = {}
    for folder, name in last.items():
        known = part_of(name) is not None or is_mask_folder(name)
        clean = re.sub(r"[^\w-]+", "-", name).strip("-") or "folder"
        short, number = f"{clean}-photos" if known else clean, 2
        while short.lower() in {other.lower() for other in found.values()}:
            short, number = f"{clean}-{number}", number + 1
        found[folder] = short
    return found


def _parent(name: str) -> str:
    parent = str(PurePosixPath(name).parent)
    return "" if parent == "." else parent


def free_place(folder: Path, name: str) -> Path:
    """Return a free file name in one folder for a path of several parts."""
    flat = re.sub(r"[^\w.-]+", "-", name.replace("/", "-")).lstrip("-.") or "photo"
    stem, dot, suffix = flat.rpartition(".")
    stem, suffix = (stem[-120:], dot + suffix) if dot else (flat[-120:], "")
    place, number = folder / f"{stem}{suffix}", 2
    while place.exists():
        place, number = folder / f"{stem}-{number}{suffix}", number + 1
    return place


def _note(folder: Path, file: str, name: str) -> None:
    with (folder.parent / "names.jsonl").open("a", encoding="utf-8") as out:
        out.write(json.dumps([file, name]) + "\n")
