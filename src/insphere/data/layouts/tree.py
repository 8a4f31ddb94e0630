"""A tree of files for layouts: its images, masks and other files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from insphere.data.file_kinds import FileKinds
from insphere.data.files import ImageFiles, ZipFiles
from insphere.data.layouts.content import looks_like_mask
from insphere.data.layouts.masks import Matched, match_masks, split_masks
from insphere.data.layouts.twin_masks import twin_masks
from insphere.data.layouts.vocabulary import is_ground_truth, is_mask_folder, part_of
from insphere.data.listing import Entry, Listing, some
from insphere.errors import DataError
from insphere.natural_sort import natural_key

LOOKED_AT = 3  # files of a folder of masks whose pixels are checked


class Tree:
    """The names of a tree by their kind.

    Parameters
    ----------
    files : ImageFiles
        A folder or zip.
    kinds : FileKinds
        The kinds of its files.

    Attributes
    ----------
    images : list of str
        Images that are not masks.
    masks : list of str
        Masks.

    Raises
    ------
    DataError
        If there are no images, or only masks.
    """

    def __init__(self, files: ImageFiles, kinds: FileKinds) -> None:
        self.files = files
        self.kinds = kinds
        self.images, self.masks = split_masks(kinds.images)
        if twins := twin_masks(files, self.images):
            self.images = [name for name in self.images if name not in twins]
            self.masks += sorted(twins)
        if not kinds.images:
            held = ", ".join(f"{n} {kind}" for kind, n in list(kinds.ignored.items())[:4])
            held = f" but {held}" if held else ""
            unread = f" ({some(kinds.unread)})" if kinds.unread else ""
            raise DataError(
                f"{files.path} holds no images{unread}{held}; expected are folders such as "
                "train/<class>/… or a flat folder of normal images."
            )
        if not self.images:
            raise DataError(
                f"{files.path} holds {len(self.masks)} masks ({some(self.masks)}) and no images "
                "that they belong to: give the folder that holds the images too, or rename the "
                "folder if these are images."
            )
        folders = {name.rpartition("/")[0] for name in self.images}
        self._depth = _wrapping_depth(folders, zipped=isinstance(files, ZipFiles))

    def parts(self, name: str) -> list[str]:
        """Return the folders of a file below those that only wrap the rest, and its own name."""
        return name.split("/")[self._depth :]

    @cached_property
    def part_tops(self) -> set[str]:
        """Top folders that are named as parts."""
        return {top for top in self.tops if part_of(top) is not None}

    @cached_property
    def tops(self) -> set[str]:
        """Top folders that hold images."""
        return {parts[0] for parts in map(self.parts, self.images) if len(parts) > 1}

    @cached_property
    def part_classes(self) -> set[str]:
        """Names of the class folders below the parts, in lower case."""
        split = map(self.parts, self.images)
        return {own[1].lower() for own in split if len(own) > 2 and own[0] in self.part_tops}

    @cached_property
    def test_part(self) -> str:
        """The part that is the test set: "test", or "val" if there is no other."""
        parts = {part_of(top) for top in self.part_tops}
        return "val" if "test" not in parts and "val" in parts else "test"

    @cached_property
    def _test_tops(self) -> set[str]:
        return {top for top in self.part_tops if part_of(top) == self.test_part}

    def is_test(self, name: str) -> bool:
        """Whether an image belongs to the test part."""
        parts = self.parts(name)
        return len(parts) > 1 and parts[0] in self._test_tops

    @cached_property
    def matched(self) -> Matched:
        """The masks of each image.

        Raises
        ------
        DataError
            If a folder with a name for masks contains something else.
        """
        if not self.masks:
            return Matched({}, ())
        matched = match_masks(self.images, self.masks, self.is_test)
        used = [mask for own in matched.masks.values() for mask in own]
        self._check_masks(used, matched.unmatched)
        return matched

    def _check_masks(self, used: Sequence[str], unmatched: Sequence[str]) -> None:
        if unmatched and not used and not any(is_ground_truth(mask) for mask in unmatched):
            folder = next((f for f in unmatched[0].split("/")[:-1] if is_mask_folder(f)), "")
            what = f"the folder {folder}/" if folder else f"files such as {unmatched[0]}"
            raise DataError(
                f"{self.files.path} has {what} named as masks, but none of its {len(unmatched)} "
                f"files is named as an image (such as {self.images[0]}): name each mask as its "
                "image, or rename the folder if it holds images of a class."
            )
        looked_at = used[:: max(1, len(used) // LOOKED_AT)][:LOOKED_AT]
        photos = [mask for mask in looked_at if not looks_like_mask(self.files, mask)]
        if looked_at and len(photos) == len(looked_at):
            raise DataError(
                f"{self.files.path} has files named as masks that are photographs "
                f"({some(photos)}): rename them if they are images of a class, or move them away."
            )

    def listing(
        self,
        layout: str,
        classes: Iterable[tuple[str, str]],
        *,
        is_test: Callable[[str], bool] | None = None,
        class_names: Iterable[str] = (),
        normal: Iterable[str] = (),
        own_anomalies: bool = False,
        groups: Callable[[str], int] | None = None,
        left_out: Iterable[str] = (),
        notes: Iterable[str] = (),
    ) -> Listing:
        """Return the listing of a layout.

        Parameters
        ----------
        layout : str
            Name of the layout.
        classes : iterable of (str, str)
            Name and class of each image.
        is_test : callable, optional
            Whether an image belongs to the test part, if there are parts.
        class_names : iterable of str
            Classes that exist even if no image is of them.
        normal : iterable of str
            Classes that the layout calls normal.
        own_anomalies : bool
            Whether each normal class has anomalies of its own.
        groups : callable, optional
            The group of an image; one group is never divided between training and test.
        left_out : iterable of str
            Images that are not of the set.
        notes : iterable of str
            Notes for readers of results.
        """
        labelled = list(classes)
        names = sorted({c for _, c in labelled} | set(class_names), key=natural_key)
        index = {name: label for label, name in enumerate(names)}
        masks = self.matched.masks
        entries = [
            Entry(
                name,
                index[class_name],
                is_test is not None and is_test(name),
                masks.get(name, ()),
                -1 if groups is None else groups(name),
            )
            for name, class_name in labelled
        ]
        entries.sort(key=lambda entry: (entry.is_test, entry.label, natural_key(entry.name)))
        ignored = Counter(self.kinds.ignored)
        away = Counter(self._place(name) for name in left_out)
        ignored.update({f"images in {where}": n for where, n in away.items()})
        if self.matched.unmatched:
            ignored["masks of no image"] = len(self.matched.unmatched)
        return Listing(
            tuple(entries),
            tuple(names),
            layout,
            tuple(sorted(set(normal), key=natural_key)),
            own_anomalies=own_anomalies,
            has_parts=any(entry.is_test for entry in entries),
            has_masks=any(entry.masks for entry in entries),
            has_groups=groups is not None,
            ignored=dict(ignored),
            unread=self.kinds.unread,
            notes=tuple(notes),
        )

    def beside_parts(self, names: Iterable[str]) -> list[str]:
        """Note the images outside of all parts, which are left out."""
        counts = Counter(map(self._place, names))
        return [
            f"{count} images in {where} were left out: they are neither in the training nor in the "
            "test part."
            for where, count in counts.items()
        ]

    def _place(self, name: str) -> str:
        parts = self.parts(name)
        return parts[0] if len(parts) > 1 else "its top folder"

    @property
    def path(self) -> str:
        """Name of the tree in messages."""
        return str(self.files.path)


def _wrapping_depth(folders: Iterable[str], *, zipped: bool) -> int:
    """Return the number of leading folders that only contain the rest."""
    split = [folder.split("/") if folder else [] for folder in folders]
    depth = 0
    while all(len(parts) > depth for parts in split):
        tops = {parts[depth] for parts in split}
        if len(tops) > 1 or part_of(tops.pop()) is not None:
            break
        if any(len(parts) == depth + 1 for parts in split):  # images lie in it: a class
            return 1 if zipped and depth == 0 else depth  # but zipping a folder adds its name
        depth += 1
    return depth
