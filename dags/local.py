"""Run the DAGs of this folder by Airflow in one process: SQLite metadata under the site's data directory, no server, no port.

    python -m dags.local --site SITE.toml --from 2025-07 --to 2026-09

Each month of ``ips_provider_month`` is run in turn, then ``ips_national_rollup`` for the last month (or the last ``--releases``).
A line is printed per month, and one per submission that was rejected or task that failed: a rejected submission ends its own branch and
nothing else. A terminal also shows each provider as it goes. What Airflow itself has to say goes to ``airflow/airflow.log`` beside its metadata.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from ips_pipeline import settings
from ips_pipeline.errors import IpsError, SubmissionRejected, UsageError
from ips_pipeline.screen import Screen

if TYPE_CHECKING:
    from airflow.sdk import DAG, Context

DAGS = Path(__file__).resolve().parent


@dataclass(slots=True)
class Outcome:
    """What the runs came to. ``worst`` is the exit code of the gravest failure that is not a rejection, 0 when there was none."""

    accepted: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    worst: int = 0
    releases: list[dict[str, Any]] = field(default_factory=list)


def environment(site: Path, home: Path) -> dict[str, str]:
    """The whole configuration of an embedded Airflow, as environment variables: nothing is read from an airflow.cfg."""
    return {
        "IPS_SITE": str(site),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(DAGS / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }


def run(site: settings.Site, months: list[str], releases: list[str], screen: Screen) -> Outcome:
    """Run both DAGs by Airflow in this process. The environment must be that of ``environment`` before Airflow is first imported."""
    screen.now("Starting Airflow")
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils.db import initdb

    initdb()
    bag = DagBag(DAGS)
    if bag.import_errors:
        raise UsageError(f"Airflow cannot load {', '.join(sorted(bag.import_errors))}; see airflow.log")
    monthly, national = bag.dags["ips_provider_month"], bag.dags["ips_national_rollup"]
    outcome = Outcome()
    _follow(monthly, outcome, screen)
    _follow(national, outcome, screen)

    from dags.ips_tasks import LONDON

    for number, month in enumerate(months, start=1):
        screen.now(f"{month}  month {number} of {len(months)}: extracting …")
        year, index = divmod(_index(month) + 1, 12)
        # The instant at which the schedule would have run this month, so the history reads as if it had.
        before = len(outcome.accepted)
        monthly.test(logical_date=datetime(year, index + 1, 8, 5, tzinfo=LONDON), run_conf={"period": month})
        screen.say(_month_line(month, outcome.accepted[before:], len(site.providers)))
    for month in releases:
        screen.now(f"{month}  computing the measures over all providers …")
        national.test(logical_date=None, run_conf={"period": month})
    screen.now("")
    return outcome


def months_between(first: str, last: str) -> list[str]:
    """All months from the first to the last, yyyy-mm. Raises UsageError when one is malformed or they are the wrong way round."""
    start, end = (_index(settings.check_period(month)) for month in (first, last))
    if start > end:
        raise UsageError(f"--from {first} is after --to {last}; give the earlier month first")
    return [f"{number // 12:04d}-{number % 12 + 1:02d}" for number in range(start, end + 1)]


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, print. Returns 0 when every provider-month was accepted or rejected and every release is in force."""
    parser = argparse.ArgumentParser(prog="python -m dags.local", description="Run the IPS DAGs by Airflow in one process, without a server.")
    parser.add_argument("--site", type=Path, required=True, help="the site's SITE.toml")
    parser.add_argument("--from", dest="first", required=True, metavar="yyyy-mm", help="first month to extract and validate")
    parser.add_argument("--to", dest="last", required=True, metavar="yyyy-mm", help="last month; the release is for this month")
    parser.add_argument("--releases", type=int, default=1, metavar="N", help="publish the last N months (default 1)")
    given = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        months = months_between(given.first, given.last)
        site = settings.load(given.site)
        home = site.data / "airflow"
        with _airflow_apart(site, home) as screen:
            outcome = run(site, months, months[len(months) - given.releases :], screen)
            for line in _summary(outcome, home, time.monotonic() - started):
                screen.say(line)
    except IpsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return outcome.worst


@contextlib.contextmanager
def _airflow_apart(site: settings.Site, home: Path) -> Iterator[Screen]:
    """Give the screen to the caller alone, and everything that Airflow and the libraries under it print to airflow.log in ``home``."""
    os.umask(0o077)
    home.mkdir(parents=True, exist_ok=True)
    for name in [name for name in os.environ if name.startswith("AIRFLOW__") or name == "AIRFLOW_CONFIG"]:
        del os.environ[name]
    os.environ.update(environment(site.file, home))
    sys.stdout.flush()
    kept = os.dup(1), os.dup(2)
    log = os.open(home / "airflow.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    screen = Screen(os.fdopen(os.dup(kept[0]), "w", encoding="utf-8"))

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        # Airflow takes an interrupt inside a task for that task's failure and carries on. Stages are atomic, so leaving at once is safe.
        screen.say("Stopped. What was finished is kept; run again to go on.")
        os._exit(130)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield screen
    except IpsError:
        raise
    except Exception:  # noqa: BLE001 - whatever Airflow raises, a person gets one line
        # The traceback belongs to whoever looks after the machine, not to the screen.
        traceback.print_exc()
        raise IpsError(f"Airflow stopped unexpectedly; {home / 'airflow.log'} says where") from None
    finally:
        signal.signal(signal.SIGINT, before)
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in enumerate(kept, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _summary(outcome: Outcome, home: Path, seconds: float) -> Iterator[str]:
    yield ""
    yield f"{len(outcome.accepted)} provider-months accepted, {len(outcome.rejected)} rejected, {len(outcome.failed)} failed, in {seconds:.0f} s"
    yield f"Airflow's own history and log: {home}"


def _follow(dag: DAG, outcome: Outcome, screen: Screen) -> None:
    """Count and print what each task of the DAG comes to. A task is tried once: nobody waits here for a fault to pass."""

    def succeeded(context: Context) -> None:
        task = context["ti"].task_id
        if task.endswith("extract"):
            screen.now(f"{_label(context)}  validating …")
        elif task.endswith("validate"):
            verdict = _returned(context)
            outcome.accepted.append(verdict)
            screen.now(f"{_label(context)}  {verdict['gate']}")
        elif task == "measure":
            release = _returned(context)
            outcome.releases.append(release)
            screen.say(f"{release['period']}  release {release['release']} from {release['submissions']:,} submissions{_unchanged([release])}")

    def failed(context: Context) -> None:
        error = context.get("exception")
        code = getattr(error, "exit_code", IpsError.exit_code)
        line = f"{_label(context)}  {error if isinstance(error, Exception) else type(error).__name__}"
        if code == SubmissionRejected.exit_code:
            outcome.rejected.append(line)
        else:
            outcome.failed.append(line)
            outcome.worst = max(outcome.worst, code)
        screen.say(line)

    from airflow.sdk.definitions.mappedoperator import MappedOperator

    for task in dag.tasks:
        settled = {"retries": 0, "on_success_callback": [succeeded], "on_failure_callback": [failed]}
        (task.partial_kwargs if isinstance(task, MappedOperator) else vars(task)).update(settled)


def _returned(context: Context) -> dict[str, Any]:
    """What the task just returned, as the next task would read it."""
    result: dict[str, Any] = context["ti"].xcom_pull(task_ids=context["ti"].task_id, map_indexes=context["ti"].map_index)
    return result


def _label(context: Context) -> str:
    given: dict[str, str] = getattr(context["task"], "op_kwargs", {})
    return f"{given.get('period', context['params'].get('period'))}  {given.get('provider', context['ti'].task_id)}"


def _month_line(month: str, verdicts: list[dict[str, Any]], providers: int) -> str:
    taken, refused = (sum(verdict[key] for verdict in verdicts) for key in ("rows_accepted", "rows_rejected"))
    return f"{month}  {len(verdicts)} of {providers} accepted: {taken:,} rows, {refused:,} rejected{_unchanged(verdicts)}"


def _unchanged(results: list[dict[str, Any]]) -> str:
    return " (nothing has changed)" if results and not any(result["changed"] for result in results) else ""


def _index(month: str) -> int:
    year, number = month.split("-")
    return int(year) * 12 + int(number) - 1


if __name__ == "__main__":
    result = main()
    sys.stderr.flush()
    # DuckDB's bindings report leaks of their own while the interpreter closes; nobody can act on them.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.exit(result)
