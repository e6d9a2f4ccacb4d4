"""Carry a float16 plan out on the IR: constants, casts, types, in that order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx_ir as ir

from avatar_export.errors import ModelError
from avatar_export.precision.fp16_plan import FLOAT, HALF, Plan
from avatar_export.precision.half import HALF_MAX, HALF_TINY, to_half
from avatar_export.precision.slots import Slot, half_type, is_float, label, type_attribute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from avatar_export.precision.half import Loss

FindingKind = Literal["subnormal", "non_finite", "unbounded", "attribute", "epsilon", "float_only"]

_STAMP = "to_fp16"
_SUFFIX = {HALF: "fp16", FLOAT: "fp32"}


@dataclass(frozen=True)
class Fp16Finding:
    """One thing that half does not hold as float32 does.

    Args:
        kind: ``subnormal``: values of a constant below 6.1e-5, which half rounds coarsely and an
            Adreno may flush to zero. ``non_finite``: a constant with nan or infinity, kept.
            ``unbounded``: a Clip bound beyond 65504, now infinite, which is exact. ``attribute``:
            a float attribute beyond 65504 on half data. ``epsilon``: an epsilon below 6.1e-5 on
            half data. ``float_only``: a node that stays in float32, with casts around it, because
            its operator has no half at this opset or none that runs.
        name: the tensor (first three kinds) or the node.
        operator: operator type of the node that reads the tensor, or of the node.
        numbers: the evidence, by name.
    """

    kind: FindingKind
    name: str
    operator: str
    numbers: dict[str, float]


class Rewriter:
    """Rewrites one model in place.

    Attributes:
        findings: of nodes in graph order, then of constants and fills.
        casts_inserted, casts_removed, tensors_converted: counts.
    """

    def __init__(self, model: ir.Model, boundary: ir.DataType) -> None:
        self._graph = model.graph
        self._graphs = [model.graph, *model.graph.subgraphs()]
        self._opsets = dict(model.opset_imports)
        self._plan = Plan(model.graph, self._opsets, boundary)
        self._other: dict[ir.Value, ir.Value] = {}
        self._heads = {graph: graph[0] for graph in self._graphs if len(graph)}
        self._names = self._used_names()
        self.findings: list[Fp16Finding] = []
        self.casts_inserted = 0
        self.casts_removed = 0
        self.tensors_converted = 0

    def rewrite(self) -> None:
        """Turn the model into its half form, in place.

        Raises:
            ModelError: nothing is float32, or a tensor cannot be what the plan asks.
        """
        if not any(slots.has_float for slots in self._plan.slots.values()):
            raise ModelError("nothing to convert: no node of the model has a float32 tensor")
        self._report_nodes()
        self._convert_constants()
        self._convert_attributes()
        self._connect_nodes()
        self._connect_outputs()
        for value, form in self._plan.forms.items():
            if form is HALF and value.type is not None:
                value.type = half_type(value.type)
        self._drop_idle_casts()

    # Findings of nodes

    def _report_nodes(self) -> None:
        for node, slots in self._plan.slots.items():
            if slots.is_half:
                self._report_attributes(node)
            elif node in self._plan.barred:
                self._find("float_only", node, {})

    def _report_attributes(self, node: ir.Node) -> None:
        for attribute in node.attributes.values():
            if attribute.type is not ir.AttributeType.FLOAT or attribute.is_ref():
                continue
            number = attribute.as_float()
            if attribute.name == "epsilon" and 0.0 < number < HALF_TINY:
                numbers = {"epsilon": number, "half": float(np.float16(number))}
                self._find("epsilon", node, numbers)
            elif np.isfinite(number) and abs(number) > HALF_MAX and node.op_type != "Clip":
                self._find("attribute", node, {attribute.name: number})

    def _find(self, kind: FindingKind, node: ir.Node, numbers: dict[str, float]) -> None:
        self.findings.append(Fp16Finding(kind, label(node), node.op_type, numbers))

    # Constants

    def _convert_constants(self) -> None:
        given: dict[ir.Value, set[ir.DataType]] = {}
        for graph, index, form in self._plan.outputs():
            given.setdefault(graph.outputs[index], set()).add(form)
        for value in self._constants():
            asked = self._plan.demands.get(value, {})
            forms = asked.keys() | given.get(value, set())
            if HALF not in forms:
                continue
            tensor = self._half_tensor(value, asked.get(HALF, []))
            if FLOAT in forms:
                self._other[value] = self._copy_constant(value, tensor)
            else:
                self._replace_constant(value, tensor)
                self._plan.forms[value] = HALF

    def _constants(self) -> list[ir.Value]:
        """Float initializers and outputs of Constant nodes, in graph order."""
        stored = [value for graph in self._graphs for value in graph.initializers.values()]
        made = [node.outputs[0] for node in self._plan.slots if node.op_type == "Constant"]
        return [value for value in stored + made if is_float(value)]

    def _half_tensor(
        self, value: ir.Value, readers: Sequence[tuple[ir.Node, int]]
    ) -> ir.Tensor[Any]:
        # A bound that no half value reaches is no bound: inputs 1 and 2 of Clip from opset 11.
        bound = bool(readers) and all(n.op_type == "Clip" and i > 0 for n, i in readers)
        reader = readers[0][0] if readers else value.producer()
        name = value.name or ""
        owner = label(reader) if reader else "graph output"
        half, loss = to_half(_constant(value), name, owner, unbounded=bound)
        self._report_loss(name, reader.op_type if reader else "", loss)
        self.tensors_converted += 1
        return ir.Tensor(half, name=name)

    def _copy_constant(self, value: ir.Value, tensor: ir.Tensor[Any]) -> ir.Value:
        """A half twin of a constant that float32-only slots read as well."""
        twin = self._twin(value, HALF)
        tensor.name = twin.name
        node = value.producer()
        if node is None:
            assert value.graph is not None
            twin.const_value = tensor
            value.graph.register_initializer(twin)
        else:
            self._insert("Constant", [], [ir.AttrTensor("value", tensor)], twin, value)
        return twin

    def _replace_constant(self, value: ir.Value, tensor: ir.Tensor[Any]) -> None:
        node = value.producer()
        if node is None:
            value.const_value = tensor
        else:
            node.attributes.clear()
            node.attributes.add(ir.AttrTensor("value", tensor))

    # Attributes

    def _convert_attributes(self) -> None:
        """Nodes that choose their output's type choose float16 where the plan says so."""
        for node, slots in self._plan.slots.items():
            if Slot.HALF not in slots.outputs:
                continue
            if node.op_type == "ConstantOfShape":
                self._convert_fill(node)
            elif name := type_attribute(node, self._opsets[node.domain]):
                node.attributes.add(ir.AttrInt64(name, HALF.value))

    def _convert_fill(self, node: ir.Node) -> None:
        fill = node.attributes.get("value")
        values = fill.as_tensor().numpy() if fill else np.zeros(1, np.float32)
        half, loss = to_half(values, "value", label(node))
        self._report_loss(label(node), node.op_type, loss)
        node.attributes.add(ir.AttrTensor("value", ir.Tensor(half)))

    # Casts

    def _connect_nodes(self) -> None:
        for value, forms in self._plan.demands.items():
            made = self._plan.forms.get(value, FLOAT)
            for form, readers in forms.items():
                if form is made:
                    continue
                other = self._in_other_form(value, form)
                for node, index in readers:
                    node.replace_input_with(index, other)

    def _connect_outputs(self) -> None:
        for graph, index, form in list(self._plan.outputs()):
            value = graph.outputs[index]
            if self._plan.forms.get(value, FLOAT) is form:
                continue
            other = self._in_other_form(value, form)
            if value.graph is graph and not other.is_graph_output():
                self._swap_names(value, other, form)
            graph.outputs[index] = other

    def _in_other_form(self, value: ir.Value, form: ir.DataType) -> ir.Value:
        """The half twin or the one Cast of ``value``, made on first use."""
        if value not in self._other:
            if not isinstance(value.type, ir.TensorType):
                raise ModelError(
                    f"{value.name!r} is a {type(value.type).__name__}, which no Cast converts",
                    "convert with io half" if value.is_graph_input() else "",
                )
            twin = self._twin(value, form)
            self._insert("Cast", [value], [ir.AttrInt64("to", form.value)], twin, value)
            self.casts_inserted += 1
            self._other[value] = twin
        return self._other[value]

    def _twin(self, value: ir.Value, form: ir.DataType) -> ir.Value:
        assert value.type is not None
        return ir.Value(
            name=self._unique(f"{value.name}_{_SUFFIX[form]}"),
            type=half_type(value.type) if form is HALF else value.type,
            shape=value.shape.copy() if value.shape is not None else None,
        )

    def _insert(
        self,
        operator: str,
        inputs: Sequence[ir.Value],
        attributes: Sequence[ir.Attr],
        output: ir.Value,
        after: ir.Value,
    ) -> None:
        """Add a node right behind the tensor it stems from, named after its output."""
        name = self._unique(f"{_STAMP}/{output.name}")
        node = ir.Node("", operator, inputs, attributes, outputs=[output], name=name)
        graph, producer = after.graph, after.producer()
        assert isinstance(graph, ir.Graph)
        if producer is not None:
            graph.insert_after(producer, node)
        elif graph in self._heads:
            graph.insert_before(self._heads[graph], node)
        else:
            graph.append(node)

    def _swap_names(self, value: ir.Value, output: ir.Value, form: ir.DataType) -> None:
        """The graph output keeps its name; the tensor behind it takes another."""
        name = value.name
        value.name = self._unique(f"{name}_{_SUFFIX[HALF if form is FLOAT else FLOAT]}")
        output.name = name

    def _drop_idle_casts(self) -> None:
        """Remove casts of the model that now find half and make half."""
        for node in self._plan.slots:
            if node.op_type != "Cast" or node.inputs[0] is None or node.graph is None:
                continue
            made = node.outputs[0]
            if node.inputs[0].dtype is HALF and made.dtype is HALF and not made.is_graph_output():
                made.replace_all_uses_with(node.inputs[0])
                node.graph.remove(node, safe=True)
                self.casts_removed += 1

    # Names and findings

    def _used_names(self) -> set[str | None]:
        names: set[str | None] = set()
        for graph in self._graphs:
            names.update(value.name for value in [*graph.inputs, *graph.initializers.values()])
        for node in self._graph.all_nodes():
            names.update([node.name, *(value.name for value in node.outputs)])
        return names

    def _unique(self, name: str) -> str:
        candidate, count = name, 0
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate

    def _report_loss(self, name: str, operator: str, loss: Loss) -> None:
        if loss.subnormal:
            numbers = {
                "count": loss.subnormal,
                "zero": loss.zero,
                "size": loss.size,
                "share": loss.subnormal / loss.size,
                "max_relative_error": loss.max_relative_error,
                "smallest": loss.smallest,
            }
            self.findings.append(Fp16Finding("subnormal", name, operator, numbers))
        counts: dict[FindingKind, int] = {
            "non_finite": loss.non_finite,
            "unbounded": loss.unbounded,
        }
        for kind, count in counts.items():
            if count:
                self.findings.append(Fp16Finding(kind, name, operator, {"count": count}))


def _constant(value: ir.Value) -> NDArray[Any]:
    """The float32 values of an initializer or of a Constant node's output.

    Raises:
        ModelError: a Constant holds a sparse tensor.
    """
    node = value.producer()
    if node is None:
        assert value.const_value is not None
        return value.const_value.numpy()
    for name, attribute in node.attributes.items():
        if name == "value":
            return attribute.as_tensor().numpy()
        if name in ("value_float", "value_floats"):
            return np.asarray(attribute.value, np.float32)
    raise ModelError(f"Constant node {label(node)!r} holds a sparse tensor, which is not converted")
