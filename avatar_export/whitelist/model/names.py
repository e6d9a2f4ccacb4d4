"""Names of one graph resolved to shapes and element types."""

from __future__ import annotations

from typing import cast

from onnx import GraphProto, SparseTensorProto, TensorProto, TypeProto

from avatar_export.whitelist.model.folding import stored
from avatar_export.whitelist.model.types import (
    Dims,
    NamedDims,
    Shape,
    UndeterminedError,
    dtype_name,
    elem_type,
    merged,
    named_dims,
    tensor_type,
)


class Names:
    """What initializers, value infos and the graph around say of each name.

    Args:
        graph: with inferred shapes.
        tensors: large tensors that the graph holds in name only.
        outer: names of the graph around a control-flow body, and ``captured`` those read from it.
    """

    def __init__(
        self,
        graph: GraphProto,
        tensors: dict[str, TensorProto],
        outer: Names | None,
        captured: set[str],
    ) -> None:
        self._tensors: dict[str, TensorProto | SparseTensorProto] = {
            **{t.values.name: t for t in graph.sparse_initializer},
            **{t.name: t for t in graph.initializer},
            **tensors,
        }
        values = (*graph.input, *graph.value_info, *graph.output)
        self._types: dict[str, TypeProto] = {v.name: v.type for v in values}
        self._dims: dict[str, Dims | None] = {}
        self._around = outer
        self._captured = captured

    def dims(self, name: str) -> Dims | None:
        """Shape with None for a dimension that is not fixed; None when the rank is unknown."""
        if name not in self._dims:
            named = self.dim_names(name)
            fixed = (d if isinstance(d, int) else None for d in named or ())
            self._dims[name] = None if named is None else tuple(fixed)
        return self._dims[name]

    def dim_names(self, name: str) -> NamedDims | None:
        """Shape with a symbolic dimension by its name; else like ``dims``."""
        tensor = self._tensors.get(name)
        if tensor is not None:
            return tuple(tensor.dims)
        type_ = self.type_of(name)
        return None if type_ is None else named_dims(type_)

    def shape(self, name: str) -> Shape:
        """Static shape.

        Raises:
            UndeterminedError: the rank or a dimension is not fixed.
        """
        dims = self.dims(name)
        if dims is None or None in dims:
            raise UndeterminedError(f"the shape of {name} is not fixed")
        return cast(Shape, dims)

    def is_static(self, *names: str) -> bool:
        """Whether every dimension of the tensors is fixed; names may be empty."""
        for name in names:
            if name:
                dims = self.dims(name)
                if dims is None or None in dims:
                    return False
        return True

    def dtype(self, name: str) -> str:
        """Element type by its QNN name, such as ``f32``; the ONNX name where QNN has none.

        Raises:
            UndeterminedError: neither the model nor shape inference knows it.
        """
        tensor = self._tensors.get(name)
        if tensor is not None:
            return dtype_name(stored(tensor).data_type)
        type_ = self.type_of(name)
        code = elem_type(type_) if type_ is not None else 0
        if not code:
            raise UndeterminedError(f"the data type of {name} is unknown")
        return dtype_name(code)

    def type_of(self, name: str) -> TypeProto | None:
        """All that is known of a name as ONNX writes it; None when that is nothing."""
        tensor = self._tensors.get(name)
        if tensor is not None:
            return tensor_type(stored(tensor).data_type, tuple(tensor.dims))
        if name in self._captured and self._around is not None:
            return self._around.type_of(name)
        return self._types.get(name)

    def learn(self, name: str, type_: TypeProto) -> bool:
        """Add what a type says; whether it says more than was known."""
        better = merged(self._types.get(name), type_)
        if better is not None:
            self._types[name] = better
            self._dims.pop(name, None)
        return better is not None
