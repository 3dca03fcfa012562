"""docs/threat-model.md speaks of this code: each module and test that it names is there, and every row says what shows it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
PATH = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|yml|md)|Dockerfile|Makefile)`")


def rows() -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if re.match(r"\| [STRIDE] \|", line)]


def test_each_file_it_names_is_there() -> None:
    named = set(PATH.findall(TEXT))
    assert len(named) > 40
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_each_threat_names_the_code_and_a_test_with_tests_in_it() -> None:
    assert {row[0] for row in rows()} == set("STRIDE")
    assert 15 <= len(rows()) <= 30
    for _, threat, done, shown, _ in rows():
        assert [name for name in PATH.findall(done) if not name.startswith("tests/")], threat
        tests = PATH.findall(shown)
        assert tests, threat
        for name in tests:
            assert name.startswith("tests/"), threat
            assert re.search(r"^ *def test_", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE), name
