"""Codes: complete, and damaged files are named."""

from __future__ import annotations

import re

import pytest

from avatar_export.errors import ModelError, UserError
from avatar_export.whitelist.codes import find_code, known_codes, read_codes


def test_codes_are_numbered_and_explained():
    codes = known_codes()
    assert list(codes) == sorted(codes)
    assert all(re.fullmatch(r"AX[123]\d\d", code) for code in codes)
    assert all(code.title[0].islower() or code.title.startswith("TopK") for code in codes.values())


def test_a_code_is_found_in_any_case():
    assert find_code("ax101") is known_codes()["AX101"]
    with pytest.raises(UserError, match="unknown code 'AX999'"):
        find_code("AX999")


@pytest.mark.parametrize(
    "text", ["AX101 = 1", '[AX101]\ntitle = "a"', '[AX101]\ntitle = ""\nwhy = "b"\nremedy = "c"']
)
def test_a_damaged_file_is_named(tmp_path, text):
    path = tmp_path / "codes.toml"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"codes\.toml: AX101"):
        read_codes(path)
