from __future__ import annotations

import numpy as np

from avatar_export.passes.share_nodes import ShareNodes
from tests.passes.models import applied, initializers, operators, parsed, rewritten, rng


def test_equal_views_become_one() -> None:
    body = """g (float[2,6] x) => (float[3,4] y, float[3,4] z) {
        a = Reshape(x, i) b = Reshape(x, j) y = Relu(a) z = Neg(b)
    }"""
    proto = parsed(body, i=np.int64([3, 4]), j=np.int64([3, 4]))
    after, changes = rewritten(ShareNodes(), proto, x=rng(2, 6))
    assert operators(after) == ["Reshape", "Relu", "Neg"]
    assert changes == ["1 nodes that others compute too"]
    assert len(initializers(after)) == 1


def test_rows_of_equal_nodes_become_one_row() -> None:
    body = """g (float[2,6] x) => (float[12] y) {
        a = Neg(x) b = Neg(x) c = Flatten<axis = 0>(a) d = Flatten<axis = 0>(b)
        e = Add(c, d) y = Squeeze(e, i)
    }"""
    after, _ = rewritten(ShareNodes(), parsed(body, i=np.int64([0])), x=rng(2, 6))
    assert operators(after) == ["Neg", "Flatten", "Add", "Squeeze"]


def test_what_differs_in_an_attribute_or_a_number_stays() -> None:
    body = """g (float[2,6] x) => (float[2,6] y) {
        a = LeakyRelu<alpha = 0.1>(x) b = LeakyRelu<alpha = 0.2>(x)
        c = Mul(a, m) d = Mul(a, n) e = Add(b, c) y = Add(d, e)
    }"""
    _, changes = rewritten(ShareNodes(), parsed(body, m=[2], n=[3]), x=rng(2, 6))
    assert changes == []


def test_graph_outputs_keep_their_names() -> None:
    """Of two equal outputs one becomes a copy: a node for a node, so nothing is reported."""
    body = "g (float[2] x) => (float[2] y, float[2] z) { y = Neg(x) z = Neg(x) }"
    after, _ = rewritten(ShareNodes(), parsed(body), x=rng(2))
    assert operators(after) == ["Neg", "Identity"]


def test_an_equal_node_whose_result_is_an_output() -> None:
    body = "g (float[2] x) => (float[2] y, float[2] z) { a = Neg(x) y = Neg(x) z = Relu(a) }"
    after, _ = rewritten(ShareNodes(), parsed(body), x=rng(2))
    assert operators(after) == ["Neg", "Relu"]


def test_random_numbers_are_drawn_as_often_as_before() -> None:
    body = """g (float[2] x) => (float[2] y) {
        a = RandomNormalLike(x) b = RandomNormalLike(x) y = Sub(a, b)
    }"""
    after, _ = applied(ShareNodes(), parsed(body))
    assert operators(after).count("RandomNormalLike") == 2
