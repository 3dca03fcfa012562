"""Commands of the people who run a site: doctor, purge, quarantine, completion. Parsed here, done by the modules of those names."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ips_pipeline.cli_returns import FILE
from ips_pipeline.errors import InputError, IpsError, PublishError, RetryableError, UsageError

_config = click.option("--config", type=FILE, required=True, help="The site's SITE.toml.")
#: As ``retention.ZONES``, which is not loaded for --help; a test compares them.
ZONES = ("landing", "findings", "accepted", "ips_records", "evidence", "package", "feedback", "quarantine", "tmp", "lineage")

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


@click.command("doctor")
@_config
@_as_json
def doctor(config: Path, as_json: bool) -> None:
    """Look a site over before a run does: settings, drivers, sources, permissions, disk, clock, reference files, calendar, Airflow.

    One line a check: ok, a warning, or a fault with the next step. Each source is opened read-only and timed; nothing is read from it
    and nothing is changed. Ends with 0 when there are only warnings, else with the exit code of the first fault.
    """
    from ips_pipeline.doctor import State, examine, worst

    found = examine(config)
    if as_json:
        click.echo(
            json.dumps([{"check": item.name, "state": item.state, "found": item.found, "exit_code": item.exit_code} for item in found], indent=1)
        )
    else:
        width = max(len(item.name) for item in found)
        for item in found:
            click.echo(f"{item.state:<7}  {item.name:<{width}}  {item.found}")
    if code := worst(found):
        faults = [item.name for item in found if item.state is State.FAULT]
        kind = next(kind for kind in (UsageError, InputError, PublishError, RetryableError, IpsError) if kind.exit_code == code)
        raise kind(f"{len(faults)} of {len(found)} checks found a fault: {', '.join(faults)}; each line says what to do")


@click.command("purge")
@_config
@click.option("--zone", multiple=True, type=click.Choice(ZONES), help="What to purge (may be repeated).  [default: every zone under [retention]]")
@click.option(
    "--older-than", "days", type=click.IntRange(min=0), metavar="DAYS", help="Only what was made before that.  [default: as [retention] says]"
)
@click.option("--dry-run", is_flag=True, help="Only say what would go. That is the default.")
@click.option("--yes", is_flag=True, help="Delete it. Needs --why.")
@click.option("--why", metavar="TEXT", help="With --yes: the reason, kept in the ledger. No patient's details.")
@click.option("--by", metavar="WHO", help="With --yes: who asked for it.  [default: the account]")
@_as_json
def purge(config: Path, zone: tuple[str, ...], days: int | None, dry_run: bool, yes: bool, why: str | None, by: str | None, as_json: bool) -> None:
    """Delete superseded versions, leftovers of killed runs and old lineage, by the rules under [retention] or older than so many days.

    Whatever is in force stays, and what a release in force, an approval or a hand-over rests on, with all it was made of; so do the
    ledger and the releases. The ledger records what went, who asked for it and why. An earlier release can still be put in force again when
    its evidence is gone, but not be explained.
    """
    from ips_pipeline import retention, settings

    if dry_run and yes:
        raise UsageError("Give either --dry-run or --yes")
    if yes != (why is not None) or (by is not None and not yes):
        raise UsageError("To delete needs both --yes and --why TEXT; --by goes with them")
    site = settings.load(config)
    zones = zone or tuple(name for name in ZONES if getattr(site.retention, name) is not None)
    if not zones:
        raise UsageError(f"{site.file} has nothing under [retention]; name a --zone and say --older-than DAYS")
    plans = [retention.plan(site, name, retention.rule(site, name, days)) for name in dict.fromkeys(zones)]
    gone = [retention.purge(site, planned, why, by=by) if why is not None else None for planned in plans]
    if as_json:
        told = [
            {
                "zone": planned.zone,
                "rule": planned.rule,
                "going": [{"path": str(item.path), "made": item.made.isoformat(timespec="seconds"), "bytes": item.size} for item in planned.going],
                "bytes": planned.size,
                "staying": dict(planned.staying),
                "deleted": deleted,
            }
            for planned, deleted in zip(plans, gone, strict=True)
        ]
        click.echo(json.dumps(told, indent=1))
        return
    for planned, deleted in zip(plans, gone, strict=True):
        did = f"{len(planned.going):,} would go" if deleted is None else f"{deleted:,} deleted"
        click.echo(f"{planned.zone}, {planned.rule}: {did}, {planned.size / 1_000_000:,.1f} MB")
        for item in planned.going if deleted is None else ():
            click.echo(f"  {item.made:%Y-%m-%d}  {item.path.relative_to(site.data) if item.path.is_relative_to(site.data) else item.path}")
        for reason, count in sorted(planned.staying.items()):
            if count:
                click.echo(f"  {count:,} stay: {reason}")
    if not yes:
        click.echo("Nothing was deleted; to do it: --yes --why TEXT", err=True)


COMMANDS = (doctor, purge)
