"""Commands about the life of a return: calendar, sign-off, hand-over, feedback, history, ledger. Parsed here, done by ``returns``."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ips_pipeline.errors import UsageError

if TYPE_CHECKING:
    from ips_pipeline.late import Late
    from ips_pipeline.settings import Site
    from ips_pipeline.store.ledger import Entry
    from ips_pipeline.submission.signoff import Standing


class Month(click.ParamType[str]):
    """A reporting month, yyyy-mm."""

    name = "yyyy-mm"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The month as it was written; a usage error for anything else."""
        from ips_pipeline.settings import PERIOD

        if not PERIOD.fullmatch(str(value)):
            self.fail("write the reporting month as yyyy-mm, such as 2026-08", param, ctx)
        return str(value)


FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)

_Command = Callable[..., None]


def _site(command: _Command) -> _Command:
    return click.option("--config", type=FILE, required=True, help="The site's SITE.toml.")(command)


def _return(command: _Command) -> _Command:
    """The options that name one return of a site."""
    command = click.option("--period", type=Month(), required=True, help="The reporting month.")(command)
    return _site(click.option("--provider", metavar="ODS", required=True, help="The provider.")(command))


AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def _load(config: Path) -> Site:
    from ips_pipeline import settings

    return settings.load(config)


@click.command("calendar")
@_site
@click.option("--from", "first", type=Month(), help="The first month to show.  [default: two months before the last]")
@click.option("--to", "last", type=Month(), help="The last month to show.  [default: the month before the day]")
@click.option("--on", "day", metavar="yyyy-mm-dd", help="As on this day.  [default: now]")
@AS_JSON
def calendar(config: Path, first: str | None, last: str | None, day: str | None, as_json: bool) -> None:
    """What is due, open, closing or late, per month and provider, and how far each return has come.

    National dates are shown where they are known; enter those of your years in a file named by calendar in SITE.toml (columns opens,
    closes, state, source). A month without a known window says so: dates are never guessed. Last come all months that are different at source since
    they were handed over.
    """
    from ips_pipeline import flows, late, returns
    from ips_pipeline.submission.calendar import standard_month

    site, moment = _load(config), returns.london(day)
    last = last or standard_month(moment.date(), -1)
    first = first or standard_month(date.fromisoformat(f"{last}-01"), -2)
    found = returns.due(site, flows.months_between(first, last), moment)
    marked = {(item.provider, item.period): item for item in late.marks(site)}
    if as_json:
        told = [
            {**_due(item), "late": _late(mark) if (mark := marked.get((item.provider, item.window.period))) is not None else None} for item in found
        ]
        click.echo(json.dumps(told, indent=1))
        return
    for item in found:
        window = item.window.window
        left = "" if item.window.days_left is None else f", {item.window.days_left} days left"
        dates = f"  {window.opens} to {window.closes}{' (provisional)' if window.provisional else ''}{left}" if window else ""
        click.echo(f"{item.window.period}  {item.provider:<6} {item.window.state.value:<16} {item.progress:<22}{dates}")
    for mark in marked.values():
        click.echo(f"{mark.provider}  {mark.words(site, moment)}; to send it again: ips run --replay --why TEXT")


def _late(mark: Late) -> dict[str, Any]:
    tables = {name: {"added": item.added, "changed": item.changed, "withdrawn": item.withdrawn} for name, item in mark.tables.items()}
    return {"landing": mark.landing, "at": mark.at, "tables": tables}


def _due(item: Any) -> dict[str, Any]:
    window = item.window.window
    return {
        "period": item.window.period,
        "provider": item.provider,
        "state": item.window.state.value,
        "progress": item.progress,
        "opens": window.opens.isoformat() if window else None,
        "closes": window.closes.isoformat() if window else None,
        "provisional": window.provisional if window else None,
        "days_left": item.window.days_left,
        "resubmission": item.window.resubmission,
    }


@click.group("signoff")
def signoff() -> None:
    """Approve a return, decline it, or take an approval back. Nothing is handed over without the approvals a site asks for.

    An approval is for the content of the return as it is and ends when anything of it changes. Who approves is the account that runs
    the command, or who answers in Airflow; the ledger keeps it.
    """


@signoff.command("status")
@_return
@AS_JSON
def signoff_status(config: Path, provider: str, period: str, as_json: bool) -> None:
    """Where the sign-off of a return stands, and the content to approve."""
    from ips_pipeline import returns

    site = _load(config)
    if not as_json:
        for line in returns.draft(site, provider, period).lines():
            click.echo(f"  {line}")
    _say_standing(returns.standing(site, provider, period), as_json)


def _decision(name: str, decision: str, words: str) -> None:
    @signoff.command(name, help=words)
    @_return
    @click.option("--as", "role", required=True, metavar="ROLE", help="In which role, one of those in [signoff] of SITE.toml.")
    @click.option("--content", metavar="ID", help="The content you looked at: refuse if the return has changed since.")
    @click.option("--comment", default="", help="Kept in the ledger. No patient's details.")
    @AS_JSON
    def decide(config: Path, provider: str, period: str, role: str, content: str | None, comment: str, as_json: bool) -> None:
        from ips_pipeline import returns

        now = returns.decide(_load(config), provider, period, decision, role=role, comment=comment, seen=content)  # type: ignore[arg-type]
        _say_standing(now, as_json)


_decision("approve", "approved", "Approve the return as it is now.")
_decision("decline", "declined", "Decline the return as it is now; earlier approvals of it end.")
_decision("withdraw", "withdrawn", "Take your own approval back.")


def _say_standing(now: Standing, as_json: bool) -> None:
    if as_json:
        approvals = [{"person": item.person, "role": item.role, "at": item.at} for item in now.approvals]
        held = {"provider": now.provider, "period": now.period, "content": now.content, "state": now.state.value, "needed": now.needed}
        click.echo(json.dumps({**held, "approvals": approvals, "expired": now.expired}, indent=1))
        return
    click.echo(f"{now.provider} {now.period}: {now.state.value} ({len(now.approvals)} of {now.needed}); content {now.content}")
    for item in now.approvals:
        click.echo(f"  approved by {item.person} as {item.role}, {item.at}")
    if now.expired:
        click.echo(f"  {now.expired} earlier approval{'s' if now.expired > 1 else ''} ended when the return changed")


@click.group("submission")
def submission() -> None:
    """The package of a return: what is uploaded at SDCS Cloud, and what the people who sign it off look at."""


@submission.command("build")
@click.argument("folder", required=False, type=FOLDER, metavar="[DIR]")
@click.option("--config", type=FILE, help="The site's SITE.toml: builds the month in force of a provider.")
@click.option("--period", type=Month(), help="The reporting month. With --config.")
@click.option("--provider", metavar="ODS", help="The provider. With --config.")
@click.option("--findings", type=FOLDER, metavar="OUT", help="What ips validate wrote about DIR.")
@click.option("--template", type=FILE, metavar="FILE.accdb", help="An empty intermediate database to fill a copy of; it is not changed.")
@click.option("--require-accdb", "require", is_flag=True, help="Fail (15) when no Access file can be written, instead of going without.")
@click.option("--out", type=FOLDER, help="With DIR: where the package goes. With --config: the data directory, instead of the one in SITE.toml.")
@AS_JSON
def submission_build(
    folder: Path | None,
    config: Path | None,
    period: str | None,
    provider: str | None,
    findings: Path | None,
    template: Path | None,
    require: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Build the submission package: all 61 tables as CSV and Parquet, a checklist, a manifest of hashes, and the Access file.

    Either of a site's provider and month (--config, --provider, --period) or of a folder DIR that was validated by itself (--findings, --out).
    Only rows that would be loaded go in. The Access file is a copy of --template with these rows: every table, column and type is
    kept, every cell is read back and compared. The official template comes from TRUD (item 479) under a licence; see also: ips submission
    template. Refused when the month was rejected as a file, when its input changed since, and when its last window has closed.
    """
    from ips_pipeline import returns

    if folder is not None and findings is not None and out is not None and config is None:
        built = returns.build_package_of_folder(folder, findings, out.resolve(), template=template, require_access=require)
    elif config is not None and period is not None and provider is not None and folder is None:
        if out is not None:
            os.environ["IPS_DATA"] = str(out.resolve())
        built = returns.build_package(_load(config), provider, period, template=template, require_access=require)
    else:
        raise UsageError("Give either --config with --provider and --period, or a folder DIR with --findings and --out")
    facts = built.facts
    if as_json:
        click.echo(json.dumps({"path": str(built.stage.path), "identity": built.stage.identity, "changed": built.stage.changed, **facts}, indent=1))
        return
    again = "" if built.stage.changed else " (as before)"
    click.echo(f"{facts['provider']} {facts['period']}: {facts['rows']:,} accepted rows in {built.stage.path}{again}")
    if made := facts.get("access"):
        click.echo(f"{made['file']}: {made['cells_compared']:,} cells read back and compared")
    elif built.without_access:
        click.echo(f"Without an Access file: {built.without_access}", err=True)
    click.echo(f"Next: {built.stage.path / 'CHECKLIST.md'}")


@submission.command("template")
@click.argument("target", type=FILE, metavar="OUT.accdb")
def submission_template(target: Path) -> None:
    """Write an empty intermediate database with the 61 tables, for trials. It is NOT the official template: do not upload it."""
    from ips_pipeline import returns

    returns.write_template(target)
    click.echo(f"{target} has the 61 tables of the standard. It is not the official template: use it for trials, never for an upload.")


@submission.command("handover")
@_return
@AS_JSON
def handover(config: Path, provider: str, period: str, as_json: bool) -> None:
    """Put an approved package into the outbox for whoever uploads it, and record it as submitted.

    Refused without the approvals, with a package that is not what was approved, and when no window is open for the month.
    """
    from ips_pipeline import returns

    done = returns.hand_over(_load(config), provider, period)
    if as_json:
        click.echo(json.dumps(done, indent=1))
        return
    again = "" if done["changed"] else " (already handed over)"
    click.echo(f"{provider} {period} is in {done['path']}{again}; upload it before the end of {done['closes']}")


@click.group("feedback")
def feedback_group() -> None:
    """What comes back: the portal's summary reports, the post-deadline extract, the monthly publication."""


@feedback_group.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_return
@click.option("--kind", type=click.Choice(["reports", "extract", "publication"]), required=True, help="What the file is.")
@AS_JSON
def feedback_import(file: Path, config: Path, provider: str, period: str, kind: str, as_json: bool) -> None:
    """Take in a file that came back: a zip of the four reports, an XML extract, or a publication CSV."""
    from ips_pipeline import returns

    held = returns.import_feedback(_load(config), provider, period, kind, file)  # type: ignore[arg-type]
    if as_json:
        click.echo(json.dumps(held, indent=1))
        return
    rows = ", ".join(f"{name} {count:,}" for name, count in held["rows"].items())
    click.echo(f"{provider} {period} {kind}: {rows}{'' if held['changed'] else ' (imported before)'}")
    if held["unknown"]:
        click.echo(f"Left out, as they are not in the extract's definitions: {', '.join(held['unknown'][:10])}", err=True)


@click.command("reconcile")
@_return
@click.option("--out", type=FOLDER, required=True, help="Where row-level files go. They hold patient data: use a restricted folder.")
@AS_JSON
def reconcile(config: Path, provider: str, period: str, out: Path, as_json: bool) -> None:
    """Compare what came back with our own verdict, rows and numbers: the same, only theirs, only ours, and why."""
    from ips_pipeline import returns

    lines = returns.reconcile_month(_load(config), provider, period, out)
    total: Counter[tuple[str, str]] = Counter()
    for line in lines:
        total[line.part, line.what] += line.count
    if as_json:
        click.echo(json.dumps([{"part": part, "class": what, "count": count} for (part, what), count in sorted(total.items())], indent=1))
        return
    for (part, what), count in sorted(total.items()):
        click.echo(f"{part:<10} {count:>10,}  {what}")
    click.echo(f"Line by line (patient data): {out}", err=True)


@click.command("history")
@_site
@click.option("--period", type=Month(), required=True, help="The reporting month.")
@click.option("--provider", metavar="ODS", help="A provider's versions of the month; the releases of the month otherwise.")
@AS_JSON
def history(config: Path, period: str, provider: str | None, as_json: bool) -> None:
    """The versions of a month that are kept: which is in force, what each was made of, and what the ledger says of it."""
    from ips_pipeline import late, returns
    from ips_pipeline.store import ledger

    site = _load(config)
    versions = returns.history(site, provider, period) if provider else returns.releases(site, period)
    mark = late.mark(site, provider, period) if provider else None
    if as_json:
        items = [
            {
                "stage": item.stage,
                "identity": item.identity,
                "in_force": item.in_force,
                "inputs": dict(item.inputs),
                "ledger": [_recorded(entry) for entry in item.recorded],
            }
            for item in versions
        ]
        if mark is not None:
            items.append({"stage": "late", "identity": mark.landing, "in_force": False, "inputs": _late(mark), "ledger": []})
        click.echo(json.dumps(items, indent=1, default=str))
        return
    for item in versions:
        said = "; ".join(_said(entry) for entry in item.recorded)
        click.echo(f"{item.stage:<9} {item.identity}  {'in force' if item.in_force else '        '}  {said}")
        for name, identity in item.inputs.get("accepted", {}).items() if item.stage == "release" else ():
            click.echo(f"            used {name} {identity}")
    if mark is not None:
        click.echo(f"late      {mark.landing}            {mark.words(site, ledger.utc_now())}")


def _said(entry: Entry) -> str:
    why = f" ({entry.facts['why']})" if "why" in entry.facts else ""
    return f"{entry.kind} {entry.at} by {entry.actor}{why}"


def _recorded(entry: Entry) -> dict[str, Any]:
    return {"at": entry.at, "kind": entry.kind, "actor": entry.actor, **({"why": entry.facts["why"]} if "why" in entry.facts else {})}


@click.command("landing")
@_return
@click.option("--as-of", "moment", metavar="yyyy-mm-ddThh:mm", help="Which was in force at this moment, by London's clock.  [default: now]")
@AS_JSON
def landing(config: Path, provider: str, period: str, moment: str | None, as_json: bool) -> None:
    """Where the landing of a month lies that was in force at a moment, since when, and its rows by table; nothing is fetched.

    A day stands for its end. To go on from it: ips run --as-of … --replay --why TEXT
    """
    from ips_pipeline import returns
    from ips_pipeline.store import ledger

    at = returns.as_of(moment) if moment else ledger.utc_now()
    stage, since = returns.landing_at(_load(config), provider, period, at)
    facts = stage.manifest["facts"]
    if as_json:
        told = {"provider": provider, "period": period, "landing": stage.identity, "path": str(stage.path), "in_force_since": since.at}
        click.echo(json.dumps({**told, "extracted": facts["as_of"], "rows": facts["rows"], "tables": facts["tables"]}, indent=1))
        return
    click.echo(
        f"{provider} {period}: {stage.identity}, extracted {facts['as_of']}, in force since {since.at}; {facts['rows']:,} rows in {stage.path}"
    )
    for table, rows in facts["tables"].items():
        click.echo(f"{rows:>9,}  {table}")


@click.command("rollback")
@_site
@click.option("--period", type=Month(), required=True, help="The reporting month.")
@click.option("--to", "identity", required=True, metavar="ID", help="The release to put in force again, as ips history names it.")
@click.option("--why", required=True, help="Kept in the ledger.")
def rollback(config: Path, period: str, identity: str, why: str) -> None:
    """Put an earlier release of a month in force again, in one step for its readers; also where copies of releases go."""
    from ips_pipeline import flows, returns

    site = _load(config)
    done = returns.roll_back(site, period, identity, why)
    before = f"; it was {done['was']}" if done["changed"] else " already"
    click.echo(f"The release of {period} is {done['release']}{before}")
    if site.publish.copy_to:
        click.echo(f"So it is at {flows.copy_release(site, period)['to']}")


@click.group("ledger")
def ledger_group() -> None:
    """The sealed record of what was done with a site's data, by whom and when."""


@ledger_group.command("verify")
@_site
def ledger_verify(config: Path) -> None:
    """Say whether the ledger is whole: any line altered, removed, inserted, moved or cut off is named."""
    from ips_pipeline import returns
    from ips_pipeline.errors import InputError
    from ips_pipeline.store import ledger

    site = _load(config)
    faults = returns.verify_ledger(site)
    for fault in faults:
        click.echo(fault)
    if faults:
        raise InputError(f"The ledger in {site.ledger} is not whole: {faults[0]}; compare it with a copy before you go on")
    click.echo(f"The ledger is whole: {sum(1 for _ in ledger.entries(site.ledger)):,} lines, seal {ledger.anchor(site.ledger) or 'none'}")


@ledger_group.command("show")
@_site
@click.option("--provider", metavar="ODS", help="Only lines about this provider.")
@click.option("--period", type=Month(), help="Only lines about this month.")
@click.option("--kind", help="Only lines of this kind, such as approved.")
@AS_JSON
def ledger_show(config: Path, provider: str | None, period: str | None, kind: str | None, as_json: bool) -> None:
    """Print the lines of the ledger, the oldest first."""
    from ips_pipeline.store import ledger

    for entry in ledger.entries(_load(config).ledger):
        if (provider and entry.provider != provider) or (period and entry.period != period) or (kind and entry.kind != kind):
            continue
        held = {"number": entry.number, "at": entry.at, "kind": entry.kind, "actor": entry.actor, "provider": entry.provider, "period": entry.period}
        if as_json:
            click.echo(json.dumps({**held, "facts": entry.facts, "seal": entry.seal}))
            continue
        where = " ".join(filter(None, (entry.provider, entry.period)))
        click.echo(f"{entry.number:>6} {entry.at} {entry.kind:<11} {where:<16} {entry.actor}  {json.dumps(entry.facts)}")


COMMANDS = (calendar, submission, signoff, feedback_group, reconcile, history, landing, rollback, ledger_group)
