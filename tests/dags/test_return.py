"""The return in Airflow: asked of people, bound to what they saw, recorded like the command line records it, and nothing out without it."""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.datamodels.hitl import UpdateHITLDetailPayload
from airflow.api_fastapi.core_api.routes.public.hitl import update_hitl_detail
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from fastapi import HTTPException
from sqlalchemy import select

from dags import ips_tasks
from dags.ips_tasks import ACCEPTED
from ips_pipeline import returns, settings
from ips_pipeline.store import ledger, stages

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.dagrun import DagRun

MONTH = ("RXA", "2026-08")
ROLES = ("Head of information", "Caldicott Guardian")
NOW = datetime(2026, 9, 10, 9, tzinfo=UTC)
HEADER = "DatSetVer,OrgIDProvider,ReportingPeriodStartDate\n6.0,RXA,2026-08-01\n"
SITE = """name = "A site"
data = "data"
reference = "reference"
calendar = "calendar.csv"
outbox = "outbox"
[sources.files]
kind = "files"
folder = "exports"
[[providers]]
code = "RXA"
name = "A trust"
source = "files"
mapping = "map.yaml"
[signoff]
roles = ["Head of information", "Caldicott Guardian"]
"""
CALENDAR = "opens,closes,state,source\n2026-08-21,2026-09-17,final,entered for the tests\n2026-09-18,2026-10-20,final,entered for the tests\n"


_WAITING = (
    select(HITLDetail)
    .join(TaskInstance, HITLDetail.ti_id == TaskInstance.id)
    .where(HITLDetail.responded_at.is_(None), TaskInstance.state == "awaiting_input")
)


@pytest.fixture(scope="module")
def metadata() -> None:
    from airflow.utils.db import initdb

    initdb()


class Desk:
    """A site of one provider whose month was accepted, at a moment, and the run of its return."""

    def __init__(self, folder: Path, bag: DagBag, monkeypatch: pytest.MonkeyPatch, extra: str = "") -> None:
        (folder / "reference").mkdir()
        (folder / "map.yaml").write_text("tables: {}\n", encoding="utf-8")
        (folder / "calendar.csv").write_text(CALENDAR, encoding="utf-8")
        (folder / "SITE.toml").write_text(SITE + extra, encoding="utf-8")
        monkeypatch.delenv("IPS_DATA", raising=False)
        monkeypatch.setenv("IPS_SITE", str(folder / "SITE.toml"))
        monkeypatch.setattr(ips_tasks, "now", lambda: self.moment)
        self.moment = NOW
        self.comment: str | None = "seen"
        self.asked_for = {"provider": MONTH[0], "period": MONTH[1]}
        self.site = settings.load(folder / "SITE.toml")
        self.bag = bag
        for task in bag.dags["ips_return"].tasks:
            # Nobody waits here for a fault to pass.
            monkeypatch.setattr(task, "retries", 0)
        self.accept()

    def accept(self, rows: int = 1) -> None:
        """Put a month in force as validation does: a landing, its findings, its accepted rows."""
        landed = self._put(self.site.landing(*MONTH), {"version": str(rows)}, {"rows": rows})
        verdict = {"file_codes": [], "rows_submitted": rows + 2, "rows_rejected": 2, "findings": 3, "checks": 1}
        judged = self._put(self.site.findings(*MONTH), {"landing": landed}, verdict)
        self._put(self.site.accepted(*MONTH), {"findings": judged, "landing": landed}, {"rows": rows})

    def _put(self, shelf: Path, inputs: Mapping[str, str], facts: Mapping[str, Any]) -> str:
        def build(folder: Path) -> Mapping[str, Any]:
            (folder / "MHS000Header.csv").write_text(HEADER, encoding="utf-8")
            return facts

        return stages.write(shelf, build, staging=self.site.staging, inputs=inputs).identity

    def run(self, *answers: tuple[str, str, str], between: Mapping[int, Callable[[], object]] | None = None) -> DagRun:
        """Run the DAG for the month. Each answer is a person, what they choose, and their role, given to the questions in their order.

        ``between`` holds what happens before an answer, by its number, once the question stands.
        """
        self.stop, self.asked, self.trouble = False, [], None
        asking = threading.Thread(target=self._answer_all, args=(answers, between or {}), daemon=True)
        asking.start()
        ran: DagRun = self.bag.dags["ips_return"].test(run_conf=self.asked_for)
        self.stop = True
        asking.join()
        if self.trouble:
            raise self.trouble
        return ran

    def _answer_all(self, answers: Sequence[tuple[str, str, str]], between: Mapping[int, Callable[[], object]]) -> None:
        try:
            for number, answer in enumerate(answers):
                while not self.stop and not (asked := self.question()):
                    time.sleep(0.2)
                if not self.stop:
                    between.get(number, lambda: None)()
                    self.asked.append(asked)
                    self.answer(*answer)
        except BaseException as trouble:  # noqa: BLE001 - told by ``run``
            self.trouble = trouble
            self.give_up()

    def question(self) -> str:
        """What a waiting task asks; nothing while none waits."""
        with create_session() as session:
            found = session.scalar(_WAITING)
            return f"{found.subject}\n{found.body}" if found is not None else ""

    def answer(self, person: str, choice: str, role: str) -> None:
        """Answer as Airflow's API does: by the function behind its route, with what it checks about who answers."""
        with create_session() as session:
            ti = session.scalars(_WAITING).one().task_instance
            given = UpdateHITLDetailPayload(chosen_options=[choice], params_input={"role": role, "comment": self.comment})
            user = SimpleAuthManagerUser(username=person, role="admin")
            update_hitl_detail(ti.dag_id, ti.run_id, ti.task_id, given, user, session, ti.map_index)

    def give_up(self) -> None:
        """Let no task wait for an answer that will not come."""
        with create_session() as session:
            for ti in session.scalars(select(TaskInstance).where(TaskInstance.state == "awaiting_input")):
                ti.set_state("failed", session=session)

    def lines(self) -> list[tuple[str, str]]:
        return [(entry.kind, entry.actor) for entry in ledger.entries(self.site.ledger)]

    @property
    def outbox(self) -> list[str]:
        return [path.name for path in (self.site.data.parent / "outbox").glob("RXA/2026-08/*/CHECKLIST.md")]


def states(ran: DagRun) -> dict[str, str]:
    return {ti.task_id.removeprefix("one_return."): str(ti.state) for ti in ran.get_task_instances()}


@pytest.fixture
def desk(tmp_path: Path, bag: DagBag, metadata: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, bag, monkeypatch)


@pytest.fixture
def two(tmp_path: Path, bag: DagBag, metadata: None, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, bag, monkeypatch, 'people = 2\n[signoff.holders]\n"Head of information" = ["hoi"]\n"Caldicott Guardian" = ["cg", "hoi"]\n')


def test_an_approval_lets_the_package_out_and_the_ledger_says_who(desk: Desk) -> None:
    ran = desk.run(("cg", "Approve", "Caldicott Guardian"))
    assert states(ran) == {"due": "success", "build": "success", "approve": "success", "approve_again": "success", "hand_over": "success"}
    assert [kind for kind, _ in desk.lines()] == ["packaged", "approved", "submitted"]
    (approved,) = [entry for entry in ledger.entries(desk.site.ledger) if entry.kind == "approved"]
    assert (approved.actor, approved.facts["role"], approved.facts["comment"]) == ("cg", "Caldicott Guardian", "seen")
    assert approved.facts["content"] == returns.standing(desk.site, *MONTH).content
    assert desk.outbox == ["CHECKLIST.md"]
    (asked,) = desk.asked
    assert "Rows: 1 would be loaded of 3, 2 rejected" in asked
    assert str(approved.facts["content"]) in asked
    assert "Window closes: 17 September 2026, in 7 days" in asked


def test_a_declined_return_stays_and_the_answer_is_kept(desk: Desk) -> None:
    ran = desk.run(("hoi", "Decline", "Head of information"))
    assert states(ran)["approve"] == states(ran)["hand_over"] == "skipped"
    assert desk.lines()[-1] == ("declined", "hoi")
    assert desk.outbox == []


def test_a_comment_may_be_left_out(desk: Desk) -> None:
    desk.comment = None
    desk.run(("cg", "Decline", "Caldicott Guardian"))
    (declined,) = [entry for entry in ledger.entries(desk.site.ledger) if entry.kind == "declined"]
    assert "comment" not in declined.facts


def test_an_approval_of_a_draft_that_changed_meanwhile_fails_and_counts_for_nothing(desk: Desk) -> None:
    def accepted_anew() -> None:
        desk.accept(2)
        returns.build_package(desk.site, *MONTH, clock=ips_tasks.now)

    ran = desk.run(("cg", "Approve", "Caldicott Guardian"), between={0: accepted_anew})
    assert (states(ran)["approve"], states(ran)["hand_over"]) == ("failed", "upstream_failed")
    assert "approved" not in dict(desk.lines())
    assert desk.outbox == []


def test_two_people_are_asked_and_the_first_cannot_be_the_second(two: Desk) -> None:
    def again() -> None:
        with pytest.raises(HTTPException, match="not a respondent"):
            two.answer("hoi", "Approve", ROLES[1])

    ran = two.run(("hoi", "Approve", ROLES[0]), ("cg", "Approve", ROLES[1]), between={1: again})
    assert set(states(ran).values()) == {"success"}
    assert two.lines()[-3:] == [("approved", "hoi"), ("approved", "cg"), ("submitted", ledger.actor())]
    assert "second approval" in two.asked[1]
    assert "hoi as Head of information" in two.asked[1]


def test_a_role_that_is_not_the_persons_is_refused(two: Desk) -> None:
    ran = two.run(("cg", "Approve", ROLES[0]))
    assert states(ran)["approve"] == "failed"
    assert "approved" not in dict(two.lines())


def test_what_was_approved_on_the_command_line_is_not_asked_again(desk: Desk) -> None:
    returns.build_package(desk.site, *MONTH, clock=ips_tasks.now)
    returns.decide(desk.site, *MONTH, "approved", role=ROLES[0], by="hoi", clock=ips_tasks.now)
    assert set(states(desk.run()).values()) == {"success"}
    assert [kind for kind, _ in desk.lines()] == ["packaged", "approved", "submitted"]


def test_a_return_whose_event_came_while_the_run_was_made_is_due_in_that_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of later events Airflow makes runs of their own, and earlier ones had theirs."""
    waited, started = NOW, NOW + timedelta(seconds=3)
    events = {"RXB": waited + timedelta(seconds=2), "RXC": started + timedelta(seconds=1), "RXD": waited - timedelta(seconds=1)}

    def accepted(provider: str) -> SimpleNamespace:
        return SimpleNamespace(extra={"provider": provider, "period": MONTH[1]})

    def after(first: str) -> SimpleNamespace:
        def before(last: str) -> list[SimpleNamespace]:
            held = [name for name, at in events.items() if datetime.fromisoformat(first) <= at <= datetime.fromisoformat(last)]
            return [accepted(name) for name in held]

        return SimpleNamespace(before=before)

    context = {
        "params": {"provider": None, "period": None},
        "triggering_asset_events": {ACCEPTED: [accepted("RXA")]},
        "inlet_events": {ACCEPTED: SimpleNamespace(after=after)},
        "dag_run": SimpleNamespace(run_after=waited, start_date=started),
    }
    body = inspect.unwrap(desk.bag.dags["ips_return"].get_task("due").python_callable)
    monkeypatch.setitem(body.__globals__, "get_current_context", lambda: context)
    assert [item["provider"] for item in body()] == ["RXA", "RXB"]


def test_an_accepted_month_of_which_nothing_was_built_is_found_without_an_event(desk: Desk) -> None:
    """Airflow starts no run for an event that comes while it is about to start one for another."""
    desk.asked_for = {}
    assert states(desk.run(("cg", "Decline", ROLES[1])))["build"] == "success"
    assert [kind for kind, _ in desk.lines()] == ["packaged", "declined"]
    # Once it was built, whoever is asked about it is asked by that run.
    assert returns.unbuilt(desk.site, NOW) == []


def test_only_the_month_of_the_window_and_those_once_built_are_found_without_an_event(desk: Desk) -> None:
    """An earlier month of the year that nothing was ever built of may have been handed over by other means."""
    assert returns.unbuilt(desk.site, NOW) == [MONTH]
    assert returns.unbuilt(desk.site, datetime(2026, 9, 25, tzinfo=UTC)) == [], "the window is September's"
    returns.build_package(desk.site, *MONTH, clock=ips_tasks.now)
    desk.accept(2)
    assert returns.unbuilt(desk.site, datetime(2026, 9, 25, tzinfo=UTC)) == [MONTH]
    assert returns.unbuilt(desk.site, datetime(2027, 7, 1, tzinfo=UTC)) == []


@pytest.mark.parametrize("moment", [datetime(2027, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)])
def test_outside_its_window_nobody_is_asked_and_nothing_is_built(desk: Desk, moment: datetime) -> None:
    desk.moment = moment
    assert set(states(desk.run()).values()) == {"skipped"}
    assert desk.lines() == []


def test_the_check_of_deadlines_is_red_until_the_return_is_out(desk: Desk) -> None:
    check = desk.bag.dags["ips_deadlines"]
    assert states(check.test())["check"] == "success", "a week before the end"
    desk.moment = datetime(2026, 9, 15, 6, tzinfo=UTC)
    assert states(check.test())["check"] == "failed"
    returns.build_package(desk.site, *MONTH, clock=ips_tasks.now)
    returns.decide(desk.site, *MONTH, "approved", role=ROLES[0], by="hoi", clock=ips_tasks.now)
    returns.hand_over(desk.site, *MONTH, clock=ips_tasks.now)
    assert states(check.test())["check"] == "success"
    desk.moment = datetime(2028, 1, 1, tzinfo=UTC)
    assert states(check.test())["check"] == "skipped", "no window is known"


def test_a_replay_takes_its_reason_with_it_and_has_none_without(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from ips_pipeline import flows

    given: list[tuple[str, str, str | None]] = []

    def extracting(_site: settings.Site, provider: str, period: str, *, why: str | None = None, by: str | None = None) -> dict[str, str]:
        given.append((provider, period, why))
        return {"provider": provider, "period": period}

    verdict = {"accepted": "0" * 16, "rows_accepted": 1}
    monkeypatch.setattr(flows, "extract", extracting)
    monkeypatch.setattr(flows, "validate", lambda *_: verdict)
    monthly = desk.bag.dags["ips_provider_month"]
    monthly.test(run_conf={"period": "2026-08"})
    monthly.test(run_conf={"period": "2026-08", "replay": True, "why": "late contacts"})
    assert given == [("RXA", "2026-08", None), ("RXA", "2026-08", "late contacts")]
    ran = monthly.test(run_conf={"period": "2026-08", "replay": True, "why": " "})
    assert {ti.state for ti in ran.get_task_instances() if ti.task_id.endswith("extract")} == {"failed"}
    assert len(given) == 2


def test_whoever_holds_a_role_can_log_in_to_approve(two: Desk, tmp_path: Path) -> None:
    from dags import ui

    users = ui._environment(two.site, tmp_path, 8080)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"]
    assert users == "admin:admin,cg:user,hoi:user"
    first = ui._passwords(tmp_path / "passwords.json", ["admin", "cg"])
    again = ui._passwords(tmp_path / "passwords.json", ["admin", "cg", "hoi"])
    assert first.items() < again.items()
    assert len(set(again.values())) == 3


def test_the_deadline_of_a_run_is_when_its_window_begins_to_close(desk: Desk) -> None:
    from dags.windows import ClosingWindow

    # Five days before the last second of 17 September by London's clock.
    assert ClosingWindow()._evaluate_with(session=None) == datetime(2026, 9, 12, 22, 59, 59, tzinfo=UTC)
    assert desk.bag.dags["ips_return"].deadline is None, "Airflow's test runs cannot have deadlines, so the plugin is left out"


@pytest.mark.parametrize("hidden", ["no site", "no window", "a calendar that is not right"])
def test_where_the_window_is_not_known_a_run_has_no_deadline_and_starts(desk: Desk, hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dags.windows import ClosingWindow

    assert ClosingWindow()._evaluate_with(session=None) is not None
    match hidden:
        case "no site":
            monkeypatch.delenv("IPS_SITE")
        case "no window":
            desk.moment = datetime(2029, 1, 1, tzinfo=UTC)
        case _:
            (desk.site.file.parent / "calendar.csv").write_text("opens\n", encoding="utf-8")
    assert ClosingWindow()._evaluate_with(session=None) is None


def test_the_alert_names_returns_and_dates(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    from dags.windows import warn

    desk.moment = datetime(2026, 9, 15, 6, tzinfo=UTC)
    warn(context={})
    assert caplog.messages[-1] == (
        "1 return is not handed over and the window closes at the end of 17 September 2026 (days left: 2): RXA 2026-08 accepted, no package"
    )
