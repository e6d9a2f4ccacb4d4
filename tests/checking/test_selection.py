from __future__ import annotations

import pytest

from avatar_export.checking.selection import Selection, read_selection
from avatar_export.errors import UserError


@pytest.mark.parametrize(
    ("select", "ignore", "inside"),
    [
        ([], [], {"AX101", "AX205", "AX301"}),
        (["AX2"], [], {"AX205"}),
        (["ax101, ax3"], [], {"AX101", "AX301"}),
        (["AX1", "AX2"], ["AX205"], {"AX101"}),
        ([], ["AX1,AX2"], {"AX301"}),
        (["AX205"], ["AX"], set()),
    ],
)
def test_prefixes(select, ignore, inside):
    selection = read_selection(select, ignore)
    assert {code for code in ("AX101", "AX205", "AX301") if code in selection} == inside


def test_nothing_given_is_everything():
    assert read_selection(["", " , "], []) == Selection()
    assert "AX101" in Selection()


@pytest.mark.parametrize("words", [["AX9"], ["AX101,nonsense"], ["101"], ["AX1011"]])
def test_an_unknown_prefix_is_named(words):
    for given in ((words, []), ([], words)):
        with pytest.raises(UserError, match="no code begins with") as error:
            read_selection(*given)
        assert "AX101, AX102" in error.value.hint
