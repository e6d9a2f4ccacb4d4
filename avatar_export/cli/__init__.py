"""The command line: one file a verb; parse, call, print."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Any

import click

from avatar_export import __version__
from avatar_export.cli.check import check
from avatar_export.cli.common import complain
from avatar_export.cli.convert import convert
from avatar_export.cli.demo import demo
from avatar_export.cli.doctor import doctor
from avatar_export.cli.optimize import optimize
from avatar_export.cli.targets import targets
from avatar_export.errors import AvatarExportError

INTERRUPTED = 130
BUG = 70  # EX_SOFTWARE of sysexits.h


class _Verbs(click.Group):
    """A group to which a reader that is gone, as in ``| head``, is no error.

    click alone would end with 1, which here means findings.
    """

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError:
            raise _reader_left() from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _reader_left() from None


def _reader_left() -> click.exceptions.Exit:
    """A fine ending; what is still to be flushed goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return click.exceptions.Exit(0)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="avatar-export")
def cli() -> None:
    """Export neural head avatars to phones.

    Trained bi-layer networks become restricted-op ONNX and DLC files that fit the layer list of
    Qualcomm's SNPE, each step checked against PyTorch. Any other ONNX model can be checked
    against the same list.

    Exit codes: 0 fine, 1 findings for the target, 2 bad usage or input, 3 the environment lacks
    something, 4 parity failed, 70 a bug, 130 interrupted.
    """


for _verb in (check, convert, demo, doctor, optimize, targets):
    cli.add_command(_verb)


def main() -> None:
    """Entry point: run the command line; a user's error is one line and a hint, no traceback."""
    signal.signal(signal.SIGTERM, _interrupt)  # a CI job that is cancelled: clean up as for Ctrl-C
    try:
        sys.exit(cli.main(prog_name="avatar-export", standalone_mode=False) or 0)
    except AvatarExportError as error:
        complain(error.message, error.hint)
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        verb = context.command_path if context is not None else "avatar-export"
        complain(error.format_message(), f"see '{verb} --help'")
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        complain("interrupted")
        sys.exit(INTERRUPTED)
    except Exception:
        # A bug shows its traceback, but not under the exit code that means findings.
        traceback.print_exc()
        complain("this is a bug of avatar-export", "please report it with the lines above")
        sys.exit(BUG)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
