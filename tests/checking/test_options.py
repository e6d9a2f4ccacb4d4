from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avatar_export.checking.options import Options
from avatar_export.errors import UserError

FILE = Path("file")


def options(**given: Any) -> Options:
    return Options(**{"models": (Path("m.onnx"),), **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"models": ()}, "no model given"),
        ({"baseline": FILE, "write_baseline": FILE}, "--baseline and --write-baseline exclude"),
        ({"fix": FILE, "write_baseline": FILE}, "--fix and --write-baseline exclude"),
        ({"dry_run": True}, "--dry-run needs --fix"),
    ],
)
def test_options_that_do_not_go_together(given, message):
    with pytest.raises(UserError, match=f"^{message}"):
        options(**given)


def test_without_any_the_default_target_is_judged():
    (target,) = options().resolved_targets()
    assert (target.name, target.sdk, target.runtime) == ("adreno640", "2.5", "gpu_float16")


def test_every_combination_is_judged_once_in_order():
    asked = options(targets=("adreno630", "adreno640"), sdks=("2.35", "2.5", "2.35"))
    found = [(target.name, target.sdk) for target in asked.resolved_targets()]
    names = ("adreno630", "adreno640")
    assert found == [(name, sdk) for name in names for sdk in ("2.35", "2.5")]


def test_an_unknown_name_is_an_error():
    with pytest.raises(UserError, match="unknown runtime 'tpu'"):
        options(runtimes=("cpu", "tpu")).resolved_targets()


def test_a_second_opinion_needs_a_gpu():
    asked = options(second_opinion=True, runtimes=("cpu", "gpu"))
    assert len(asked.resolved_targets()) == 2
    with pytest.raises(UserError, match="GPU only"):
        options(second_opinion=True, runtimes=("cpu",)).resolved_targets()
