from __future__ import annotations

import json

from avatar_export.whitelist.tables import known_sdks
from avatar_export.whitelist.targets import known_runtimes, load_targets
from tests.cli.conftest import Run


def test_text_names_every_target_sdk_and_runtime(run: Run) -> None:
    said = run("targets")
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines[: len(load_targets())]] == list(load_targets())
    for name in (*known_sdks(), *known_runtimes()):
        assert name in "\n".join(lines[-2:])


def test_json(run: Run) -> None:
    known = json.loads(run("targets", "--format", "json").out)
    assert known["targets"] == [vars(target) for target in load_targets().values()]
    assert known["sdks"] == list(known_sdks())
    assert known["runtimes"] == list(known_runtimes())
