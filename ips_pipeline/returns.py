"""The life of a return after it was validated: when it is due, who approves it, its hand-over, what comes back, and its history.

Stands beside ``flows`` and is called like it, by the DAGs and the command line alone. Everything done here is recorded in the ledger.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ips_pipeline.errors import InputError, PublishError, SubmissionRejected, UsageError
from ips_pipeline.settings import Site
from ips_pipeline.sources import drift
from ips_pipeline.store import ledger, stages
from ips_pipeline.submission import access, calendar, feedback, package, reconcile, signoff
from ips_pipeline.submission.calendar import LONDON, Standing

Clock = Callable[[], datetime]

FeedbackKind = Literal["reports", "extract", "publication"]
_READERS: Mapping[str, Callable[[Path, Path], feedback.Imported]] = {
    "reports": feedback.read_reports,
    "extract": feedback.read_extract,
    "publication": feedback.read_publication,
}


@dataclass(frozen=True, slots=True)
class Due:
    """One provider's month: where it stands in the calendar, and how far its return has come."""

    provider: str
    window: Standing
    progress: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a stage of a month: its identity, whether it is in force, what it was made from, and what the ledger says of it."""

    stage: str
    identity: str
    in_force: bool
    inputs: Mapping[str, Any]
    recorded: tuple[ledger.Entry, ...]


def due(site: Site, periods: Sequence[str], moment: datetime) -> list[Due]:
    """Where the months stand for every provider of the site, in order of month and provider."""
    windows = calendar.load(site.calendar)
    entries = list(ledger.entries(site.ledger))
    return [
        Due(provider.code, windows.standing(period, moment, closing_days=site.closing_days), _progress(site, provider.code, period, entries))
        for period in periods
        for provider in site.providers
    ]


def closing(site: Site, moment: datetime) -> list[Due]:
    """What is to be done before the windows that are about to close: returns that were not handed over, by window, month and provider.

    A window counts within the site's ``closing_days`` of its end. Missing is the month it is for, and an earlier month of its year of which a
    package was built: one that missed its own window, or was sent once and has changed since.
    """
    return _left(site, moment, site.closing_days)


def unbuilt(site: Site, moment: datetime) -> list[tuple[str, str]]:
    """Providers and months that are missing (see ``closing``) in a window that is open, were accepted, and have no package of what is in force."""
    return [(item.provider, item.window.period) for item in _left(site, moment, None) if item.progress == _UNBUILT]


def _left(site: Site, moment: datetime, days: int | None) -> list[Due]:
    """What is missing in the windows that are open, those alone that end within so many ``days`` where any are given."""
    windows = calendar.load(site.calendar)
    entries = list(ledger.entries(site.ledger))
    begun = {(entry.provider, entry.period) for entry in entries if entry.kind == "packaged"}
    found: list[Due] = []
    for window in windows.windows:
        if not window.is_open(moment) or (days is not None and (window.closes - moment.astimezone(LONDON).date()).days > days):
            continue
        earlier = {period for _, period in begun if period is not None and window.accepts(period)}
        found += [
            Due(provider.code, windows.standing(period, moment, closing_days=site.closing_days), progress)
            for period in sorted(earlier | {window.last_month})
            for provider in site.providers
            if (progress := _progress(site, provider.code, period, entries)) != signoff.State.SUBMITTED.value
            and (period == window.last_month or (provider.code, period) in begun)
        ]
    return found


def closing_from(site: Site, moment: datetime) -> datetime | None:
    """When the window that is open at a moment begins to count as closing: ``closing_days`` before its last; None when none is known."""
    window = next((window for window in calendar.load(site.calendar).windows if window.is_open(moment)), None)
    return window.closes_at() - timedelta(days=site.closing_days) if window else None


def window_is_known(site: Site, moment: datetime) -> bool:
    """Whether the calendar has a window that is open at a moment; without one nothing can be warned of."""
    return any(window.is_open(moment) for window in calendar.load(site.calendar).windows)


def warning(left: Sequence[Due]) -> str:
    """What to tell people of returns that would miss their window: providers, months, progress and dates."""
    closes = sorted({item.window.window.closes for item in left if item.window.window})
    days = min(item.window.days_left or 0 for item in left)
    when = " and ".join(f"{day:%-d %B %Y}" for day in closes)
    named = "; ".join(f"{item.provider} {item.window.period} {item.progress}" for item in left)
    what = "1 return is" if len(left) == 1 else f"{len(left)} returns are"
    return f"{what} not handed over and the window closes at the end of {when} (days left: {days}): {named}"


def not_due(site: Site, period: str, moment: datetime) -> str | None:
    """Why no return of a month can be handed over at a moment, in one sentence; None when a window is open for it and there is an outbox."""
    if site.outbox is None:
        return f'{site.file} names no outbox; add the folder to hand returns over in, such as outbox = "outbox"'
    windows = calendar.load(site.calendar)
    return None if windows.open_window(period, moment) else f"for {period} there is {_no_window(windows.standing(period, moment))}"


def closes_at(site: Site, period: str, moment: datetime) -> datetime | None:
    """When the window that is open for a month closes; None when there is none."""
    window = calendar.load(site.calendar).open_window(period, moment)
    return window.closes_at() if window else None


def check_replay(site: Site, provider: str, period: str, why: str | None, *, clock: Clock = ledger.utc_now) -> None:
    """Refuse to run a settled month again without a reason: UsageError when it was approved or handed over, or its last window has closed.

    A month that was never accepted, and one that is still a draft, may be run as often as its people need.
    """
    if why is not None and not why.strip():
        raise UsageError(f"Say why {provider} {period} is replayed; the reason is kept in the ledger")
    if why is None and (settled := _settled(site, provider, period, clock())):
        raise UsageError(f"{provider} {period} {settled}; to run it again all the same, say why with: --replay --why TEXT")


def record_replay(site: Site, landed: stages.Stage, was: str | None, why: str, provider: str, period: str, *, by: str | None = None) -> None:
    """Note in the ledger that a month was run again: who, why, what landed before and what has landed now."""
    facts = {"why": why.strip(), "landing": landed.identity, "was": was, "changed": landed.changed}
    ledger.append(site.ledger, "replayed", facts, provider=provider, period=period, by=by)


#: The lines of the ledger that say what became of the last extract of a month.
_EXTRACTED = ("landed", "stopped", "set aside", "taken")


def record_refusal(site: Site, kept: stages.Stage, landing: str | None, provider: str, period: str) -> None:
    """Note in the ledger that a month was not taken because its source has changed, once for the same findings."""
    facts = {"drift": kept.identity, "landing": landing, "changes": kept.manifest["facts"]["changes"]}
    last = refused(site, provider, period)
    if last is None or last.facts["drift"] != kept.identity:
        ledger.append(site.ledger, "set aside" if landing else "stopped", facts, provider=provider, period=period)


def refused(site: Site, provider: str, period: str) -> ledger.Entry | None:
    """The line of the ledger that says that the last extract of a month was not taken; None when it was, or there was none."""
    last = next((entry for entry in reversed(ledger.about(site.ledger, provider, period)) if entry.kind in _EXTRACTED), None)
    return last if last is not None and last.kind in ("stopped", "set aside") else None


@dataclass(frozen=True, slots=True)
class Drift:
    """What has changed in the source of a month: ``state`` is taken, set aside or stopped."""

    provider: str
    period: str
    state: str
    stage: stages.Stage
    findings: tuple[drift.Finding, ...]


def drifts(site: Site, provider: str | None = None, period: str | None = None) -> list[Drift]:
    """What has changed in the sources of the months, by the last extract of each, in order of provider and month; only where something has."""
    found = []
    for code in [site.provider(provider).code] if provider else [item.code for item in site.providers]:
        home = site.restricted / "drift" / code
        for month in [period] if period else sorted(path.name for path in home.iterdir()) if home.is_dir() else []:
            refusal, shelf = refused(site, code, month), site.drift_shelf(code, month)
            stage = stages.opened(shelf, refusal.facts["drift"]) if refusal else stages.current(shelf)
            if stage is not None and (seen := drift.findings(stage)):
                found.append(Drift(code, month, refusal.kind if refusal else "taken", stage, tuple(seen)))
    return found


def take_drift(site: Site, provider: str, period: str, why: str, *, by: str | None = None) -> dict[str, Any]:
    """Take what has changed in the source of a month after all: a landing that was set aside comes into force, one that was stopped can be
    extracted again, and the same changes stop this month no more.

    Returns provider, period, landing (None when there is one still to be extracted) and taken (how many changes). Raises UsageError without a
    reason, when nothing is stopped or set aside, and for an element that the standard requires; InputError when the landing was altered.
    """
    if not why.strip():
        raise UsageError("Say why it is taken; the reason is kept in the ledger")
    refusal = refused(site, site.provider(provider).code, period)
    if refusal is None:
        raise UsageError(f"Nothing of {provider} {period} is stopped or set aside; see: ips drift list")
    stage = stages.opened(site.drift_shelf(provider, period), refusal.facts["drift"])
    if stage.manifest["facts"]["stopped"]:
        raise UsageError(f"{provider} {period} lost an element that the standard requires, which cannot be taken; mend the source or the mapping")
    landing: str | None = refusal.facts["landing"]
    if landing:
        stages.verify(stages.opened(site.landing(provider, period), landing))
    keys = stage.manifest["facts"]["keys"]
    ledger.append(site.ledger, "taken", {"drift": stage.identity, "keys": keys, "why": why.strip()}, provider=provider, period=period, by=by)
    if landing:
        stages.put_in_force(site.drift_shelf(provider, period), stage.identity)
        stages.put_in_force(site.landing(provider, period), landing)
        ledger.append(site.ledger, "landed", {"landing": landing}, provider=provider, period=period)
    return {"provider": provider, "period": period, "landing": landing, "taken": len(keys)}


def _settled(site: Site, provider: str, period: str, moment: datetime) -> str | None:
    """Why a month is settled, as the end of a sentence; None when it is not."""
    entries = ledger.about(site.ledger, provider, period)
    if any(entry.kind == "submitted" for entry in entries):
        return "has been handed over"
    if any(entry.kind == "approved" for entry in entries) and _progress(site, provider, period, entries) in _APPROVED:
        return "has been approved"
    if stages.current(site.accepted(provider, period)) is None:
        return None
    if calendar.load(site.calendar).standing(period, moment).state is calendar.State.CLOSED:
        return "was accepted, and the last window for it has closed"
    return None


_APPROVED = (signoff.State.WAITING.value, signoff.State.APPROVED.value)


@dataclass(frozen=True, slots=True)
class Draft:
    """A return as it is put before those who answer for it: references, counts and dates, no value of a patient."""

    standing: signoff.Standing
    window: Standing
    package: str
    rows_submitted: int
    rows_rejected: int
    findings: int
    checks: int
    rows_before: int | None
    access: bool

    def lines(self) -> list[str]:
        """What a person reads before they decide, one fact a line."""
        now, held = self.standing, self.window.window
        closes = f"{held.closes:%-d %B %Y}, in {self.window.days_left} days" if held else "not known"
        before = "" if self.rows_before is None else f"; {self.rows_before:,} in the month before"
        return [
            f"Return: {now.provider}, {now.period}{', a resubmission' if self.window.resubmission else ''}",
            f"Content: {now.content} (package {self.package}, {'with' if self.access else 'without'} an Access file)",
            f"Rows: {self.rows_submitted - self.rows_rejected:,} would be loaded of {self.rows_submitted:,}, {self.rows_rejected:,} rejected{before}",
            f"Findings: {self.findings:,} of the portal's rules, {self.checks:,} beyond them",
            f"Window closes: {closes}",
            f"Approvals: {len(now.approvals)} of {now.needed}" + "".join(f"; {approval.person} as {approval.role}" for approval in now.approvals),
        ]


def draft(site: Site, provider: str, period: str, *, clock: Clock = ledger.utc_now) -> Draft:
    """The return in force as it is put before those who answer for it; raises as ``standing``."""
    findings, _, package = _in_force(site, provider, period)
    before = stages.current(site.accepted(provider, _shift(period, -1)))
    facts = findings.manifest["facts"]
    return Draft(
        standing(site, provider, period),
        calendar.load(site.calendar).standing(period, clock(), closing_days=site.closing_days),
        package.identity,
        facts.get("rows_submitted", 0),
        facts.get("rows_rejected", 0),
        facts.get("findings", 0),
        facts.get("checks", 0),
        before.manifest["facts"].get("rows") if before else None,
        "access" in package.manifest["facts"],
    )


def may_decide(site: Site, now: signoff.Standing) -> list[str]:
    """The accounts that may give the next approval; empty when the site does not name who holds its roles."""
    if set(site.signoff.holders) != set(site.signoff.roles):
        return []
    held = {person for people in site.signoff.holders.values() for person in people}
    return sorted(held - {approval.person for approval in now.approvals})


def standing(site: Site, provider: str, period: str) -> signoff.Standing:
    """Where the sign-off of a return stands; InputError when no package of the month is in force, or it was not made of what is in force."""
    findings, accepted, package = _in_force(site, provider, period)
    content = signoff.content_of(findings.identity, accepted.identity, package.identity)
    return signoff.standing(ledger.entries(site.ledger), site.provider(provider).code, period, content, people=site.signoff.people)


def decide(
    site: Site,
    provider: str,
    period: str,
    decision: Literal["approved", "declined", "withdrawn"],
    *,
    role: str,
    comment: str = "",
    seen: str | None = None,
    by: str | None = None,
    clock: Clock = ledger.utc_now,
) -> signoff.Standing:
    """Record a person's decision about the return as it is now and give where it stands then; UsageError when it may not be taken."""
    now = standing(site, provider, period)
    asked = site.signoff
    signoff.decide(site.ledger, decision, now, role=role, roles=asked.roles, holders=asked.holders, comment=comment, seen=seen, by=by, clock=clock)
    return standing(site, provider, period)


@dataclass(frozen=True, slots=True)
class Built:
    """A package: its stage, its facts, and what stood in the way of an Access file, if anything did."""

    stage: stages.Stage
    facts: Mapping[str, Any]
    without_access: str | None


def build_package(
    site: Site,
    provider: str,
    period: str,
    *,
    template: Path | None = None,
    require_access: bool = False,
    clock: Clock = ledger.utc_now,
) -> Built:
    """Build the submission package of a month's accepted rows and put it in force; the same rows again change nothing.

    Raises SubmissionRejected when the month was rejected as a file, InputError when what it was judged by, or is made of, is no longer
    what it was, UsageError when the last window for the month has closed, and PublishError when an Access file is required and cannot be.
    """
    about = site.provider(provider)
    findings = _current(site.findings(provider, period), f"{provider} {period} has not been validated; run the month first")
    if codes := findings.manifest["facts"]["file_codes"]:
        raise SubmissionRejected(f"{provider} {period} would be rejected as a file ({', '.join(codes)}); correct the records and run the month again")
    accepted = _current(site.accepted(provider, period), f"No accepted rows of {provider} {period} are in force; run the month first")
    landed = _current(site.landing(provider, period), f"Nothing has landed for {provider} {period}; run the month first")
    if not _accepted_by(accepted, findings) or accepted.manifest["inputs"]["landing"] != landed.identity:
        raise InputError(f"The input of {provider} {period} has changed since its rows were accepted; run the month again")
    for stage in (landed, findings, accepted):
        stages.verify(stage)
    _refuse_closed(calendar.load(site.calendar), period, clock())
    template = template or site.template
    roles, people = tuple(site.signoff.roles), site.signoff.people
    built = _build(
        package.Return(accepted.path, None, about.code, period, roles, people),
        site.package(provider, period),
        site.staging,
        {"accepted": accepted.identity, "findings": findings.identity, "roles": list(roles), "people": people},
        template,
        require_access=require_access,
        temporary=site.temporary,
        memory_limit=site.options.memory_limit,
    )
    kept = {"package": built.stage.identity, "accepted": accepted.identity, "rows": built.facts["rows"], "access": "access" in built.facts}
    ledger.append_once(site.ledger, "packaged", kept, built.stage.identity, provider=provider, period=period, clock=clock)
    return built


def build_package_of_folder(
    folder: Path, findings: Path, out: Path, *, template: Path | None = None, require_access: bool = False, clock: Clock = ledger.utc_now
) -> Built:
    """The same for a submission folder that was validated into ``findings``; it goes to ``out``/<provider>/<period>.

    Raises as ``build_package``; the folder and the findings must be as they were when it was validated.
    """
    held = package.unseal(folder, findings)
    if codes := held["file_codes"]:
        raise SubmissionRejected(f"{folder} would be rejected as a file ({', '.join(codes)}); correct it and validate it again")
    provider, period = held["provider"], held["period"]
    if not provider or not period:
        raise InputError(f"The findings in {findings} name no provider or month; validate with --provider and --period")
    _refuse_closed(calendar.load(), period, clock())
    return _build(
        package.Return(folder, findings / "rejected_rows.csv", provider, period),
        out / provider / period,
        out / ".staging",
        {"rows": held["rows"], "findings": held["findings"]},
        template,
        require_access=require_access,
        temporary=out / ".temporary",
    )


def write_template(target: Path) -> None:
    """Write an empty intermediate database of our own; InputError where Java is missing or the file is there already."""
    if (held := access.runtime()) is None:
        raise InputError(f"An Access file cannot be written here; {access.INSTALL}")
    access.write_template(target, held, temporary=target.resolve().parent)


def _build(
    about: package.Return,
    shelf: Path,
    staging: Path,
    inputs: Mapping[str, Any],
    template: Path | None,
    *,
    require_access: bool,
    temporary: Path,
    memory_limit: str | None = None,
) -> Built:
    """Build a package onto a shelf. It is named by its rows, by the template where one is filled, and by the code."""
    held = access.runtime() if template is not None else None
    why: str | None = None
    if template is None:
        why = "no template was given; add --template with the official intermediate database"
    elif not template.is_file():
        raise InputError(f"There is no template {template}; give the path of an empty intermediate database")
    elif held is None:
        why = f"nothing is installed that writes one; {access.INSTALL}"
    if why and require_access:
        raise PublishError(f"The Access file could not be written: {why}")
    used = None if held is None or template is None else stages.file_hash(template)
    named = {**inputs, "provider": about.provider, "period": about.period, "template": used, "code": package.fingerprint()}
    facts_of = partial(package.build, about, template=template, held=held, temporary=temporary, memory_limit=memory_limit)
    stage = stages.write(shelf, facts_of, staging=staging, identity=stages.identity_of(named), inputs=named)
    return Built(stage, stage.manifest["facts"], why)


def _refuse_closed(windows: calendar.Calendar, period: str, moment: datetime) -> None:
    """UsageError when a month can no longer be submitted; one whose window is not known may be built, and is not handed over."""
    if windows.standing(period, moment).state is calendar.State.CLOSED:
        raise UsageError(f"{period} can no longer be submitted: the last window of its year has closed, so no package was built")


def hand_over(site: Site, provider: str, period: str, *, clock: Clock = ledger.utc_now) -> dict[str, Any]:
    """Put the approved package into the outbox for the person who uploads it, and record it as submitted.

    Gives provider, period, package, content, path and changed. Raises UsageError without an outbox, without valid approvals or with no
    window open for the month, and InputError when a file of the package is not what was approved.
    """
    if site.outbox is None:
        raise UsageError(f'{site.file} names no outbox; add the folder to hand returns over in, such as outbox = "outbox"')
    now = standing(site, provider, period)
    if why := signoff.refusal(now):
        raise UsageError(f"Nothing was handed over: {why}")
    moment = clock()
    if why := not_due(site, period, moment):
        raise UsageError(f"Nothing was handed over: {why}")
    window = calendar.load(site.calendar).standing(period, moment)
    closes = window.window.closes.isoformat() if window.window else None
    package = _in_force(site, provider, period)[2]
    stages.verify(package)
    handed = stages.write(
        site.outbox / provider / period,
        partial(_copy_package, package),
        staging=site.outbox / ".staging",
        identity=package.identity,
        inputs={"content": now.content, "approvals": [approval.seal for approval in now.approvals]},
    )
    facts = {"content": now.content, "package": package.identity, "closes": closes, "resubmission": window.resubmission}
    changed = ledger.append_once(site.ledger, "submitted", facts, now.content, provider=provider, period=period, clock=clock)
    return {"provider": provider, "period": period, **facts, "path": str(handed.path), "changed": changed}


def import_feedback(site: Site, provider: str, period: str, kind: FeedbackKind, file: Path) -> dict[str, Any]:
    """Take in what came back about a month, immutable and owner-only; gives kind, rows, names not known, identity and changed.

    The same file again changes nothing. Raises InputError when the file cannot be read or is not what it is said to be.
    """
    if not file.is_file():
        raise InputError(f"There is no file {file}; give the path of what came back")
    inputs = {"file": stages.file_hash(file), "kind": kind}

    def take(folder: Path) -> Mapping[str, Any]:
        held = _READERS[kind](file, folder)
        return {"kind": held.kind, "rows": dict(held.rows), "unknown": list(held.unknown)}

    stage = stages.write(site.feedback(provider, period, kind), take, staging=site.staging, identity=stages.identity_of(inputs), inputs=inputs)
    # A month has up to three kinds of feedback: what came last of this kind may not be the last line about it.
    if stage.changed or not ledger.mentions(site.ledger, "feedback", stage.identity):
        ledger.append(site.ledger, "feedback", {"kind": kind, "identity": stage.identity}, provider=provider, period=period)
    return {**stage.manifest["facts"], "identity": stage.identity, "changed": stage.changed}


def reconcile_month(site: Site, provider: str, period: str, out: Path) -> list[reconcile.Line]:
    """Compare all feedback in force for a month with our own verdict, rows and numbers; row-level files go to ``out`` (restricted).

    Raises InputError when nothing came back yet.
    """
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    found: list[reconcile.Line] = []
    reports, extract, publication = (stages.current(site.feedback(provider, period, kind)) for kind in ("reports", "extract", "publication"))
    if reports is None and extract is None and publication is None:
        raise InputError(f"Nothing has come back for {provider} {period}; import it first with: ips feedback import")
    if reports is not None:
        judged = _current(site.findings(provider, period), f"{provider} {period} has not been validated; run the month first")
        missing = judged.manifest["facts"].get("not_evaluated", {})
        found += reconcile.reports(judged.path, reports.path, out, not_evaluated=list(missing), temporary=site.temporary)
    if extract is not None:
        accepted = _current(site.accepted(provider, period), f"No accepted rows of {provider} {period} are in force; run the month first")
        found += reconcile.extract(accepted.path, extract.path, out, temporary=site.temporary)
    if publication is not None:
        ours, *earlier = _publications(site, period)
        around = [path for month in (_shift(period, -1), _shift(period, 1)) for path in _publications(site, month, required=False)[:1]]
        found += reconcile.publication(ours, publication.path, out, other_months=around, earlier=earlier, temporary=site.temporary)
    return found


def history(site: Site, provider: str, period: str) -> list[Version]:
    """Every version of a provider-month that is kept, stage by stage, with what the ledger says of it."""
    entries = ledger.about(site.ledger, provider, period)
    shelves = {
        "landing": site.landing(provider, period),
        "findings": site.findings(provider, period),
        "accepted": site.accepted(provider, period),
        "package": site.package(provider, period),
    }
    return [version for name, shelf in shelves.items() for version in _versions(name, shelf, entries)]


def releases(site: Site, period: str) -> list[Version]:
    """Every release of a month that is kept; ``inputs['accepted']`` says which version of each provider-month it used."""
    entries = [entry for entry in ledger.entries(site.ledger) if entry.period == period and entry.provider is None]
    return _versions("release", site.releases(period), entries)


def landing_at(site: Site, provider: str, period: str, moment: datetime) -> tuple[stages.Stage, ledger.Entry]:
    """The landing of a month that was in force at a moment, and the line of the ledger that says since when; nothing is fetched.

    Raises InputError when none was in force yet, or what was is no longer kept.
    """
    landed = [entry for entry in ledger.about(site.ledger, site.provider(provider).code, period) if entry.kind == "landed"]
    if not landed:
        raise InputError(f"Nothing has landed for {provider} {period}; run the month first")
    held = [entry for entry in landed if datetime.fromisoformat(entry.at) <= moment]
    if not held:
        first = datetime.fromisoformat(landed[0].at).astimezone(LONDON)
        raise InputError(f"Nothing of {provider} {period} had landed by then; the first landing is of {first:%-d %B %Y, %H:%M}")
    identity = held[-1].facts["landing"]
    if not stages.held(site.landing(provider, period), identity):
        raise InputError(f"The landing {identity} of {provider} {period}, in force then, is no longer kept; see: ips ledger show --kind purged")
    return stages.opened(site.landing(provider, period), identity), held[-1]


def as_of(text: str) -> datetime:
    """A moment written yyyy-mm-dd, which is its end, or yyyy-mm-ddThh:mm, by the clock of London unless it says otherwise; else UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("Write the moment as yyyy-mm-dd or yyyy-mm-ddThh:mm, such as 2026-08-15T17:30") from None
    if "T" not in text and " " not in text:
        moment = moment.replace(hour=23, minute=59, second=59)
    return moment if moment.tzinfo else moment.replace(tzinfo=LONDON)


def roll_back(site: Site, period: str, identity: str, why: str) -> dict[str, Any]:
    """Put an earlier release of a month in force again and record why; UsageError when it is not kept or no reason is given."""
    if not why.strip():
        raise UsageError("Say why the release is rolled back; the reason is kept in the ledger")
    before = stages.current(site.releases(period))
    stage = stages.put_in_force(site.releases(period), identity)
    if stage.changed:
        facts = {"from": before.identity if before else None, "to": identity, "why": why.strip()}
        ledger.append(site.ledger, "rolled back", facts, period=period)
    return {"period": period, "release": stage.identity, "was": before.identity if before else None, "changed": stage.changed}


def verify_ledger(site: Site) -> list[str]:
    """Every fault of the ledger; see ``store.ledger.verify``. The approvals that returns in the outbox were handed over with must be in it."""
    faults = ledger.verify(site.ledger)
    if faults or site.outbox is None:
        return faults
    seals = {entry.seal for entry in ledger.entries(site.ledger)}
    for provider in site.providers:
        home = site.outbox / provider.code
        for shelf in sorted(home.iterdir()) if home.is_dir() else ():
            for stage in stages.kept(shelf):
                if not set(stage.manifest["inputs"]["approvals"]) <= seals:
                    faults.append(f"{stage.path} was handed over with an approval that is not in the ledger: its lines were replaced")
    return faults


def london(day: str | None) -> datetime:
    """Noon of a day yyyy-mm-dd by the clock of London; now when none is given. UsageError for what is no day."""
    if day is None:
        return ledger.utc_now()
    try:
        return datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=LONDON)
    except ValueError:
        raise UsageError("Write the day as yyyy-mm-dd, such as 2026-09-10") from None


def _in_force(site: Site, provider: str, period: str) -> tuple[stages.Stage, stages.Stage, stages.Stage]:
    """Findings, accepted rows and package of a return, which have to belong together."""
    findings = _current(site.findings(provider, period), f"{provider} {period} has not been validated; run the month first")
    if codes := findings.manifest["facts"]["file_codes"]:
        raise InputError(f"{provider} {period} would be rejected as a file ({', '.join(codes)}); there is no return to sign off")
    accepted = _current(site.accepted(provider, period), f"No accepted rows of {provider} {period} are in force; run the month first")
    package = _current(site.package(provider, period), f"No package of {provider} {period} has been built; build it with: ips submission build")
    if not _accepted_by(accepted, findings) or package.manifest["inputs"]["accepted"] != accepted.identity:
        raise InputError(f"The package of {provider} {period} was not made of the rows in force; build it again with: ips submission build")
    return findings, accepted, package


def accepted_identity(findings: stages.Stage) -> str:
    """What the accepted rows of these findings are named.

    The checks beyond the portal reject nothing, and earlier uploads, earlier months and late records are only told of in the report: none of them
    makes other rows.
    """
    inputs = findings.manifest["inputs"].items()
    return stages.identity_of({name: value for name, value in inputs if name not in ("checks", "previous", "months", "late")})


def _accepted_by(accepted: stages.Stage, findings: stages.Stage) -> bool:
    """Whether the accepted rows follow from the findings, or from earlier ones that differ only in what rejects nothing."""
    return accepted.manifest["inputs"]["findings"] == findings.identity or accepted.identity == accepted_identity(findings)


def _current(shelf: Path, otherwise: str) -> stages.Stage:
    stage = stages.current(shelf)
    if stage is None:
        raise InputError(otherwise)
    return stage


_UNBUILT = "accepted, no package"


def _progress(site: Site, provider: str, period: str, entries: Sequence[ledger.Entry]) -> str:
    """How far a return has come, in two or three words."""
    findings = stages.current(site.findings(provider, period))
    if findings is None:
        return "landed, not validated" if stages.current(site.landing(provider, period)) else "not extracted"
    if findings.manifest["facts"]["file_codes"]:
        return "rejected as a file"
    accepted, package = stages.current(site.accepted(provider, period)), stages.current(site.package(provider, period))
    if accepted is None or package is None or package.manifest["inputs"].get("accepted") != accepted.identity:
        return _UNBUILT
    content = signoff.content_of(findings.identity, accepted.identity, package.identity)
    return signoff.standing(entries, provider, period, content, people=site.signoff.people).state.value


def _no_window(window: Standing) -> str:
    match window.state:
        case calendar.State.UNKNOWN:
            return "no window known; enter the dates of the year in the calendar of the site"
        case calendar.State.CLOSED:
            return "no window left in its year: the last one has closed"
        case _:
            return f"no window open yet; it opens on {window.window.opens:%-d %B %Y}" if window.window else "no window"


def _copy_package(package: stages.Stage, folder: Path) -> Mapping[str, Any]:
    for path in sorted(package.path.rglob("*")):
        target = folder / path.relative_to(package.path)
        if path.is_dir():
            target.mkdir(mode=0o700)
        elif path.name != stages.MANIFEST or path.parent != package.path:
            shutil.copyfile(path, target)
    return dict(package.manifest["facts"])


def _publications(site: Site, period: str, *, required: bool = True) -> list[Path]:
    """The final publication files of a month's evidence: the one in force first, then earlier versions."""
    shelf = site.evidence(period)
    held = stages.current(shelf)
    if held is None:
        if required:
            raise InputError(f"No measures of {period} are in force; run the month first")
        return []
    others = sorted(path for path in shelf.iterdir() if path.is_dir() and path.name != held.identity)
    return [file for folder in (held.path, *others) for file in sorted(folder.rglob("MHSDS Data_*_bbrb.csv")) if "_RAW_" not in file.name]


def _versions(name: str, shelf: Path, entries: Sequence[ledger.Entry]) -> list[Version]:
    held = stages.current(shelf)
    found = []
    for stage in stages.kept(shelf):
        inputs, names = stage.manifest["inputs"], {stage.identity}
        if name == "package":
            # Decisions are about the content, of which the package is a part.
            names.add(signoff.content_of(inputs["findings"], inputs["accepted"], stage.identity))
        said = tuple(
            entry for entry in entries if any(value in names for key, value in entry.facts.items() if key != "was" and isinstance(value, str))
        )
        found.append(Version(name, stage.identity, held is not None and stage.identity == held.identity, inputs, said))
    return found


def _shift(period: str, months: int) -> str:
    return calendar.standard_month(datetime.fromisoformat(f"{period}-15").date(), months)
