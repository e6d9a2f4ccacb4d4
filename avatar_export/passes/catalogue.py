"""The page of all passes, made from what their files say.

``python -m avatar_export.passes.catalogue docs/passes.md`` writes it.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from avatar_export.files import write_atomically
from avatar_export.passes.base import Pass
from avatar_export.passes.bind_inputs import BindInputs
from avatar_export.passes.order import optimize_order
from avatar_export.passes.pipeline import Step
from avatar_export.passes.site import SitePass

_HEAD = """\
# Passes

Written by `python -m avatar_export.passes.catalogue docs/passes.md` from the documentation of each
pass, with the reason for each of its places. `convert` and `optimize` run them in this order; some
run twice. After each that changed something the model is run and compared with the model before the
first one; a difference beyond 1e-5 of the range of an output, and beyond what rounding explains,
ends with exit code 4.

A pass marked *priced* offers forms that compute the same, and takes the cheapest that the target
takes; where none is cheaper than what stands there, nothing is changed, and a note says so
([cost.md](cost.md) has the prices). What a pass does at a place marked *guarded* is taken back as a
whole if the model is dearer after it.
"""
_TAIL = """\
## What is not here

An upsampling and its 3x3 convolution can do with nine multiply-adds a small pixel instead of
sixteen: with the sum S = w0 + w1 + w2, in each axis,

    y[2i]     = S x[i] - w0 (x[i] - x[i-1])
    y[2i + 1] = S x[i] + w2 (x[i+1] - x[i])

shares S x[i], so three products make two numbers. In two axes that is three images of differences,
nine products, and twelve sums before the pixels can be interleaved: at 256 channels and 16x16 small
pixels 0.12 GMAC less, 0.7 ms on an Adreno 640 by the numbers of [cost.md](cost.md), for some
seventeen kernels more at 0.035 ms each. It does not pay there.

Winograd's forms of a plain 3x3 convolution are left to the runtimes, which have them inside their
kernels.
"""
_ARGUMENTS = re.compile(r"\n(Args|Raises|Attributes):\n.*", re.DOTALL)


def page() -> str:
    """The whole page."""
    steps = [Step(BindInputs({}), "first, and only for the frame graph of one person")]
    steps += optimize_order(0, runs=[{}])
    places: dict[str, list[Step]] = {}
    for step in steps:
        places.setdefault(step.rewrite.name, []).append(step)
    return "\n".join([_HEAD, *map(_section, places.values()), _TAIL])


def _section(places: Sequence[Step]) -> str:
    """One pass, with the reason for each of its places in the order."""
    rewrite = places[0].rewrite
    mark = " (priced)" if isinstance(rewrite, SitePass) else ""
    reasons = [f"*{step.why}*" + (" (guarded)" if step.guarded else "") for step in places]
    return "\n\n".join([f"## {rewrite.name}{mark}", *reasons, _text(rewrite)]) + "\n"


def _text(rewrite: Pass) -> str:
    """The documentation of a pass, without its arguments, as Markdown."""
    text = inspect.getdoc(type(rewrite)) or ""
    return _ARGUMENTS.sub("", text).replace("``", "`").strip()


if __name__ == "__main__":
    write_atomically(Path(sys.argv[1]), page().encode())
