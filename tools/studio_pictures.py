"""Makes the pictures of the studio in the docs: ``python tools/studio_pictures.py``.

Starts a studio with a store of its own, opens it in Chromium, trains one run and writes the form,
the run while it trains and the finished run, light and dark, to ``docs/images``. Needs the extra
"dev" and Chromium, and takes a few minutes.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
WIDTH = 1180
RUN = (
    "/compare?dataset=mnist-5k&normal=8&options=attention,layer-norm&seed=1"
    "&pretrain={pretrain}&epochs={epochs}"
)
PRETRAIN, EPOCHS = 150, 100
LONGEST = 3_600_000  # milliseconds
COLOURED = 32  # difference between the channels of a pixel that is not grey
HALFWAY = """(epochs) => {
  const said = document.querySelector("[data-test=progress]")?.textContent ?? "";
  const found = said.match(/epoch (\\d+) of (\\d+)/);
  return found && Number(found[2]) === epochs && Number(found[1]) >= epochs / 2;
}"""


@contextmanager
def running_studio(folder: Path) -> Iterator[str]:
    """Start a studio and yield its address."""
    command = [sys.executable, "-m", "insphere", "studio", "--no-open", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--workers", "1", "--store", str(folder / "runs.sqlite")],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    address = process.stdout.readline().rpartition(" ")[2].strip().rstrip("/")
    try:
        for _ in range(600):
            try:
                urlopen(address, timeout=30).read()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait()


def opened(browser: Browser, address: str, scheme: str = "light") -> Page:
    """Open an address in light or dark."""
    scheme_kept: Any = scheme
    context = browser.new_context(
        viewport={"width": WIDTH, "height": 1000}, color_scheme=scheme_kept
    )
    page = context.new_page()
    page.set_default_timeout(LONGEST)
    page.goto(address)
    page.wait_for_selector("h1")
    return page


def keep(page: Page, name: str, height: int) -> None:
    """Write the upper part of a page, with 256 colours."""
    page.wait_for_timeout(2500)  # fonts, figures and transitions
    content = page.screenshot(full_page=True)
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    picture = picture.crop((0, 0, WIDTH, min(height, picture.height)))
    picture.quantize(256, palette=palette(picture), dither=Image.Dither.NONE).save(
        IMAGES / name, optimize=True
    )
    print(name, picture.size, flush=True)


def palette(picture: Image.Image) -> Image.Image:
    """Return 256 colours for a picture, to which colours count as much as its greys."""
    pixels = np.asarray(picture).reshape(-1, 3)
    coloured = pixels[np.ptp(pixels, axis=1) > COLOURED]
    if len(coloured):
        pixels = np.concatenate([pixels, np.resize(coloured, (len(pixels), 3))])
    return Image.fromarray(pixels[None]).quantize(256, kmeans=2)


def main() -> None:
    """Make all pictures."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with (
        tempfile.TemporaryDirectory() as folder,
        running_studio(Path(folder)) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        run = RUN.format(pretrain=PRETRAIN, epochs=EPOCHS)
        page = opened(browser, address + run)
        page.click("[data-test=train]")
        page.wait_for_url("**/runs/*")
        page.wait_for_function(HALFWAY, arg=EPOCHS)
        keep(page, "studio-live.png", 1150)
        page.wait_for_selector("[data-test=difference]")
        page.wait_for_function("document.querySelectorAll('.scale').length === 4")
        where = page.url
        for scheme, name in (("light", "studio-done.png"), ("dark", "studio-done-dark.png")):
            page = opened(browser, where, scheme)
            page.wait_for_selector("[data-test=difference]")
            keep(page, name, 1650)
        page = opened(browser, f"{address}/compare?dataset=mnist-5k&normal=5")
        page.wait_for_selector("[data-test=estimate] b")
        keep(page, "studio-choose.png", 1250)
        browser.close()


if __name__ == "__main__":
    main()
