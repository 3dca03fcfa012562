"""The life of a return at its edges: when it may leave, what is told before a window closes, and what may be run again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ips_pipeline import cli, flows, returns, settings
from ips_pipeline.errors import UsageError
from ips_pipeline.store import ledger, stages

MONTH = ("RXA", "2026-08")
ROLE = "Caldicott Guardian"
WINDOWS = "2026-08-21,2026-09-17,final,entered for the tests\n2026-09-21,2026-10-25,final,entered for the tests\n"
#: The end of 17 September 2026 by London's clock, an hour before midnight by that of UTC.
LAST_SECOND = datetime(2026, 9, 17, 22, 59, 59, tzinfo=UTC)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site below, on whose shelves the packages of both versions lie, out of force: building them takes the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("IPS_DATA", raising=False)
        made = make(tmp_path_factory.mktemp("prepared") / "home")
        for version in ("with late rows", "second", "first"):
            accept(made, version)
            returns.build_package(made, *MONTH, clock=IN_TIME)
    (made.package(*MONTH) / stages.CURRENT).unlink()
    shutil.rmtree(made.ledger)
    return made.file.parent


@pytest.fixture
def site(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Site:
    """A site of two providers; the month of the first was accepted."""
    monkeypatch.delenv("IPS_DATA", raising=False)
    shutil.copytree(prepared, tmp_path / "home")
    return settings.load(tmp_path / "home" / "SITE.toml")


def make(tmp_path: Path) -> settings.Site:
    tmp_path.mkdir()
    (tmp_path / "reference").mkdir()
    (tmp_path / "map.yaml").write_text("tables: {}\n", encoding="utf-8")
    (tmp_path / "calendar.csv").write_text("opens,closes,state,source\n" + WINDOWS, encoding="utf-8")
    provider = '[[providers]]\ncode = "{}"\nname = "A trust"\nsource = "files"\nmapping = "map.yaml"\n'
    (tmp_path / "SITE.toml").write_text(
        'name = "A site"\ndata = "data"\nreference = "reference"\ncalendar = "calendar.csv"\noutbox = "outbox"\n'
        '[sources.files]\nkind = "files"\nfolder = "exports"\n' + provider.format("RXA") + provider.format("RXB"),
        encoding="utf-8",
    )
    made = settings.load(tmp_path / "SITE.toml")
    accept(made)
    return made


def accept(site: settings.Site, version: str = "first") -> None:
    """Put a month in force as extraction and validation do."""
    facts = {"file_codes": [], "rows_submitted": 3, "rows_rejected": 2, "findings": 4, "checks": 0, "rows": 1}
    landed = put(site, site.landing(*MONTH), {"version": version}, facts)
    judged = put(site, site.findings(*MONTH), {"landing": landed}, facts)
    put(site, site.accepted(*MONTH), {"findings": judged, "landing": landed}, facts)


def put(site: settings.Site, shelf: Path, inputs: Mapping[str, str], facts: Mapping[str, Any]) -> str:
    def build(folder: Path) -> Mapping[str, Any]:
        (folder / "MHS000Header.csv").write_text("DatSetVer,OrgIDProvider,ReportingPeriodStartDate\n6.0,RXA,2026-08-01\n", encoding="utf-8")
        return facts

    return stages.write(shelf, build, staging=site.staging, inputs=inputs).identity


def at(*when: int) -> Any:
    moment = datetime(*when, tzinfo=UTC)  # type: ignore[misc]
    return lambda: moment


IN_TIME = at(2026, 9, 10, 9)


def approve(site: settings.Site) -> None:
    returns.build_package(site, *MONTH, clock=IN_TIME)
    returns.decide(site, *MONTH, "approved", role=ROLE, by="cg", clock=IN_TIME)


def send(site: settings.Site) -> None:
    approve(site)
    returns.hand_over(site, *MONTH, clock=IN_TIME)


# Windows


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (datetime(2026, 8, 20, 22, 59, 59, tzinfo=UTC), "no window open yet; it opens on 21 August 2026"),
        (datetime(2026, 8, 20, 23, tzinfo=UTC), None),
        (LAST_SECOND, None),
        # Late, and the next window is not open yet.
        (datetime(2026, 9, 17, 23, tzinfo=UTC), "no window open yet; it opens on 21 September 2026"),
        (datetime(2026, 9, 21, tzinfo=UTC), None),
        # The night in which summer time ends: 25 October has 25 hours.
        (datetime(2026, 10, 25, 23, 59, 59, tzinfo=UTC), None),
        (datetime(2026, 10, 26, tzinfo=UTC), "no window left in its year"),
    ],
)
def test_a_month_is_due_by_the_clock_of_london(site: settings.Site, moment: datetime, reason: str | None) -> None:
    told = returns.not_due(site, "2026-08", moment)
    assert told is None if reason is None else reason in str(told)
    approve(site)
    if reason is None:
        assert returns.hand_over(site, *MONTH, clock=lambda: moment)["changed"]
    else:
        with pytest.raises(UsageError, match="Nothing was handed over"):
            returns.hand_over(site, *MONTH, clock=lambda: moment)
        assert "submitted" not in {entry.kind for entry in ledger.entries(site.ledger)}


def test_windows_that_overlap_stop_everything_before_anything_is_written(site: settings.Site) -> None:
    approve(site)
    before = [entry.kind for entry in ledger.entries(site.ledger)]
    (site.file.parent / "calendar.csv").write_text("opens,closes,state,source\n" + WINDOWS.replace("2026-09-21", "2026-09-17"), encoding="utf-8")
    for attempt in (returns.hand_over, returns.build_package):
        with pytest.raises(UsageError, match=r"calendar.csv line 3: the window overlaps the one in line 2"):
            attempt(site, *MONTH, clock=IN_TIME)
    assert [entry.kind for entry in ledger.entries(site.ledger)] == before
    assert not (site.file.parent / "outbox").exists()


def test_a_clock_that_jumps_back_behind_the_window_changes_nothing_that_was_done(site: settings.Site) -> None:
    send(site)
    with pytest.raises(UsageError, match="no window open yet"):
        returns.hand_over(site, *MONTH, clock=at(2026, 8, 1))
    assert returns.standing(site, *MONTH).state.value == "submitted"
    assert not returns.hand_over(site, *MONTH, clock=at(2026, 9, 11))["changed"]
    assert returns.verify_ledger(site) == []


def test_what_is_not_handed_over_is_told_before_the_window_closes(site: settings.Site) -> None:
    assert returns.closing(site, datetime(2026, 9, 11, 12, tzinfo=UTC)) == []
    left = returns.closing(site, datetime(2026, 9, 15, 12, tzinfo=UTC))
    assert [(item.provider, item.window.period, item.progress) for item in left] == [
        ("RXA", "2026-08", "accepted, no package"),
        ("RXB", "2026-08", "not extracted"),
    ]
    assert returns.warning(left) == (
        "2 returns are not handed over and the window closes at the end of 17 September 2026 (days left: 2): "
        "RXA 2026-08 accepted, no package; RXB 2026-08 not extracted"
    )
    send(site)
    assert [item.provider for item in returns.closing(site, LAST_SECOND)] == ["RXB"]


def test_a_month_that_changed_since_it_was_sent_is_told_in_the_next_window(site: settings.Site) -> None:
    send(site)
    accept(site, "with late rows")
    left = returns.closing(site, datetime(2026, 10, 22, 12, tzinfo=UTC))
    assert [(item.provider, item.window.period) for item in left] == [("RXA", "2026-08"), ("RXA", "2026-09"), ("RXB", "2026-09")]


def test_a_draft_that_missed_its_own_window_is_told_in_the_next_one(site: settings.Site) -> None:
    returns.build_package(site, *MONTH, clock=IN_TIME)
    left = returns.closing(site, datetime(2026, 10, 22, 12, tzinfo=UTC))
    assert ("RXA", "2026-08", "draft") in [(item.provider, item.window.period, item.progress) for item in left]


# Replay


def test_a_draft_may_be_run_as_often_as_its_people_need(site: settings.Site) -> None:
    returns.check_replay(site, *MONTH, None, clock=IN_TIME)
    returns.build_package(site, *MONTH, clock=IN_TIME)
    returns.check_replay(site, *MONTH, None, clock=IN_TIME)


@pytest.mark.parametrize(("settle", "said"), [(approve, "has been approved"), (send, "has been handed over")])
def test_a_settled_month_is_not_run_again_without_a_reason(site: settings.Site, settle: Any, said: str) -> None:
    settle(site)
    with pytest.raises(UsageError, match=f"RXA 2026-08 {said}; to run it again all the same, say why"):
        flows.run(site, "2026-08", ["RXA"])
    with pytest.raises(UsageError, match="Say why"):
        returns.check_replay(site, *MONTH, "  ")
    returns.check_replay(site, *MONTH, "late contacts")


def test_a_month_whose_last_window_has_closed_is_settled_once_it_was_accepted(site: settings.Site) -> None:
    with pytest.raises(UsageError, match="was accepted, and the last window for it has closed"):
        returns.check_replay(site, *MONTH, None, clock=at(2027, 8, 1))
    returns.check_replay(site, "RXB", "2026-08", None, clock=at(2027, 8, 1))


def test_a_replay_is_kept_with_who_and_why_and_shown_in_the_history(site: settings.Site, monkeypatch: pytest.MonkeyPatch) -> None:
    send(site)

    def landing_anew(site: settings.Site, provider: str, period: str, *, full: bool) -> stages.Stage:
        accept(site, "with late rows")
        landed = stages.current(site.landing(provider, period))
        assert landed is not None
        return stages.Stage(landed.path, landed.identity, landed.manifest, changed=True)

    monkeypatch.setattr(flows, "extract_month", landing_anew)
    was = stages.current(site.landing(*MONTH))
    landed = flows.extract(site, *MONTH, why="late contacts", by="the analyst")["landing"]
    last = list(ledger.entries(site.ledger))[-1]
    assert was is not None
    assert (last.kind, last.actor, last.provider, last.period) == ("replayed", "the analyst", *MONTH)
    assert last.facts == {"why": "late contacts", "landing": landed, "was": was.identity, "changed": True}
    told = CliRunner().invoke(cli.ips, ["history", "--config", str(site.file), "--provider", "RXA", "--period", "2026-08"])
    landings = [line for line in told.output.splitlines() if line.startswith("landing")]
    assert [f"replayed {last.at} by the analyst (late contacts)" in line for line in landings] == [landed in line for line in landings]
    (package,) = [line for line in told.output.splitlines() if line.startswith("package") and "approved" in line]
    assert "approved 2026-09-10T09:00:00Z by cg; submitted" in package


@pytest.mark.parametrize("options", [["--replay"], ["--why", "late"], ["--by", "me"]])
def test_a_replay_by_halves_is_wrong_usage(site: settings.Site, options: list[str]) -> None:
    told = CliRunner().invoke(cli.ips, ["run", "--config", str(site.file), "--period", "2026-08", *options])
    assert isinstance(told.exception, UsageError)


# Going back


def test_to_go_back_to_what_was_sent_before_is_a_new_return(site: settings.Site) -> None:
    send(site)
    accept(site, "second")
    send(site)
    accept(site, "first")
    returns.build_package(site, *MONTH, clock=IN_TIME)
    assert returns.standing(site, *MONTH).state.value == "draft"
    send(site)
    assert [entry.kind for entry in ledger.entries(site.ledger)].count("submitted") == 3
    assert returns.verify_ledger(site) == []


# Who holds a role


def test_a_role_is_taken_by_those_who_hold_it(site: settings.Site) -> None:
    held = site.model_copy(update={"signoff": site.signoff.model_copy(update={"holders": {ROLE: ("cg",)}})})
    returns.build_package(held, *MONTH, clock=IN_TIME)
    with pytest.raises(UsageError, match="somebody does not hold the role Caldicott Guardian"):
        returns.decide(held, *MONTH, "approved", role=ROLE, by="somebody", clock=IN_TIME)
    returns.decide(held, *MONTH, "approved", role=ROLE, by="cg", clock=IN_TIME)


# The command


def test_handing_over_by_the_command_line(site: settings.Site) -> None:
    arguments = ["submission", "handover", "--config", str(site.file), "--provider", "RXA", "--period", "2026-08"]
    returns.build_package(site, *MONTH, clock=IN_TIME)
    with ledger.in_the_name_of("uploader", IN_TIME):
        refused = CliRunner().invoke(cli.ips, arguments)
        assert isinstance(refused.exception, UsageError)
        assert "is a draft; nothing leaves before it is approved" in str(refused.exception)
        approve(site)
        first, again = (CliRunner().invoke(cli.ips, arguments).output for _ in range(2))
    assert "upload it before the end of 2026-09-17" in first
    assert "(already handed over)" in again
    assert list(ledger.entries(site.ledger))[-1].actor == "uploader"


def test_a_role_that_nobody_may_take_is_named(site: settings.Site) -> None:
    text = site.file.read_text(encoding="utf-8")
    site.file.write_text(text + '[signoff.holders]\n"Head Porter" = ["hp"]\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"\[signoff.holders\] names the role Head Porter, which roles does not have"):
        settings.load(site.file)
