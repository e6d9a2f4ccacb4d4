"""``avatar-export targets``."""

from __future__ import annotations

import json

import click

from avatar_export.cli.common import result_format


@click.command()
@result_format("text", "json")
def targets(style: str) -> None:
    """List the chips, SNPE versions and runtimes that models can be judged for."""
    from avatar_export.whitelist.tables import known_sdks
    from avatar_export.whitelist.targets import known_runtimes, load_targets

    rows = load_targets()
    if style == "json":
        known = {
            "targets": [vars(target) for target in rows.values()],
            "sdks": known_sdks(),
            "runtimes": known_runtimes(),
        }
        click.echo(json.dumps(known, indent=2))
        return
    for name, target in rows.items():
        click.echo(
            f"{name:12} {target.gpu:12} {target.chip:26} SNPE {target.sdk:5} {target.runtime}"
        )
    click.echo(f"\nSDKs (--sdk): {', '.join(known_sdks())}")
    click.echo(f"runtimes (--runtime): {', '.join(known_runtimes())}")
