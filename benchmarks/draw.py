"""Draws the figures of the docs: ``python benchmarks/draw.py [--store FILE] [--check]``.

Text between ``<!-- figure: NAME -->`` and ``<!-- end -->`` is replaced by the picture NAME and its
caption, drawn from the rows in ``results/``. Pictures that show scores, images or a model need the
store of a sweep and are drawn only with ``--store``:

    insphere sweep run sweeps/mnist-5k.yaml --store figures.sqlite --save-models
    python benchmarks/draw.py --store figures.sqlite

Every picture says in its metadata from which rows it was drawn. With ``--check`` nothing is drawn,
and the exit code is 1 if a page or a picture was made from other rows than there are.
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from insphere.atomic import write_whole
from insphere.experiments.analysis.run_collection import read_collection
from insphere.experiments.plots.catalogue import plan
from insphere.figures.export import to_png
from insphere.report.gallery import PlannedFigure
from sign_blocks import PLANNED as SIGNS

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
IMAGES = DOCS / "images" / "figures"
BLOCK = re.compile(r"(<!-- figure: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
NOT_YET = "Not measured yet.\n"
LARGEST = 150_000  # bytes of a picture


@dataclass(frozen=True)
class Picture:
    """One picture of the docs.

    Parameters
    ----------
    figure : str
        What `insphere figures` calls it.
    suites : tuple of str
        Files of rows, without ``.jsonl``; none if it is drawn from a store.
    """

    figure: str
    suites: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """Files of rows that there are."""
        paths = (RESULTS / f"{suite}.jsonl" for suite in self.suites)
        return [path for path in paths if path.is_file()]

    @property
    def digest(self) -> str:
        """What changes when the rows change."""
        whole = hashlib.sha256(b"".join(path.read_bytes() for path in self.files))
        return whole.hexdigest()[:16]


MNIST = ("mnist-fast", "mnist-paper", "mnist-controls")
CIFAR = ("cifar10-fast", "cifar10-controls")
ALL = (*MNIST, "fashion-mnist-fast", "fashion-mnist-controls", *CIFAR)
PICTURES = {
    "heat": Picture("heat", ALL),
    "published-mnist": Picture("published-mnist", MNIST),
    "change-mnist": Picture("change-mnist", MNIST),
    "violins": Picture("violins", ALL),
    "ranks": Picture("ranks-all-datasets", ALL),
    "radar-cifar10": Picture("radar-cifar-10", CIFAR),
    "joint": Picture("joint", ALL),
    "training": Picture("training-mnist-500-of-each-digit-deep-svdd", ("mnist-5k-epochs",)),
    **{
        f"ablation-{name}": Picture(f"gains-{slug}", (f"{name}-ablation",))
        for name, slug in (
            ("mnist", "mnist"), ("fashion-mnist", "fashion-mnist"), ("cifar10", "cifar-10"),
        )
    },
    "signs-kinds": Picture("signs-kinds", ("stop-signs",)),
    "signs-strengths": Picture("signs-strengths", ("stop-signs",)),
    "signs-fooled": Picture("signs-fooled", ("stop-signs-fooled",)),
    "roc": Picture("roc-mnist-500-of-each-digit-deep-svdd"),
    "sorted": Picture("sorted-mnist-500-of-each-digit-deep-svdd"),
    "latent": Picture("latent-mnist-500-of-each-digit-deep-svdd"),
}  # fmt: skip


def made(picture: Picture, files: list[Path]) -> PlannedFigure:
    """Return the figure, to be drawn."""
    if picture.figure in SIGNS:
        return SIGNS[picture.figure]()
    found, left_out = plan(read_collection(files), [picture.figure])
    if not found:
        raise SystemExit(f"{picture.figure} cannot be drawn: {left_out}")
    return found[0]


def block(name: str, planned: PlannedFigure) -> str:
    """Return what the page says: the picture and its caption."""
    return (
        f"![{planned.title}](images/figures/{name}.png)\n\n"
        f"**{planned.title}.** {planned.caption} {planned.origin}\n"
    )


def draw(name: str, planned: PlannedFigure, digest: str) -> None:
    """Write a picture as finely as its size allows."""
    for dpi in (130, 110, 95, 80):
        content = to_png(planned.draw(), dpi=dpi, source=digest)
        if len(content) > LARGEST:
            content = with_palette(content, digest)
        if len(content) <= LARGEST:
            break
    write_whole(IMAGES / f"{name}.png", content)


def with_palette(content: bytes, digest: str) -> bytes:
    """Return a PNG in 256 colours, which is a third of the size."""
    about, out = PngInfo(), BytesIO()
    about.add_text("Source", digest)
    with Image.open(BytesIO(content)) as image:
        image.convert("RGB").quantize(256).save(out, format="png", optimize=True, pnginfo=about)
    return out.getvalue()


def digest_of(name: str) -> str | None:
    """Return what a picture says that it was drawn from."""
    path = IMAGES / f"{name}.png"
    if not path.is_file():
        return None
    with Image.open(path) as image:
        return image.info.get("Source")


def main() -> int:
    """Draw and rewrite, or check."""
    check = "--check" in sys.argv
    store = Path(sys.argv[sys.argv.index("--store") + 1]) if "--store" in sys.argv else None
    stale = []
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        new = text
        for found in BLOCK.finditer(text):
            name = found["name"]
            picture = PICTURES[name]
            files = picture.files if picture.suites else [store] if store else []
            if picture.suites and not files:
                said = NOT_YET
            elif not files:
                continue  # drawn from a store that is not at hand
            else:
                planned = made(picture, files)
                said = block(name, planned)
                digest = picture.digest if picture.suites else "a store of runs"
                if check:
                    if digest_of(name) != digest:
                        stale.append(f"{name}.png: drawn from other rows")
                else:
                    draw(name, planned, digest)
            new = new.replace(found[0], f"{found[1]}\n{said}\n{found[3]}")
        if new != text:
            if check:
                stale.append(f"{page.name}: differs from the rows")
            else:
                write_whole(page, new, "The page")
    for message in stale:
        print(message)
    return int(bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
