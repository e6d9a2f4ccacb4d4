"""``avatar-export demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from avatar_export.cli.convert import output_options, run_conversion


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    metavar="DIR",
    help="Folder to write into.",
)
@output_options
def demo(**arguments: Any) -> int:
    """Convert the built-in sample run: a small avatar of one photograph, nothing to download."""
    from avatar_export.resources import sample

    folder = sample()
    return run_conversion(
        run=folder / "runs" / "portrait_main",
        enhancer=folder / "runs" / "portrait_enhancer",
        source=folder / "source.png",
        keypoints=folder / "keypoints.npy",
        mask=folder / "mask.png",
        driving=folder / "driving.npy",
        **arguments,
    )
