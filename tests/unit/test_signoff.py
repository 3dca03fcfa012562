"""Sign-off: who may approve, what an approval is for, and when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ips_pipeline.errors import UsageError
from ips_pipeline.store import ledger
from ips_pipeline.submission import signoff
from ips_pipeline.submission.signoff import State

ROLES = ("Head of information", "Caldicott Guardian")
FIRST, SECOND = (signoff.content_of("f" * 16, "a" * 16, package) for package in ("1" * 16, "2" * 16))


class Desk:
    """A ledger and the people around it."""

    def __init__(self, home: Path, people: int = 1) -> None:
        self.home, self.people = home, people
        self.time = datetime(2026, 9, 8, 9, 0, tzinfo=UTC)

    def now(self, content: str = FIRST) -> signoff.Standing:
        return signoff.standing(ledger.entries(self.home), "RXA", "2026-08", content, people=self.people)

    def does(self, person: str, kind: ledger.Kind, content: str = FIRST, *, role: str = ROLES[0], seen: str | None = None) -> State:
        self.time += timedelta(minutes=1)
        signoff.decide(self.home, kind, self.now(content), role=role, roles=ROLES, seen=seen, by=person, clock=lambda: self.time)
        return self.now(content).state


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def two(tmp_path: Path) -> Desk:
    return Desk(tmp_path, people=2)


def test_a_return_is_a_draft_until_it_is_approved(desk: Desk) -> None:
    assert desk.now().state is State.DRAFT
    assert "is a draft" in str(signoff.refusal(desk.now()))
    assert desk.does("ada", "approved") is State.APPROVED
    assert signoff.refusal(desk.now()) is None
    (approval,) = desk.now().approvals
    assert (approval.person, approval.role, approval.at) == ("ada", ROLES[0], "2026-09-08T09:01:00Z")


def test_an_approval_ends_when_anything_changes_and_counts_again_for_the_same_content(desk: Desk) -> None:
    desk.does("ada", "approved")
    changed = desk.now(SECOND)
    assert (changed.state, changed.expired) == (State.DRAFT, 1)
    assert "1 earlier approval ended" in str(signoff.refusal(changed))
    assert desk.now(FIRST).state is State.APPROVED


@pytest.mark.parametrize("part", range(3))
def test_the_content_is_the_verdict_the_rows_and_the_package(part: int) -> None:
    identities = ["f" * 16, "a" * 16, "1" * 16]
    identities[part] = "9" * 16
    assert signoff.content_of(*identities) != FIRST


def test_two_people_are_two_people(two: Desk) -> None:
    assert two.does("ada", "approved") is State.WAITING
    assert "1 of 2 approvals" in str(signoff.refusal(two.now()))
    with pytest.raises(UsageError, match="ada has approved"):
        two.does("ada", "approved", role=ROLES[1])
    assert two.does("grace", "approved") is State.APPROVED


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ([("ada", "approved"), ("ada", "withdrawn")], State.DRAFT),
        ([("ada", "approved"), ("grace", "approved"), ("ada", "withdrawn")], State.WAITING),
        ([("ada", "approved"), ("grace", "declined")], State.DECLINED),
        ([("ada", "approved"), ("grace", "declined"), ("ada", "approved")], State.WAITING),
    ],
)
def test_what_is_taken_back_no_longer_counts(two: Desk, steps: Sequence[tuple[str, ledger.Kind]], state: State) -> None:
    for person, kind in steps:
        now = two.does(person, kind)
    assert now is state


def test_a_stale_draft_cannot_be_approved(desk: Desk) -> None:
    with pytest.raises(UsageError, match="has changed since that draft"):
        desk.does("ada", "approved", SECOND, seen=FIRST)
    assert desk.now(SECOND).state is State.DRAFT


def test_only_named_roles_sign(desk: Desk) -> None:
    with pytest.raises(UsageError, match="The role Porter may not sign off RXA 2026-08; it is one of Head of information, Caldicott Guardian"):
        desk.does("ada", "approved", role="Porter")


def test_nothing_to_withdraw(desk: Desk) -> None:
    with pytest.raises(UsageError, match="nothing to withdraw"):
        desk.does("ada", "withdrawn")


def test_what_was_handed_over_stays_as_it_was(desk: Desk) -> None:
    desk.does("ada", "approved")
    ledger.append(desk.home, "submitted", {"content": FIRST}, provider="RXA", period="2026-08", by="ada")
    assert desk.now().state is State.SUBMITTED
    with pytest.raises(UsageError, match="handed over already"):
        desk.does("ada", "withdrawn")


def test_a_clock_that_jumps_back_changes_nothing(two: Desk) -> None:
    """The order of the ledger's lines decides, not their times."""
    two.does("ada", "approved")
    two.time -= timedelta(days=400)
    two.does("ada", "withdrawn")
    assert two.does("grace", "approved") is State.WAITING
    assert ledger.verify(two.home) == []


def test_other_returns_do_not_matter(desk: Desk) -> None:
    for provider, period in (("RXB", "2026-08"), ("RXA", "2026-07")):
        ledger.append(desk.home, "approved", {"content": FIRST, "role": ROLES[0]}, provider=provider, period=period, by="ada")
    assert desk.now().state is State.DRAFT
