"""Hostile models end in a judgement or in one line, and within bounds of time and memory.

A few hundred of the inputs of benchmarks/fuzz_check.py, and the models that are known to bring the
shape inference of ONNX to its knees. They run in child processes, for a crash would end the tests.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest

from benchmarks import fuzz_check
from benchmarks.fuzz_check import Outcome, run_folder, run_seed
from benchmarks.fuzz_mutations import hostile
from tests.onnx_file.models import parsed

FEW = 280
FLOAT_X = "float[2,3] x"


def chain(count: int, node: str, signature: str = FLOAT_X) -> str:
    """Graph of ``count`` times ``node``, each on the result ``a`` of the one before."""
    nodes = [node.format(a="x" if i == 0 else f"r{i}", r=f"r{i + 1}") for i in range(count)]
    return f"g ({signature}) => (y) {{ {' '.join(nodes)} y = Identity(r{count}) }}"


def shape_chain(node: str, count: int = 40) -> str:
    nodes = [node.format(a=f"s{i}", r=f"s{i + 1}") for i in range(count)]
    return f"g ({FLOAT_X}) => (y) {{ s0 = Shape(x) {' '.join(nodes)} y = Reshape(x, s{count}) }}"


def reshaped_by(length: int, count: int) -> Callable[[], onnx.ModelProto]:
    """Reshape to a rank of ``length``, and as many nodes after it as ``count``."""

    def made() -> onnx.ModelProto:
        model = parsed(chain(count, "{r} = Relu({a})", "float x0").replace("(x)", "(x)", 1))
        model.graph.node.insert(
            0, onnx.NodeProto(op_type="Reshape", input=["x0", "s"], output=["x"])
        )
        model.graph.initializer.append(onnx.helper.make_tensor("s", 7, [length], [1] * length))
        return model

    return made


LONG = 2**40
BOMBS: dict[str, str | Callable[[], onnx.ModelProto]] = {
    "shape data that doubles": shape_chain("{r} = Concat<axis=0>({a}, {a})"),
    "rank that doubles": chain(30, "{r} = Gather({a}, {a})", "int64[1,1] x"),
    "rank that doubles by GatherND": chain(30, "{r} = GatherND({a}, {a})", "int64[1,1,1,1] x"),
    "rank that grows": chain(
        2000, "a_{r} = Constant<value_ints=[0]>() {r} = Unsqueeze({a}, a_{r})"
    ),
    "rank of thousands": reshaped_by(4000, 1000),
    "types that nest": chain(2000, "{r} = SequenceConstruct({a})"),
    "long shape operand": f"g (int64[{LONG}] x) => (y) {{ y = ConstantOfShape(x) }}",
    "long shape operand, joined": f"""g (float[{LONG}] x) => (y) {{ s = Shape(x)
        c = ConstantOfShape(s) j = Concat<axis=0>(s, c) y = ConstantOfShape(j) }}""",
    "long stream": f"""g (float[{LONG}] x) => (y) {{
        a = Sub(x, x) y = MeanVarianceNormalization(a) }}""",
    "range without end": """g (float x) => (y) { a = Constant<value_int=0>()
        b = Constant<value_int=9223372036854775807>() c = Constant<value_int=1>()
        y = Range(a, b, c) }""",
    "constant of all memory": f"""g (float x) => (y) {{
        s = Constant<value_ints=[{LONG}]>() y = ConstantOfShape(s) }}""",
    "constant that is expanded": f"""g (float x) => (y) {{ a = Constant<value_int=1>()
        s = Constant<value_ints=[{LONG}, {LONG}]>() e = Expand(a, s) y = Mul(e, e) }}""",
    "constant that is tiled": chain(60, "{r} = Tile({a}, two)", "float z").replace(
        "{", "{ x = Constant<value_ints=[1]>() two = Constant<value_ints=[2]>()", 1
    ),
    "steps of zero": """g (float[1,1,8,8] x) => (y) {
        y = MaxPool<strides=[0,0], kernel_shape=[2,2]>(x) }""",
    "blocks of zero": "g (float[1,4,8,8] x) => (y) { y = DepthToSpace<blocksize=0>(x) }",
    "smallest integer divided": """g (float x) => (y) { b = Constant<value_ints=[-1]>()
        a = Constant<value_ints=[-9223372036854775808]>() y = Div(a, b) }""",
    "equation without sense": 'g (float[2,2] x) => (y) { y = Einsum<equation="ij9->ij">(x) }',
    "equation of many terms": 'g (float[2,2] x) => (y) { y = Einsum<equation="'
    + "ab," * 60
    + '9">(x) }',
    "more outputs than are made": "g (float[4] x) => (y) { y, a, b = Split<num_outputs=1>(x) }",
    "operand of no type": """g (float[4] x) => (y) { u = com.example.Any(x)
        e = EyeLike<dtype=1>(u) y = RegexFullMatch<pattern="a">(e) }""",
    "operand that is left out": "g (float[4] x) => (y) { y = EyeLike(, ) }",
}


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return run_seed(7, 0, FEW)


def test_hostile_inputs_are_judged_or_refused(outcomes: list[Outcome]) -> None:
    assert [o for o in outcomes if o.outcome not in fuzz_check.GOOD] == []
    assert [o.number for o in outcomes] == list(range(FEW))


def test_every_kind_of_damage_is_there(outcomes: list[Outcome]) -> None:
    """Else the mutations have become too mild, or so wild that nothing gets to the judge."""
    assert len({o.kind for o in outcomes}) == 7
    assert {o.outcome for o in outcomes} == set(fuzz_check.GOOD)
    assert {o.kind for o in outcomes if o.outcome == "judged"} >= {"fields mutated", "bits flipped"}


def test_refusals_are_one_line(outcomes: list[Outcome]) -> None:
    refusals = [o.detail for o in outcomes if o.outcome == "refused"]
    assert all(line and "\n" not in line and line.isprintable() for line in refusals)


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("bombs")
    for name, bomb in BOMBS.items():
        model = parsed(bomb, opset=18) if isinstance(bomb, str) else bomb()
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    return {outcome.kind: outcome for outcome in run_folder(folder)}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(bombs: dict[str, Outcome], name: str) -> None:
    assert bombs[name].outcome in fuzz_check.GOOD, bombs[name]


def test_an_input_is_made_from_its_number_alone() -> None:
    assert hostile(3, seed=1) == hostile(3, seed=1) != hostile(3, seed=2)


@pytest.mark.parametrize("outcome", fuzz_check.BAD)
def test_the_runner_finds_what_it_looks_for(outcome: str) -> None:
    found = run_seed(0, 0, 1, "--judge", f"tests.whitelist.bad_judges:{outcome}")
    assert [o.outcome for o in found] == [outcome]
