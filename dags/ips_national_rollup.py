"""The published figures over all providers, whenever a provider's month has been accepted."""

from __future__ import annotations

from typing import Any

from airflow.sdk import PartitionedAssetTimetable, dag, get_current_context, task

from dags.ips_tasks import ACCEPTED_MONTH, DEFAULT_ARGS, guarded, period_param, site


@task
@guarded
def periods() -> list[str]:
    """The months to publish: the one asked for or, where a provider's month was accepted, that month and the later ones that count it too.

    An empty list, which skips ``measure``, where all of them are published as they stand. Raises UsageError when no month is given either way.
    """
    context = get_current_context()
    if asked := context["params"].get("period"):
        return [str(asked)]
    from ips_pipeline import flows
    from ips_pipeline.errors import UsageError

    accepted = context["dag_run"].partition_key
    if accepted is None:
        raise UsageError("No month is given and no accepted provider-month started this run; trigger it with the parameter period, such as 2026-08")
    return flows.to_release(site(), [accepted])


# One at a time: each month reads twelve months of every provider and may use all the memory it is allowed.
@task(map_index_template="{{ task.op_kwargs['period'] }}", multiple_outputs=False, max_active_tis_per_dag=1)
@guarded
def measure(period: str) -> dict[str, Any]:
    """Compute every measure over all providers and put the month's release in force."""
    from ips_pipeline import flows

    return flows.measure(site(), period)


@dag(
    # A run for each event of a month, in that month's partition. What a run reads is what is in force when its turn comes, so those of a month that
    # wait behind it may find its release made; they skip it.
    schedule=PartitionedAssetTimetable(assets=ACCEPTED_MONTH),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    params={"period": period_param("the month whose acceptance started the run, its partition")},
    tags=["ips", "mhsds", "national", "release"],
    doc_md="""
### IPS: figures over all providers

Started by every accepted provider-month (asset `ips_accepted_month`), in the partition of its reporting month. It computes MHS116 and the other
measures of that month over the accepted months of **all** providers, and puts one release in force under `releases/<month>/`.
The releases of later months that are in force are made again as well, since they count that month too.
The release before stays in force until the new one is complete. Where `[publish]` of SITE.toml has `copy_to`, the release is then
copied there, with what names it in force last: whoever reads the copy sees the old release or the new one.

**A skipped `measure`** - the run before had read this month already, or nothing in it has changed. Nothing is wrong.

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
