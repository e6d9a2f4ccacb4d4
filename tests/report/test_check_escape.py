from __future__ import annotations

import json

import pytest

from avatar_export.report.check_escape import LONGEST, json_text, printable
from tests.report.check_records import HOSTILE
from tests.report.log_readers import commands, old_commands, unprintable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/warp/Grid Sample:0", "/warp/Grid Sample:0"),
        ("aten::add", "aten::add"),
        ("größe_\u05d0", "größe_\u05d0"),
        ("a\nb\t\x1b[0m", "a\\nb\\t\\x1b[0m"),
        ("\u202e\u2028\x85", "\\u202e\\u2028\\x85"),
        ("\udcff", "\\udcff"),
        ("\U000e0001", "\\U000e0001"),
        ("::error::x", "\\x3a:error::x"),
        ("  ::error::x", "  \\x3a:error::x"),
        ("a ##[b] ## c #[d] ##vso[e]", "a #\\x23[b] ## c #[d] #\\x23vso[e]"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_hostile_is_left(text: str) -> None:
    shown = printable(text)
    assert unprintable(shown + "\n") == old_commands(shown) == commands(shown) == []
    assert "\n" not in shown
    assert shown.encode("utf-8")
    assert len(shown) <= 4 * LONGEST


def test_the_middle_of_a_long_text_is_left_out() -> None:
    shown = printable("a" * 5000 + "z" * 5000)
    assert shown == "a" * 500 + "..." + "z" * 500
    assert printable("x" * LONGEST) == "x" * LONGEST


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_json_keeps_every_text(text: str) -> None:
    written = json_text({text: [text]})
    assert written.isascii()
    assert unprintable(written) == old_commands(written) == commands(written) == []
    expected = text.replace("\udcff", "\\udcff").replace("\ud800", "\\ud800")
    assert json.loads(written) == {expected: [expected]}


def test_json_has_no_half_pairs() -> None:
    assert "\\ud83d\\ude00" in json_text("\U0001f600")
    assert json_text("\ud83d") == '"\\\\ud83d"\n'


def test_json_is_strict() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        json_text(float("nan"))
