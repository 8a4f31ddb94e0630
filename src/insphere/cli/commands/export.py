"""``insphere export`` and ``insphere verify``: a model as one ONNX file, and the proof of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import Json, Model, Reading, read_options, reads_images

if TYPE_CHECKING:
    from insphere.export.verify import Comparison
    from insphere.workflows.exporting import Written


@reads_images("normal", "size", "grey", "skip_bad", "follow_links", "download")
def export(
    model: Model,
    *,
    out: Annotated[
        str, typer.Option(help="File for the exported model.", metavar="FILE.onnx")
    ] = "model.onnx",
    images: Annotated[
        str | None,
        typer.Option(
            help="Verify on these images, or on this table, too, beside the golden samples of the "
            "model. Where the truth about them is known, the AUC is measured.",
            metavar="SOURCE",
            show_default=False,
        ),
    ] = None,
    float16: Annotated[
        bool,
        typer.Option("--float16", help="Also write a float16 network.", show_default=False),
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also write an int8 network.", show_default=False)
    ] = False,
    maps: Annotated[
        bool, typer.Option("--maps/--no-maps", help="Also compute heat maps, or not.")
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.", show_default=False)
    ] = False,
    reading: Reading,
    as_json: Json = False,
) -> None:
    """Write a model as one ONNX file that scores alike without this program.

    The file holds preprocessing, network, calibration and card. It is compared with the model
    before it is written: on the golden samples that insphere fit keeps, and on --images.

    For example:

        insphere export model --out model.onnx
        insphere export model --out model.onnx --images photos/new --float16 --int8
    """
    from insphere.workflows.exporting import VARIANTS, export_model

    wanted = [v for v, asked in zip(VARIANTS, (float16, int8), strict=True) if asked]
    written = export_model(
        model, out,
        variants=wanted, images=images, reading=read_options(reading), maps=maps,
        overwrite=overwrite,
    )  # fmt: skip
    if as_json:
        console.print_json({"model": model, "files": [_as_json(one) for one in written]})
        return
    for one in written:
        console.say(f"{console.shown(one.path)}: {one.variant}, {one.bytes / 1e6:.2f} MB")
        for what, found in (("golden samples", one.golden), ("images", one.images)):
            if found is not None:
                console.explain(f"  {what}: {found.sentence()}", style="dim")
        if one.auc is not None and one.auc_lost is not None:
            lost = f"{100 * one.auc_lost:+.3f}"
            console.explain(f"  AUC {100 * one.auc:.3f} %, {lost} points lost", style="dim")
    if written[0].golden is None and images is None:
        console.note(
            "Not verified: the model has no golden samples, and no --images were given; run "
            "insphere verify."
        )


@reads_images("size", "grey", "skip_bad", "follow_links", "download")
def verify(
    exported: Annotated[
        str, typer.Argument(help="The exported model.", metavar="FILE.onnx", show_default=False)
    ],
    model: Model,
    images: Annotated[
        str | None,
        typer.Argument(
            help="Images, or a table, to compare on (default: the golden samples of the model).",
            metavar="SOURCE",
            show_default=False,
        ),
    ] = None,
    *,
    reading: Reading,
    as_json: Json = False,
) -> None:
    """Compare an exported model with the model, score by score.

    It fails if one verdict changed, or a score by more than one part in 100,000. Networks may
    differ by five, the rounding of float32. Models on features of a pretrained network that an
    earlier version saved round these to float16, and may differ by five in 1,000.

    For example:

        insphere verify model.onnx model photos/new
    """
    from insphere.workflows.exporting import verify_model

    found = verify_model(exported, model, images, read_options(reading))
    if as_json:
        console.print_json({"exported": exported, "model": model} | asdict(found))
    else:
        console.say(found.sentence())
        console.explain(_details(found), style="dim")


def _details(found: Comparison) -> str:
    said = [
        f"{name} within {value:.2g}"
        for name, value in (
            ("p-values", found.p_value),
            ("severities", found.severity),
            ("heat maps", found.heat_map),
        )
        if value is not None
    ]
    if found.on_threshold:
        said.append(f"{found.on_threshold} on the threshold itself")
    return "; ".join(said)


def _as_json(one: Written) -> dict[str, Any]:
    found = asdict(one)
    return found | {"path": str(one.path)}
