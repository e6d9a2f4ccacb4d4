from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from avatar_export.checking.explain import page, pages, rules
from avatar_export.errors import UserError
from avatar_export.whitelist.codes import known_codes
from avatar_export.whitelist.tables import known_sdks, load_sdk

ROOT = Path(__file__).parents[2]


def test_the_committed_pages_are_up_to_date():
    """If not: python -m avatar_export.checking.explain docs/checks"""
    committed = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "docs/checks").iterdir()}
    assert committed == pages()


def test_every_code_has_its_page():
    for code in known_codes().values():
        assert (ROOT / code.page).is_file()


def test_the_module_writes_them(tmp_path):
    command = [sys.executable, "-m", "avatar_export.checking.explain", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    assert {p.name: p.read_text(encoding="utf-8") for p in tmp_path.iterdir()} == pages()


def test_a_page_says_what_why_and_what_to_do():
    code = known_codes()["AX205"]
    text = page("ax205")
    assert text.startswith(f"# AX205: {code.title}\n")
    assert code.why in text and code.remedy in text


def test_an_unknown_code_is_an_error():
    with pytest.raises(UserError, match="unknown code 'AX999'"):
        page("AX999")


@pytest.mark.parametrize("code", sorted(known_codes()))
def test_every_row_of_every_version_is_on_the_page_of_its_code(code):
    text = page(code)
    for version in known_sdks():
        tables = load_sdk(version)
        for row in (*tables.limits, *tables.faults):
            if row.code == code:
                told = [r for r in rules(code) if r.row.id == row.id and version in r.versions]
                assert told and f"**{row.id}**" in text


def test_versions_that_agree_are_told_as_one():
    (rule,) = [r for r in rules("AX104") if r.row.id == "G7" and "2.25" in r.versions]
    assert {"2.25", "2.35"} <= set(rule.versions)
    assert len(rule.sources) == len(set(rule.sources))
    numbers = [int(n) for n in re.findall(r"\*\*G(\d+)", page("AX104"))]
    assert numbers == sorted(numbers)


def test_a_cure_is_named_with_what_it_does():
    cures = {r.row.cure for code in known_codes() for r in rules(code)} - {""}
    assert cures
    for rule in rules("AX205"):
        if rule.row.cure:
            assert re.search(rf"^- `{rule.row.cure}`: \w.*\.$", page("AX205"), re.MULTILINE)
