from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from avatar_export.bench.estimate.machine import find_machine
from avatar_export.passes.bind_inputs import BindInputs
from avatar_export.passes.catalogue import page
from avatar_export.passes.order import optimize_order
from avatar_export.passes.scale_streams import ScaleStreams
from avatar_export.passes.site import SitePass

PAGE = Path(__file__).parents[2] / "docs" / "passes.md"
KINDS = {type(step.rewrite) for step in optimize_order(16)} | {BindInputs, ScaleStreams}
PASSES = sorted(KINDS, key=lambda kind: kind.name)


def sections() -> dict[str, str]:
    """What the page says under each heading, by the name of the pass."""
    parts = re.split(r"^## (.*)\n", page(), flags=re.MULTILINE)[1:]
    return {
        name.partition(" (")[0]: text for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def test_the_page_is_up_to_date() -> None:
    """`python -m avatar_export.passes.catalogue docs/passes.md` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_it_is_written_to_the_file_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["catalogue", str(tmp_path / "page.md")])
    monkeypatch.delitem(sys.modules, "avatar_export.passes.catalogue")
    runpy.run_module("avatar_export.passes.catalogue", run_name="__main__")
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page()


def test_each_pass_has_one_section() -> None:
    names = re.findall(r"^## ([a-z0-9-]+)(?: \(.*\))?$", page(), re.MULTILINE)
    assert sorted(names) == [kind.name for kind in PASSES]


@pytest.mark.parametrize("name", [kind.name for kind in PASSES])
def test_a_section_draws_the_graph_before_and_after(name: str) -> None:
    assert re.search(r"\n\n    \S", sections()[name])
    assert "becomes" in sections()[name] or "->    y  = " in sections()[name]


@pytest.mark.parametrize("name", [kind.name for kind in PASSES])
def test_a_section_says_why_the_pass_stands_in_each_of_its_places(name: str) -> None:
    reasons = re.findall(r"^\*(.*)\*(?: \(guarded\))?$", sections()[name], re.MULTILINE)
    places = [step.why for step in optimize_order(16) if step.rewrite.name == name]
    assert reasons == places if places else len(reasons) == 1


def test_arguments_are_left_to_the_code() -> None:
    assert not re.search(r"^(Args|Raises|Attributes):$", page(), re.MULTILINE)


def test_marks_say_how_a_pass_is_held() -> None:
    for kind in PASSES:
        assert (f"## {kind.name} (priced)\n" in page()) == issubclass(kind, SitePass)
    guarded = [step.why for step in optimize_order(16) if step.guarded]
    marked = re.findall(r"^\*(.*)\* \(guarded\)$", page(), re.MULTILINE)
    assert sorted(marked) == sorted(guarded) != []


def test_what_nine_products_would_save() -> None:
    """Seven of sixteen multiply-adds at 256 channels and 16x16 pixels, on an Adreno 640."""
    saved = (16 - 9) * 256 * 256 * 16 * 16
    assert f"{saved / 1e9:.2f} GMAC less" in page()
    machine = find_machine("adreno640")
    spared = 1e3 * saved / machine.mac_rate("Conv")
    assert 0.7 <= spared < 0.8 and "0.7 ms on an Adreno 640" in page()
    assert f"{1e3 * machine.launch_seconds:.3f} ms each" in page()
