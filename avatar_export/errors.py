"""One root error with a message and a hint; its children say whose fault it was.

The exit codes are a contract (docs/cli.md): 0 fine, 1 findings or regression, 2 bad usage or
input, 3 the environment lacks something, 4 parity failed, 130 interrupted.
"""

from __future__ import annotations

from typing import ClassVar


class AvatarExportError(Exception):
    """Root of every error that is shown to a user without a traceback.

    Args:
        message: what is wrong, on one line, naming the file, key or node.
        hint: what to do about it, on one line; empty when the message says it already.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = " ".join(message.split())
        self.hint = " ".join(hint.split())


class UserError(AvatarExportError):
    """Bad usage: an option, a path, an input of the wrong kind or shape."""


class ModelError(AvatarExportError):
    """A model, checkpoint or container that is damaged, hostile, or not what it claims to be."""


class MissingDependency(AvatarExportError):
    """The environment lacks something: an extra, an SDK, adb, a phone."""

    exit_code: ClassVar[int] = 3


class ParityError(AvatarExportError):
    """A step changed the result by more than its tolerance."""

    exit_code: ClassVar[int] = 4
