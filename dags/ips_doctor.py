"""Every morning: is the site fit to run? Settings, sources, permissions, disk, clock, reference files, calendar, ledger."""

from __future__ import annotations

import logging
from datetime import datetime

from airflow.sdk import CronTriggerTimetable, dag, task

from dags.ips_tasks import DEFAULT_ARGS, LONDON, StageFailed, connection, guarded, monthly, site_file


@task(retries=0)
@guarded
def examine() -> dict[str, int]:
    """Look the site over as ``ips doctor`` does, a line a check in the log; fail when one found a fault."""
    from ips_pipeline import doctor

    found = doctor.examine(site_file(), connections=connection)
    levels = {doctor.State.OK: logging.INFO, doctor.State.WARNING: logging.WARNING, doctor.State.FAULT: logging.ERROR}
    for check in found:
        logging.getLogger(__name__).log(levels[check.state], "%s: %s", check.name, check.found)
    faults = [check for check in found if check.state is doctor.State.FAULT]
    if faults:
        said = "; ".join(f"{check.name}: {check.found}" for check in faults)
        raise StageFailed(f"{len(faults)} of {len(found)} checks found a fault. {said}", doctor.exit_code(found))
    return {"checks": len(found), "warnings": sum(check.state is doctor.State.WARNING for check in found)}


@dag(
    # Where months are run by hand alone, so is this.
    schedule=CronTriggerTimetable("0 6 * * *", timezone=LONDON.key) if monthly() else None,
    start_date=datetime(2025, 4, 1, tzinfo=LONDON),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=["ips", "operations", "alert"],
    doc_md="""
### IPS: is the site fit to run?

Looks the site over every morning, by London's clock, before anything is due: settings and mappings, drivers, each source (opened read-only and
timed; nothing is read from it), permissions, disk, clock, reference files, calendar, the ledger's seals, outbox and template, copies. It
changes nothing.

**A red `examine`** - something needs an operator. The last line of its log names each fault with the next step; the lines before it are the other
checks. Correct it and clear the task: it is green once nothing is wrong. A source that is only down for the night may be green again tomorrow.

**Green with warnings in the log** - nothing stops, but something is missing, such as reference files: what needs them is reported as not evaluated.

**By hand:** trigger it at any time. `ips doctor --config SITE.toml` prints the same lines.
""",
)
def ips_doctor() -> None:
    """Look the site over."""
    examine()


ips_doctor()
