"""In a run the checks see the landed months; what they depend on, and the order of months, makes other findings, never other accepted rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ips_pipeline import flows, returns, settings
from ips_pipeline.store import stages

PROVIDER, FIRST, SECOND = "MU3", "2026-04", "2026-05"

OWN = """checks:
- {code: LOCAL-001, table: MHS101Referral, kind: single_row, level: note, message: The made-up trust should have one referral.}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> settings.Site:
    made, _ = flows.make_up_site(tmp_path_factory.mktemp("site"))
    for month in (FIRST, SECOND):
        flows.extract(made, PROVIDER, month)
    return made


def findings(site: settings.Site, month: str) -> stages.Stage:
    held = stages.current(site.findings(PROVIDER, month))
    assert held is not None
    return held


def not_evaluated(stage: stages.Stage) -> dict[str, str]:
    content: dict[str, dict[str, str]] = json.loads((stage.path / "checks.json").read_text(encoding="utf-8"))
    return content["not_evaluated"]


def test_what_has_landed_is_the_history(site: settings.Site) -> None:
    flows.validate(site, PROVIDER, FIRST)
    flows.validate(site, PROVIDER, SECOND)
    first, second = findings(site, FIRST), findings(site, SECOND)
    assert not_evaluated(first)["IPS-035"] == "needs the month before, and none of this provider is at hand"
    assert "IPS-035" not in not_evaluated(second)
    assert second.manifest["inputs"]["checks"]["history"] == {FIRST: first.manifest["inputs"]["landing"]}


def test_a_check_of_the_site_makes_other_findings_and_the_same_accepted_rows(site: settings.Site) -> None:
    before = flows.validate(site, PROVIDER, SECOND)
    assert not before["changed"]
    place = site.file.parent / "checks"
    place.mkdir()
    (place / "own.yaml").write_text(OWN, encoding="utf-8")
    text = site.file.read_text(encoding="utf-8")
    site.file.write_text('local_checks = "checks"\n' + text, encoding="utf-8")
    after = flows.validate(settings.load(site.file), PROVIDER, SECOND)
    assert after["findings"] != before["findings"]
    assert after["accepted"] == before["accepted"]
    held = json.loads((findings(site, SECOND).path / "checks.json").read_text(encoding="utf-8"))
    assert held["counts"]["LOCAL-001"] > 1
    # The rows are those of the findings in force, whatever else these say, so the return can be packaged.
    assert returns.build_package(settings.load(site.file), PROVIDER, SECOND, clock=lambda: datetime(2026, 6, 1, tzinfo=UTC)).facts["rows"]
    site.file.write_text(text, encoding="utf-8")


def test_months_judged_in_one_go_have_the_same_findings_as_month_by_month(site: settings.Site, tmp_path: Path) -> None:
    together = site.model_copy(update={"data": tmp_path / "data"})
    for month in (FIRST, SECOND):
        flows.extract(together, PROVIDER, month)
    flows._judge(together, [(PROVIDER, FIRST), (PROVIDER, SECOND)])
    flows.validate(site, PROVIDER, SECOND)
    for month in (FIRST, SECOND):
        assert findings(together, month).identity == findings(site, month).identity
        assert (findings(together, month).path / "checks.csv").read_bytes() == (findings(site, month).path / "checks.csv").read_bytes()


def test_a_month_judged_before_the_month_before_it_has_other_findings_and_the_same_accepted_rows(site: settings.Site, tmp_path: Path) -> None:
    backwards = site.model_copy(update={"data": tmp_path / "data"})
    judged = {}
    for month in (SECOND, FIRST):
        flows.extract(backwards, PROVIDER, month)
        judged[month] = flows.validate(backwards, PROVIDER, month)
    in_order = flows.validate(site, PROVIDER, SECOND)
    assert judged[SECOND]["findings"] != in_order["findings"]
    assert judged[SECOND]["accepted"] == in_order["accepted"]
    again = flows.validate(backwards, PROVIDER, SECOND)
    assert (again["findings"], again["accepted"]) == (in_order["findings"], in_order["accepted"])
    held = [stages.current(one.accepted(PROVIDER, SECOND)) for one in (backwards, site)]
    rows = [{name: told["sha256"] for name, told in stage.manifest["files"].items()} for stage in held if stage]
    assert rows[0] == rows[1]
