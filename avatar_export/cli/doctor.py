"""``avatar-export doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from avatar_export.cli.common import coloured, result_format

_MARKS = {"ok": ("ok", "green"), "missing": ("--", "yellow"), "broken": ("!!", "red")}


@click.command()
@result_format("text", "json")
def doctor(style: str) -> int:
    """Say what is installed, what is missing, and how to get it.

    Exits 3 if something that every conversion needs is missing or broken.
    """
    from avatar_export.doctor import examine

    checks = examine()
    if style == "json":
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            mark, colour = _MARKS[check.state]
            line = f"{click.style(mark, fg=colour)}  {check.name:22} {check.found}"
            click.echo(line.rstrip(), color=coloured())
            if check.state != "ok" and check.advice:
                click.echo(f"    {check.advice}")
    return 3 if any(check.required and check.state != "ok" for check in checks) else 0
