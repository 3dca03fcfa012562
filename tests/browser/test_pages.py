"""The pages as a browser lays them out, at the widths of a phone, a tablet and a desk, and on paper."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ips_pipeline.measures import registry
from ips_pipeline.reports.earlier import Outcome, write_outcome
from ips_pipeline.reports.release import write_release_page
from ips_pipeline.reports.validation import write_validation_report

if TYPE_CHECKING:
    from tests.browser.conftest import Chromium

WIDTHS = (375, 768, 1280)
LONG_NAME = "NORTHUMBERLAND, TYNE AND WEAR AND NORTH CUMBRIA UNCOMMONLY LONG-NAMED MENTAL HEALTH NHS FOUNDATION TRUST"

#: How far the page reaches, what sticks out of it, what text cannot be seen, and headings that are not in the reading order.
LAYOUT = """(() => {
  const seen = element => !element.closest('.scroll') && !element.classList.contains('unseen') && !element.classList.contains('skip');
  const out = [...document.querySelectorAll('body *')].filter(seen).filter(element => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.right > window.innerWidth + 1;
  });
  return {
    reach: document.documentElement.scrollWidth,
    out: out.map(element => element.tagName + ' ' + element.textContent.trim().slice(0, 30)),
    thin: [...document.querySelectorAll('svg text')].filter(text => parseFloat(getComputedStyle(text).fontSize) < 12).length,
    charts: [...document.querySelectorAll('svg')].filter(chart => chart.getBoundingClientRect().width > 200).length,
    drawn: document.querySelectorAll('svg').length,
  };
})()"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("pages")
    return {"release": _release(home / "release"), "report": _report(home)}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["release", "report"])
def test_a_page_fits_and_is_silent(chromium: Chromium, pages: dict[str, Path], name: str, width: int) -> None:
    """No complaint in the console, nothing asked for but the page itself, nothing wider than the screen, no text too small."""
    view = chromium.look(pages[name], width, script=LAYOUT)
    assert view.complaints == []
    assert view.requests == [pages[name].resolve().as_uri()]
    facts: dict[str, Any] = view.facts
    assert facts["reach"] <= width
    assert facts["out"] == []
    assert facts["thin"] == 0
    assert facts["charts"] == facts["drawn"]
    assert facts["drawn"] > 0


@pytest.mark.parametrize("name", ["release", "report"])
def test_the_first_key_press_leads_to_the_content(chromium: Chromium, pages: dict[str, Path], name: str) -> None:
    first = (
        "(() => { const link = document.querySelector('a'); link.focus(); return [link.getAttribute('href'), link.getBoundingClientRect().left]; })()"
    )
    assert chromium.look(pages[name], 1280, script=first).facts == ["#content", 0]


def _csv(path: Path, header: list[str], rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])


def _release(folder: Path) -> Path:
    levels = [("England", "England", "England"), *[("Provider", f"R{number:02d}", f"{LONG_NAME} {number}") for number in range(30)]]
    levels += [("England; Age Band", f"{age} to {age + 4}", f"{age} to {age + 4}") for age in range(20, 65, 5)]
    levels += [("England; IMD Decile", f"{number:02d} Decile", f"{number:02d} Decile") for number in range(1, 11)]
    start, end = date(2025, 9, 1), date(2026, 8, 31)
    about = {
        "definition_version": "1",
        "period_start": start,
        "period_end": end,
        "status": "Performance",
        "disclosure": "rounded",
        "unit": "referrals",
    }
    rows = []
    for place, (breakdown, level, name) in enumerate(levels):
        for measure, value in (("MHS116", "1234565" if place % 7 or breakdown == "England" else "*"), ("MHS116a", "33.3333333")):
            if breakdown != "Provider" or measure == "MHS116":
                rows.append(
                    {**about, "family": "mhs116", "measure_id": measure, "measure_name": measure, "breakdown": breakdown, "level": level,
                     "level_name": name, "variant": "local", "denominator": 1000, "published": value, "kind": "count"}
                )  # fmt: skip
    months = [date(2025, month, 28) for month in range(1, 13)] + [date(2026, month, 28) for month in range(1, 9)]
    for measure in ("NewReferrals", "OpenReferrals", "Caseload", "AccessedInFinancialYear", "TotalContacts", "ClosedReferrals"):
        rows += [
            {**about, "family": "dashboard", "measure_id": measure, "measure_name": measure, "breakdown": "England", "level": "England",
             "variant": "local", "numerator": 98_000 + 5 * place, "period_end": month}
            for place, month in enumerate(months)
        ]  # fmt: skip
    rows += [
        {**about, "family": "access", "measure_id": f"ACC{number}", "measure_name": LONG_NAME.lower(), "breakdown": "All", "level": "All",
         "variant": "local", "value": 0.5, "lower": 0.4, "upper": 0.6, "kind": "proportion"}
        for number in range(10)
    ]  # fmt: skip
    names = {name: None for row in rows for name in row}
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([names | row for row in rows]), folder / "measures.parquet")
    return write_release_page(folder, identity="0123456789abcdef", submissions=360, definitions=registry.definitions(), notice="Made-up data.")


def _report(home: Path) -> Path:
    out, submission = home / "out", home / "submission"
    _csv(submission / "MHS401MHActPeriod.csv", ["LocalPatientID"], [["P"]] * 60)
    findings: list[list[object]] = [["MHS515RestrictiveInterventType", row, "MHS51501", "record"] for row in range(1, 40)]
    findings += [["MHS401MHActPeriod", row * 1_000_003, "MHS40101", "record"] for row in range(1, 40)]
    team = "COMMUNITY-TEAM-NORTH"
    _csv(submission / "MHS101Referral.csv", ["ServiceRequestID", "LocalPatientID", "CareProfTeamLocalID"], [["R", "P", team]])
    _csv(submission / "MHS902ServiceTeamDetails.csv", ["CareProfTeamLocalID", "ServTeamTypeMH"], [[team, "C02"]])
    findings += [["MHS101Referral", 1, "MHS10129", "record"]]
    fields = ["table", "element", "counted", "valid", "other", "defaulted", "invalid", "missing"]
    _csv(out / "completeness.csv", fields, [["MHS004EmpStatus", "PatPrimEmpContTypeMH", 1_234_567, 1_200_000, 4, 34_560, 2, 1]])
    _csv(out / "checks.csv", ["code", "table", "row", "month"], [["IPS-010", "MHS101Referral", 1, "2026-08"]])
    (out / "checks.json").write_text('{"not_evaluated": {"IPS-037": "needs earlier months"}, "counts": {"IPS-010": 1}}')
    findings += [["MHS001MPI", 0, "MHSREJ003", "file"], ["MHS201CareContact", 123_456_789, "MHS20147", "severity1"]]
    _csv(out / "findings.csv", ["table", "row", "code", "level"], findings)
    _csv(out / "rejected_rows.csv", ["table", "row"], [item[:2] for item in findings if item[3] == "record"])
    words = "RestrictiveIntIncID + StartDateMHActLegalStatusClass must be filled in where the other one is, and neither may stand alone."
    codes = ("MHS51501", "MHS40101", "MHSREJ003", "MHS20147")
    return write_validation_report(
        out,
        submission,
        sentences=dict.fromkeys(codes, words),
        advice=dict.fromkeys(codes, "Look for padding, a line break or a value of another field, and mend it at source. " * 2),
        not_evaluated={"MHS01408": "the portal has a message but no rule for this code"},
        provider="RXA",
        period="2026-08",
        months=[Outcome("RXA", f"2026-{month:02d}", "published", month == 3, 123_456 + month, 9_876 - month, 54_321) for month in range(1, 8)],
        previous=_previous(home),
    )


def _previous(home: Path) -> Path:
    """An earlier check of the same month, with other findings."""
    folder = home / "previous"
    findings: list[list[object]] = [["MHS001MPI", row, code, "record"] for row in range(1, 9) for code in ("MHS00169", "MHS00167")]
    _csv(folder / "findings.csv", ["table", "row", "code", "level"], findings)
    write_outcome(folder, Outcome("RXA", "2026-08", "published", False, 60, 8, 16))
    return folder
