"""How CI systems read what a step prints: tests look for commands that were slipped in."""

from __future__ import annotations

import re
from typing import NamedTuple


class Command(NamedTuple):
    name: str
    properties: dict[str, str]
    message: str


def commands(text: str) -> list[Command]:
    """Workflow commands as ActionCommand.cs of github actions/runner finds them.

    Any line that ``::`` begins after blanks; what follows the second ``::`` is the message.
    """
    found = []
    # C# splits lines at these; str.splitlines at more, which only makes the reader stricter.
    for line in text.splitlines():
        match = re.match(r"\s*::(.*?)::(.*)", line)
        if match:
            name, _, told = match[1].partition(" ")
            pairs = [pair.split("=", 1) for pair in told.split(",") if "=" in pair]
            properties = {key: _unescaped(value, "\r\n:,") for key, value in pairs}
            found.append(Command(name, properties, _unescaped(match[2], "\r\n")))
    return found


def old_commands(text: str) -> list[str]:
    """``##[x]`` of GitHub, ``##vso[x]`` of Azure, ``##teamcity[x]``: anywhere in a line."""
    return re.findall(r"##\w*\[", text)


def unprintable(text: str) -> list[str]:
    """Characters but line ends that steer a terminal, or show a line in another order."""
    return [c for c in text if not c.isprintable() and c != "\n"]


def _unescaped(text: str, signs: str) -> str:
    for sign in (*signs, "%"):
        text = text.replace(f"%{ord(sign):02X}", sign)
    return text
