"""What the DAGs share: the site they serve, the month they are about, and the last guard between a failure and Airflow's log.

Nothing here or in a DAG file imports the pipeline at module level, so that parsing a DAG file costs no more than Airflow itself.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, BaseHook, Context, CronTriggerTimetable, Param, Variable
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException, AirflowTaskTimeout

from dags.notices import failure_notices

if TYPE_CHECKING:
    from ips_pipeline.settings import Site

P = ParamSpec("P")
R = TypeVar("R")

#: One event per accepted provider-month; its extra is {provider, period, accepted, rows}. Returns are made of it.
ACCEPTED = Asset(name="ips_accepted_provider_month")

#: The same event, in the partition of its reporting month (yyyy-mm). The figures over all providers are made of it: an event of a partition starts
#: no DAG that waits for the plain asset (Airflow 3.3.2), and one that also has a clock, as that of returns, cannot wait for partitions.
ACCEPTED_MONTH = Asset(name="ips_accepted_month")

# It tells of each of its own parts at length, two hundred lines a task.
logging.getLogger("great_expectations").setLevel(logging.WARNING)

#: The clock of the submission windows, and of the schedules here.
LONDON = ZoneInfo("Europe/London")

#: A fault worth retrying (a lost connection, a locked file, a worker that was killed) passes within minutes or needs a person.
#: Everything else is failed at once by ``guarded``. Return values hold references and counts, and still have no place in a log.
DEFAULT_ARGS: dict[str, Any] = {
    "owner": "ips",
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": 4,
    "max_retry_delay": timedelta(minutes=30),
    "execution_timeout": timedelta(hours=2),
    "show_return_value_in_logs": False,
    "on_failure_callback": failure_notices(),
}


class StageFailed(AirflowFailException):
    """A failure that trying again would not cure. ``exit_code`` is the one the command line would end with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def monthly() -> CronTriggerTimetable | None:
    """When months are extracted: the cron expression in the environment variable IPS_SCHEDULE, by London's clock; empty: by hand only.

    The month before is submitted until about the 17th working day. The 8th leaves a week for late entries and a week to correct.
    """
    cron = os.environ.get("IPS_SCHEDULE", "0 5 8 * *")
    return CronTriggerTimetable(cron, timezone=LONDON.key) if cron else None


def period_param(default: str) -> Param:
    """The parameter ``period`` of a run started by hand; ``default`` says what an empty one means."""
    return Param(
        None,
        type=["null", "string"],
        pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$",
        title="Reporting month",
        description=f"yyyy-mm, such as 2026-08. Empty: {default}.",
    )


def replay_params() -> dict[str, Param]:
    """The parameters ``replay`` and ``why`` of a run that may do a settled month again."""
    return {
        "replay": Param(
            False,
            type="boolean",
            title="Replay",
            description="Run a month again that was approved, handed over or can no longer be submitted. Needs a reason.",
        ),
        "why": Param(None, type=["null", "string"], title="Why", description="The reason of a replay, kept in the ledger. No patient's details."),
    }


def reason_of(context: Context) -> str | None:
    """Why a run does a month again; None when it is no replay. UsageError for a replay without a reason, and for a reason without one."""
    from ips_pipeline.errors import UsageError

    asked, why = bool(context["params"].get("replay")), str(context["params"].get("why") or "")
    if asked != bool(why.strip()):
        raise UsageError("A replay needs both parameters: replay set, and why with the reason that the ledger keeps")
    return why if asked else None


def asked_by(context: Context) -> str | None:
    """Who started the run by hand, as Airflow knows them; None for a run of the schedule or of an event."""
    return getattr(context["dag_run"], "triggering_user_name", None)


def now() -> datetime:
    """The time of day that windows are judged by, and that the ledger keeps: the machine's, in UTC."""
    return datetime.now(UTC)


def site() -> Site:
    """The site these DAGs serve, with Airflow's connections; raises UsageError when it is not named or its SITE.toml is not right."""
    from ips_pipeline import settings

    return settings.load(site_file(), connections=connection)


def site_file() -> Path:
    """The SITE.toml named by the environment variable IPS_SITE, else by the Airflow variable ips_site; UsageError when neither is set."""
    from ips_pipeline.errors import UsageError

    named = os.environ.get("IPS_SITE") or Variable.get("ips_site", default="")
    if not named:
        raise UsageError("No site is named; set the environment variable IPS_SITE, or the Airflow variable ips_site, to the path of a SITE.toml")
    return Path(named)


def connection(name: str) -> str | None:
    """A connection as JSON from whichever of Airflow's secrets backends has it, None when none has.

    Airflow masks its password in the log of the task that asked. The text goes to the driver and nowhere else.
    """
    try:
        held: str = BaseHook.get_connection(name).as_json()
    except AirflowNotFoundException:
        return None
    return held


def month_of(context: Context) -> str:
    """The reporting month of a run, yyyy-mm: its parameter ``period``, else the month before the one the run is for."""
    if asked := context["params"].get("period"):
        return str(asked)
    # A run started by hand through the API may have no logical date.
    return month_before(context.get("logical_date") or context["dag_run"].run_after)


def month_before(moment: datetime) -> str:
    """The calendar month before an instant, by the clock of London, as yyyy-mm."""
    first = moment.astimezone(LONDON).replace(day=1)
    return (first - timedelta(days=1)).strftime("%Y-%m")


def guarded(body: Callable[P, R]) -> Callable[P, R]:
    """The last guard around a task's body: what leaves it is one line that is safe to log, with nothing chained behind it.

    A RetryableError stays one, so Airflow tries again. Any other IpsError fails the task at once with its own message. The text
    of an unknown exception may quote a patient's value and is dropped: its class and the place in the pipeline are named instead.
    """

    @functools.wraps(body)
    def guard(*args: P.args, **kwargs: P.kwargs) -> R:
        from ips_pipeline.errors import IpsError, RetryableError

        # What a task writes is its owner's alone, whatever the worker was started with.
        umask = os.umask(0o077)
        try:
            return body(*args, **kwargs)
        except RetryableError as error:
            failure: BaseException = RetryableError(_one_line(str(error)))
        except IpsError as error:
            failure = StageFailed(f"{_words(type(error).__name__)}: {_one_line(str(error))}", error.exit_code)
        except AirflowTaskTimeout:
            failure = AirflowTaskTimeout("The task ran longer than its execution_timeout; see what it waits for (a source, a lock) and run it again")
        except AirflowException:
            raise
        except Exception as error:  # noqa: BLE001 - nothing else may come through
            failure = StageFailed(
                f"Unexpected {type(error).__name__} at {_place(error)}; nothing was put in force. "
                "Its text may hold patient data and is not shown: report this place in the code",
                IpsError.exit_code,
            )
        finally:
            os.umask(umask)
        # The line to look for in a task's log; what Airflow adds below it are places in the code.
        logging.getLogger(__name__).error("%s", failure)
        # Raised outside the handlers, so that no exception with its text is chained to this one.
        raise failure

    return guard


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _words(name: str) -> str:
    """SubmissionRejected → Submission rejected."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).capitalize()


def _place(error: BaseException) -> str:
    """File, line and function of the innermost frame in the pipeline's own code: never a value."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "ips_pipeline" in Path(frame.filename).parts] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].lineno} in {own[-1].name}"
