"""The equation of an Einsum."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Self


class EquationError(ValueError):
    """An equation that is not understood; the message says why."""


@dataclass(frozen=True)
class Equation:
    """One letter for each axis of each operand, and of the result; no ellipsis."""

    operands: tuple[str, ...]
    result: str

    @classmethod
    def parse(cls, text: str, ranks: list[int]) -> Self:
        """Read an equation for operands of these ranks.

        An ellipsis becomes letters of its own, and a missing result is what the ONNX operator
        reference says: the axes of the ellipsis, then all letters that occur once, in alphabetical
        order.

        Raises:
            EquationError: letters and ranks do not fit, or a letter occurs twice in one term.
        """
        left, arrow, right = text.replace(" ", "").partition("->")
        terms = left.split(",")
        if len(terms) != len(ranks):
            raise EquationError("its equation has another number of operands")
        named = [len(term.replace("...", "")) for term in terms]
        hidden = [r - n for r, n, t in zip(ranks, named, terms, strict=True) if "..." in t]
        free = "".join(c for c in string.ascii_uppercase if c not in text)[: max(hidden, default=0)]
        operands = tuple(
            _spelled(term, free, count) for term, count in zip(terms, ranks, strict=True)
        )
        letters = "".join(operands)
        once = sorted(c for c in set(letters) - set(free) if letters.count(c) == 1)
        result = right.replace("...", free) if arrow else free + "".join(once)
        if not set(result) <= set(letters) or len(set(result)) != len(result):
            raise EquationError("its result has a letter twice, or one that no operand has")
        return cls(operands, result)

    def only_in(self, operand: int) -> str:
        """Letters of one operand that neither another operand nor the result has."""
        others = "".join(term for k, term in enumerate(self.operands) if k != operand)
        return "".join(c for c in self.operands[operand] if c not in others + self.result)


def _spelled(term: str, free: str, count: int) -> str:
    """One operand with letters in place of its ellipsis: the last ones, as axes line up."""
    hidden = count - len(term.replace("...", ""))
    spelled = term.replace("...", free[len(free) - hidden :])
    if len(spelled) != count:
        raise EquationError("its equation does not fit the rank of an operand")
    if len(set(spelled)) != count:
        raise EquationError("a letter occurs twice in one operand")
    return spelled
