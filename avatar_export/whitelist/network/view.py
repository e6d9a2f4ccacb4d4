"""Operations of a DLC in the guise of ONNX nodes, so that the rows of ``limits.csv`` judge both.

The runtimes hold the channel last: of a stored tensor with four axes the last one is the channel,
so that its axes read N, H, W, C. The rules are written for N, C, H, W, and are shown the axes in
that order. Attributes are shown under their ONNX names; asking for one that the DLC does not tell
raises ``UndeterminedError``, never gives a default.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod

import numpy as np
import onnx
from numpy.typing import NDArray

from avatar_export.whitelist.network.graph import Network, Operation, Parameter
from avatar_export.whitelist.network.table import AttributeRule, OperationTable
from avatar_export.whitelist.view import ModelView, NodeView, Shape, UndeterminedError

_CHANNEL_FIRST = (0, 3, 1, 2)
"""Stored axes in the order that the rules want."""
_DOMAIN = "snpe"
"""Keeps an operation from being taken for the ONNX operator of its name."""
_DEQUANTISED = "f32"


class NetworkView(ModelView):
    """The whole network; nothing is inferred, since a DLC stores every shape and type."""

    def __init__(self, network: Network, table: OperationTable) -> None:
        self.network = network
        self.graph = onnx.GraphProto(input=[_declared(network, name) for name in network.inputs])
        self.values: dict[str, NDArray[np.generic]] = {}
        self.orders: dict[str, tuple[int, ...]] = {}
        self.operations = [
            OperationView(self, operation, index, table)
            for index, operation in enumerate(network.operations)
        ]
        self.nodes = [*self.operations]
        self.constants = {name for name, tensor in network.tensors.items() if tensor.constant}
        self.constants |= set(self.values)

    @cached_property
    def inputs(self) -> list[str]:
        """Tensors that the application feeds."""
        return list(self.network.inputs)

    @cached_property
    def outputs(self) -> set[str]:
        """Tensors that the application reads."""
        return set(self.network.outputs)

    def order(self, name: str) -> tuple[int, ...]:
        """Stored axes of a tensor in the order that the rules want."""
        rank = len(self.stored_shape(name))
        order = self.orders.get(name, _CHANNEL_FIRST)
        return order if len(order) == rank else tuple(range(rank))

    def stored_shape(self, name: str) -> Shape:
        """Shape as stored. Raises ``UndeterminedError`` when the tensor is not there."""
        if name in self.values:
            return self.values[name].shape
        if name not in self.network.tensors:
            raise UndeterminedError(f"the DLC has no tensor {name}")
        return self.network.tensors[name].shape

    def dims(self, name: str) -> Shape | None:
        """Shape in the order that the rules want; None when the tensor is not there."""
        try:
            return self.shape(name)
        except UndeterminedError:
            return None

    def shape(self, name: str) -> Shape:
        """Shape in the order that the rules want. Raises ``UndeterminedError``."""
        shape = self.stored_shape(name)
        return tuple(shape[axis] for axis in self.order(name))

    def is_static(self, *names: str) -> bool:
        """Whether the tensors are there; names may be empty."""
        return all(self.dims(name) is not None for name in names if name)

    def dtype(self, name: str) -> str:
        """QNN name; a quantised tensor counts as what it holds once it is dequantised."""
        if name not in self.network.tensors:
            raise UndeterminedError(f"the data type of {name} is unknown")
        tensor = self.network.tensors[name]
        return _DEQUANTISED if tensor.is_fixed else tensor.dtype

    def value(self, name: str) -> NDArray[np.generic]:
        """An attribute that ONNX has as an input; weights are not read."""
        if name not in self.values:
            raise UndeterminedError(f"the value of {name} is not read")
        return self.values[name]


def _declared(network: Network, name: str) -> onnx.ValueInfoProto:
    """A network input with its ONNX type, where the names of QNN and ONNX are the same."""
    codes = dict(onnx.TensorProto.DataType.items())
    code = codes.get(network.tensors[name].dtype.upper(), onnx.TensorProto.UNDEFINED)
    return onnx.helper.make_tensor_value_info(name, code, None)


class OperationView(NodeView):
    """One operation; ``operator`` is its name in the layer tables from 2.25 on."""

    model: NetworkView

    def __init__(
        self, model: NetworkView, operation: Operation, index: int, table: OperationTable
    ) -> None:
        self.operation = operation
        name = table.name(operation.kind, operation.parameters)
        self.row = table.row(name)
        proto = onnx.NodeProto(
            op_type=name,
            name=operation.name,
            domain=_DOMAIN,
            input=[*operation.inputs, *self._added_inputs(model, operation)],
            output=operation.outputs,
        )
        super().__init__(model, proto, index)
        if self.row.weight and self.has(1):
            model.orders[self.inputs[1]] = self.row.weight

    def _added_inputs(self, model: NetworkView, operation: Operation) -> list[str]:
        """Attributes that are inputs in ONNX, as constants of the model."""
        added = []
        for rule in self.row.attributes.values():
            stored = rule.stored[0] if rule.form.startswith("input") else ""
            value = operation.parameters.get(stored)
            if isinstance(value, np.ndarray):
                added.append(f"{operation.name}.{stored}")
                model.values[added[-1]] = value
        return added

    def attribute(self, name: str) -> object:
        """Value of an ONNX attribute. Raises ``UndeterminedError`` when the DLC does not tell."""
        rule = self.row.attributes.get(name)
        if rule is None:
            raise UndeterminedError(f"a DLC does not tell {name} of {self.operator}")
        found = [self.operation.parameters.get(stored) for stored in rule.stored]
        codes = [code for code in found if code is not None]
        if len(codes) < len(found):
            if rule.absent is None:
                raise UndeterminedError(f"{' and '.join(rule.stored)} of {self.name} is not stored")
            return rule.absent
        return self._translated(rule, codes)

    def _translated(self, rule: AttributeRule, codes: Sequence[Parameter]) -> object:
        if rule.values:
            key = " ".join(map(str, codes))
            if key not in rule.values:
                raise UndeterminedError(f"{' '.join(rule.stored)} {key} has no name in ONNX")
            return rule.values[key]
        if rule.form == "kernel":
            return list(self.shape(1)[2:])
        plain = codes[0].tolist() if isinstance(codes[0], np.ndarray) else codes[0]
        if not rule.form:
            return plain
        numbers = [int(v) for v in (plain if isinstance(plain, list) else [plain])]
        if rule.form == "order":
            return self._permutation(numbers)
        order = self.model.order(self.inputs[0])
        axes = [order.index(number % len(order)) for number in numbers]
        return axes[0] if rule.form == "axis" else axes

    def _permutation(self, stored: list[int]) -> list[int]:
        """Axes of input 0 in the order of output 0, both as the rules see them."""
        before, after = self.model.order(self.inputs[0]), self.model.order(self.outputs[0])
        return [before.index(stored[axis]) for axis in after]

    def shape(self, index: int = 0) -> Shape:
        """Shape of an input; as stored where the operation knows no channel."""
        name = self._input(index)
        return self.model.stored_shape(name) if self.row.plain else self.model.shape(name)

    def output_shape(self, index: int = 0) -> Shape:
        """Shape of an output; as stored where the operation knows no channel."""
        name = self._output(index)
        return self.model.stored_shape(name) if self.row.plain else self.model.shape(name)

    def operands(self) -> list[int]:
        """Indices of the inputs. Raises ``UndeterminedError`` where they are not those of ONNX."""
        if self.row.inputs:
            raise UndeterminedError(f"{self.operator} of a DLC has {self.row.inputs} inputs")
        return super().operands()

    @property
    def holds_fixed(self) -> bool:
        """Whether it reads or writes a quantised tensor."""
        tensors = self.model.network.tensors
        return any(n in tensors and tensors[n].is_fixed for n in (*self.inputs, *self.outputs))

    @property
    def macs(self) -> int:
        """Multiply-adds of one run; 0 where the operation has none."""
        if not self.row.macs or not self.outputs or not (self.has(0) and self.has(1)):
            return 0
        try:
            read, weight, written = self.shape(0), self.shape(1), self.output_shape()
        except UndeterminedError:
            return 0
        if self.row.macs == "product":
            turned = self.operation.parameters.get("transpose_in0", 0)
            return prod(written) * (read[-2:-1] if turned else read[-1:] or (0,))[0]
        return prod(written if self.row.macs == "filter" else read) * prod(weight[1:])
