from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from avatar_export.errors import ModelError
from avatar_export.graphs.bilayer import avatar_graph, frame_graph
from avatar_export.graphs.export import export_onnx, run_torch
from avatar_export.graphs.spec import EXPORT_OPSET, Graph, TensorSpec
from avatar_export.networks.bilayer import BilayerModel
from avatar_export.precision.runner import run_onnx

Function = Callable[[Tensor, Tensor], Tensor | tuple[Tensor, ...]]


class Module(nn.Module):
    """A function of two tensors, after a convolution with a batch norm."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
        self.function = function

    def forward(self, a: Tensor, b: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.function(self.net(a), b)


def graph_of(function: Function, *outputs: str) -> Graph:
    """A graph whose own module is in training mode, as a module is when it is made."""
    a = TensorSpec("a", (1, 3, 6, 5), "NCHW", -1.0, 1.0, "")
    b = TensorSpec("b", (1, 4, 4, 3), "NCHW", -1.0, 1.0, "")
    specs = tuple(TensorSpec(name, (1, 4, 4, 3), "NCHW", None, None, "") for name in outputs)
    return Graph("small", Module(function), (a, b), specs)


def test_an_exported_graph() -> None:
    graph = graph_of(lambda a, b: (a + b, a * b), "sum", "product")
    model = export_onnx(graph)
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.name == "small"
    assert {x.domain: x.version for x in model.opset_import} == {"": EXPORT_OPSET}
    assert [v.name for v in model.graph.input] == ["a", "b"]
    assert [v.name for v in model.graph.output] == ["sum", "product"]
    inputs = graph.random_inputs(3)
    expected, found = run_torch(graph, inputs), run_onnx(model, inputs)
    assert list(found) == list(expected) == ["sum", "product"]
    for name, reference in expected.items():
        np.testing.assert_allclose(found[name], reference, rtol=0, atol=1e-6)


def test_one_output_need_not_be_a_tuple() -> None:
    graph = graph_of(lambda a, b: a + b, "sum")
    assert list(run_torch(graph, graph.random_inputs())) == ["sum"]
    assert [v.name for v in export_onnx(graph).graph.output] == ["sum"]


def test_inputs_are_given_by_name_not_by_place() -> None:
    graph = graph_of(lambda a, b: a - b, "difference")
    inputs = graph.random_inputs()
    turned = dict(reversed(inputs.items()))
    np.testing.assert_array_equal(
        run_torch(graph, turned)["difference"], run_torch(graph, inputs)["difference"]
    )


def test_the_same_graph_gives_the_same_bytes() -> None:
    graph = graph_of(lambda a, b: a + b, "sum")
    assert export_onnx(graph).SerializeToString() == export_onnx(graph).SerializeToString()


def test_nodes_are_named_after_their_modules() -> None:
    names = [node.name for node in export_onnx(graph_of(lambda a, b: a + b, "sum")).graph.node]
    assert any(name.startswith("/net/net.0/") for name in names)


@pytest.mark.parametrize(
    ("function", "outputs", "words"),
    [
        (lambda a, b: a + 1, ("sum",), "graph small: exported inputs differ in b"),
        (lambda a, b: (a + b, a), ("sum",), "graph small: exported outputs differ in"),
    ],
)
def test_an_interface_other_than_the_declared_one(
    function: Function, outputs: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ModelError) as caught:
        export_onnx(graph_of(function, *outputs))
    assert caught.value.message.startswith(words)


def test_an_operator_that_onnx_does_not_have_is_named() -> None:
    graph = graph_of(lambda a, b: torch.linalg.svd(a + b)[1], "values")
    with pytest.raises(ModelError) as caught:
        export_onnx(graph)
    assert caught.value.message.startswith("graph small cannot be exported: ")
    assert "linalg_svd" in caught.value.message
    assert "\n" not in caught.value.message


def test_only_the_first_line_of_a_reason_is_told() -> None:
    def refuse(a: Tensor, b: Tensor) -> Tensor:
        raise RuntimeError("what is wrong\nand where in torch")

    with pytest.raises(ModelError) as caught:
        export_onnx(graph_of(refuse, "sum"))
    assert caught.value.message == "graph small cannot be exported: what is wrong"


def training(module: nn.Module) -> list[str]:
    return [name for name, child in module.named_modules() if child.training]


@pytest.mark.parametrize("refused", [False, True])
def test_batch_norms_stay_in_inference_mode(refused: bool) -> None:
    """The exporter puts the mode of the top module on all its children when it is done."""
    function = (lambda a, b: torch.linalg.svd(a + b)[1]) if refused else torch.add
    graph = graph_of(function, "sum")
    assert isinstance(graph.module, Module)
    assert graph.module.training
    try:
        export_onnx(graph)
    except ModelError:
        assert refused
    assert training(graph.module.net) == []


def test_exporting_changes_nothing_about_the_networks(parity_model: BilayerModel) -> None:
    """Neither mode nor statistics: a frame rendered after it is the one rendered before."""
    graph = frame_graph(parity_model, "external")
    inputs = graph.random_inputs()
    before = {key: x.clone() for key, x in parity_model.state_dict().items()}
    expected = run_torch(graph, inputs)
    export_onnx(graph)
    export_onnx(avatar_graph(parity_model))
    assert training(parity_model) == []
    for name, array in run_torch(graph, inputs).items():
        np.testing.assert_array_equal(array, expected[name])
    for key, tensor in parity_model.state_dict().items():
        assert torch.equal(tensor, before[key]), key
