"""Every morning: which returns are not handed over although their window is about to close."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from dags import ips_tasks
from dags.ips_tasks import DEFAULT_ARGS, LONDON, StageFailed, guarded, monthly, site


@task(retries=0)
@guarded
def check() -> int:
    """Fail, naming provider, month, progress and date, when a window is about to close on returns that were not handed over."""
    from ips_pipeline import returns

    here, moment = site(), ips_tasks.now()
    if not returns.window_is_known(here, moment):
        raise AirflowSkipException("No window is known for today, so nothing can be warned of; enter the dates of the year in the site's calendar")
    if left := returns.closing(here, moment):
        raise StageFailed(returns.warning(left), 1)
    return 0


@dag(
    # Where months are run by hand alone, so is this.
    schedule=CronTriggerTimetable("0 7 * * *", timezone=LONDON.key) if monthly() else None,
    start_date=datetime(2025, 4, 1, tzinfo=LONDON),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["ips", "mhsds", "calendar", "alert"],
    doc_md="""
### IPS: windows that are about to close

Looks every morning, by London's clock, at the windows of the site's calendar. It turns red when one closes within the site's
`closing_days` and a return for it was not handed over: one not extracted, rejected, not approved, or changed since it was sent. The message has
providers, months, progress and dates, never data. Airflow's own alerts on a failed task (e-mail, chat) carry it to people.

**A red `check`** - see to the returns it names: `ips_provider_month` (not extracted, rejected), `ips_return` (waiting for approval). It is green
again the next morning, or when the task is cleared, once they are handed over.

**Skipped** - no window is known for today, so nothing can be warned of. Enter the dates of the year (`calendar` in SITE.toml).

**By hand:** trigger it at any time; it changes nothing. `ips calendar --config SITE.toml` shows the same and more.
""",
)
def ips_deadlines() -> None:
    """Warn of returns that would miss their window."""
    check()


ips_deadlines()
