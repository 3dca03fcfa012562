"""One month of every provider of the site: extract it from the provider's systems, validate it as a submission."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import dag, get_current_context, task, task_group

from dags.ips_tasks import (
    ACCEPTED,
    ACCEPTED_MONTH,
    DEFAULT_ARGS,
    LONDON,
    asked_by,
    guarded,
    month_of,
    monthly,
    now,
    period_param,
    reason_of,
    replay_params,
    site,
)
from dags.pools import POOLS, pool_of

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import OutletEventAccessors

PROVIDER = "{{ task.op_kwargs['provider'] }} {{ task.op_kwargs['period'] }}"


@task
@guarded
def submissions() -> list[dict[str, str]]:
    """The work of this run: one entry per provider of the site, with the reporting month; beside it the pool of each one's source."""
    context = get_current_context()
    period, providers = month_of(context), site().providers
    context["ti"].xcom_push(POOLS, [pool_of(provider.source) for provider in providers])
    return [{"provider": provider.code, "period": period} for provider in providers]


@task(map_index_template=PROVIDER, multiple_outputs=False)
@guarded
def extract(provider: str, period: str) -> dict[str, Any]:
    """Land what the provider's systems hold for the month, mapped to MHSDS, immutable and recorded."""
    from ips_pipeline import flows, late

    context, here = get_current_context(), site()
    landed = flows.extract(here, provider, period, why=reason_of(context), by=asked_by(context))
    marked = [f"{month.provider}  {month.words(here, now())}" for month in late.marks(here, provider)]
    for line in (*flows.remarks(landed), *marked):
        logging.getLogger(__name__).warning("%s", line)
    # What is different from the landing before stays in its own stages; the next task needs a reference, not a tree.
    return {key: landed[key] for key in ("provider", "period", "landing", "rows", "changed")}


@task(map_index_template=PROVIDER, multiple_outputs=False, outlets=[ACCEPTED, ACCEPTED_MONTH])
@guarded
def validate(provider: str, period: str, *, outlet_events: OutletEventAccessors | None = None) -> dict[str, Any]:
    """Judge the landed month as the submission portal would, put its accepted rows in force and announce them."""
    from ips_pipeline import flows

    verdict = flows.validate(site(), provider, period)
    if outlet_events is not None:
        told = {"provider": provider, "period": period, "accepted": verdict["accepted"], "rows": verdict["rows_accepted"]}
        outlet_events[ACCEPTED].extra = outlet_events[ACCEPTED_MONTH].extra = told
        outlet_events[ACCEPTED_MONTH].add_partitions(period)
    return verdict


@task_group
def provider_month(provider: str, period: str) -> None:
    """One provider's branch. It fails alone: no branch waits for another, and no task follows that could hide a failed one."""
    extract(provider=provider, period=period) >> validate(provider=provider, period=period)


@dag(
    schedule=monthly(),
    start_date=datetime(2025, 4, 1, tzinfo=LONDON),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=4,
    default_args=DEFAULT_ARGS,
    params={"period": period_param("the month before the run"), **replay_params()},
    tags=["ips", "mhsds", "monthly"],
    doc_md="""
### IPS: one month of every provider

For each provider of the site: **extract** lands the month from the provider's systems, **validate** judges it as the MHSDS
submission portal would. Accepted rows come into force and start `ips_national_rollup` and `ips_return`. Branches are independent.

**A red `validate`, "Submission rejected: …"** - the return would be refused as a file. The other providers are not affected and
their figures are published without this one's new month.
1. The message names the rule. `findings.csv` and `report.html` lie under `restricted/findings/<provider>/<month>/` of the data directory.
2. Have the provider correct its system, its extract or its mapping.
3. Clear the provider's `extract` with "downstream" (not the whole run). The national figures follow by themselves.

**A red task, "Input error: …" or "Usage error: …"** - a source, a mapping or a setting is wrong; the message says which and what to
do. It is not tried again, since trying again would not help. Correct it, then clear the task.

**Yellow (up for retry)** - a fault that may pass: a lost connection, a locked file, a full disk. Two more tries follow, after about 1 and
4 minutes.

**"Unexpected …"** - a fault of the software. The message names its place in the code; exception texts may hold patient data and are never
shown here. Run `ips run --config SITE.toml --period yyyy-mm --provider CODE` on the server.

**A red `extract`, "… has been approved / handed over …"** - that month is settled. To run it again all the same, for a resubmission or after a
correction, trigger the DAG with its `period`, the parameter `replay`, and the reason in `why`: the ledger keeps who and why, and earlier
approvals end if anything changes.

**Waiting in grey (scheduled) while others run** - `extract` waits for a slot of its source's pool (Admin → Pools, `ips_<source>`), so that no more
extracts read a trust's database at once than `slots` in SITE.toml allows.

**A warning in the log of a green `extract`** - the source has changed and was taken all the same, records were added, changed or withdrawn since the
landing before, or a month that was handed over has late records now. `ips drift list` and `ips calendar` have the details.

**Another month:** trigger with the parameter `period`.

**A financial year:** with the schedule set (IPS_SCHEDULE), each run is for the month before: April 2025 to March 2026 are the runs of May to April.
`airflow backfill create --dag-id ips_provider_month --from-date 2025-05-01 --to-date 2026-04-30 --max-active-runs 1 --reprocess-behavior completed`.

**One stage again:** open the task's instance of one provider and clear it: `validate` alone judges anew what has landed (after a new rule or
reference file), `extract` with "downstream" reads the source anew. Repeating is safe: the same inputs give the same content, and nothing changes.
""",
)
def ips_provider_month() -> None:
    """Extract and validate, mapped over the providers of the site."""
    provider_month.expand_kwargs(submissions())


ips_provider_month()
