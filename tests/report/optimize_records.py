"""Records of optimisations that never happened, for what renders them."""

from __future__ import annotations

from typing import Any

from avatar_export.optimizing.record import Cost, Optimization, PassResult
from avatar_export.whitelist.judgement import Judgement
from avatar_export.whitelist.targets import resolve_target
from tests.report.check_records import finding, warning

TARGET = resolve_target("adreno640")


def step(
    name: str, before: Cost, after: Cost, changes: tuple[str, ...] = (), notes: tuple[str, ...] = ()
) -> PassResult:
    return PassResult(name, f"why {name}", changes, notes, before, after, 2.5e-7 if changes else 0)


START, FOLDED, END = (
    Cost(70, 4_314_000_000, 27.14),
    Cost(60, 4_314_000_000, 26.0),
    Cost(56, 2_494_000_000, 17.3),
)
STEPS = (
    step("onnxsim", START, START),
    step("fold-batch-norm", START, FOLDED, ("bn_1: folded into conv_1", "bn_2: folded too")),
    step(
        "upsample-conv", FOLDED, END, ("conv_9: one transposed convolution",), ("conv_3 stays: so",)
    ),
    step("merge-siblings", END, END, (), ("a stays: dearer", "b stays: dearer")),
)


def sample(**given: Any) -> Optimization:
    usual: dict[str, Any] = {
        "model": "m.onnx",
        "out": "out.onnx",
        "goal": "adreno640",
        "basis": "published figures: +-40 %",
        "target": TARGET,
        "upsample": "auto",
        "verified": True,
        "passes": STEPS,
        "judged_before": Judgement(TARGET, (finding(), warning(), warning()), ()),
        "judged_after": Judgement(TARGET, (), ()),
    }
    return Optimization(**{**usual, **given})


def local(**given: Any) -> Optimization:
    """For ONNX Runtime on this machine, unproved and not written."""
    return sample(
        **{
            "out": "",
            "goal": "onnxruntime",
            "target": None,
            "verified": False,
            "judged_before": None,
            "judged_after": None,
            **given,
        }
    )
