from __future__ import annotations

import pytest

from avatar_export.passes.cures.deconvolution_dilation import DeconvolutionDilation
from tests.passes.models import applied, attributes, initializers, parsed, rewritten, rng, stamps


def model_of(attributes_text: str, opset: int = 13):
    body = f"""g (float[1,4,5,6] x) => (float[n,c,h,w] y) {{
        [up] y = ConvTranspose<{attributes_text}>(x, w, b)
    }}"""
    return parsed(body, opset, w=rng(4, 2, 3, 2), b=rng(4 if "group" in attributes_text else 2))


FORMS = {
    "plain": "dilations = [2,3]",
    "one axis": "dilations = [1,2], kernel_shape = [3,2]",
    "strides and pads": "dilations = [2,2], strides = [2,2], pads = [1,1,1,1]",
    "output padding": "dilations = [2,2], strides = [2,2], output_padding = [1,1]",
    "groups": "dilations = [2,2], group = 2",
    "auto_pad": 'dilations = [2,2], strides = [2,2], auto_pad = "SAME_UPPER"',
    "output shape": "dilations = [2,2], strides = [2,2], output_shape = [12,14]",
}


@pytest.mark.parametrize("opset", [9, 13, 21])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_holes_become_zeros(form: str, opset: int) -> None:
    after, changes = rewritten(DeconvolutionDilation(), model_of(form, opset), x=rng(1, 4, 5, 6))
    node = after.graph.node[0]
    assert attributes(node)["dilations"] == [1, 1]
    weight = initializers(after)[node.input[1]]
    assert attributes(node)["kernel_shape"] == list(weight.shape[2:])
    assert len(changes) == 1 and stamps(after) == {"up": "deconvolution-dilation"}


@pytest.mark.parametrize("form", ["dilations = [1,1]", "strides = [2,2]"])
def test_without_dilations_it_stays(form: str) -> None:
    assert applied(DeconvolutionDilation(), model_of(form))[1] == []


def test_a_computed_filter_stays_with_a_note() -> None:
    body = """g (float[1,4,5,6] x, float[4,2,3,3] w) => (float[n,c,h,w] y) {
        [up] y = ConvTranspose<dilations = [2,2]>(x, w)
    }"""
    cure = DeconvolutionDilation()
    assert applied(cure, parsed(body, 13))[1] == []
    assert cure.notes == ["up stays: its filter is computed"]
