from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from avatar_export.graphs.spec import Graph, TensorSpec

SPEC = TensorSpec("source_mask", (1, 1, 40, 50), "NCHW", 0.25, 0.75, "foreground")


def test_random_values_fill_the_range() -> None:
    values = SPEC.random(np.random.default_rng(0))
    assert (values.shape, values.dtype) == ((1, 1, 40, 50), np.float32)
    assert 0.25 <= values.min() < 0.27
    assert 0.73 < values.max() <= 0.75


@pytest.mark.parametrize(
    ("low", "high", "lowest", "highest"),
    [(None, None, -1, 1), (0.5, None, 0.5, 1), (None, 0, -1, 0)],
)
def test_an_open_end_of_the_range_is_one(
    low: float | None, high: float | None, lowest: float, highest: float
) -> None:
    values = replace(SPEC, low=low, high=high).random(np.random.default_rng(0))
    assert lowest <= values.min() < lowest + 0.05
    assert highest - 0.05 < values.max() <= highest


def test_random_values_have_the_declared_type() -> None:
    assert replace(SPEC, dtype="float16").random(np.random.default_rng(0)).dtype == np.float16


def test_a_spec_in_the_manifest() -> None:
    spec = TensorSpec("texture", (1, 3, 8, 8), "NCHW", None, 1.0, "high-frequency texture")
    assert json.loads(json.dumps(spec.to_dict())) == {
        "name": "texture",
        "shape": [1, 3, 8, 8],
        "dtype": "float32",
        "layout": "NCHW",
        "range": [None, 1.0],
        "meaning": "high-frequency texture",
    }


@pytest.fixture
def graph() -> Graph:
    inputs = (SPEC, replace(SPEC, name="other"))
    return Graph("two", nn.Identity(), inputs, (replace(SPEC, name="a"), replace(SPEC, name="b")))


def test_random_inputs_are_named_in_order_and_repeatable(graph: Graph) -> None:
    first, again, other = graph.random_inputs(1), graph.random_inputs(1), graph.random_inputs(2)
    assert list(first) == ["source_mask", "other"]
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])
        assert (array != other[name]).any()
    assert (first["source_mask"] != first["other"]).any()


def test_outputs_get_their_names_in_order(graph: Graph) -> None:
    named = graph.by_name([np.zeros(1), np.ones(1)])
    assert list(named) == ["a", "b"]
    assert named["b"] == 1


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_outputs_is_a_bug(graph: Graph, count: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        graph.by_name([torch.zeros(1).numpy()] * count)
