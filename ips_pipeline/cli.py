"""The command line: parse, call a flow, render. Errors are one line on standard error and an exit code per class."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ips_pipeline import __version__, cli_operations, cli_returns
from ips_pipeline.cli_returns import AS_JSON, FOLDER, Month
from ips_pipeline.errors import InputError, IpsError, SubmissionRejected, UsageError
from ips_pipeline.screen import Screen

if TYPE_CHECKING:
    from ips_pipeline.flows import Summary
    from ips_pipeline.settings import Site


class _UploadTime(click.ParamType[str]):
    name = "yyyy-mm-ddThh:mm:ss"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return datetime.strptime(str(value), "%Y-%m-%dT%H:%M:%S").isoformat()
        except ValueError:
            self.fail("write the upload time as yyyy-mm-ddThh:mm:ss", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="ips")
def ips() -> None:
    """Individual Placement and Support: validate the MHSDS return, compute access and outcomes, publish.

    Exit codes: 0 success; 2 wrong usage or settings; 11 a source or input cannot be read; 13 a submission is rejected as a file;
    15 publishing failed; 20 a fault that may pass, worth trying again.
    """


@ips.command()
@click.option("--out", type=FOLDER, default=Path("demo-output"), show_default=True, help="Where the made-up site and its releases go.")
@click.option("--airflow", is_flag=True, help="Let Airflow run the DAGs (embedded, no server) instead of calling the stages directly.")
@click.option("--year", is_flag=True, help="Instead: a year of one trust's returns, with approvals, resubmissions and what comes back.")
def demo(out: Path, airflow: bool, year: bool) -> None:
    """Run the whole pipeline on made-up trusts: extract, validate, measure, publish. No configuration, no server."""
    if year and airflow:
        raise UsageError("Give either --airflow or --year")
    if year:
        _year(out / "year")
        return
    from ips_pipeline import flows

    if airflow:
        _beside_the_dags()
    screen = Screen(sys.stdout)
    screen.now("Making up trusts and their systems")
    site, months = flows.make_up_site(out.resolve())
    screen.say(f"{len(site.providers)} made-up trusts over {len(months)} months, in {_shown(site.file.parent)}")
    if airflow:
        # The history is a first load, judged in one go; the last month is run as every month will be, by Airflow.
        *history, last = months
        screen.say(f"First load of {history[0]} to {history[-1]}")
        _say_outcomes(screen, flows.run(site, history[-1], since=history[0], progress=screen.now))
        screen.say(f"\n{last} by Airflow: ips_provider_month, then ips_national_rollup")
        _by_airflow(site.file, last)
    else:
        _say_outcomes(screen, flows.run(site, months[-1], since=months[0], progress=screen.now))
    _say_release(screen, site, months[-1])


def _year(folder: Path) -> None:
    """Let a made-up trust's year pass in a folder, and tell it from the ledger."""
    from ips_pipeline import flows, year

    screen = Screen(sys.stdout)
    told = year.run(year.load(), folder.resolve(), screen.now)
    screen.say(f"The year of {told.site.providers[0].name}, from its ledger\n")
    for line in year.lines(told.entries):
        screen.say(line)
    screen.say(
        f"\n{told.compared} as sent again, compared with what came back. Planted: a line is missing from the portal's reports,\n"
        "and the publication was made of what was sent first."
    )
    for (part, what), count in told.reconciled.items():
        screen.say(f"  {part:<10} {count:>8,}  {what}")
    screen.say(f"\nThe ledger is {'whole' if not told.faults else 'NOT whole: ' + told.faults[0]}: {len(told.entries)} lines")
    if told.without_access:
        screen.say(f"The packages have no Access file: {told.without_access}")
    last = flows.release(told.site, max(entry.period for entry in told.entries if entry.period)).path
    screen.say(f"The last release, to open: {_shown(last)}/index.html; one a month beside it")
    screen.say(f"The returns as handed over (restricted): {_shown(told.site.outbox or told.site.data)}")


@ips.command()
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The site's SITE.toml.")
@click.option("--period", type=Month(), required=True, help="The reporting month.")
@click.option("--provider", multiple=True, metavar="ODS", help="Only this provider (may be repeated); all of the site otherwise.")
@click.option("--since", type=Month(), help="Also extract and validate every month from this one on.")
@click.option("--full", is_flag=True, help="Fetch everything, also of inputs of which only changes are fetched otherwise.")
@click.option(
    "--as-of", "moment", metavar="yyyy-mm-ddThh:mm", help="Fetch nothing: put the landings in force again that were then. Needs --replay and --why."
)
@click.option("--out", type=FOLDER, help="The data directory, instead of the one in SITE.toml.")
@click.option("--replay", is_flag=True, help="Run a month again that was approved, handed over or can no longer be submitted. Needs --why.")
@click.option("--why", metavar="TEXT", help="With --replay: the reason, kept in the ledger. No patient's details.")
@click.option("--by", metavar="WHO", help="With --replay: who asked for it.  [default: the account]")
def run(
    config: Path,
    period: str,
    provider: tuple[str, ...],
    since: str | None,
    full: bool,
    moment: str | None,
    out: Path | None,
    replay: bool,
    why: str | None,
    by: str | None,
) -> None:
    """Run a real site for a month: the same stages that the Airflow DAGs run."""
    from ips_pipeline import flows, returns, settings

    if out is not None:
        os.environ["IPS_DATA"] = str(out.resolve())
    if replay != (why is not None) or (by is not None and not replay):
        raise UsageError("A replay needs both --replay and --why TEXT; --by goes with them")
    if moment is not None and (full or not replay):
        raise UsageError("--as-of goes with --replay and --why TEXT, and fetches nothing, so not with --full")
    site = settings.load(config)
    from ips_pipeline import late
    from ips_pipeline.store import ledger

    screen = Screen(sys.stdout)
    summary = flows.run(
        site, period, provider or None, since=since, full=full, as_of=returns.as_of(moment) if moment else None, why=why, by=by, progress=screen.now
    )
    _say_outcomes(screen, summary)
    for marked in late.marks(site):
        screen.say(f"{marked.provider}  {marked.words(site, ledger.utc_now())}")
    _say_release(screen, site, period)
    if summary.rejected:
        raise SubmissionRejected(summary.rejected[0]["message"])
    if summary.stopped:
        raise InputError(summary.stopped[0]["message"])


@ips.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR [DIR …]")
@click.option("--reference", type=FOLDER, required=True, help="The reference folder; a list it lacks switches off the rules that need it.")
@click.option("--out", type=FOLDER, required=True, help="Where the reports go; one folder per DIR when there are several.")
@click.option("--provider", metavar="ODS", help="Who is logged in to the portal.  [default: the header's provider]")
@click.option("--submitter", metavar="ODS", help="Who sends the file.  [default: the provider]")
@click.option("--period", type=Month(), help="The period chosen at upload.  [default: the header's]")
@click.option("--uploaded", type=_UploadTime(), help="The upload time.  [default: now]")
@click.option("--edition", type=click.Choice(["published", "etos-6.0"]), default="published", show_default=True, help="Whose severities judge.")
@click.option("--gate", is_flag=True, help="Also run the Great Expectations suites and record their verdict.")
@click.option("--history", type=FOLDER, metavar="ROOT", help="Earlier months as <provider>/<yyyy-mm>, for the checks that compare months.")
@click.option("--local", type=FOLDER, metavar="DIR", help="The trust's own checks, as YAML files.  [default: expectations/local]")
@click.option(
    "--previous",
    multiple=True,
    type=FOLDER,
    metavar="OUT",
    help="What --out was at an earlier check (may be repeated): the last upload to compare with, or an earlier month."
    "  [default: what is in OUT already]",
)
@click.option(
    "--worklist/--no-worklist", default=None, help="Write worklist.xlsx, a sheet of work per team.  [default: for one DIR; not for several]"
)
def validate(
    folders: tuple[Path, ...],
    reference: Path,
    out: Path,
    provider: str | None,
    submitter: str | None,
    period: str | None,
    uploaded: str | None,
    edition: str,
    gate: bool,
    history: Path | None,
    local: Path | None,
    previous: tuple[Path, ...],
    worklist: bool | None,
) -> None:
    """Give the portal's verdict on submission folders, or Access files (.accdb), before the portal sees them."""
    from ips_pipeline import flows

    login = flows.login(provider, submitter, period, uploaded or datetime.now().isoformat(timespec="seconds"))
    verdicts = flows.validate_folders(
        folders,
        reference,
        out,
        login,
        edition=edition,
        gate=gate,
        history=history,
        local=local,
        previous=previous,
        worklist=worklist,
        notice=lambda told: click.echo(told, err=True),
    )
    rejected = [verdict for verdict in verdicts if verdict.file_codes]
    for verdict in verdicts if len(verdicts) <= 20 else rejected[:20]:
        state = f"rejected as a file ({', '.join(verdict.file_codes)})" if verdict.file_codes else "accepted"
        left = verdict.rows_submitted - verdict.rows_rejected
        click.echo(
            f"{verdict.folder}: {state}; {left:,} of {verdict.rows_submitted:,} rows would be loaded; {verdict.findings:,} findings"
            f" and {verdict.checks:,} beyond the portal"
        )
    if len(verdicts) > 1:
        click.echo(f"{len(verdicts):,} submissions, {len(rejected):,} rejected as a file; reports in {out}")
    if rejected:
        codes = ", ".join(rejected[0].file_codes)
        raise SubmissionRejected(f"{rejected[0].folder} would be rejected as a file ({codes}); see {rejected[0].out / 'findings.csv'}")


@ips.group(invoke_without_command=True)
@click.option("--submissions", type=FOLDER, help="Root of <provider>/<yyyy-mm> folders, each taken as accepted.")
@click.option("--reference", type=FOLDER, help="The reference folder; what lacks a file in it is reported as not evaluated.")
@click.option("--period", type=Month(), help="The reporting month; its window is the twelve months ending with it.")
@click.option(
    "--status",
    default="Performance",
    show_default=True,
    type=click.Choice(["Provisional", "Performance", "Final", "Adhoc"]),
    help="What the month's data are, for the names of the publication files.",
)
@click.option("--out", type=FOLDER, help="Where the measures go.")
@click.option("--evidence", type=FOLDER, help="Also keep the evidence here, for ips explain and ips diff; it names patients' records.")
@click.option("--ips-records", type=click.Path(path_type=Path), help="Local IPS records: a folder or a workbook, or one of them per provider.")
@click.pass_context
def measures(
    context: click.Context,
    submissions: Path | None,
    reference: Path | None,
    period: str | None,
    status: str,
    out: Path | None,
    evidence: Path | None,
    ips_records: Path | None,
) -> None:
    """Compute every measure over all providers and months under a folder; or list the measures, or show one.

    To compute, --submissions, --reference, --period and --out are needed.
    """
    if context.invoked_subcommand is not None:
        return
    from ips_pipeline import flows

    if submissions is None or reference is None or period is None or out is None:
        given = {"submissions": submissions, "reference": reference, "period": period, "out": out}
        lacking = next(option for option in context.command.params if option.name in given and given[option.name] is None)
        raise click.MissingParameter(ctx=context, param=lacking)
    facts = flows.measure_folders(submissions, reference, period, status, out, evidence=evidence, ips_records=ips_records)
    click.echo(f"{facts['submissions']:,} submissions up to {period}: MHS116 for England is {facts['mhs116']:,}; files in {out}")
    for provider, held in facts.get("ips_records", {}).items():
        _say_records(provider, held)
    lacking_files = Counter(name for item in facts["not_evaluated"] for name in item["needs"])
    if lacking_files:
        click.echo(f"Not evaluated for want of reference files: {', '.join(sorted(lacking_files))}", err=True)
    if not facts["residence_tested"]:
        click.echo("Nobody is left out for living outside England: that test needs postcodes.csv", err=True)


@measures.command("list")
@AS_JSON
def measures_list(as_json: bool) -> None:
    """Every measure, one a line: id, kind, title, family."""
    from ips_pipeline.measures import handbook

    if as_json:
        _say_json([dict(zip(("id", "kind", "title", "family"), row, strict=True)) for row in handbook.catalogue()])
        return
    for measure_id, kind, title, family in handbook.catalogue():
        click.echo(f"{measure_id:<36} {kind:<10} {title}  [{family}]")


@measures.command("show")
@click.argument("measure_id", metavar="ID")
@AS_JSON
def measures_show(measure_id: str, as_json: bool) -> None:
    """One measure in plain words: definition, source, caveats, breakdowns, the elements it reads and the rules that endanger it."""
    from ips_pipeline.measures import handbook

    if as_json:
        _say_json(handbook.described(measure_id))
    else:
        click.echo(handbook.page(measure_id))


@ips.command()
@click.argument("measure", required=False)
@click.option("--referral", metavar="ID", help="Instead of a measure: which measures this ServiceRequestID touches. Needs --provider.")
@click.option("--provider", metavar="ODS", help="Only what this provider recorded.")
@click.option("--period", type=Month(), required=True, help="The reporting month of the release.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="The site's SITE.toml: explains the release in force.")
@click.option("--evidence", type=FOLDER, help="Instead of a site: a folder that ips measures --evidence wrote.")
@click.option("--breakdown", metavar="NAME", help="Only what has a level of this breakdown, such as Gender.")
@click.option("--level", metavar="LEVEL", help="Only this level of the breakdown.")
@click.option("--near-only", "only", flag_value="near", help="Only what did not count.")
@click.option("--counted-only", "only", flag_value="counted", help="Only what counted.")
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="How many rows to print.")
@click.option("--json", "as_json", is_flag=True, help="Print all rows as JSON.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write all rows to this .csv, .json or .parquet, owner-only.")
def explain(
    measure: str | None,
    referral: str | None,
    provider: str | None,
    period: str,
    config: Path | None,
    evidence: Path | None,
    breakdown: str | None,
    level: str | None,
    only: str | None,
    limit: int,
    as_json: bool,
    out: Path | None,
) -> None:
    """Say what counted in a measure and what nearly did, and why; or which measures a referral touches. For the restricted zone only."""
    from ips_pipeline import flows, settings
    from ips_pipeline.measures import explain as tracing

    if (measure is None) == (referral is None):
        raise UsageError("Give either a measure, such as MHS116, or a referral with --referral and --provider")
    if (config is None) == (evidence is None):
        raise UsageError("Give either --config SITE.toml or --evidence DIR")
    if level is not None and breakdown is None:
        raise UsageError("A level belongs to a breakdown; add --breakdown, such as --breakdown Gender")
    if referral is not None and provider is None:
        raise UsageError("A referral id means something only at its provider; add --provider ODS")
    held = evidence if evidence is not None else flows.evidence_in_force(settings.load(config or Path()), period)
    if measure is not None:
        found = flows.explain_measure(held, period, measure, provider=provider, breakdown=breakdown, level=level)
    else:
        found = flows.explain_referral(held, period, provider or "", referral or "")
    found = tracing.only(found, only)
    click.echo("This output holds patient identifiers: keep it in the restricted zone", err=True)
    if out is not None:
        tracing.write(found, out)
        click.echo(f"{found.rows.num_rows:,} rows in {out}")
    elif as_json:
        click.echo(tracing.as_json(found), nl=False)
    else:
        for line in tracing.lines(found, limit, by_measure=measure is None):
            click.echo(line)


@ips.command()
@click.argument("was")
@click.argument("now")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="The site's SITE.toml, to name releases by month or identity.")
@click.option(
    "--measure",
    "wanted",
    multiple=True,
    metavar="ID",
    help="Compare the records of this measure (may be repeated).  [default: all but the dashboard's]",
)
@click.option("--out", type=FOLDER, help="Where the rows go: values, records with their reasons (restricted), and a summary without identifiers.")
def diff(was: str, now: str, config: Path | None, wanted: tuple[str, ...], out: Path | None) -> None:
    """Compare two releases: WAS and NOW are folders with evidence, months of the site, or identities. For the restricted zone only."""
    from ips_pipeline import flows, settings

    found = flows.compare_releases(settings.load(config) if config else None, was, now, out, wanted)
    for note in found["made_from"]:
        click.echo(note)
    for line in found["summary"]:
        click.echo(f"{line['measure_id']}, {line['months']} months: {line['units']:,} {line['change']} ({line['difference']:+,}): {line['cause']}")
    differing = Counter(found["values"]["measure_id"].to_pylist())
    click.echo(
        f"{found['values'].num_rows:,} values of {len(differing)} measures differ" + (f"; rows in {out}" if out else "; see them with --out DIR")
    )
    if out is not None:
        click.echo("unit_change names patients' records: keep it in the restricted zone", err=True)


@ips.command("explain-reject")
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.argument("table")
@click.argument("row", type=click.IntRange(min=1))
@click.option("--reference", type=FOLDER, required=True, help="The reference folder that the submission was validated with.")
@click.option("--provider", metavar="ODS", help="Who is logged in to the portal.  [default: the header's provider]")
@click.option("--period", type=Month(), help="The period chosen at upload.  [default: the header's]")
@click.option("--edition", type=click.Choice(["published", "etos-6.0"]), default="published", show_default=True, help="Whose severities judge.")
def explain_reject(folder: Path, table: str, row: int, reference: Path, provider: str | None, period: str | None, edition: str) -> None:
    """Say why a row would not be loaded: the path from it to the fault it starts from, in row numbers and codes."""
    from ips_pipeline import flows

    login = flows.login(provider, None, period, datetime.now().isoformat(timespec="seconds"))
    for line in flows.explain_reject(folder, reference, table, row, login, edition=edition):
        click.echo(line)


@ips.group()
def publish() -> None:
    """What becomes of a release after it is in force here."""


@publish.command("copy")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The site's SITE.toml.")
@click.option("--period", type=Month(), required=True, help="The reporting month of the release.")
def publish_copy(config: Path, period: str) -> None:
    """Copy the release in force to where copy_to under [publish] says, such as an S3 bucket.

    ips run does so by itself; this is for after a lost connection or a rollback. What is there already is not sent again, CURRENT is
    moved last, and nothing is ever deleted.
    """
    from ips_pipeline import flows, settings

    copied = flows.copy_release(settings.load(config), period)
    state = "is in force there now" if copied["changed"] else "was in force there already"
    click.echo(f"{copied['to']}/{period}: {copied['objects_sent']:,} of {copied['objects']:,} objects sent; {copied['release']} {state}")


@ips.group()
def examples() -> None:
    """Worked sites on made-up data: a borough trust, a county service, a trial, an integrated care system, a country."""


@examples.command("list")
@click.option("--names", is_flag=True, help="Only the names.")
@AS_JSON
def examples_list(names: bool, as_json: bool) -> None:
    """Every example and the question it answers."""
    from ips_pipeline import worked_sites

    if as_json:
        _say_json([{"name": name, "question": worked_sites.load(name).question} for name in worked_sites.names()])
        return
    for name in worked_sites.names():
        click.echo(name if names else f"{name:<24} {worked_sites.load(name).question}")


@examples.command("run")
@click.argument("name")
@click.option("--out", type=FOLDER, help="Where its site and releases go.  [default: demo-output/examples/NAME]")
@click.option("--readme", type=click.Choice(["check", "write"]), help="Compare the figures with those in its README.md, or write them there.")
def examples_run(name: str, out: Path | None, readme: str | None) -> None:
    """Run an example from its systems to its releases, and show its figures. Exact figures may be shown because the people are made up."""
    from ips_pipeline import worked_sites

    worked = worked_sites.load(name)
    screen = Screen(sys.stdout)
    outcome = worked_sites.run(worked, (out or Path("demo-output") / "examples" / name).resolve(), screen.now)
    screen.say(f"{worked.question}\n\n{worked_sites.table(outcome.lines)}\n")
    for rejection in outcome.rejected:
        screen.say(rejection["message"])
    for period in worked.periods:
        screen.say(f"The release, to open: {_shown(outcome.site.releases(period))}/{outcome.releases[period]}/index.html")
    if readme == "write":
        worked_sites.rewrite(worked, outcome.lines)
    elif readme == "check" and worked_sites.shown(worked) != worked_sites.table(outcome.lines):
        raise UsageError(f"{worked.folder / 'README.md'} shows other figures than the run gave; renew them with --readme write")


@ips.group()
def records() -> None:
    """Local IPS records: what a service keeps beside the MHSDS (episodes, jobs, employer contacts, staff, funding)."""


@records.command("validate")
@click.argument("source", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--out", type=FOLDER, required=True, help="Where the reports go; one folder per provider when DIR has several.")
@click.option("--submissions", type=FOLDER, help="Root of <provider>/<yyyy-mm> folders, to check that referrals named in the records exist there.")
def records_validate(source: Path, out: Path, submissions: Path | None) -> None:
    """Check local IPS records by their rules (IPSR-nnn) and say which rows would not count.

    DIR is a folder with ips_episode.csv, ips_job.csv, …, an Excel workbook (.xlsx) with a sheet per table or a caseload sheet, or a folder
    of those named by provider. OUT gets report.html, findings.csv and rejected_rows.csv (row numbers as in the sheet), summary.csv (what
    failed, in words) and the rows that count, so it belongs in the restricted zone.
    """
    from ips_pipeline import flows

    for provider, facts in flows.validate_records(source, out, submissions).items():
        _say_records(provider, facts)
    click.echo(f"Reports in {out}")


@records.command("template")
@click.argument("path", type=click.Path(path_type=Path), metavar="FILE.xlsx")
def records_template(path: Path) -> None:
    """Write an empty workbook for local IPS records: a sheet per table, with lists to choose from and notes on what each column means."""
    from ips_pipeline.sources.records_template import write_template

    click.echo(f"Written: {write_template(path)}. Fill in the Caseload sheet at least, then: ips records validate {path} --out DIR")


def _say_records(provider: str, facts: dict[str, Any]) -> None:
    """How many local records count, and what was not understood."""
    count = facts["rows_given"] - facts["rows_rejected"]
    name = f"{provider}: " if provider else ""
    click.echo(f"{name}{count:,} of {facts['rows_given']:,} local IPS records count; {facts['findings']:,} findings")
    for place, headings in facts["unread"].items():
        click.echo(f"{name}not read: {place}{': columns ' + ', '.join(headings) if headings else ''}")


@ips.group()
def rules() -> None:
    """The rule book: every official code of MHSDS v6, checks beyond the portal (IPS-nnn, LOCAL-nnn), rules of local IPS records (IPSR-nnn)."""


@rules.command("show")
@click.argument("code")
@click.option("--local", type=FOLDER, metavar="DIR", help="The trust's own checks, as YAML files.  [default: expectations/local]")
@AS_JSON
def rules_show(code: str, local: Path | None, as_json: bool) -> None:
    """One rule in plain words: where, how severe, how to fix it at source, what it endangers, good and bad values."""
    from ips_pipeline.quality import local_checks, rulebook

    if as_json:
        _say_json(rulebook.described(code, local_checks.read(local)))
    else:
        click.echo(rulebook.page(code, local_checks.read(local)))


@rules.command("list")
@click.option("--local", type=FOLDER, metavar="DIR", help="The trust's own checks, as YAML files.  [default: expectations/local]")
@AS_JSON
def rules_list(local: Path | None, as_json: bool) -> None:
    """Every code, one a line: code, table, element, level, what it asks for; the official ones come first, the trust's own last."""
    from ips_pipeline.quality import local_checks, rulebook

    every = (*rulebook.catalogue(), *rulebook.records_catalogue(), *rulebook.checks_catalogue(local_checks.read(local)))
    if as_json:
        _say_json([dict(zip(("code", "table", "element", "level", "sentence"), row, strict=True)) for row in every])
        return
    for code, table, element, level, sentence in every:
        click.echo(f"{code:<11} {table} {element}  {level}  {sentence}")


@rules.command("coverage")
@AS_JSON
def rules_coverage(as_json: bool) -> None:
    """What is done about every code: evaluated, derived, not evaluated (and what is missing), or not applicable."""
    from ips_pipeline.quality import rulebook

    if as_json:
        _say_json([asdict(item) for item in rulebook.coverage()])
        return
    for item in rulebook.coverage():
        click.echo(f"{item.code:<11} {item.status}{': ' + item.note if item.note else ''}")
    for state, count in Counter(item.status for item in rulebook.coverage()).items():
        click.echo(f"{count:>6,} {state}")


@ips.group()
def reference() -> None:
    """The reference folder: places, practices, populations, deprivation, from the public downloads."""


@reference.command("import")
@click.argument("downloads", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE [FILE …]")
@click.option("--into", type=FOLDER, required=True, help="The reference folder; made where it does not exist.")
@click.option("--kind", metavar="KIND", help="What the file is, where it is not recognised: a name from ips reference layouts.")
@click.option("--edition", help="What to record as its edition; of a workbook of several years also the one to take, such as Mid-2022.")
@click.option("--valid-from", type=click.DateTime(["%Y-%m-%d"]), metavar="yyyy-mm-dd", help="The day it is valid from.")
@click.option("--valid-to", type=click.DateTime(["%Y-%m-%d"]), metavar="yyyy-mm-dd", help="The last day it is valid.")
@click.option("--organisations", is_flag=True, help="Also feed organisations.csv. Rules then reject every organisation that is not in it.")
def reference_import_command(
    downloads: tuple[Path, ...],
    into: Path,
    kind: str | None,
    edition: str | None,
    valid_from: datetime | None,
    valid_to: datetime | None,
    organisations: bool,
) -> None:
    """Import downloads as published (CSV, .xlsx, or a zip file of one): all of them, or none when one is wrong.

    What each file was, its edition, rows and SHA-256 are kept in imported.json and stated by every release.
    """
    from ips_pipeline.sources import reference_import

    days = [day.date() if day else None for day in (valid_from, valid_to)]
    for done in reference_import.load(downloads, into, kind=kind, edition=edition, valid_from=days[0], valid_to=days[1], organisations=organisations):
        written = ", ".join(f"{count:,} rows in {name}" for name, count in done.rows.items())
        click.echo(f"{done.title}, {done.edition}: {written}")
        for note in done.notes:
            click.echo(f"  {note}")


@reference.command("show")
@click.argument("folder", type=FOLDER, metavar="REFERENCE")
@AS_JSON
def reference_show(folder: Path, as_json: bool) -> None:
    """What a reference folder holds, from which download and edition, valid when, and whether it was changed since."""
    from ips_pipeline.sources import reference_import

    if as_json:
        _say_json([{"file": item.file, "state": item.state, "sources": list(item.sources)} for item in reference_import.standing(folder)])
        return
    for item in reference_import.standing(folder):
        click.echo(f"{item.file:<30} {item.state}")
        for source in item.sources:
            valid = f", valid {source['valid_from'] or '…'} to {source['valid_to'] or '…'}" if source["valid_from"] or source["valid_to"] else ""
            click.echo(f"  {source['files'][item.file]:>10,} rows  {source['title']}, {source['edition']}{valid}")


@reference.command("layouts")
@AS_JSON
def reference_layouts(as_json: bool) -> None:
    """The downloads that can be imported, where they are, and the day their layout was compared."""
    from ips_pipeline.sources import reference_import

    if as_json:
        _say_json([dict(zip(("kind", "title", "source", "compared"), map(str, row), strict=True)) for row in reference_import.layouts()])
        return
    for kind, title, source, verified in reference_import.layouts():
        click.echo(f"{kind:<18} {title}\n{'':<18} {source}; compared {verified}")


for _command in (*cli_returns.COMMANDS, *cli_operations.COMMANDS):
    ips.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: run a command, answer every failure in one line, and exit with its code."""
    os.umask(0o077)
    code = _answer(arguments)
    # Great Expectations leaves DuckDB objects alive, and DuckDB's binding reports each on standard error while the interpreter winds
    # down: forty lines that mean nothing to anybody. Everything is closed and written by now, so there is nothing to wind down.
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)


def _answer(arguments: Sequence[str] | None) -> int:  # noqa: PLR0911 - one return per way to end
    """Run a command and give its exit code."""
    try:
        ips.main(args=arguments, prog_name="ips", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except click.exceptions.Exit as finished:
        return finished.exit_code
    except click.ClickException as wrong:
        wrong.show()
        return UsageError.exit_code
    except IpsError as failure:
        _complain(str(failure))
        return failure.exit_code
    except BrokenPipeError:
        return 0
    except SystemExit as left:
        # click leaves by itself when it has answered a shell that completes, and when the reader of a pipe has gone, which is no fault.
        return int(left.code or 0) if "_IPS_COMPLETE" in os.environ else 0
    except Exception as surprise:  # noqa: BLE001 - the last guard: an unknown exception's text may quote a patient's value
        place = traceback.extract_tb(surprise.__traceback__)[-1]
        _complain(
            f"The pipeline failed unexpectedly: {type(surprise).__name__} at {Path(place.filename).name}:{place.lineno}. "
            "Nothing was put in force; report this place in the code"
        )
        return IpsError.exit_code
    return 0


def _say_outcomes(screen: Screen, summary: Summary) -> None:
    """One line per provider over all its months, and one per submission that was rejected as a file."""
    from ips_pipeline import flows

    for provider in dict.fromkeys(outcome["provider"] for outcome in summary.outcomes):
        own = [outcome for outcome in summary.outcomes if outcome["provider"] == provider]
        submitted, refused = (sum(outcome[key] for outcome in own) for key in ("rows_submitted", "rows_rejected"))
        months = "1 month" if len(own) == 1 else f"{len(own)} months"
        same = "" if any(outcome["changed"] for outcome in own) else "; nothing has changed since the last run"
        screen.say(f"{provider}  {months} accepted: {submitted - refused:,} of {submitted:,} rows{same}")
    for taken in summary.records:
        count = taken["rows_given"] - taken["rows_rejected"]
        screen.say(f"{taken['provider']}  {count:,} of {taken['rows_given']:,} local IPS records count")
    for code in dict.fromkeys(landed["provider"] for landed in summary.drift):
        found = [landed["drift"] for landed in summary.drift if landed["provider"] == code]
        told = ", ".join(f"{change} {count}" for change, count in sorted(sum(map(Counter, found), Counter[str]()).items()))
        screen.say(f"{code}  the source has changed in {len(found)} month{'s' if len(found) > 1 else ''} and was taken: {told}; see: ips drift list")
    for landed in summary.different:
        for line in flows.remarks({**landed, "drift": {}}):
            screen.say(line)
    for refusal in (*summary.rejected, *summary.stopped):
        screen.say(refusal["message"])


def _say_release(screen: Screen, site: Site, period: str) -> None:
    """MHS116 as released, over everything and per provider, and where the files are."""
    from ips_pipeline import flows

    local = site.options.disclosure == "local"
    how = "* is hidden, the rest to the nearest 5" if local else "as published: * is below 5, the rest to the nearest 5"
    screen.say(f"\nMHS116, referrals that accessed IPS in the 12 months to {period} ({how})")
    for _, name, value in flows.published(site, period, "England"):
        screen.say(f"  {value:>8}  {'all submissions' if local else f'{name} (exact)'}")
    for code, name, value in flows.published(site, period, "Provider"):
        screen.say(f"  {value:>8}  {code} {name}")
    screen.say(f"\nThe release, to open: {_shown(flows.release(site, period).path)}/index.html")
    screen.say(f"What to correct, per provider and month (restricted): {_shown(site.restricted / 'findings')}")
    if any(provider.ips_records is not None for provider in site.providers):
        screen.say(f"The same of their local IPS records (restricted): {_shown(site.restricted / 'ips_records')}")


def _shown(path: Path) -> Path:
    """A path relative to where the person is, when it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _say_json(held: object) -> None:
    click.echo(json.dumps(held, indent=1, ensure_ascii=False))


def _complain(message: str) -> None:
    print("ips: " + " ".join(message.split()), file=sys.stderr)


def _beside_the_dags() -> Path:
    """The checkout; UsageError where the package is installed without one, as from a wheel."""
    home = Path(__file__).resolve().parents[1]
    if not (home / "dags" / "local.py").is_file():
        raise UsageError("The DAGs are not installed beside the package; leave --airflow out, or run from a checkout of the project")
    return home


def _by_airflow(site: Path, month: str) -> None:
    """Run the DAGs for a month in a process of their own: Airflow is imported only by the code in dags/."""
    home = _beside_the_dags()
    command = [sys.executable, "-m", "dags.local", "--site", str(site), "--from", month, "--to", month]
    finished = subprocess.run(command, cwd=home, check=False)
    if finished.returncode:
        raise IpsError(f"Airflow could not run the demonstration (exit code {finished.returncode}); see the lines above")
