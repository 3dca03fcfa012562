"""Commands of the people who run a site: doctor, mapping, purge, quarantine, completion. Parsed here, done by the modules of those names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ips_pipeline.cli_returns import AS_JSON, FILE, FOLDER, Month
from ips_pipeline.errors import InputError, IpsError, PublishError, RetryableError, UsageError

if TYPE_CHECKING:
    from ips_pipeline.quarantine import Held
    from ips_pipeline.sources.mapping_check import Check

_config = click.option("--config", type=FILE, required=True, help="The site's SITE.toml.")


def _month(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name one provider's month of a site."""
    command = click.option("--period", type=Month(), required=True, help="The reporting month.")(command)
    return _config(click.option("--provider", metavar="ODS", required=True, help="The provider.")(command))


#: As ``retention.ZONES``, which is not loaded for --help; a test compares them.
ZONES = ("landing", "findings", "accepted", "ips_records", "evidence", "package", "feedback", "quarantine", "drift", "changes", "tmp", "lineage")


@click.command("doctor")
@_config
@AS_JSON
def doctor(config: Path, as_json: bool) -> None:
    """Look a site over before a run does: settings, drivers, sources, permissions, disk, clock, reference files, calendar, Airflow.

    One line a check: ok, a warning, or a fault with the next step. Each source is opened read-only and timed; nothing is read from it
    and nothing is changed. Ends with 0 when there are only warnings, else with the exit code of the first fault.
    """
    from ips_pipeline.doctor import State, examine, exit_code

    found = examine(config)
    if as_json:
        click.echo(
            json.dumps([{"check": item.name, "state": item.state, "found": item.found, "exit_code": item.exit_code} for item in found], indent=1)
        )
    else:
        width = max(len(item.name) for item in found)
        for item in found:
            click.echo(f"{item.state:<7}  {item.name:<{width}}  {item.found}")
    if code := exit_code(found):
        faults = [item.name for item in found if item.state is State.FAULT]
        kind = next(kind for kind in (UsageError, InputError, PublishError, RetryableError, IpsError) if kind.exit_code == code)
        raise kind(f"{len(faults)} of {len(found)} checks found a fault: {', '.join(faults)}; each line says what to do")


@click.command("purge")
@_config
@click.option(
    "--zone",
    multiple=True,
    type=click.Choice(ZONES),
    metavar="ZONE",
    help=f"What to purge (may be repeated): {', '.join(ZONES)}.  [default: every zone under [retention]]",
)
@click.option(
    "--older-than", "days", type=click.IntRange(min=0), metavar="DAYS", help="Only what was made before that.  [default: as [retention] says]"
)
@click.option("--dry-run", is_flag=True, help="Only say what would go. That is the default.")
@click.option("--yes", is_flag=True, help="Delete it. Needs --why.")
@click.option("--why", metavar="TEXT", help="With --yes: the reason, kept in the ledger. No patient's details.")
@click.option("--by", metavar="WHO", help="With --yes: who asked for it.  [default: the account]")
@AS_JSON
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


@click.group("quarantine")
def quarantine() -> None:
    """The rows of a month that would not be loaded: how many and why, the rows themselves, and the month run again when they are mended."""


@quarantine.command("list")
@_config
@click.option("--provider", metavar="ODS", help="Only this provider.")
@click.option("--period", type=Month(), help="Only this month.")
@AS_JSON
def quarantine_list(config: Path, provider: str | None, period: str | None, as_json: bool) -> None:
    """Rejected rows of the months in force, by table and by code. A row may break several rules.

    Landings that were set aside because their source has changed are named too; they are looked at and taken with ips drift.
    """
    from ips_pipeline import quarantine, returns, settings

    site = settings.load(config)
    for aside in (item for item in returns.drifts(site, provider, period) if item.state == "set aside"):
        click.echo(
            f"{aside.provider} {aside.period}: a landing was set aside, {len(aside.findings)} changes at source; see: ips drift list", err=True
        )
    found = quarantine.counts(site, provider, period)
    if as_json:
        click.echo(json.dumps([_held(item) for item in found], indent=1))
        return
    for item in found:
        if item.code is None:
            click.echo(f"{item.provider:<6} {item.period}  {item.table:<32} {item.rows:>9,} rejected")
        else:
            click.echo(f"{'':<16} {item.code:<32} {item.rows:>9,} {item.level}")
    if not found:
        click.echo("No row is rejected")


def _held(item: Held) -> dict[str, object]:
    return {"provider": item.provider, "period": item.period, "table": item.table, "code": item.code, "level": item.level, "rows": item.rows}


@quarantine.command("export")
@_month
@AS_JSON
def quarantine_export(config: Path, provider: str, period: str, as_json: bool) -> None:
    """Write the rejected rows as CSV, one file a table, each row with its number and codes. They are patient data.

    They go to restricted/quarantine, readable by their owner only, and nowhere else; take them away again with: ips purge --zone quarantine
    """
    from ips_pipeline import quarantine, settings

    made = quarantine.export(settings.load(config), provider, period)
    if as_json:
        click.echo(json.dumps({"path": str(made.path), **made.manifest["facts"]}, indent=1))
        return
    for table, rows in made.manifest["facts"]["tables"].items():
        click.echo(f"{rows:>9,}  {table}.csv")
    click.echo(f"{made.manifest['facts']['rows']:,} rejected rows in {made.path} (patient data)")


@quarantine.command("replay")
@_month
@click.option("--why", metavar="TEXT", required=True, help="The reason, kept in the ledger. No patient's details.")
@click.option("--by", metavar="WHO", help="Who asked for it.  [default: the account]")
@AS_JSON
def quarantine_replay(config: Path, provider: str, period: str, why: str, by: str | None, as_json: bool) -> None:
    """Extract and validate the month again, when its rows were mended at source, and say what is rejected still.

    The measures follow with ips run, or by themselves in Airflow. An approval of the month ends when its rows change.
    """
    from ips_pipeline import quarantine, settings

    outcome, before, now = quarantine.replay(settings.load(config), provider, period, why, by=by)
    if as_json:
        click.echo(json.dumps({**outcome, "before": [_held(item) for item in before], "now": [_held(item) for item in now]}, indent=1))
        return
    was, left = (sum(item.rows for item in found if item.code is None) for found in (before, now))
    click.echo(f"{provider} {period}: {was:,} rows were rejected before, {left:,} are now, of {outcome['rows_submitted']:,}")
    for item in now:
        click.echo(f"  {item.table} {item.rows:,} rejected" if item.code is None else f"    {item.code:<12} {item.rows:>7,} {item.level}")


@click.group("drift")
def drift() -> None:
    """What has changed in the sources: columns, codes, empty values, volumes, against the provider's own earlier months."""


@drift.command("list")
@_config
@click.option("--provider", metavar="ODS", help="Only this provider.")
@click.option("--period", type=Month(), help="Only this month.")
@AS_JSON
def drift_list(config: Path, provider: str | None, period: str | None, as_json: bool) -> None:
    """Every change that the last extract of a month found, and whether the month was taken, set aside or stopped.

    What happens is set under [drift] in SITE.toml: freeze, quarantine or evolve, for all or per input and table. Codes are shown in the
    restricted file alone.
    """
    from ips_pipeline import returns, settings

    found = returns.drifts(settings.load(config), provider, period)
    if as_json:
        told = [
            {
                "provider": item.provider,
                "period": item.period,
                "state": item.state,
                "path": str(item.stage.path),
                "findings": [{name: getattr(one, name) for name in ("scope", "entity", "item", "change", "mode")} for one in item.findings],
            }
            for item in found
        ]
        click.echo(json.dumps(told, indent=1))
        return
    for item in found:
        click.echo(f"{item.provider:<6} {item.period}  {item.state:<10} {item.stage.path / 'findings.csv'}")
        for one in item.findings:
            change = "" if one.change == "new code" else f"  {one.was or '-'} -> {one.now or '-'}"
            click.echo(f"{'':<16} {one.change:<22} {one.entity}{'.' if one.item else ''}{one.item}{change}")
    if not found:
        click.echo("No source has changed")


@drift.command("accept")
@_month
@click.option("--why", metavar="TEXT", required=True, help="The reason, kept in the ledger. No patient's details.")
@click.option("--by", metavar="WHO", help="Who decided it.  [default: the account]")
@AS_JSON
def drift_accept(config: Path, provider: str, period: str, why: str, by: str | None, as_json: bool) -> None:
    """Take what has changed after all: a landing that was set aside comes into force, and the same changes stop this month no more.

    Of a month that was stopped nothing has landed, so run it again afterwards. An element that the standard requires cannot be let go.
    """
    from ips_pipeline import returns, settings

    done = returns.take_drift(settings.load(config), provider, period, why, by=by)
    if as_json:
        click.echo(json.dumps(done, indent=1))
        return
    landed = f"the landing {done['landing']} is in force; validate it with: ips run" if done["landing"] else "run the month again with: ips run"
    click.echo(f"{provider} {period}: {done['taken']} change{'' if done['taken'] == 1 else 's'} taken; {landed}")


#: As ``sources.madeup.shapes.NAMES``, which is not loaded for --help; a test compares them.
SHAPES = ("rio-like", "systmone-like", "carenotes-like", "mhsds-staging", "excel-workbook", "access-database")


@click.group("mapping")
def mapping() -> None:
    """A provider's mapping to the standard: worked examples of it, what it covers, and what in the source it misses."""


@mapping.command("example")
@click.argument("shape", type=click.Choice(SHAPES))
@click.option("--out", type=FOLDER, required=True, help="An empty folder for the site.")
def mapping_example(shape: str, out: Path) -> None:
    """Write a made-up trust in one of the shapes of examples/mappings, with the mapping that reads it: a site to try things on."""
    from ips_pipeline import worked_sites
    from ips_pipeline.sources.madeup import shapes

    file = shapes.write_site(worked_sites.root() / "mappings" / shape, out)
    first, last = shapes.periods()[0], shapes.periods()[-1]
    click.echo(f"{file}: one made-up trust, MUM, with months from {first} to {last}; its mapping is {file.parent / 'mapping' / 'mapping.yaml'}")


@mapping.command("check")
@_config
@click.option("--provider", metavar="ODS", required=True, help="The provider.")
@click.option("--period", type=Month(), help="The month to look at.  [default: the last whole month]")
@click.option("--offline", is_flag=True, help="Look at the mapping alone and open no source.")
@AS_JSON
def mapping_check(config: Path, provider: str, period: str | None, offline: bool, as_json: bool) -> None:
    """What a mapping covers, table by table, and what it makes of a month of its source. Nothing lands.

    Mandatory elements that are missing, elements mapped and constant, how many rows are empty, dates that do not parse, local codes without a
    national one, and columns of the source that nothing uses. Values are never shown, local codes only where most rows have a national one.
    Ends with another code than 0 only for what would stop the extract.
    """
    from dataclasses import asdict
    from datetime import date, timedelta

    from ips_pipeline import settings
    from ips_pipeline.sources import mapping_check as checks

    if offline and period is not None:
        raise UsageError("Give either --offline or --period")
    last = f"{date.today().replace(day=1) - timedelta(days=1):%Y-%m}"
    found = checks.check(settings.load(config), provider, None if offline else period or last)
    if as_json:
        told = {**asdict(found), "mapping": str(found.mapping), "stops": [str(stop) for stop in found.stops]}
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        _say_check(found)
    if (refused := checks.refusal(found)) is not None:
        raise refused


@mapping.command("draft")
@_config
@click.option("--source", metavar="NAME", required=True, help="The source of SITE.toml to look at.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="TABLE",
    help="Only this table, or file, file.xlsx#Sheet, file.accdb#table (may be repeated).  [default: all]",
)
@click.option("--out", type=FILE, help="Write it to this new file instead of printing it.")
def mapping_draft(config: Path, source: str, inputs: tuple[str, ...], out: Path | None) -> None:
    """Draft a mapping from the names of a source's columns and the look of their values, which it never holds.

    What is nearly sure is written out with the reason; what is likely, or missing and mandatory, stands as a comment. The draft can be read as
    it is. Which rows belong to a month, deleted and merged rows and local codes are left to those who know the system: see examples/mappings.
    """
    from ips_pipeline import settings
    from ips_pipeline.sources import mapping_draft as drafts

    if out is not None and out.exists():
        raise UsageError(f"{out} is there already; name a new file")
    made = drafts.draft(settings.load(config), source, inputs)
    sure = sum(guess.score >= drafts.SURE and guess.ready for guesses in made.guesses.values() for guess in guesses)
    if out is None:
        click.echo(made.text, nl=False)
        return
    out.write_text(made.text, encoding="utf-8")
    likely = sum(map(len, made.guesses.values())) - sure
    click.echo(f"{out}: {sure} elements of {len(made.guesses)} tables nearly sure, {likely} likely; finish it, then: ips mapping check")


def _say_check(found: Check) -> None:
    """Tables in order: what is missing first, then each element with what is odd about it."""
    for table in found.tables:
        rows = "" if table.rows is None else f", {table.rows:,} rows in {found.period}"
        click.echo(f"{table.table}: {len(table.elements)} of {len(table.elements) + len(table.coverage.missing)} elements mapped{rows}")
        if table.coverage.missing_mandatory:
            click.echo(f"  missing and mandatory: {', '.join(table.coverage.missing_mandatory)}")
        if left := [name for name in table.coverage.missing if name not in table.coverage.missing_mandatory]:
            click.echo(f"  not mapped: {', '.join(left)}")
        for item in table.elements:
            told = [] if item.empty is None or not table.rows else [f"{item.empty / table.rows:.1%} empty" if item.empty else "always there"]
            told += [f"{item.odd:,} not in the form of the standard"] if item.odd else []
            told += [", ".join(f"{form} {count:,}" for form, count in item.formats.items())] if item.formats else []
            if item.unmapped is not None and item.unmapped.codes:
                shown = ": " + ", ".join(f"{code} ({count})" for code, count in item.unmapped.shown) if item.unmapped.shown else ""
                told.append(
                    f"{item.unmapped.codes} local codes without a national one in {item.unmapped.rows:,} of {item.unmapped.total:,} rows{shown}"
                )
            click.echo(f"  {item.element:<32} {item.mandation}  {item.origin}{'; ' if told else ''}{'; '.join(told)}")
    for table_, element, code in found.odd_codes:
        click.echo(f"The mapping gives {table_}.{element} the code {code}, which the standard does not list")
    for key, columns in found.unused.items():
        click.echo(f"Nothing uses of the input {key}: {', '.join(columns)}")
    click.echo(f"Tables not mapped: {', '.join(found.missing_tables)}")
    for stop in found.stops:
        click.echo(f"Would stop the extract: {stop}")


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print what makes a shell complete the commands and options of ips.

    \b
    bash, in ~/.bashrc:                      eval "$(ips completion bash)"
    zsh, in ~/.zshrc:                        eval "$(ips completion zsh)"
    fish, in ~/.config/fish/completions:     ips completion fish > ips.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(click.get_current_context().find_root().command, {}, "ips", "_IPS_COMPLETE").source())


COMMANDS = (doctor, mapping, purge, quarantine, drift, completion)
