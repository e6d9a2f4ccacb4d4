from __future__ import annotations

import pytest

from avatar_export import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.UserError, 2),
        (errors.ModelError, 2),
        (errors.MissingDependency, 3),
        (errors.ParityError, 4),
    ],
)
def test_exit_codes_are_the_documented_ones(
    kind: type[errors.AvatarExportError], code: int
) -> None:
    assert kind.exit_code == code
    assert issubclass(kind, errors.AvatarExportError)


def test_message_and_hint_are_single_lines() -> None:
    error = errors.UserError("two\n  lines", "and\ta hint\n")
    assert (error.message, error.hint) == ("two lines", "and a hint")
    assert errors.ModelError("no hint").hint == ""
