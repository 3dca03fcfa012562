"""The DAGs as Airflow reads them: they load, they load nothing heavy, and their shape says what happens when a branch fails."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from airflow.sdk import PartitionedAssetTimetable
from airflow.sdk.execution_time.context import OutletEventAccessors

from dags.approval import SignOff
from dags.ips_tasks import ACCEPTED, ACCEPTED_MONTH, month_before
from ips_pipeline import flows
from ips_pipeline.errors import UsageError

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

ROOT = Path(__file__).resolve().parents[2]

PARSE = """
import json, sys
from pathlib import Path
import airflow.sdk
from airflow.dag_processing.dagbag import DagBag
before = set(sys.modules)
bag = DagBag(Path("dags"))
print(json.dumps({
    "errors": bag.import_errors,
    "dags": sorted(bag.dags),
    "modules": sorted(name.partition(".")[0] for name in sys.modules),
    "pipeline": sorted(name for name in set(sys.modules) - before if name.startswith("ips_pipeline")),
}))
"""


def test_parsing_needs_nothing_of_the_pipeline() -> None:
    ran = subprocess.run([sys.executable, "-c", PARSE], cwd=ROOT, capture_output=True, text=True, check=True)
    parsed = json.loads(ran.stdout.splitlines()[-1])
    assert parsed["errors"] == {}
    assert parsed["dags"] == ["ips_deadlines", "ips_doctor", "ips_national_rollup", "ips_provider_month", "ips_return"]
    assert not {"duckdb", "pandas", "great_expectations", "pyarrow"} & set(parsed["modules"])
    assert parsed["pipeline"] == []


DEADLINE = """
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.decoders import decode_deadline_alert
from airflow.serialization.encoders import encode_deadline_alert
(alert,) = DagBag("dags").dags["ips_return"].deadline
held = decode_deadline_alert(encode_deadline_alert(alert))
from airflow import settings
print(type(held.reference.inner_ref).__name__, held.callback.path, settings.task_instance_mutation_hook.is_noop)
"""


def test_with_the_plugin_folder_a_waiting_return_has_a_deadline_and_extracts_have_their_pools() -> None:
    environment = {**os.environ, "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "dags" / "plugins"), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", DEADLINE], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "ClosingWindow dags.windows.warn False"


def test_a_failed_branch_stays_visible(bag: DagBag) -> None:
    """Every leaf runs only when all before it succeeded, so a failed branch fails the run, and no branch waits for another."""
    assert [task.task_id for task in bag.dags["ips_return"].leaves] == ["one_return.hand_over"]
    for dag in bag.dags.values():
        assert {task.trigger_rule for task in dag.tasks} == {"all_success"}
    monthly = bag.dags["ips_provider_month"]
    assert [task.task_id for task in monthly.leaves] == ["provider_month.validate"]
    assert monthly.get_task("provider_month.validate").upstream_task_ids == {"submissions", "provider_month.extract"}
    assert all(not task.downstream_task_ids for task in bag.dags["ips_national_rollup"].leaves)


def test_acceptance_starts_the_return_and_the_roll_up_of_its_month(bag: DagBag) -> None:
    assert bag.dags["ips_provider_month"].get_task("provider_month.validate").outlets == [ACCEPTED, ACCEPTED_MONTH]
    assert bag.dags["ips_return"].timetable.asset_condition.objects == (ACCEPTED,)
    figures = bag.dags["ips_national_rollup"]
    assert figures.timetable.asset_condition == ACCEPTED_MONTH
    assert isinstance(figures.timetable, PartitionedAssetTimetable)
    # What one run has made the next one of the same month finds.
    assert figures.max_active_runs == 1


def test_validate_announces_the_month_as_a_partition_and_the_provider_to_returns(bag: DagBag, monkeypatch: pytest.MonkeyPatch) -> None:
    body = inspect.unwrap(bag.dags["ips_provider_month"].get_task("provider_month.validate").python_callable)
    verdict = {"accepted": "0123456789abcdef", "rows_accepted": 12}
    monkeypatch.setitem(body.__globals__, "site", lambda: None)
    monkeypatch.setattr(flows, "validate", lambda *_: verdict)
    events = OutletEventAccessors()
    assert body("RXA", "2026-09", outlet_events=events) == verdict
    told = {"provider": "RXA", "period": "2026-09", "accepted": "0123456789abcdef", "rows": 12}
    assert (events[ACCEPTED].extra, events[ACCEPTED].partition_keys) == (told, set())
    assert (events[ACCEPTED_MONTH].extra, events[ACCEPTED_MONTH].partition_keys) == (told, {"2026-09"})


def test_a_roll_up_makes_the_month_asked_for_or_what_an_accepted_one_touches(bag: DagBag, monkeypatch: pytest.MonkeyPatch) -> None:
    body = inspect.unwrap(bag.dags["ips_national_rollup"].get_task("periods").python_callable)
    monkeypatch.setitem(body.__globals__, "site", lambda: None)
    monkeypatch.setattr(flows, "to_release", lambda _, months: [*months, "2026-10"])

    def made(asked: str | None, partition: str | None) -> list[str]:
        context = {"params": {"period": asked}, "dag_run": SimpleNamespace(partition_key=partition)}
        monkeypatch.setitem(body.__globals__, "get_current_context", lambda: context)
        return list(body())

    assert made(None, "2026-08") == ["2026-08", "2026-10"]
    assert made("2026-08", None) == ["2026-08"]
    with pytest.raises(UsageError, match="No month is given"):
        made(None, None)


def test_every_task_is_retried_only_as_the_default_says_and_hides_what_it_returns(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert not dag.catchup
        assert dag.default_args["show_return_value_in_logs"] is False
        for task in dag.tasks:
            # A check of the day tells what it finds at once.
            assert task.retries == (0 if dag.dag_id in ("ips_deadlines", "ips_doctor") else 2)
            assert task.retry_exponential_backoff > 1
            # People are given until the window closes, machines two hours.
            assert (task.execution_timeout is None) == isinstance(task, SignOff)


def test_nothing_leaves_without_passing_both_approvals(bag: DagBag) -> None:
    returning = bag.dags["ips_return"]
    asked = [task.task_id for task in returning.tasks if isinstance(task, SignOff)]
    assert asked == ["one_return.approve", "one_return.approve_again"]
    before: set[str] = returning.get_task("one_return.hand_over").get_flat_relative_ids(upstream=True)
    assert set(asked) <= before


def test_every_dag_tells_the_operator_what_to_do(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert dag.doc_md is not None
        assert "red" in dag.doc_md
        assert "By hand" in dag.doc_md or "Another month" in dag.doc_md
        assert "ips" in dag.tags


@pytest.mark.parametrize(
    ("moment", "month"),
    [
        (datetime(2026, 10, 8, 4, tzinfo=UTC), "2026-09"),
        (datetime(2026, 1, 1, 0, tzinfo=UTC), "2025-12"),
        # 23:30 by the clock of UTC on the last of June is already July in London.
        (datetime(2026, 6, 30, 23, 30, tzinfo=UTC), "2026-06"),
        (datetime(2026, 6, 30, 22, 30, tzinfo=UTC), "2026-05"),
    ],
)
def test_a_run_is_about_the_month_before_it_by_the_clock_of_london(moment: datetime, month: str) -> None:
    assert month_before(moment) == month


def test_the_schedule_is_the_sites_to_change(bag: DagBag, monkeypatch: pytest.MonkeyPatch) -> None:
    from dags.ips_tasks import monthly

    assert bag.dags["ips_provider_month"].timetable == monthly()
    monkeypatch.setenv("IPS_SCHEDULE", "0 6 1 * *")
    assert monthly() != bag.dags["ips_provider_month"].timetable
    monkeypatch.setenv("IPS_SCHEDULE", "")
    assert monthly() is None
