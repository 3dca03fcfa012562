"""Data Docs as a browser lays them out: silent, alone, and no wider than the screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ips_pipeline.mhsds.standard import load
from ips_pipeline.reports.data_docs import write_data_docs

if TYPE_CHECKING:
    from tests.browser.conftest import Chromium

FACTS = """(() => ({
  reach: document.documentElement.scrollWidth,
  suites: document.querySelectorAll('table[data-what=suites] tbody tr').length,
  lost: [...document.querySelectorAll('table[data-what=suites] a')].filter(link => !document.querySelector(link.getAttribute('href'))).length,
}))()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a gate whose every rule of two tables was broken by some rows."""
    out = tmp_path_factory.mktemp("docs")
    results = [
        {
            "table": table.name,
            "over": "submitted",
            "code": rule.code,
            "element": rule.element,
            "expectation": "unexpected_rows_expectation",
            "looked_at": 1_234_567,
            "rows": 1_234_567 - number,
            "level": rule.levels.get("published", "warning"),
        }
        for table in (load().table("MHS001"), load().table("MHS608"))
        for number, rule in enumerate(rule for field in table.fields for rule in field.rules)
    ]
    content = {"verdict": "rejected", "edition": "etos", "engine": "Great Expectations 1.24.1", "results": results, "not_evaluated": {}}
    (out / "gate.json").write_text(json.dumps(content), encoding="utf-8")
    written = write_data_docs(out, {rule.code: "Something is expected of the value that takes a few words to say." for rule in load().rules()})
    assert written is not None
    return written


@pytest.mark.parametrize("width", [375, 1280])
def test_data_docs_fit_and_are_silent(chromium: Chromium, page: Path, width: int) -> None:
    view = chromium.look(page, width, script=FACTS)
    assert view.complaints == []
    assert view.requests == [page.resolve().as_uri()]
    assert view.facts == {"reach": width, "suites": 2, "lost": 0}
