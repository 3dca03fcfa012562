"""What a purge takes and what it leaves: superseded versions by their zone's rule, never what anything in force, signed or released rests on."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ips_pipeline import cli_operations, retention, returns, settings
from ips_pipeline.cli import ips
from ips_pipeline.errors import InputError, IpsError, RetryableError, UsageError
from ips_pipeline.settings import Keep
from ips_pipeline.store import ledger, stages
from ips_pipeline.submission import signoff

MONTH = ("RXA", "2026-08")
NOW = datetime.now(UTC)
SITE = """\
name = "A trust"
data = "data"
reference = "reference"
outbox = "outbox"
sources.exports = {{ kind = "files", folder = "exports" }}
providers = [{{ code = "RXA", name = "One", source = "exports", mapping = "map.yaml" }}]
{more}
"""


def site(home: Path, more: str = "") -> settings.Site:
    (home / "reference").mkdir(exist_ok=True)
    (home / "map.yaml").write_text("tables: {}\n", encoding="utf-8")
    (home / "SITE.toml").write_text(SITE.format(more=more), encoding="utf-8")
    return settings.load(home / "SITE.toml")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Site:
    monkeypatch.delenv("IPS_DATA", raising=False)
    return site(tmp_path)


def put(made: settings.Site, shelf: Path, inputs: Mapping[str, Any], *, days: int = 100) -> stages.Stage:
    """A version on a shelf, in force, made so many days ago."""

    def build(folder: Path) -> dict[str, Any]:
        (folder / "rows.csv").write_text("one\n", encoding="utf-8")
        return {"file_codes": [], "rows": 1, "rows_submitted": 1, "rows_rejected": 0}

    stage = stages.write(shelf, build, staging=made.staging, inputs=inputs)
    age(stage.path / stages.MANIFEST, days)
    return stage


def age(path: Path, days: int) -> None:
    then = (NOW - timedelta(days=days)).timestamp()
    os.utime(path, (then, then), follow_symlinks=False)


def run(made: settings.Site, version: str, *, days: int = 100, previous: str | None = None) -> dict[str, stages.Stage]:
    """A month run once: landed, judged, accepted, packaged; each names what it was made of, as the stages do."""
    landing = put(made, made.landing(*MONTH), {"version": version}, days=days)
    findings = put(made, made.findings(*MONTH), {"landing": landing.identity, "previous": previous}, days=days)
    accepted = put(made, made.accepted(*MONTH), {"findings": findings.identity, "landing": landing.identity}, days=days)
    package = put(made, made.package(*MONTH), {"accepted": accepted.identity, "findings": findings.identity}, days=days)
    return {"landing": landing, "findings": findings, "accepted": accepted, "package": package}


def going(made: settings.Site, zone: str, **keep: int) -> list[str]:
    return [item.path.name for item in retention.plan(made, zone, Keep(**(keep or {"days": 90}))).going]


def test_a_superseded_version_goes_when_it_is_old_enough_and_the_one_in_force_never(made: settings.Site) -> None:
    first, second = run(made, "first"), run(made, "second", days=95)
    run(made, "third", days=5)
    for zone in ("landing", "findings", "accepted", "package"):
        assert going(made, zone, days=90) == [first[zone].identity, second[zone].identity]
        assert going(made, zone, days=98) == [first[zone].identity]
        assert going(made, zone, versions=2) == [first[zone].identity]
        assert going(made, zone, versions=1, days=98) == [first[zone].identity]
        assert going(made, zone, days=101) == []
    assert retention.plan(made, "landing", Keep(days=98)).staying == {retention.IN_FORCE: 1, retention.TOO_YOUNG: 1}


def test_what_was_approved_or_handed_over_stays_with_all_it_was_made_of(made: settings.Site) -> None:
    runs = {name: run(made, name) for name in ("approved", "handed over", "neither", "in force")}
    content = {name: signoff.content_of(*(stages_[zone].identity for zone in ("findings", "accepted", "package"))) for name, stages_ in runs.items()}
    ledger.append(made.ledger, "approved", {"content": content["approved"], "role": "x"}, provider=MONTH[0], period=MONTH[1])
    facts = {"content": content["handed over"], "package": runs["handed over"]["package"].identity}
    ledger.append(made.ledger, "submitted", facts, provider=MONTH[0], period=MONTH[1])
    for zone in ("landing", "findings", "accepted", "package"):
        assert going(made, zone) == [runs["neither"][zone].identity]
        assert retention.plan(made, zone, Keep(days=90)).staying == {retention.IN_FORCE: 1, retention.SIGNED: 2}


def test_what_lies_in_the_outbox_stays_although_the_ledger_says_nothing_of_it(made: settings.Site) -> None:
    handed, _ = run(made, "handed over"), run(made, "in force")
    copy = {"content": "c", "approvals": []}
    stages.write(
        Path(str(made.outbox)) / "RXA" / "2026-08", lambda folder: {}, staging=made.staging, identity=handed["package"].identity, inputs=copy
    )
    assert going(made, "package") == going(made, "landing") == []


def test_what_a_release_in_force_was_counted_from_stays(made: settings.Site) -> None:
    counted, spare, _ = run(made, "counted"), run(made, "spare"), run(made, "in force")
    records = put(made, made.ips_records(*MONTH), {"returned": {"2026-08": counted["accepted"].identity}})
    put(made, made.ips_records(*MONTH), {"later": "records"})
    inputs = {"accepted": {"RXA/2026-08": counted["accepted"].identity}, "ips_records": {"RXA": records.identity}}
    evidence = put(made, made.evidence("2026-08"), inputs)
    stages.write(made.releases("2026-08"), lambda folder: {}, staging=made.data / "releases" / ".staging", identity=evidence.identity, inputs=inputs)
    put(made, made.evidence("2026-08"), {"accepted": {}})
    assert going(made, "evidence") == going(made, "ips_records") == []
    for zone in ("landing", "findings", "accepted"):
        assert going(made, zone) == [spare[zone].identity]
    # Rolled back to another release, the evidence of this one is free.
    stages.write(made.releases("2026-08"), lambda folder: {}, staging=made.data / "releases" / ".staging", identity="other", inputs={})
    assert going(made, "evidence") == [evidence.identity]


def test_the_judgement_that_the_one_in_force_was_compared_with_stays(made: settings.Site) -> None:
    older = run(made, "older")
    before = run(made, "before", previous=older["findings"].identity)
    run(made, "now", previous=before["findings"].identity)
    assert going(made, "findings") == [older["findings"].identity]


def test_the_comparisons_that_the_report_in_force_tells_of_stay(made: settings.Site) -> None:
    july = (MONTH[0], "2026-07")
    kept, loose = ([put(made, made.changes(*where), {"comparison": name}) for where in (MONTH, july)] for name in ("told of", "of nobody"))
    for where in (MONTH, july):
        put(made, made.changes(*where), {"comparison": "in force"})
    late = {"before": {"period": MONTH[1], "records": kept[0].identity}, "again": [{"different": {"period": july[1], "records": kept[1].identity}}]}
    put(made, made.findings(*MONTH), {"late": late})
    assert sorted(going(made, "changes")) == sorted(stage.identity for stage in loose)


def test_a_purge_is_in_the_ledger_with_who_why_what_and_how_many(made: settings.Site) -> None:
    first, second, third = (run(made, version) for version in ("first", "second", "third"))
    kept = {path for stage in third.values() for path in stage.path.rglob("*")}
    assert retention.purge(made, retention.plan(made, "landing", Keep(days=90)), "no longer needed", by="an operator") == 2
    (entry,) = [entry for entry in ledger.entries(made.ledger) if entry.kind == "purged"]
    assert (entry.actor, entry.provider, entry.period) == ("an operator", *MONTH)
    assert entry.facts == {
        "zone": "landing",
        "rule": "older than 90 days",
        "why": "no longer needed",
        "things": 2,
        "bytes": 8,
        "stages": [first["landing"].identity, second["landing"].identity],
    }
    assert returns.verify_ledger(made) == []
    assert not first["landing"].path.exists() and not second["landing"].path.exists()
    assert all(path.exists() for path in kept) and first["findings"].path.exists()
    assert list(made.staging.iterdir()) == []
    assert going(made, "landing") == []


def test_what_comes_into_force_between_the_look_and_the_purge_stays(made: settings.Site) -> None:
    first = run(made, "first")
    run(made, "second")
    planned = retention.plan(made, "landing", Keep(days=90))
    stages.put_in_force(made.landing(*MONTH), first["landing"].identity)
    assert retention.purge(made, planned, "tidy") == 0
    assert stages.current(made.landing(*MONTH)) is not None


def test_what_comes_into_force_while_it_is_moved_aside_is_put_back(made: settings.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(made, "first")
    run(made, "second")
    planned, rename = retention.plan(made, "landing", Keep(days=90)), Path.rename

    def meanwhile(path: Path, target: Path) -> Path:
        if path == first["landing"].path:
            (path.parent / stages.CURRENT).write_text(path.name + "\n", encoding="ascii")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", meanwhile)
    assert retention.purge(made, planned, "tidy") == 0
    stages.verify(stages.opened(made.landing(*MONTH), first["landing"].identity))


def test_a_purge_that_breaks_off_leaves_nothing_half_there_and_goes_on(made: settings.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    run(made, "first")
    run(made, "second")
    planned = retention.plan(made, "landing", Keep(days=90))

    def fail(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(retention.shutil, "rmtree", fail)
        with pytest.raises(RetryableError):
            retention.purge(made, planned, "tidy")
    assert going(made, "landing") == []
    (aside,) = made.staging.iterdir()
    for path in (*aside.rglob("*"), aside):
        age(path, 3)
    assert retention.purge(made, retention.plan(made, "tmp", Keep(days=1)), "tidy") == 1
    assert [entry.facts["zone"] for entry in ledger.entries(made.ledger)] == ["landing", "tmp"]


def test_leftovers_of_killed_runs_go_and_a_running_one_keeps_its_files(made: settings.Site) -> None:
    for name in ("extract-old", "extract-new"):
        folder = made.temporary / name / "fetched"
        folder.mkdir(parents=True)
        (folder / "rows.parquet").write_bytes(b"rows")
    (made.staging / "half").mkdir(parents=True)
    (made.temporary / "link").symlink_to(made.reference)
    for path in (*(made.temporary / "extract-old").rglob("*"), made.temporary / "extract-old", made.staging / "half", made.temporary / "link"):
        age(path, 3)
    age(made.temporary / "extract-new", 3)
    planned = retention.plan(made, "tmp", Keep(days=1))
    assert {item.path.name for item in planned.going} == {"extract-old", "half", "link"}
    assert planned.staying == {retention.TOO_YOUNG: 1}
    assert retention.purge(made, planned, "killed on Monday") == 3
    assert (made.temporary / "extract-new" / "fetched" / "rows.parquet").exists() and made.reference.is_dir()
    assert [path.name for path in made.temporary.iterdir() if path != made.staging] == ["extract-new"]


def test_old_lineage_goes_by_month(made: settings.Site) -> None:
    made.lineage.mkdir(parents=True)
    for period, days in (("2026-07", 50), ("2026-08", 10)):
        (made.lineage / f"{period}.jsonl").write_text("{}\n", encoding="utf-8")
        age(made.lineage / f"{period}.jsonl", days)
    retention.purge(made, retention.plan(made, "lineage", Keep(days=30)), "old")
    assert [path.name for path in made.lineage.iterdir()] == ["2026-08.jsonl"]


def test_nothing_is_purged_by_a_ledger_that_is_not_whole(made: settings.Site) -> None:
    run(made, "first")
    ledger.append(made.ledger, "approved", {"content": "x"}, provider=MONTH[0], period=MONTH[1])
    (made.ledger / ledger.LEDGER).write_bytes(b"")
    with pytest.raises(InputError, match="nothing is purged"):
        retention.plan(made, "landing", Keep(days=90))


@pytest.mark.parametrize(
    ("more", "zone", "days", "expected"),
    [
        ("", "landing", 30, Keep(days=30)),
        ("retention.landing = { days = 90 }", "landing", None, Keep(days=90)),
        ("retention.landing = { days = 90 }", "landing", 120, Keep(days=120)),
        ("retention.landing = { versions = 3 }", "landing", 30, Keep(days=30, versions=3)),
        ("", "landing", None, "says nothing of landing"),
        ("retention.landing = { days = 90 }", "landing", 89, "keeps landing for 90 days"),
        ("", "tmp", 0, "may belong to a run"),
    ],
)
def test_the_site_says_how_soon_at_the_earliest(tmp_path: Path, more: str, zone: str, days: int | None, expected: Keep | str) -> None:
    made = site(tmp_path, more)
    if isinstance(expected, Keep):
        assert retention.rule(made, zone, days) == expected
    else:
        with pytest.raises(UsageError, match=expected):
            retention.rule(made, zone, days)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("retention.landing = {}", "needs days or versions"),
        ("retention.tmp = { versions = 3 }", "keeps tmp by days"),
        ("retention.ledger = { days = 3 }", "unknown key ledger in [retention]"),
        ("retention.landing = { dais = 3 }", "unknown key dais in [retention] (did you mean days?)"),
        ("retention.landing = { days = -1 }", "days in [retention] is not right"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        site(tmp_path, more)
    assert said in str(caught.value)


# The command


def ask(made: settings.Site, *arguments: str) -> Result:
    return CliRunner().invoke(ips, ["purge", "--config", str(made.file), *arguments])


def test_the_command_only_says_what_would_go_until_it_is_told_to(made: settings.Site) -> None:
    first, _ = run(made, "first"), run(made, "second")
    said = ask(made, "--zone", "landing", "--older-than", "90")
    assert "landing, older than 90 days: 1 would go" in said.output
    assert f"restricted/landing/RXA/2026-08/{first['landing'].identity}" in said.output
    assert first["landing"].path.exists()
    told = json.loads(ask(made, "--zone", "landing", "--older-than", "90", "--yes", "--why", "tidy", "--json").output)
    assert [(item["zone"], item["deleted"], len(item["going"])) for item in told] == [("landing", 1, 1)]
    assert not first["landing"].path.exists()


def test_without_a_zone_the_rules_of_the_site_are_followed(tmp_path: Path) -> None:
    made = site(tmp_path, "retention = { landing = { days = 90 }, tmp = { days = 2 } }")
    run(made, "first")
    run(made, "second")
    said = ask(made, "--yes", "--why", "monthly").output
    assert "landing, older than 90 days: 1 deleted" in said and "tmp, older than 2 days: 0 deleted" in said


@pytest.mark.parametrize(
    "arguments",
    [("--older-than", "9"), ("--zone", "landing"), ("--zone", "landing", "--older-than", "9", "--yes"), ("--yes", "--dry-run"), ("--why", "x")],
)
def test_a_command_that_says_too_little_deletes_nothing(made: settings.Site, arguments: tuple[str, ...]) -> None:
    finished = ask(made, *arguments)
    assert isinstance(finished.exception, IpsError) and finished.exception.exit_code == 2
    assert not made.ledger.exists()


def test_the_zones_of_the_command_are_those_of_the_settings() -> None:
    assert cli_operations.ZONES == retention.ZONES
