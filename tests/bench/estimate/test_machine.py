from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from avatar_export.bench.estimate.machine import (
    FILE,
    find_machine,
    load_machines,
    machine_for,
    read_machines,
)
from avatar_export.errors import ModelError, UserError
from avatar_export.whitelist.targets import load_targets

RECORD = Path(__file__).parents[3] / "benchmarks" / "results" / "ort_cost.json"


def test_the_machines_that_have_numbers() -> None:
    assert list(load_machines()) == ["adreno640", "onnxruntime"]
    for name, machine in load_machines().items():
        assert machine.name == name and machine.about and not machine.borrowed


def test_an_unknown_machine_is_a_user_error_that_lists_the_known() -> None:
    with pytest.raises(UserError, match="'adreno999'") as caught:
        find_machine("adreno999")
    assert caught.value.hint == "known: adreno640, onnxruntime"
    assert find_machine("adreno640") is load_machines()["adreno640"]


def test_every_target_has_a_machine_and_a_borrowed_one_says_so() -> None:
    lender = find_machine("adreno640")
    for name in load_targets():
        machine = machine_for(name)
        assert machine.name == name
        assert machine.borrowed == ("" if name == "adreno640" else "adreno640")
        assert machine.macs_per_second == lender.macs_per_second


def test_rates_fall_back_to_the_usual() -> None:
    machine = find_machine("onnxruntime")
    assert machine.byte_rate("DepthToSpace") == machine.bytes_per_second["DepthToSpace"]
    assert machine.byte_rate("Einsum") == machine.bytes_per_second["usual"]
    assert machine.mac_rate("Einsum") == machine.macs_per_second["usual"]


def test_the_constants_of_onnx_runtime_are_those_that_were_measured() -> None:
    recorded = json.loads(RECORD.read_text())["constants"]
    assert set(recorded) == {
        "launch_seconds",
        "spread_per_second",
        "macs_per_second",
        "bytes_per_second",
    }
    machine = vars(find_machine("onnxruntime"))
    assert {key: machine[key] for key in recorded} == recorded


def test_the_adreno_follows_from_its_sources() -> None:
    """Dense layers reach 0.175 of the FP16 peak, traffic three quarters of the bandwidth."""
    machine = find_machine("adreno640")
    peak = 768 * 2 * 2 * 585e6  # lanes, FLOP of an FMA, halves a lane, hertz
    assert math.isclose(machine.mac_rate("Conv"), 0.175 * peak / 2, rel_tol=0.01)
    assert math.isclose(machine.byte_rate("Relu"), 0.75 * 30e9, rel_tol=0.01)
    assert 20e-6 <= machine.launch_seconds <= 50e-6


ENTRY = """[chip]
about = "a chip"
element_bytes = 2
channel_pack = 4
input_block = 4
output_block = 4
narrow_inputs = false
overlaps = true
launch_seconds = 1e-6
spread_per_second = 0
macs_per_second = { usual = 1e9 }
bytes_per_second = { usual = 1e9, Add = 2e9 }
merges = { Conv = ["Relu"] }

[chip.sources]
element_bytes = "a page"
channel_pack = "a page"
input_block = "a page"
output_block = "a page"
narrow_inputs = "a page"
overlaps = "a page"
launch_seconds = "a page"
macs_per_second = "a page"
bytes_per_second = "a page"
spread_per_second = "a page"
merges = "a page"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "machines.toml"
    path.write_text(text)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    (machine,) = read_machines(written(tmp_path, ENTRY)).values()
    assert machine.name == "chip" and machine.byte_rate("Add") == 2e9
    assert machine.is_merged("Relu", "Conv")
    assert not machine.is_merged("Relu", "Gemm") and not machine.is_merged("Tanh", "Conv")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('about = "a chip"\n', "", "chip: about is missing"),
        ("[chip.sources]", "colour = 1\n[chip.sources]", "chip: colour is unknown"),
        ('"a chip"', "1", "chip: about must be a text"),
        ("element_bytes = 2", "element_bytes = 2.5", "element_bytes must be a positive whole num"),
        ("channel_pack = 4", "channel_pack = 0", "channel_pack must be a positive whole number"),
        ("overlaps = true", "overlaps = 1", "overlaps must be true or false"),
        ("narrow_inputs = false", 'narrow_inputs = "no"', "narrow_inputs must be true or false"),
        ("1e-6", "-1e-6", "launch_seconds must be a positive number"),
        ("1e-6", "true", "launch_seconds must be a positive number"),
        ("spread_per_second = 0", "spread_per_second = -1", "must be a number that is not neg"),
        ("{ usual = 1e9 }", "{ Conv = 1e9 }", "macs_per_second must be a table .* usual"),
        ("Add = 2e9", "Add = 0", "bytes_per_second must be a table of positive numbers"),
        ('["Relu"]', '"Relu"', "merges must be a table of lists of operators"),
        ('["Relu"]', "[1]", "merges must be a table of lists of operators"),
        ('merges = "a page"\n', "", "chip: sources: merges is missing"),
        ('merges = "a page"', 'merges = "a page"\ncolour = "a page"', "sources: colour is unknown"),
        ('merges = "a page"', "merges = 1", "sources must be a table of texts"),
        ('merges = "a page"', 'merges = ""', "sources must be a table of texts"),
        (ENTRY, "chip = 1", "chip must be a table"),
        ("[chip]", "[chip", "machines.toml: "),
    ],
)
def test_a_faulty_entry_is_refused_by_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in ENTRY
    with pytest.raises(ModelError, match=message):
        read_machines(written(tmp_path, ENTRY.replace(old, new, 1)))


def test_a_missing_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.toml"):
        read_machines(tmp_path / "none.toml")


def test_the_file_travels_with_the_package() -> None:
    assert FILE.parent.name == "estimate" and FILE.is_file()
