"""Networks of one operation, as a DLC would store them."""

from __future__ import annotations

from avatar_export.whitelist.network.graph import Network, Operation, Parameter, Tensor

Shape = tuple[int, ...]


def network(
    kind: str,
    inputs: list[Shape],
    output: Shape,
    weights: tuple[int, ...] = (),
    dtype: str = "f32",
    **parameters: Parameter,
) -> Network:
    """The operation ``op`` of tensors in stored order; inputs at ``weights`` are constants."""
    names = [f"t{index}" for index in range(len(inputs))]
    tensors = {
        name: Tensor(shape, dtype, index in weights)
        for index, (name, shape) in enumerate(zip(names, inputs, strict=True))
    }
    fed = tuple(name for name, tensor in tensors.items() if not tensor.constant)
    operation = Operation("op", kind, tuple(names), ("y",), parameters)
    return Network("net.dlc", (operation,), {**tensors, "y": Tensor(output, dtype)}, fed, ("y",))
