from __future__ import annotations

import numpy as np
import pytest

from avatar_export.passes.cures.drop_identity import DropIdentity
from tests.passes.models import applied, operators, parsed, rewritten, rng

X = rng(2, 3)
NUMBERS = {"ratio": np.float32(0.5), "no": np.array(False), "yes": np.array(True)}


def model_of(nodes: str, opset: int = 13, outputs: str = "float[2,3] y"):
    return parsed(f"g (float[2,3] x) => ({outputs}) {{ {nodes} }}", opset, **NUMBERS)


IDLE = {
    "Identity": "a = Relu(x) b = Identity(a) y = Abs(b)",
    "Identity at the end": "a = Relu(x) b = Abs(a) y = Identity(b)",
    "Identity at the start": "a = Identity(x) b = Relu(a) y = Abs(b)",
    "two": "a = Identity(x) b = Relu(a) c = Abs(b) d = Identity(c) y = Identity(d)",
    "Dropout with a ratio": "a = Relu(x) b = Dropout(a, ratio) y = Abs(b)",
    "Dropout with a mode": "a = Relu(x) b = Dropout(a, ratio, no) y = Abs(b)",
    "Dropout with an unread mask": "a = Relu(x) b, m = Dropout(a, ratio, no) y = Abs(b)",
}


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("nodes", IDLE.values(), ids=IDLE)
def test_idle_nodes_go(nodes: str, opset: int) -> None:
    after, changes = rewritten(DropIdentity(), model_of(nodes, opset), x=X)
    assert operators(after) == ["Relu", "Abs"]
    assert all(change.endswith(": removed") for change in changes) and changes


JOINTS = {
    "input to output": ("y = Identity(x)", "float[2,3] y"),
    "output to output": ("a = Relu(x) y = Identity(a)", "float[2,3] a, float[2,3] y"),
    "weight to output": ("y = Identity(ratio)", "float y"),
}


@pytest.mark.parametrize("joint", JOINTS.values(), ids=JOINTS)
def test_what_gives_an_output_its_name_stays(joint: tuple[str, str]) -> None:
    nodes, outputs = joint
    cure = DropIdentity()
    after, changes = applied(cure, model_of(nodes, outputs=outputs))
    assert changes == [] and operators(after)[-1] == "Identity" and list(cure.notes) == []


def test_a_dropout_between_input_and_output_becomes_an_identity() -> None:
    after, _ = rewritten(DropIdentity(), model_of("y = Dropout(x, ratio)"), x=X)
    assert operators(after) == ["Identity"]


LEFT = {
    "b, m = Dropout(x, ratio, no) n = Not(m) y = Where(n, x, b)": "its mask is read",
    "y = Dropout(x, ratio, yes)": "it may be in training mode",
}


@pytest.mark.parametrize("nodes", LEFT)
def test_a_dropout_that_works_stays_with_a_note(nodes: str) -> None:
    cure = DropIdentity()
    assert applied(cure, model_of(nodes))[1] == []
    assert [note.partition(" stays: ")[2] for note in cure.notes] == [LEFT[nodes]]


def test_a_plain_dropout_stays() -> None:
    assert applied(DropIdentity(), model_of("a = Dropout(x) y = Relu(a)"))[1] == []
