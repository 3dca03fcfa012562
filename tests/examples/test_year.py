"""A trust's year, made short: two months with everything that a year brings. `ips demo --year` is the whole of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ips_pipeline import flows, returns, year
from ips_pipeline.errors import UsageError
from ips_pipeline.quality import validate as validation
from ips_pipeline.sources import madeup
from ips_pipeline.store import stages
from ips_pipeline.submission import access
from tests.unit.test_worklist import sheets

MONTHS = ("2025-04", "2025-05")


def short() -> year.Year:
    """The year's trust with few people, its first two months, and in the second: a rejection, and late rows of the first."""
    whole = year.load()
    data = {**whole.data, "last_month": MONTHS[-1], "trusts": [{**whole.data["trusts"][0], "people": 40}]}
    late = (dataclasses.replace(whole.late[0], period=MONTHS[0], found=MONTHS[1]),)
    return dataclasses.replace(whole, months=MONTHS, data=data, late=late, rejected=MONTHS[1], reconciled=MONTHS[0])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> year.Outcome:
    """The short year, without the gate and without Access files: both have tests of their own, and take most of the time."""
    real = validation.validate

    def ungated(*given: Any, **options: Any) -> list[validation.Verdict]:
        return real(*given, **{**options, "gate": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("IPS_DATA", raising=False)
        patch.setattr(validation, "validate", ungated)
        patch.setattr(access, "runtime", lambda: None)
        return year.run(short(), tmp_path_factory.mktemp("year") / "site")


def test_the_ledger_tells_the_year_in_its_order(told: year.Outcome) -> None:
    sent = ["packaged", "approved", "approved", "submitted", "feedback"]
    assert [(entry.period, entry.kind) for entry in told.entries] == [
        *((MONTHS[0], kind) for kind in ("landed", "accepted", *sent, "published")),
        # The number that is mistyped for a while is of a person in the month before, too, which was handed over.
        *((MONTHS[1], "landed"), (MONTHS[0], "late"), (MONTHS[1], "rejected"), (MONTHS[1], "landed"), (MONTHS[0], "late")),
        *((MONTHS[1], kind) for kind in ("accepted", *sent)),
        *((MONTHS[0], kind) for kind in ("landed", "replayed", "accepted", *sent, "published", "feedback")),
        (MONTHS[1], "published"),
    ]
    assert [entry.at for entry in told.entries] == sorted(entry.at for entry in told.entries)
    assert told.entries[-1].at[:10] == "2025-06-19"
    assert told.faults == []


def test_the_reports_tell_of_late_records_and_the_work_lists_name_them(told: year.Outcome) -> None:
    provider = told.site.providers[0].code
    (_, again), (rejected, mended) = ([stage.path for stage in stages.kept(told.site.findings(provider, month))] for month in MONTHS)
    # A number that is mistyped for a while is of a person in the month before, too, which was handed over by then.
    page = (rejected / "report.html").read_text()
    assert f'data-again="{MONTHS[0]}"' in page and f"--period {MONTHS[0]} --replay" in page and "until 20 June 2025" in page
    assert "data-again" not in (mended / "report.html").read_text()
    # The rows that were written up late are in the month that was run again.
    assert "Since the landing before, of 9 May 2025" in (again / "report.html").read_text()
    lines = sheets(again / "worklist.xlsx")["Late records"][1:]
    contacts = [row[5] for row in lines if row[2:4] == ["Added", "MHS201CareContact"]]
    assert len(contacts) > 5
    assert not any(contact in (again / "report.html").read_text() for contact in contacts)


def test_two_roles_approved_each_return_and_nobody_is_named(told: year.Outcome) -> None:
    approvals = [(entry.actor, entry.facts["role"]) for entry in told.entries if entry.kind == "approved"]
    assert approvals == [("head-of-information", "Head of information"), ("caldicott-guardian", "Caldicott Guardian")] * 3
    assert {entry.actor for entry in told.entries} == {
        year.SCHEDULE,
        year.ANALYST,
        year.UPLOADER,
        "head-of-information",
        "caldicott-guardian",
    }


def test_the_month_that_was_sent_again_supersedes_the_first_and_both_are_kept(told: year.Outcome) -> None:
    provider = told.site.providers[0].code
    packages = [version for version in returns.history(told.site, provider, MONTHS[0]) if version.stage == "package"]
    assert [version.in_force for version in packages] == [False, True]
    assert told.site.outbox is not None
    assert len(stages.kept(told.site.outbox / provider / MONTHS[0])) == 2
    assert len(returns.releases(told.site, MONTHS[0])) == 2
    (last,) = returns.releases(told.site, MONTHS[1])
    in_force = stages.current(told.site.accepted(provider, MONTHS[0]))
    assert in_force is not None
    assert last.inputs["accepted"][f"{provider}/{MONTHS[0]}"] == in_force.identity


def test_every_difference_from_what_came_back_is_told_and_explained(told: year.Outcome) -> None:
    differing = {key: count for key, count in told.reconciled.items() if not key[1].startswith(("same", "match", "rounding"))}
    assert {what for _, what in differing} == {"only ours", "late rows"}
    assert told.reconciled["findings", "only ours"] == 1
    assert told.reconciled["findings", "same code and row"] > 0


def test_the_story_is_in_words_and_holds_nobody(told: year.Outcome) -> None:
    story = "\n".join(year.lines(told.entries))
    for said in ("why: ", "were written up late", "as a file: ", "resubmission", "as Caldicott Guardian", "from 2 provider-months"):
        assert said in story
    assert not any(value in story for value in madeup.canaries(short().data))


def test_a_folder_with_a_year_is_left_alone(told: year.Outcome) -> None:
    with pytest.raises(UsageError, match="holds a year already"):
        year.run(short(), told.site.file.parent)
    assert flows.release(told.site, MONTHS[1]).path.is_dir()
