"""The package as a stage of a site: of what is in force and only of that, recorded once, and ready to be signed off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ips_pipeline import cli, returns, settings
from ips_pipeline.errors import InputError, SubmissionRejected
from ips_pipeline.store import ledger, stages

MONTH = ("RXA", "2026-08")
HEADER = "DatSetVer,OrgIDProvider,ReportingPeriodStartDate\n6.0,RXA,2026-08-01\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Site:
    """A site of one provider whose month was accepted."""
    monkeypatch.delenv("IPS_DATA", raising=False)
    (tmp_path / "reference").mkdir()
    (tmp_path / "map.yaml").write_text("tables: {}\n", encoding="utf-8")
    (tmp_path / "SITE.toml").write_text(
        'name = "A site"\ndata = "data"\nreference = "reference"\n[sources.files]\nkind = "files"\nfolder = "exports"\n'
        '[[providers]]\ncode = "RXA"\nname = "A trust"\nsource = "files"\nmapping = "map.yaml"\n',
        encoding="utf-8",
    )
    made = settings.load(tmp_path / "SITE.toml")
    landed = put(made, made.landing(*MONTH), "landing", {})
    judged = put(made, made.findings(*MONTH), "findings", {"landing": landed}, file_codes=[])
    put(made, made.accepted(*MONTH), "accepted", {"findings": judged, "landing": landed})
    return made


def put(site: settings.Site, shelf: Path, what: str, inputs: Mapping[str, str], **facts: Any) -> str:
    def build(folder: Path) -> Mapping[str, Any]:
        (folder / ("MHS000Header.csv" if what == "accepted" else f"{what}.txt")).write_text(HEADER, encoding="utf-8")
        return facts

    return stages.write(shelf, build, staging=site.staging, inputs={**inputs, **({"file_codes": str(facts)} if facts else {})}).identity


def test_it_is_built_once_recorded_once_and_can_be_signed_off(site: settings.Site) -> None:
    built = returns.build_package(site, *MONTH)
    assert built.stage.changed
    assert not returns.build_package(site, *MONTH).stage.changed
    assert [entry.kind for entry in ledger.entries(site.ledger)] == ["packaged"]
    assert returns.standing(site, *MONTH).state.value == "draft"
    assert "Caldicott Guardian" in (built.stage.path / "CHECKLIST.md").read_text(encoding="utf-8")


def test_a_new_landing_that_was_not_judged_is_refused(site: settings.Site) -> None:
    put(site, site.landing(*MONTH), "landing", {"again": "later"})
    with pytest.raises(InputError, match="has changed since its rows were accepted"):
        returns.build_package(site, *MONTH)


def test_accepted_rows_that_were_altered_are_refused(site: settings.Site) -> None:
    stage = stages.current(site.accepted(*MONTH))
    assert stage is not None
    (stage.path / "MHS000Header.csv").write_text(HEADER + "6.0,RXA,2026-08-01\n", encoding="utf-8")
    with pytest.raises(InputError, match="not what its manifest says"):
        returns.build_package(site, *MONTH)


def test_a_month_rejected_as_a_file_is_refused_though_an_earlier_one_is_in_force(site: settings.Site) -> None:
    landed = stages.current(site.landing(*MONTH))
    assert landed is not None
    put(site, site.findings(*MONTH), "findings", {"landing": landed.identity}, file_codes=["MHSREJ002"])
    with pytest.raises(SubmissionRejected, match="MHSREJ002"):
        returns.build_package(site, *MONTH)


def test_the_command_tells_where_it_is_and_why_there_is_no_access_file(site: settings.Site) -> None:
    arguments = ["submission", "build", "--config", str(site.file), "--provider", "RXA", "--period", "2026-08"]
    told = CliRunner().invoke(cli.ips, arguments)
    assert told.exit_code == 0
    assert "RXA 2026-08: 1 accepted rows" in told.output
    assert "Without an Access file: no template was given" in told.output
    held = json.loads(CliRunner().invoke(cli.ips, [*arguments, "--json"]).stdout)
    assert (held["rows"], held["changed"]) == (1, False)


def test_half_of_the_options_is_wrong_usage(site: settings.Site) -> None:
    told = CliRunner().invoke(cli.ips, ["submission", "build", "--config", str(site.file)])
    assert told.exit_code != 0
    assert "Give either --config with --provider and --period" in str(told.exception)
