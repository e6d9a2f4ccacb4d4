"""Names of nodes and files may hold anything: what keeps them from steering a log or a terminal.

GitHub's runner takes a line for a command if it begins with ``::`` after blanks, or if ``##[``
stands anywhere in it (github actions/runner, src/Runner.Common/ActionCommand.cs); Azure Pipelines
knows ``##vso[``, TeamCity ``##teamcity[``. Terminals obey control characters, and bidirectional
ones show a line in another order than it has.
"""

from __future__ import annotations

import json
import re

# Characters of a text that people read; the middle of a longer one is left out.
LONGEST = 1000

_COMMAND_START = re.compile(r"^( *):(?=:)")
_OLD_COMMAND = re.compile(r"##(?=\w*\[)")
_NOT_ASCII = re.compile(r"[^\n\x20-\x7e]")


def printable(text: str) -> str:
    """One line that is safe to print anywhere.

    What does not print (control and bidirectional characters, line ends, halves of surrogates) is
    spelled as in Python, such as ``\\x1b``; what a CI system would obey is broken up.
    """
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]}...{text[-half:]}"
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _spelled(c) for c in text)
    return _OLD_COMMAND.sub(r"#\\x23", _COMMAND_START.sub(r"\1\\x3a", text))


def json_text(content: object) -> str:
    """Indented JSON in ASCII with a final newline; every text keeps its exact value.

    The one exception: half of a surrogate pair, as in a file name that is no UTF-8, is no
    character in JSON, so it becomes the six characters ``\\udcff``.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return _OLD_COMMAND.sub(r"#\\u0023", _NOT_ASCII.sub(_escaped, text)) + "\n"


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if "\ud800" <= character <= "\udfff":
        return f"\\\\u{ord(character):04x}"
    return json.dumps(character)[1:-1]
