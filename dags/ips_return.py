"""The return of each accepted provider-month: package, approval by people, hand-over. Nothing leaves without the approvals a site asks for."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowSkipException

from dags import ips_tasks
from dags.approval import FORM, SignOff
from dags.ips_tasks import ACCEPTED, DEFAULT_ARGS, LONDON, guarded, monthly, period_param, site
from dags.windows import closing_alert

PROVIDER = "{{ task.op_kwargs['provider'] }} {{ task.op_kwargs['period'] }}"
ASKED = "{{ task.provider }} {{ task.period }}"


@task(inlets=[ACCEPTED])
@guarded
def due() -> list[dict[str, str]]:
    """The returns this run is about that can be handed over now: one entry per provider and month. Skipped, with the reason, when there is none.

    A run of the morning is about accepted months of which nothing was built.
    """
    from ips_pipeline import returns
    from ips_pipeline.errors import UsageError

    context = get_current_context()
    here, provider, period = site(), context["params"].get("provider"), context["params"].get("period")
    if bool(provider) != bool(period):
        raise UsageError("Give both parameters, provider and period, or neither")
    if provider:
        wanted = [(here.provider(str(provider)).code, str(period))]
    else:
        events = [event for group in context["triggering_asset_events"].values() for event in group]
        run = context["dag_run"]
        if events and run.start_date is not None:
            # A run is given the events up to the first one that waited for it; one that came while Airflow made it starts none of its own (3.3.2).
            events += [*context["inlet_events"][ACCEPTED].after(run.run_after.isoformat()).before(run.start_date.isoformat())]
        wanted = sorted({(event.extra["provider"], event.extra["period"]) for event in events if event.extra})
        wanted = wanted or returns.unbuilt(here, ips_tasks.now())
    reasons = {month: returns.not_due(here, month, ips_tasks.now()) for _, month in wanted}
    for month, reason in reasons.items():
        if reason:
            logging.getLogger(__name__).info("No return of %s: %s", month, reason)
    found = [{"provider": code, "period": month} for code, month in wanted if reasons[month] is None]
    if not found:
        raise AirflowSkipException("; ".join(sorted({reason for reason in reasons.values() if reason})) or "No accepted month started this run")
    return found


@task(map_index_template=PROVIDER, multiple_outputs=True)
@guarded
def build(provider: str, period: str) -> dict[str, Any]:
    """Build the package of the accepted rows; its content is what people approve."""
    from ips_pipeline import returns

    returns.build_package(site(), provider, period, clock=ips_tasks.now)
    drafted = returns.draft(site(), provider, period, clock=ips_tasks.now)
    return {"provider": provider, "period": period, "package": drafted.package, "content": drafted.standing.content}


@task(map_index_template=PROVIDER, multiple_outputs=False)
@guarded
def hand_over(provider: str, period: str) -> dict[str, Any]:
    """Put the approved package into the outbox, for the person who uploads it."""
    from ips_pipeline import returns

    done = returns.hand_over(site(), provider, period, clock=ips_tasks.now)
    return {key: done[key] for key in ("provider", "period", "package", "content", "changed")}


@task_group
def one_return(provider: str, period: str) -> None:
    """One return. It fails, or is declined, alone."""
    built = build(provider=provider, period=period)
    content = built["content"]  # type: ignore[index]  # XComArg takes keys; its published type does not say so
    first, second = (
        SignOff(task_id=name, provider=provider, period=period, content=content, order=order, params=FORM, map_index_template=ASKED)
        for order, name in enumerate(("approve", "approve_again"), start=1)
    )
    built >> first >> second >> hand_over(provider=provider, period=period)


@dag(
    # Where months are run by hand alone, nothing starts by the clock.
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("30 6 * * *", timezone=LONDON.key), assets=[ACCEPTED]) if monthly() else [ACCEPTED],
    start_date=datetime(2025, 4, 1, tzinfo=LONDON),
    catchup=False,
    # A run waits for people, some of them for days; new months must not wait for it.
    max_active_runs=50,
    max_active_tasks=4,
    default_args=DEFAULT_ARGS,
    params={
        "provider": Param(
            None, type=["null", "string"], title="Provider", description="ODS code. Empty: the months whose acceptance started the run."
        ),
        "period": period_param("the months whose acceptance started the run"),
    },
    deadline=closing_alert(),
    tags=["ips", "mhsds", "return", "approval"],
    doc_md="""
### IPS: the return of a provider-month

Started by every accepted provider-month, and at 06:30 for those of which nothing was built. **build** makes the submission package, **approve**
waits for a person (Required Actions, or `ips signoff approve`), **approve_again** for a second one where the site asks for two, **hand_over** puts
the package into the outbox for whoever uploads it. What people see before they decide is counts, dates and the content's hash; each answer is
in the ledger.

**Skipped at `due`** - no window is open for the month, or the site has no outbox. Its log says which. Nothing is wrong.

**`approve` waits** - somebody has to decide: open the task, then Required Actions. It waits until the window closes; a missed deadline of
the run says that it is about to.

**`approve` asks again a minute after an answer** - the answer came in the very second in which the task went to wait, and Airflow took the task
for lost. Nothing was recorded; `ips signoff status` shows what was. Answer once more.

**`approve` skipped, and all after it** - the return was declined. Have it corrected at source and run the month again.

**A red `approve`, "… has changed since that draft …"** - the month was accepted anew while somebody looked at the old draft. Nothing is
approved. The newer run of this DAG asks for the new content; leave this one.

**A red `approve_again`, "… has approved … already"** - the second approval has to be another person's: clear this task, and let them answer.

**A red `build` or `hand_over`, "Usage error: …" or "Input error: …"** - the message says what stands in the way. Correct it, clear the task.

**By hand:** trigger with `provider` and `period`. Repeating is safe: an approved content is not asked about again, and handed over once.
""",
)
def ips_return() -> None:
    """Package, approve and hand over each return that is due."""
    one_return.expand_kwargs(due())


ips_return()
