"""The pages as a browser lays them out, at the widths of a phone, a tablet and a desk, and on paper."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import axe_core_python
import pytest

from ips_pipeline import flows
from ips_pipeline.reports.earlier import Outcome, write_outcome
from ips_pipeline.reports.landings import Again, Different, Landed
from ips_pipeline.reports.validation import write_validation_report
from ips_pipeline.sources.changes import Counts
from tests.unit.test_ips_records import faulty
from tests.unit.test_release_site import PAGES, cell, full, mhs116, release, share, write

if TYPE_CHECKING:
    from tests.browser.conftest import Chromium

WIDTHS = (375, 768, 1280)
SUMMARIES = ("index.html", "providers/R01.html", "providers/RXA.html", "providers/RXD.html")
SITE = sorted({*PAGES, *SUMMARIES})
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
    charts: [...document.querySelectorAll('svg[role=img]')].filter(chart => chart.getBoundingClientRect().width > 200).length,
    drawn: document.querySelectorAll('svg[role=img]').length,
    unmarked: [...document.querySelectorAll('td.plot svg.track')].filter(track => track.getBoundingClientRect().width < 60).length,
  };
})()"""


#: What the keyboard cannot reach, what does not show that it has been reached, and what comes out of the order of the page.
KEYBOARD = """(() => {
  document.querySelectorAll('details').forEach(part => part.open = true);
  const name = element => element.tagName + ' ' + element.textContent.trim().slice(0, 30);
  const keys = [...document.querySelectorAll('a, summary, .scroll')];
  const unseen = keys.filter(element => {
    element.focus();
    return document.activeElement !== element || getComputedStyle(element).outlineStyle === 'none';
  });
  return {
    unreached: keys.filter(element => element.tabIndex < 0).map(name),
    unseen: unseen.map(name),
    disordered: document.querySelectorAll('[tabindex]:not([tabindex="0"]):not(main)').length,
  };
})()"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("pages")
    first = _release(home / "release")
    flows.validate_records(faulty(home / "records").parent, home / "checked", None)
    return {name: first.parent / name for name in SITE} | {"report": _report(home), "records": home / "checked" / "RAA" / "report.html"}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [*SITE, "report", "records"])
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
    assert facts["unmarked"] == 0


@pytest.mark.parametrize("name", ["index.html", "providers/RXA.html", "report", "records"])
def test_the_first_key_press_leads_to_the_content(chromium: Chromium, pages: dict[str, Path], name: str) -> None:
    first = (
        "(() => { const link = document.querySelector('a'); link.focus(); return [link.getAttribute('href'), link.getBoundingClientRect().left]; })()"
    )
    assert chromium.look(pages[name], 1280, script=first).facts == ["#content", 0]


@pytest.mark.parametrize("name", SITE)
def test_every_page_is_worked_by_the_keyboard_alone(chromium: Chromium, pages: dict[str, Path], name: str) -> None:
    """Whatever can be pressed or scrolled can be reached, shows that it has been, and is in the order of the page."""
    facts = chromium.look(pages[name], 1280, script=KEYBOARD).facts
    assert facts == {"unreached": [], "unseen": [], "disordered": 0}


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_summary_prints_on_two_pages(chromium: Chromium, pages: dict[str, Path], name: str) -> None:
    assert chromium.printed(pages[name]) == 2


def test_a_theme_prints_all_its_sections(chromium: Chromium, pages: dict[str, Path]) -> None:
    assert chromium.printed(pages["access.html"]) > 2


@pytest.mark.parametrize("name", [*SITE, "report", "records"])
def test_axe_finds_nothing_to_mend(chromium: Chromium, pages: dict[str, Path], name: str) -> None:
    """Deque's checks of WCAG 2.2 AA and good practice, with everything unfolded; contrast among them."""
    axe = Path(axe_core_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    script = f"""(async () => {{ {axe};
      document.querySelectorAll('details').forEach(part => part.open = true);
      document.querySelectorAll('article:nth-of-type(n+4)').forEach(alike => alike.remove());
      const found = await axe.run(document, {{resultTypes: ['violations']}});
      return found.violations.map(item => item.id + ': ' + item.nodes[0].html.slice(0, 200));
    }})()"""
    assert chromium.look(pages[name], 1280, script=script).facts == []


def _csv(path: Path, header: list[str], rows: list[list[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])


def _release(folder: Path) -> Path:
    """A release with many providers of long names, and something of every family."""
    levels = [("Provider", f"R{number:02d}", f"{LONG_NAME} {number}", "1234565" if number % 7 else "*", None, None) for number in range(30)]
    rows = [*full(), *mhs116("published", levels)]
    for number in range(30):
        code = f"R{number:02d}"
        rows.append(cell("EMP14", "Provider", code, 20.0 + number, numerator=105, denominator=415, lower=15.0 + number, upper=26.0 + number))
        limits = {"limit_lower_95": 0.5, "limit_upper_95": 0.7, "limit_lower_998": 0.45, "limit_upper_998": 0.75}
        rows.append(share("FAIR04", "Provider", code, 40 + number, 100 + number, **limits))
    return write(release(folder, rows)) / "index.html"


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
        landed=_landed(),
    )


def _landed() -> Landed:
    """Records that are different in tables of long names, and months to send again with many windows, with one, and with none left."""
    names = ("MHS201CareContact", "MHS515RestrictiveInterventType", "MHS401MHActPeriod")
    counts = {name: Counts(12_345, 6_789, 1_234, 567) for name in names}
    windows = [(date(2026, 9, 1), date(2026, 9, 17)), (date(2026, 9, 21), date(2026, 10, 25)), (date(2026, 10, 26), date(2026, 11, 19))]
    again = [
        Again(Different(f"2026-{month:02d}", date(2026, month + 1, 17), counts, month, None), date(2026, 9, 8), month == 7, windows[: month - 5])
        for month in (5, 6, 7)
    ]
    return Landed(False, Different("2026-08", date(2026, 9, 2), counts, 3, None), again)


def _previous(home: Path) -> Path:
    """An earlier check of the same month, with other findings."""
    folder = home / "previous"
    findings: list[list[object]] = [["MHS001MPI", row, code, "record"] for row in range(1, 9) for code in ("MHS00169", "MHS00167")]
    _csv(folder / "findings.csv", ["table", "row", "code", "level"], findings)
    write_outcome(folder, Outcome("RXA", "2026-08", "published", False, 60, 8, 16))
    return folder
