from __future__ import annotations

import pytest

from avatar_export.passes.cures.equation import Equation, EquationError


@pytest.mark.parametrize(
    ("text", "ranks", "operands", "result"),
    [
        ("ij,jk->ik", [2, 2], ("ij", "jk"), "ik"),
        (" b i j , b j k -> b i k ", [3, 3], ("bij", "bjk"), "bik"),
        ("ij,jk", [2, 2], ("ij", "jk"), "ik"),
        ("ba", [2], ("ba",), "ab"),
        ("ij->", [2], ("ij",), ""),
        ("...ij,...jk->...ik", [4, 4], ("ABij", "ABjk"), "ABik"),
        ("...ij,...jk->...ik", [4, 3], ("ABij", "Bjk"), "ABik"),
        ("...ij,jk", [3, 2], ("Aij", "jk"), "Aik"),
        ("...,...->...", [2, 2], ("AB", "AB"), "AB"),
        ("i...->...", [3], ("iAB",), "AB"),
        ("...ij->...ji", [2], ("ij",), "ji"),
    ],
)
def test_letters(text: str, ranks: list[int], operands: tuple[str, ...], result: str) -> None:
    assert Equation.parse(text, ranks) == Equation(operands, result)


@pytest.mark.parametrize(
    ("text", "ranks", "reason"),
    [
        ("ij,jk->ik", [2], "another number of operands"),
        ("ij->ji", [3], "does not fit the rank"),
        ("ijk->ji", [2], "does not fit the rank"),
        ("...ijk->...i", [2], "does not fit the rank"),
        ("ii->i", [2], "twice"),
        ("ij->ik", [2], "no operand has"),
    ],
)
def test_equations_that_are_not_understood(text: str, ranks: list[int], reason: str) -> None:
    with pytest.raises(EquationError, match=reason):
        Equation.parse(text, ranks)


def test_letters_of_one_operand_alone() -> None:
    equation = Equation(("bij", "jk"), "k")
    assert equation.only_in(0) == "bi"
    assert equation.only_in(1) == ""
