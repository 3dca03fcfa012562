"""A landing by its moment: the one in force then is found and can come into force again, and nothing is fetched."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ips_pipeline import flows, returns, settings
from ips_pipeline.cli import ips
from ips_pipeline.errors import InputError, UsageError
from ips_pipeline.store import ledger, stages

SITE = """\
name = "A site"
data = "data"
reference = "reference"
sources.exports = { kind = "files", folder = "exports" }
providers = [{ code = "RXX", name = "A trust", source = "exports", mapping = "map.yaml" }]
"""
MAPPING = """\
inputs:
  people: {file: people.csv}
tables:
  MHS000Header:
    columns: {OrgIDProvider: {parameter: provider}}
  MHS001MPI:
    from: people
    columns: {LocalPatientID: id}
  MHS002GP:
    from: people
    columns: {LocalPatientID: id}
  MHS101Referral:
    from: people
    columns: {ServiceRequestID: id, LocalPatientID: id}
"""
MONTH = ("RXX", "2026-08")
DAYS = (datetime(2026, 9, 8, 9, tzinfo=UTC), datetime(2026, 9, 10, 9, tzinfo=UTC), datetime(2026, 9, 12, 9, tzinfo=UTC))


@pytest.fixture
def landed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[settings.Site, list[str]]:
    """Three landings of a month, the third with the content of the first."""
    monkeypatch.delenv("IPS_DATA", raising=False)
    for folder in ("reference", "exports"):
        (tmp_path / folder).mkdir()
    (tmp_path / "SITE.toml").write_text(SITE)
    (tmp_path / "map.yaml").write_text(MAPPING)
    site = settings.load(tmp_path / "SITE.toml")
    found = []
    for day, people in zip(DAYS, ("P1", "P1\nP2", "P1"), strict=True):
        (tmp_path / "exports/people.csv").write_text(f"id\n{people}\n")
        with ledger.in_the_name_of(None, lambda at=day: at):  # type: ignore[misc]
            found.append(flows.extract(site, *MONTH)["landing"])
    (tmp_path / "exports/people.csv").unlink()
    return site, found


def ask(site: settings.Site, *words: str) -> Result:
    return CliRunner().invoke(ips, ["landing", "--config", str(site.file), "--provider", "RXX", "--period", "2026-08", *words])


@pytest.mark.parametrize(
    ("moment", "which"),
    [("2026-09-08T10:00", 0), ("2026-09-09", 0), ("2026-09-10T09:59", 0), ("2026-09-10T10:00", 1), ("2026-09-11", 1), ("2026-09-12T09:00+00:00", 2)],
)
def test_the_landing_in_force_at_a_moment_of_londons_clock(landed: tuple[settings.Site, list[str]], moment: str, which: int) -> None:
    site, found = landed
    told = json.loads(ask(site, "--as-of", moment, "--json").output)
    assert told["landing"] == found[which]
    assert (told["rows"], Path(told["path"]).is_dir()) == (1 + 3 * (2 if which == 1 else 1), True)
    assert found[0] == found[2]


def test_before_the_first_landing_there_is_none_and_after_a_purge_no_longer(landed: tuple[settings.Site, list[str]]) -> None:
    site, found = landed
    with pytest.raises(InputError, match="had landed by then; the first landing is of 8 September 2026, 10:00"):
        returns.landing_at(site, *MONTH, returns.as_of("2026-09-07"))
    (site.landing(*MONTH) / found[1]).rename(site.staging / "gone")
    with pytest.raises(InputError, match="is no longer kept"):
        returns.landing_at(site, *MONTH, returns.as_of("2026-09-11"))
    with pytest.raises(UsageError, match="Write the moment as"):
        returns.as_of("15 August")
    with pytest.raises(InputError, match="Nothing has landed"):
        returns.landing_at(site, "RXX", "2026-07", DAYS[0])


def test_an_earlier_landing_comes_into_force_again_with_a_reason_and_without_its_source(landed: tuple[settings.Site, list[str]]) -> None:
    site, found = landed
    with pytest.raises(UsageError, match="needs a reason"):
        flows.extract(site, *MONTH, as_of=DAYS[1])
    told = flows.extract(site, *MONTH, as_of=DAYS[1], why="what was there on the tenth", by="an analyst")
    assert (told["landing"], told["changed"]) == (found[1], True)
    assert told["different"]["MHS101Referral"]["added"] == 1
    in_force = stages.current(site.landing(*MONTH))
    assert in_force is not None and in_force.identity == found[1]
    assert [entry.kind for entry in ledger.about(site.ledger, *MONTH)][-2:] == ["landed", "replayed"]


def test_on_the_command_line_as_of_goes_with_a_reason(landed: tuple[settings.Site, list[str]]) -> None:
    site, _ = landed
    said = CliRunner().invoke(ips, ["run", "--config", str(site.file), "--period", "2026-08", "--as-of", "2026-09-10"])
    assert isinstance(said.exception, UsageError) and "--as-of goes with --replay" in str(said.exception)
