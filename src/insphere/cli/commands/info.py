"""``insphere datasets`` and ``insphere info``: known data sets, and one saved model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from insphere.cli import console
from insphere.cli.options import Json, Model


def datasets(as_json: Json = False) -> None:
    """List the data sets that have a name, and whether they are on this computer.

    For example:

        insphere datasets
    """
    from insphere.data.datasets.find import available_datasets

    cards = available_datasets()
    if as_json:
        console.print_json({"datasets": [asdict(card) for card in cards]})
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("name", "contents", "images", "train", "test", "here"):
        justify: Any = "right" if title in ("train", "test") else "left"
        table.add_column(title, justify=justify, no_wrap=title not in ("contents", "here"))
    for card in cards:
        here = Text("yes", style="green") if card.available else Text("no", style="dim")
        table.add_row(
            Text(card.name, style="bold" if card.available else ""),
            card.title,
            "×".join(map(str, card.image_shape)),
            f"{card.n_train:,}",
            f"{card.n_test:,}" if card.n_test else "–",
            here,
        )
    console.out.print(table)
    console.explain(
        "\nUse a name wherever a command takes a folder. If you have copies of your own, put their "
        "folder into the environment variable INSPHERE_DATA.",
        style="dim",
    )
    missing = [card for card in cards if not card.available]
    for extra in sorted({card.extra for card in missing}):
        names = ", ".join(card.name for card in missing if card.extra == extra)
        how = ", then add --download" if extra == "vision" else ""
        console.explain(f'To get {names}: pip install "insphere[{extra}]"{how}.', style="dim")


def info(model: Model, as_json: Json = False) -> None:
    """Show the settings and the origin of a saved model.

    For example:

        insphere info model
    """
    from insphere.detectors.model_folder import describe_model
    from insphere.modalities.table import restored

    description = describe_model(model)
    if as_json:
        console.print_json(description)
        return
    from rich.table import Table
    from rich.text import Text

    trained = description["trained_on"] or {}
    size = restored(description["modality"]).size
    parameters = sum(_product(array) for array in description["arrays"].values())
    versions = ", ".join(f"{name} {number}" for name, number in description["versions"].items())
    params = description["params"]
    rows = {
        "detector": description["detector"],
        "data": trained.get("name", "not recorded"),
        "normal": ", ".join(trained.get("normal", ())) or "not recorded",
        "trained on": f"{description['n_train']:,} of {size}",
        "calibrated on": f"{description['n_calibration']:,} held-out normal images",
        "resized to": "×".join(map(str, trained.get("size") or ())),
        "threshold": _threshold(description),
        "parameters": ", ".join(f"{k}={v}" for k, v in params.items() if v is not None),
        "numbers stored": f"{parameters:,} ({description['weights_bytes'] / 1000:,.0f} kB)",
        "made with": versions,
        "fingerprint": description["data_fingerprint"][:16],
    }
    if not description["n_calibration"]:
        del rows["calibrated on"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows.items():
        if text:
            table.add_row(name, Text(text))
    console.out.print(table)


def _product(shape: list[int]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def _threshold(description: dict[str, Any]) -> str:
    value, rule = description["threshold"], str(description["threshold_rule"])
    return rule if value is None else f"{value:.6g}: {rule}"
