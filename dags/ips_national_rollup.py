"""The published figures over all providers, whenever a provider's month has been accepted."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, get_current_context, task

from dags.ips_tasks import ACCEPTED, DEFAULT_ARGS, guarded, period_param, site


@task(inlets=[ACCEPTED])
@guarded
def periods() -> list[str]:
    """The months to publish: the one asked for, else what the events touch that started the run or came after. UsageError when there is none."""
    context = get_current_context()
    if asked := context["params"].get("period"):
        return [str(asked)]
    months = {event.extra["period"] for events in context["triggering_asset_events"].values() for event in events}
    if months:
        # A run is given the events up to the first one that waited for it. Those that came while that one waited for the run before would be left
        # until another month is accepted (Airflow 3.3.2).
        later = context["inlet_events"][ACCEPTED].after(context["dag_run"].run_after.isoformat())
        months |= {str(event.extra["period"]) for event in later if event.extra}
    else:
        from ips_pipeline.errors import UsageError

        raise UsageError("No month is given and no accepted provider-month started this run; trigger it with the parameter period, such as 2026-08")
    from ips_pipeline import flows

    return flows.to_release(site(), months)


# One at a time: each month reads twelve months of every provider and may use all the memory it is allowed.
@task(map_index_template="{{ task.op_kwargs['period'] }}", multiple_outputs=False, max_active_tis_per_dag=1)
@guarded
def measure(period: str) -> dict[str, Any]:
    """Compute every measure over all providers and put the month's release in force."""
    from ips_pipeline import flows

    return flows.measure(site(), period)


@dag(
    schedule=[ACCEPTED],
    catchup=False,
    # While a run is active further events wait, and the next run takes them together: a month in which twenty providers are
    # accepted within minutes is not published twenty times.
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    params={"period": period_param("the months whose acceptance started the run")},
    tags=["ips", "mhsds", "national", "release"],
    doc_md="""
### IPS: figures over all providers

Started by every accepted provider-month (asset `ips_accepted_provider_month`). For each month in those events it computes
MHS116 and the other measures over the accepted months of **all** providers, and puts one release per month in force under `releases/<month>/`.
Where an earlier month was accepted anew, the releases of later months that are in force are made again as well, since they count it too.
The release before stays in force until the new one is complete. Where `[publish]` of SITE.toml has `copy_to`, the release is then
copied there, with what names it in force last: whoever reads the copy sees the old release or the new one.

**A red `measure`, "Input error: …"** - something the figures need is missing or damaged: the message names it. Correct it, clear the task.

**A red `measure`, "Publish error: …"** - the figures were computed but the release could not be written: disk space or permissions.
With a `copy_to` in the message the release is in force here and only the copy is not: see to the target, its credentials or the network, then
clear the task, or run `ips publish copy --config SITE.toml --period yyyy-mm`. What was sent already is not sent again.

**"Unexpected …"** - a fault of the software, whose text is withheld since it may hold patient data. Run
`ips run --config SITE.toml --period yyyy-mm` on the server.

**A provider is missing from the figures** - its month was rejected or not extracted: see `ips_provider_month`. When it is accepted, this
DAG runs again by itself.

**By hand:** trigger with the parameter `period`. Repeating is safe: unchanged inputs give the release that is already there.
""",
)
def ips_national_rollup() -> None:
    """Publish each month that has news."""
    measure.expand(period=periods())


ips_national_rollup()
