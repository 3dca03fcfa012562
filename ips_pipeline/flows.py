"""The stages in order: extract, validate, measure. The DAGs and the command line call these functions and nothing below them.

Every stage is named by what it was made from, so running one again with the same inputs changes nothing and says so. Return
values hold references and counts only, never a value of a patient.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ips_pipeline import late, measures, publish, quality, reports, returns, settings
from ips_pipeline.errors import InputError, PublishError, RetryableError, SubmissionRejected, UsageError
from ips_pipeline.measures import computation, difference, registry
from ips_pipeline.measures import explain as tracing
from ips_pipeline.mhsds import standard
from ips_pipeline.publish import copying, dataset, events
from ips_pipeline.quality import checks, explain, local_checks, rulebook
from ips_pipeline.quality import records as record_rules
from ips_pipeline.quality import validate as validation
from ips_pipeline.quality.findings import Portal, period_days
from ips_pipeline.quality.validate import Verdict
from ips_pipeline.reports import earlier
from ips_pipeline.reports.data_docs import write_data_docs
from ips_pipeline.reports.landings import Again, Different, Landed
from ips_pipeline.reports.local_records import write_records_report
from ips_pipeline.reports.release import released_values, write_release_site
from ips_pipeline.reports.validation import Checked, write_validation_reports
from ips_pipeline.settings import PERIOD, Site, check_period
from ips_pipeline.sources import changes, drift, madeup
from ips_pipeline.sources import records as record_sources
from ips_pipeline.sources.extract import extract as extract_month
from ips_pipeline.store import ledger, stages, steps
from ips_pipeline.store.folders import discover, steady
from ips_pipeline.submission import access, calendar, package

Progress = Callable[[str], None]


@dataclass(slots=True)
class Summary:
    """What a run came to: one outcome per provider in order, and the release."""

    outcomes: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[dict[str, str]] = field(default_factory=list)
    #: Months that were not taken because their source has changed, and what has changed of those that were.
    stopped: list[dict[str, str]] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)
    #: Months that hold other records than their landing before.
    different: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    release: dict[str, Any] = field(default_factory=dict)


def extract(
    site: Site,
    provider: str,
    period: str,
    *,
    why: str | None = None,
    by: str | None = None,
    full: bool = False,
    as_of: datetime | None = None,
) -> dict[str, Any]:
    """Land what a provider's systems hold for a month, mapped to the standard.

    ``why`` makes it a replay, which the ledger keeps with who asked for it (``by``); a month that was approved, handed over or can no longer
    be submitted is not run again without one. ``full`` fetches everything, also of inputs of which only changes are fetched otherwise.
    ``as_of`` fetches nothing: the landing that was in force at that moment comes into force again, which needs a reason.

    Returns provider, period, landing (identity), rows, changed, drift (findings about its source by change), different (records by table since
    the landing before), people_merged, and late_unread (months handed over that could not be looked at for late records, and why). Raises
    UsageError, InputError or RetryableError; Drifted, an InputError, when the site does not take what has changed.
    """
    returns.check_replay(site, provider, period, why)
    was = _in_force(site.landing(provider, period))
    if as_of is not None:
        if why is None:
            raise UsageError("To put an earlier landing in force again needs a reason; say why with: --replay --why TEXT")
        then, _ = returns.landing_at(site, provider, period, as_of)
        landed = stages.put_in_force(site.landing(provider, period), then.identity)
        different = _different(site, provider, period, was, landed)
        _record(site, "landed", landed, {"landing": landed.identity}, provider, period)
        returns.record_replay(site, landed, was, why, provider, period, by=by)
        return _extracted(provider, period, landed, different, {}, {})
    # By the ledger, which tells of a landing last: what a run that was killed had landed is still compared with what was before it.
    told_last = next((entry.facts["landing"] for entry in reversed(ledger.about(site.ledger, provider, period)) if entry.kind == "landed"), was)
    source = events.Dataset(f"source/{site.provider(provider).source}")
    with events.recorded(_lineage(site), "extract", period, provider=provider, inputs=[source]) as told:
        try:
            landed = extract_month(site, provider, period, full=full)
        except drift.Drifted as refusal:
            returns.record_refusal(site, refusal.kept, refusal.landing, provider, period)
            raise
        told.outputs += events.tables("landing", landed.path, landed.identity)
    different = _different(site, provider, period, told_last, landed)
    if returns.refused(site, provider, period):
        # What was stopped is over, also where the content is that of before.
        ledger.append(site.ledger, "landed", {"landing": landed.identity}, provider=provider, period=period)
    else:
        _record(site, "landed", landed, {"landing": landed.identity}, provider, period)
    if why is not None:
        returns.record_replay(site, landed, was, why, provider, period, by=by)
    examined = stages.current(site.drift_shelf(provider, period))
    drifted = examined.manifest["facts"]["changes"] if examined else {}
    return _extracted(provider, period, landed, different, drifted, late.look(site, provider, period))


def remarks(landed: Mapping[str, Any]) -> list[str]:
    """What an operator should know of an extract that was taken, a line each: how the source has changed, which records are others than in the
    landing before, and which months could not be looked at for late records. Of what ``extract`` returned; counts and names, no value.
    """
    where, lines = f"{landed['provider']}  {landed['period']}", []
    if landed["drift"]:
        told = ", ".join(f"{change} {count}" for change, count in sorted(landed["drift"].items()))
        lines.append(f"{where}  the source has changed and was taken: {told}; see: ips drift list")
    if landed["different"]:
        merged = f"; people merged with others: {landed['people_merged']:,}" if landed["people_merged"] else ""
        lines.append(f"{where}  since the landing before: {changes.words(changes.counts({'tables': landed['different']}))}{merged}")
    for month, why in landed["late_unread"].items():
        lines.append(f"{landed['provider']}  {month}  was handed over and cannot be looked at for late records: {why}")
    return lines


def _different(site: Site, provider: str, period: str, was: str | None, landed: stages.Stage) -> Mapping[str, Any]:
    """The facts of the comparison with the landing before, where there is one that is still kept and has other content."""
    if was is None or was == landed.identity or not stages.held(site.landing(provider, period), was):
        return {"tables": {}, "people": 0}
    facts: Mapping[str, Any] = changes.keep(site, provider, period, stages.opened(site.landing(provider, period), was), landed).manifest["facts"]
    return facts


def _extracted(
    provider: str, period: str, landed: stages.Stage, different: Mapping[str, Any], drifted: Mapping[str, int], unread: Mapping[str, str]
) -> dict[str, Any]:
    """What an extract came to."""
    return {
        "provider": provider,
        "period": period,
        "landing": landed.identity,
        "rows": landed.manifest["facts"]["rows"],
        "changed": landed.changed,
        "drift": dict(drifted),
        "different": different["tables"],
        "people_merged": different["people"],
        "late_unread": dict(unread),
    }


def validate(site: Site, provider: str, period: str) -> dict[str, Any]:
    """Judge the landed month as the portal would and put its accepted rows in force.

    Returns provider, period, findings and accepted (identities), rows_submitted, rows_accepted, rows_rejected, gate and changed.
    Raises InputError when nothing has landed, and SubmissionRejected when the submission is rejected as a file: its findings
    are kept, and an earlier accepted return of the month stays in force, as at the portal. Local IPS records of the provider, where the
    site names them, are taken after that.
    """
    (judged,) = _judge(site, [(provider, period)])
    if message := _refusal(site, provider, period, judged):
        raise SubmissionRejected(message)
    outcome = _accept(site, provider, period, judged)
    records = take_records(site, provider, period)
    return {**outcome, "ips_records": records["records"], "changed": outcome["changed"] or records["changed"]} if records else outcome


def take_records(site: Site, provider: str, period: str) -> dict[str, Any] | None:
    """Bring in and judge a provider's local IPS records as they stand, for the measures of a month; None where the site names none.

    Returns provider, period, records (identity), rows_given, rows_rejected, findings and changed. The content names the stage, so that the
    same records change nothing. Raises InputError for records that cannot be read; those taken before stay in force.
    """
    source = site.provider(provider).ips_records
    if source is None:
        return None
    first, last = period_days(period)
    bind = {"period_start": date.fromisoformat(first), "period_end": date.fromisoformat(last), "provider": provider, "period": period}
    returned = {key: stage for key, stage in _accepted(site, period).items() if key[0] == provider}
    site.temporary.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(prefix="records-", dir=site.temporary) as work:
        landed = record_sources.land(source, provider, Path(work) / "landed", site=site, bind=bind)
        inputs = {
            "provider": provider,
            "content": stages.tree_hash(Path(work) / "landed"),
            "returned": {month: stage.identity for (_, month), stage in returned.items()},
            "code": _code("quality", "reports", "mhsds"),
        }

        def build(folder: Path) -> Mapping[str, Any]:
            (Path(work) / "view").mkdir(mode=0o700)
            submissions = _as_submissions(returned, Path(work) / "view")
            verdict = record_rules.validate(
                Path(work) / "landed",
                folder,
                submissions=submissions,
                temporary=site.temporary,
                memory_limit=site.options.memory_limit,
            )
            _write_records_report(folder, landed, verdict, provider, temporary=site.temporary)
            shutil.move(Path(work) / "landed", folder / "landed")
            return {
                **verdict.facts(),
                "tables": landed.rows,
                "unread": {str(number): len(names) for number, names in enumerate(landed.unread.values())},
            }

        given = events.Dataset(f"records/{source.suffix.removeprefix('.') or 'folder'}")
        with events.recorded(_lineage(site), "ips_records", period, provider=provider, inputs=[given]) as told:
            taken = stages.write(site.ips_records(provider, period), build, staging=site.staging, identity=stages.identity_of(inputs), inputs=inputs)
            told.outputs += events.tables("ips_records", taken.path / "accepted", taken.identity)
    facts = taken.manifest["facts"]
    return {
        "provider": provider,
        "period": period,
        "records": taken.identity,
        **{key: facts[key] for key in ("rows_given", "rows_rejected", "findings")},
        "changed": taken.changed,
    }


def _judge(site: Site, wanted: Sequence[tuple[str, str]]) -> list[stages.Stage]:
    """The findings of landed provider-months, see ``_judge_together``; each is a run of its own in the lineage."""
    with ExitStack() as stack:
        runs = [stack.enter_context(events.recorded(_lineage(site), "validate", period, provider=provider)) for provider, period in wanted]
        found = _judge_together(site, wanted)
        if site.publish.lineage:
            landed = [
                stages.opened(site.landing(provider, period), stage.manifest["inputs"]["landing"])
                for (provider, period), stage in zip(wanted, found, strict=True)
            ]
            judged = events.judged([(month, stage.path) for month, stage in zip(landed, found, strict=True)])
            for told, stage, inputs in zip(runs, found, judged, strict=True):
                told.inputs += inputs
                if not stage.manifest["facts"]["file_codes"]:
                    told.outputs += events.tables("accepted", stage.path / "accepted", stage.identity)
        return found


def _judge_together(site: Site, wanted: Sequence[tuple[str, str]]) -> list[stages.Stage]:
    """The findings of landed provider-months, each a stage; those not at hand are judged together, since most of the cost is by the call.

    A provider's months come in their order.
    """
    named: list[tuple[tuple[str, str], stages.Stage, dict[str, Any]]] = []
    told = _landings(site, wanted)
    local = local_checks.read(site.local_checks)
    landed_before = {provider: _landed(site, provider) for provider in dict.fromkeys(provider for provider, _ in wanted)}
    planned: dict[tuple[str, str], str] = {}
    for provider, period in wanted:
        before = landed_before[provider]
        landed = stages.current(site.landing(provider, period))
        if landed is None:
            raise InputError(f"Nothing has been extracted for {provider} {period}; run the extract of that month first")
        inputs = {
            "landing": landed.identity,
            "lists": _hashes(site, validation.LISTS),
            "edition": site.options.edition,
            "code": _code("quality", "reports", "mhsds"),
            "provider": provider,
            "submitter": site.provider(provider).submitter,
            "checks": {
                "code": checks.fingerprint(),
                "lists": _hashes(site, checks.LISTS),
                "history": {month: stage.identity for month, stage in before.items() if month in _months_before(period, checks.HISTORY_MONTHS)},
                "local": {check.file.name: stages.file_hash(check.file) for check in local},
            },
            # The report tells of these.
            "late": told[provider, period].facts(),
            # The report compares with these. A month judged in this call counts by the identity it is about to have.
            "previous": _last_upload(site.findings(provider, period), landed.identity),
            "months": {
                month: identity
                for month in _months_before(period, _MONTHS_SHOWN)
                if (identity := planned.get((provider, month)) or _in_force(site.findings(provider, month)))
            },
        }
        planned[provider, period] = stages.identity_of(inputs)
        named.append(((provider, period), landed, inputs))
    new = [(key, landed) for key, landed, inputs in named if not stages.held(site.findings(*key), stages.identity_of(inputs))]
    with TemporaryDirectory(prefix="judge-", dir=site.temporary) as work:
        outs = {key: Path(work) / "-".join(key) for key, _ in new}
        verdicts = validation.validate(
            [landed.path for _, landed in new],
            site.reference,
            list(outs.values()),
            [login(provider, site.provider(provider).submitter, period, None) for (provider, period), _ in new],
            edition=validation.edition_of(site.options.edition),
            accepted=True,
            gate=True,
            history={(provider, month): stage.path for provider, before in landed_before.items() for month, stage in before.items()},
            local=local,
            temporary=site.temporary,
            memory_limit=site.options.memory_limit,
        )
        facts = {key: verdict.facts() for (key, _), verdict in zip(new, verdicts, strict=True)}
        about = {key: inputs for key, _, inputs in named}
        checked = [
            Checked(
                verdict.out,
                verdict.folder,
                provider,
                period,
                previous=site.findings(provider, period) / last if (last := about[provider, period]["previous"]) else None,
                months=[
                    _outcome(
                        provider,
                        month,
                        site.options.edition,
                        facts.get((provider, month)) or stages.opened(site.findings(provider, month), identity).manifest["facts"],
                    )
                    for month, identity in about[provider, period]["months"].items()
                ],
                worklist=True,
                landed=told[provider, period],
            )
            for ((provider, period), _), verdict in zip(new, verdicts, strict=True)
        ]
        _write_reports(checked, verdicts, site.options.edition, local, temporary=site.temporary)

        def take(key: tuple[str, str], folder: Path) -> Mapping[str, Any]:
            for path in sorted(outs[key].iterdir()):
                shutil.move(path, folder / path.name)
            return facts[key]

        return [
            stages.write(
                site.findings(*key),
                partial(take, key),
                staging=site.staging,
                identity=stages.identity_of(inputs),
                inputs=inputs,
            )
            for key, _, inputs in named
        ]


def _landings(site: Site, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Landed]:
    """What is known of the months as they landed, by the ledger: how each differs from the landing before, and which months to send again.

    Of those the ones up to the month itself, so that the report of an earlier month is not about later ones.
    """
    lines: dict[tuple[str | None, str | None], list[ledger.Entry]] = {}
    for entry in ledger.entries(site.ledger):
        if entry.kind == "landed":
            lines.setdefault((entry.provider, entry.period), []).append(entry)
    marks = late.marks(site)
    windows = calendar.load(site.calendar)

    def different(provider: str, period: str, was: str, now: str, at: str, tables: Mapping[str, changes.Counts] | None) -> Different | None:
        kept = changes.kept(site, provider, period, was, now)
        if kept is None and tables is None:
            return None
        facts = kept.manifest["facts"] if kept else {}
        counts = changes.counts(facts) if kept else tables
        return Different(period, _london(at), counts or {}, facts.get("people"), kept.path / changes.CHANGES if kept else None)

    found = {}
    for provider, period in wanted:
        now = _in_force(site.landing(provider, period))
        before = next((entry for entry in reversed(lines.get((provider, period), [])) if entry.facts["landing"] != now), None)
        again = []
        for mark in marks:
            if mark.provider != provider or mark.period > period:
                continue
            was = different(provider, mark.period, mark.handed_over, mark.landing, mark.sent_at, mark.tables)
            noticed = datetime.fromisoformat(mark.at)
            accepting = windows.accepting(mark.period)
            left = [(window.opens, window.closes) for window in accepting if window.closes_at() >= noticed]
            run = _in_force(site.landing(provider, mark.period)) == mark.landing or any(
                entry.at > mark.at for entry in lines.get((provider, mark.period), [])
            )
            again += [Again(was, _london(mark.at), run, left if accepting else None)] if was else []
        since = different(provider, period, before.facts["landing"], now, before.at, None) if before and now else None
        found[provider, period] = Landed(before is None, since, again)
    return found


def _london(at: str) -> date:
    """The day of a line of the ledger, by the clock of London."""
    return datetime.fromisoformat(at).astimezone(calendar.LONDON).date()


def _landed(site: Site, provider: str) -> dict[str, stages.Stage]:
    """What has landed of a provider, by month: the history its months are compared with.

    As landed and not as accepted, so that months judged in one go and month by month are compared with the same.
    """
    home = site.restricted / "landing" / provider
    shelves = sorted(home.iterdir()) if home.is_dir() else []
    return {shelf.name: stage for shelf in shelves if (stage := stages.current(shelf))}


def _months_before(period: str, months: int) -> list[str]:
    last = standard.month_id(int(period[:4]), int(period[5:]))
    return ["{:04d}-{:02d}".format(*standard.month_of(number)) for number in range(last - months, last)]


def _hashes(site: Site, lists: Sequence[str]) -> dict[str, str]:
    """The content of those reference files that the site has."""
    return {name: stages.file_hash(path) for name in lists if (path := site.reference / f"{name}.csv").is_file()}


#: Months before its own that the report of a submission shows.
_MONTHS_SHOWN = 12


def _in_force(shelf: Path) -> str | None:
    stage = stages.current(shelf)
    return stage.identity if stage else None


def _last_upload(shelf: Path, landing: str) -> str | None:
    """The judgement in force of the last upload that is not this one; a judgement of the same upload passes on what it was compared with."""
    before = stages.current(shelf)
    if before is None:
        return None
    identity: str | None = before.identity if before.manifest["inputs"]["landing"] != landing else before.manifest["inputs"].get("previous")
    return identity if identity and stages.held(shelf, identity) else None


def _outcome(provider: str, period: str, edition: str, facts: Mapping[str, Any]) -> earlier.Outcome:
    """What a judgement came to, from its manifest."""
    return earlier.Outcome(
        provider,
        period,
        validation.edition_of(edition),
        bool(facts["file_codes"]),
        facts["rows_submitted"],
        facts["rows_rejected"],
        facts["findings"],
    )


def _record(site: Site, kind: ledger.Kind, stage: stages.Stage, facts: Mapping[str, Any], provider: str | None, period: str) -> None:
    """Note in the ledger that a stage came into force, once; also when a run was killed between the two."""
    if stage.changed or not ledger.mentions(site.ledger, kind, stage.identity):
        ledger.append(site.ledger, kind, facts, provider=provider, period=period)


def _refusal(site: Site, provider: str, period: str, judged: stages.Stage) -> str | None:
    """What to say of a submission that is rejected as a file, which is recorded; None for one that is not."""
    codes = judged.manifest["facts"]["file_codes"]
    if not codes:
        return None
    _record(site, "rejected", judged, {"findings": judged.identity, "codes": codes}, provider, period)
    where = judged.path / "findings.csv"
    return f"{provider} {period} would be rejected as a file ({', '.join(codes)}); see {where}, correct the records at source and run again"


def _accept(site: Site, provider: str, period: str, judged: stages.Stage) -> dict[str, Any]:
    """Put the accepted rows of a judged month in force."""
    facts = judged.manifest["facts"]
    accepted = stages.write(
        site.accepted(provider, period),
        lambda folder: _take_accepted(judged, folder),
        staging=site.staging,
        identity=returns.accepted_identity(judged),
        inputs={"findings": judged.identity, "landing": judged.manifest["inputs"]["landing"]},
    )
    kept = {"findings": judged.identity, "accepted": accepted.identity, "rows_rejected": facts["rows_rejected"]}
    _record(site, "accepted", accepted, kept, provider, period)
    return {
        "provider": provider,
        "period": period,
        "findings": judged.identity,
        "accepted": accepted.identity,
        "rows_submitted": facts["rows_submitted"],
        "rows_accepted": facts["rows_submitted"] - facts["rows_rejected"],
        "rows_rejected": facts["rows_rejected"],
        "gate": facts["gate"],
        "changed": judged.changed or accepted.changed,
    }


def measure(site: Site, period: str) -> dict[str, Any]:
    """Compute every measure over all accepted months up to the period and put the month's release in force.

    Returns period, evidence and release (identities), submissions, not_evaluated and changed. Raises InputError when no
    month has been accepted, and PublishError when the release cannot be written.
    """
    used = _accepted(site, period)
    if not used:
        raise InputError(f"No accepted month up to {period} is in force; extract and validate one first")
    records = _records(site, period)
    inputs = _measured_from(site, period, used, records, stages.tree_hash(site.reference))
    identity = stages.identity_of(inputs)

    def build(folder: Path) -> Mapping[str, Any]:
        with TemporaryDirectory(prefix="accepted-", dir=site.temporary) as view:
            folders = _as_submissions(used, Path(view))
            return computation.compute(
                folders,
                site.reference,
                period,
                site.status,
                folder / "exact",
                records=[stage.path / "accepted" for stage in records.values()],
                evidence=folder / "evidence",
                release=folder / "release",
                publisher=site.options.disclosure,
                temporary=site.temporary,
                memory_limit=site.options.memory_limit,
            )

    lineage = _lineage(site)
    read = [*events.accepted(computation.ELEMENTS), *events.local_records(records.values()), *events.reference(site.reference)]
    with events.recorded(lineage, "measure", period, inputs=read) as told:
        evidence = stages.write(site.evidence(period), build, staging=site.staging, identity=identity, inputs=inputs)
        exact = evidence.path / "exact" / "measures.parquet"
        told.outputs.append(events.measures(exact, identity, lineage.namespace))
    with events.recorded(lineage, "publish", period, inputs=[events.Dataset("measures")]) as told:
        try:
            published_now = stages.write(
                site.releases(period),
                lambda folder: _take_release(site, evidence, folder),
                staging=site.data / "releases" / ".staging",
                identity=identity,
                inputs=inputs,
            )
        except RetryableError as error:
            raise PublishError(str(error)) from None
        told.outputs.append(events.released(published_now.path / "measures.parquet", identity, lineage.namespace))
    _record(site, "published", published_now, {"release": published_now.identity, "provider_months": len(used)}, None, period)
    facts = evidence.manifest["facts"]
    return {
        "period": period,
        "evidence": evidence.identity,
        "release": published_now.identity,
        "submissions": facts["submissions"],
        "not_evaluated": len(facts["not_evaluated"]),
        "changed": published_now.changed,
        **({"objects_sent": copy_release(site, period)["objects_sent"]} if site.publish.copy_to else {}),
    }


def _measured_from(
    site: Site, period: str, used: Mapping[tuple[str, str], stages.Stage], records: Mapping[str, stages.Stage], reference: str
) -> dict[str, Any]:
    """Everything a release is made of; its hash is the release's identity."""
    return {
        "accepted": {f"{provider}/{month}": stage.identity for (provider, month), stage in used.items()},
        "reference": reference,
        "period": period,
        "status": site.status,
        "disclosure": site.options.disclosure,
        "ips_records": {provider: stage.identity for provider, stage in records.items()},
        "says": {"publisher": site.name, "notice": site.notice, "licence": site.publish.licence.model_dump() if site.publish.licence else None},
        "code": _code("measures", "publish", "reports", "mhsds", "sql"),
    }


def to_release(site: Site, months: Iterable[str]) -> list[str]:
    """The months to measure when these months were accepted: they themselves, and each later one with a release in force, which was made from them.

    A later month without a release is left for its own acceptance, and one whose release is made of what is in force, and copied where the site
    says so, needs nothing. In order; raises UsageError for what is no month.
    """
    asked = {check_period(month) for month in months}
    shelves = site.releases(min(asked)).parent if asked else None
    released = (
        {shelf.name for shelf in shelves.iterdir() if PERIOD.fullmatch(shelf.name) and stages.current(shelf)}
        if shelves and shelves.is_dir()
        else set()
    )
    reference = stages.tree_hash(site.reference)
    return [month for month in sorted(asked | {month for month in released if month > min(asked)}) if not _is_released(site, month, reference)]


def _is_released(site: Site, period: str, reference: str) -> bool:
    """Whether the release in force for a month is made of what is in force now, and lies where the site wants its copies."""
    used, held = _accepted(site, period), stages.current(site.releases(period))
    if held is None or not used:
        return False
    identity = stages.identity_of(_measured_from(site, period, used, _records(site, period), reference))
    return held.identity == identity and (site.publish.copy_to is None or ledger.mentions(site.ledger, "copied", identity))


def copy_release(site: Site, period: str) -> dict[str, Any]:
    """Copy the release in force for a month to where the site's releases go, see ``publish.copying``; repeating sends what is missing.

    Returns period, release (identity), to, objects, objects_sent and changed. Raises UsageError when the settings name no place or nothing
    reaches it, InputError when no release is in force, RetryableError for a lost connection, and PublishError for a target that refuses.
    """
    if site.publish.copy_to is None:
        raise UsageError(f'{site.file} names no place for copies; add copy_to = "s3://bucket/prefix" under [publish]')
    held = release(site, period)
    secret = site.secret(site.publish.credentials).get_secret_value() if site.publish.credentials else None
    options = copying.storage_options(secret, site.publish.endpoint)
    with events.recorded(_lineage(site), "copy", period, inputs=[events.Dataset("releases/measures")]) as told:
        copied = copying.copy(held, period, site.publish.copy_to, options, still=lambda: _in_force(site.releases(period)) == held.identity)
        told.outputs.append(events.copied(site.publish.copy_to, period, held.identity))
    if copied.changed or not ledger.mentions(site.ledger, "copied", held.identity):
        ledger.append(site.ledger, "copied", {"release": held.identity, "to": site.publish.copy_to, "objects": copied.files}, period=period)
    return {
        "period": period,
        "release": held.identity,
        "to": site.publish.copy_to,
        "objects": copied.files,
        "objects_sent": copied.sent,
        "changed": copied.changed,
    }


def run(
    site: Site,
    period: str,
    providers: Sequence[str] | None = None,
    *,
    since: str | None = None,
    together: int = 1,
    why: str | None = None,
    by: str | None = None,
    full: bool = False,
    as_of: datetime | None = None,
    progress: Progress = lambda line: None,
) -> Summary:
    """Extract and validate each provider of the site (or those named), for the period or every month ``since`` then; measure the period.

    ``why`` and ``by`` make it a replay, see ``extract``; nothing is run when one of the months may not be. ``full`` is done once for all months;
    with ``as_of`` nothing is fetched.

    So many providers are validated ``together``: quicker where they are small, but an error keeps back all of them. A submission that is
    rejected as a file, and a month that is stopped because its source has changed, are kept in the summary and do not stop the others; an error
    of any other kind does.
    """
    summary = Summary()
    months = months_between(since or period, period)
    codes = [site.provider(code).code for code in providers] if providers else [provider.code for provider in site.providers]
    for provider in codes:
        for month in months:
            returns.check_replay(site, provider, month, why)
    for first in range(0, len(codes), together):
        group = codes[first : first + together]
        wanted = []
        for provider in group:
            for month in months:
                progress(f"{provider}  {month}  extracting")
                try:
                    landed = extract(site, provider, month, why=why, by=by, full=full and month == months[0], as_of=as_of)
                except drift.Drifted as refusal:
                    summary.stopped.append({"provider": provider, "period": month, "message": str(refusal)})
                    continue
                wanted.append((provider, month))
                summary.drift += [landed] if landed["drift"] else []
                summary.different += [landed] if landed["different"] or landed["late_unread"] else []
        progress(f"{', '.join(group)}  validating {months[0]} to {period}" if len(months) > 1 else f"{', '.join(group)}  validating {period}")
        for (provider, month), judged in zip(wanted, _judge(site, wanted) if wanted else (), strict=True):
            if message := _refusal(site, provider, month, judged):
                summary.rejected.append({"provider": provider, "period": month, "message": message})
            else:
                summary.outcomes.append(_accept(site, provider, month, judged))
        for provider in group:
            if site.provider(provider).ips_records is not None:
                progress(f"{provider}  local IPS records")
                taken = take_records(site, provider, period)
                summary.records += [taken] if taken else []
    progress(f"England  measuring {period}")
    summary.release = measure(site, period)
    return summary


def months_between(first: str, last: str) -> list[str]:
    """The months from ``first`` to ``last``, both yyyy-mm and included. UsageError when they are the wrong way round."""
    start, end = (standard.month_id(int(month[:4]), int(month[5:])) for month in (check_period(first), check_period(last)))
    if start > end:
        raise UsageError(f"The month {first} is after {last}; give the earlier one first")
    return ["{:04d}-{:02d}".format(*standard.month_of(number)) for number in range(start, end + 1)]


def published(site: Site, period: str, breakdown: str, measure_id: str = "MHS116") -> list[tuple[str, str, str]]:
    """Level, its description and value as text, as the release in force for the month shows them; an asterisk is a hidden value."""
    return released_values(release(site, period).path, breakdown, measure_id)


def release(site: Site, period: str) -> stages.Stage:
    """The release in force for a month; InputError when there is none."""
    held = stages.current(site.releases(period))
    if held is None:
        raise InputError(f"No release of {period} is in force; run that month first")
    return held


def make_up_site(out: Path) -> tuple[Site, list[str]]:
    """Write the made-up trusts, their systems and settings to ``out/site``, unless they are there; gives the site and its months."""
    file = out / "site" / "SITE.toml"
    if not file.is_file():
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = madeup.write_site(out / "site")
    return settings.load(file), list(madeup.periods())


def login(provider: str | None, submitter: str | None, period: str | None, uploaded: str | None) -> Portal:
    """What the portal would know of an upload; None stands for what the header says, and for no upload yet."""
    start, end = period_days(period) if period else (None, None)
    return Portal(provider, submitter, start, end, uploaded)


def validate_folders(
    folders: Sequence[Path],
    reference: Path,
    out: Path,
    portal: Portal,
    *,
    edition: str = "published",
    gate: bool = False,
    history: Path | None = None,
    local: Path | None = None,
    previous: Sequence[Path] = (),
    worklist: bool | None = None,
    notice: Progress | None = None,
) -> list[Verdict]:
    """Judge submission folders, or Access files, that lie anywhere: one writes into ``out``, several into ``out``/<folder name>.

    An Access file goes by its name without the suffix; tables of it that are not the standard's are told to ``notice``. The check of one
    folder leaves a record of what it judged, of which a package can be built.
    Where two folders have the same name, the parent's name stands before it. ``history`` is the root of <provider>/<yyyy-mm>
    folders with which they are compared, ``local`` the folder of a trust's own checks. The report tells what changed since the check
    that wrote into the same place, and since ``previous``, the ``out`` of earlier checks. The work list is written for one folder, and
    for several when ``worklist`` says so. Raises InputError for what cannot be read, and UsageError for a local check that is not right.
    """
    targets = [out] if len(folders) == 1 else _targets([path.with_suffix("") if _is_database(path) else path for path in folders], out)
    held = [[path for root in previous if earlier.outcome(path := root / target.relative_to(out))] for target in targets]
    if lost := next((root for root in previous if not any(path.is_relative_to(root) for paths in held for path in paths)), None):
        raise InputError(f"{lost} holds no earlier check of the folders given; name what --out was then")
    validation.check_folders([path for path in folders if not _is_database(path)])
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _unloaded(folders, out, notice) as taken, steady(taken), TemporaryDirectory(prefix=".earlier-", dir=out) as aside:
            kept = [[*own, *paths] for own, paths in zip(_keep_aside(targets, Path(aside)), held, strict=True)]
            own_checks = local_checks.read(local)
            verdicts = validation.validate(
                taken,
                reference,
                targets,
                [portal] * len(folders),
                edition=validation.edition_of(edition),
                gate=gate,
                history={(folder.parent.name, folder.name): folder for folder in discover(history)} if history else None,
                local=own_checks,
            )
            wanted = worklist if worklist is not None else len(folders) == 1
            checked = [Checked(verdict.out, verdict.folder, earlier=paths, worklist=wanted) for verdict, paths in zip(verdicts, kept, strict=True)]
            _write_reports(checked, verdicts, edition, own_checks)
            if len(folders) == 1 and taken == folders and (told := earlier.outcome(out)):
                package.seal(folders[0], out, told.provider, told.period, verdicts[0].file_codes)
    except OSError as error:
        raise stages.storage_error(error, out) from None
    return [replace(verdict, folder=path) for verdict, path in zip(verdicts, folders, strict=True)]


def _is_database(path: Path) -> bool:
    return path.suffix.lower() in access.SUFFIXES and not path.is_dir()


@contextmanager
def _unloaded(given: Sequence[Path], out: Path, notice: Progress | None) -> Iterator[Sequence[Path]]:
    """The submissions as folders: an Access file is unloaded into ``out``, which is restricted, for the time of the block."""
    if not any(_is_database(path) for path in given):
        yield given
        return
    if (held := access.runtime()) is None:
        raise InputError(f"{next(path for path in given if _is_database(path))} cannot be read here; {access.INSTALL}")
    with TemporaryDirectory(prefix=".access-", dir=out) as work:
        folders = []
        for number, path in enumerate(given):
            folder = Path(work) / str(number) / path.stem if _is_database(path) else path
            if folder is not path:
                folder.mkdir(parents=True, mode=0o700)
                for told in access.read(path, folder, held, temporary=Path(work)):
                    if notice:
                        notice(told)
            folders.append(folder)
        yield folders


def _keep_aside(targets: Sequence[Path], aside: Path) -> list[list[Path]]:
    """Copies of what an earlier check left in each folder, since it is about to be overwritten; none where there was no check."""
    kept: list[list[Path]] = []
    for number, target in enumerate(targets):
        kept.append([])
        if earlier.outcome(target) and (target / "findings.csv").is_file():
            copy = aside / str(number)
            copy.mkdir(mode=0o700)
            for name in earlier.KEPT:
                if (target / name).is_file():
                    shutil.copyfile(target / name, copy / name)
            kept[-1].append(copy)
    return kept


def explain_reject(folder: Path, reference: Path, table: str, row: int, portal: Portal, *, edition: str = "published") -> list[str]:
    """The path that removed a row of a submission folder, as lines without any value; see ``quality.explain``."""
    return explain.explain_reject(folder, reference, table, row, portal, validation.edition_of(edition))


def _write_reports(
    checked: Sequence[Checked], verdicts: Sequence[Verdict], edition: str, local: Sequence[checks.LocalCheck], *, temporary: Path | None = None
) -> None:
    """``report.html``, Data Docs where the gate ran, and the work list where it is wanted, beside the findings of each submission."""
    rules = list(standard.load().rules())
    sentences = {rule.code: rulebook.sentence(rule) for rule in rules}
    write_validation_reports(
        checked,
        sentences=sentences,
        advice={rule.code: rulebook.advice(rule) for rule in rules},
        edition=validation.edition_of(edition),
        not_evaluated={code: reason for verdict in verdicts for code, reason in verdict.not_evaluated.items()},
        checks=checks.catalogue(local),
        temporary=temporary,
    )
    for one in checked:
        write_data_docs(one.out, sentences)


def explain_measure(
    held: Path, period: str, measure_id: str, *, provider: str | None = None, breakdown: str | None = None, level: str | None = None
) -> tracing.Explained:
    """What counted in a measure of a month, what came near, and why; ``held`` is the evidence. See ``measures.explain``."""
    return tracing.explain_measure(held, computation.window(period), measure_id, provider=provider, breakdown=breakdown, level=level)


def explain_referral(held: Path, period: str, provider: str, referral: str) -> tracing.Explained:
    """Which measures of a release a referral touches, in or out and why; ``held`` is the evidence. See ``measures.explain``."""
    return tracing.explain_referral(held, computation.window(period), provider, referral)


def evidence_in_force(site: Site, period: str) -> Path:
    """The folder of evidence that the release in force for a month was counted from; InputError when there is none."""
    held = stages.current(site.evidence(period))
    if held is None:
        raise InputError(f"No evidence of {period} is in force; run that month first")
    return held.path / "evidence"


def compare_releases(site: Site | None, was: str, now: str, out: Path | None, measures: Sequence[str] = ()) -> dict[str, Any]:
    """Compare two releases, each a folder, or of the site a month (its release in force) or an identity; see ``measures.difference``."""
    sides = [difference.open_release(_release_folder(site, name)) for name in (was, now)]
    return difference.compare(sides[0], sides[1], out, measures=measures, temporary=site.temporary if site else None)


def _release_folder(site: Site | None, name: str) -> Path:
    """The restricted folder of a release; UsageError when nothing has that name."""
    if Path(name).is_dir():
        return Path(name)
    if site is None:
        raise UsageError(f"{name} is not a folder; give one, or add --config SITE.toml to name a release by its month or identity")
    if settings.PERIOD.fullmatch(name):
        return evidence_in_force(site, name).parent
    home = site.restricted / "evidence"
    found = [path for path in sorted(home.glob(f"*/{name}*")) if path.is_dir()] if name.isalnum() else []
    if len(found) != 1:
        raise UsageError(f"{'No release' if not found else 'More than one release'} has the identity {name[:20]}; see {home}")
    return found[0]


def measure_folders(
    submissions: Path, reference: Path, period: str, status: str, out: Path, *, evidence: Path | None = None, ips_records: Path | None = None
) -> dict[str, Any]:
    """Compute every measure over all provider-months under a folder, each taken as accepted; see ``measures.computation``.

    ``ips_records`` are local IPS records (see ``sources.records.find``): they are judged first, what they break is written to
    ``out``/ips_records, and only the rows that count are measured.
    """
    if not reference.is_dir():
        raise InputError(f"The reference folder {reference} does not exist; give the folder that holds geography.csv and the other lists")
    chosen = discover(submissions, last=period)
    if ips_records is None:
        return computation.compute(chosen, reference, period, status, out, evidence=evidence)
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(prefix=".records-", dir=out) as work:
        judged = validate_records(ips_records, Path(work), submissions)
        for provider in judged:
            (out / "ips_records" / provider).mkdir(parents=True, exist_ok=True, mode=0o700)
            for report in sorted((Path(work) / provider).glob("*.csv")):
                shutil.move(report, out / "ips_records" / provider / report.name)
        records = [facts.pop("accepted") for facts in judged.values()]
        return computation.compute(chosen, reference, period, status, out, records=records, evidence=evidence) | {"ips_records": judged}


def _targets(folders: Sequence[Path], out: Path) -> list[Path]:
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) == len(names):
        return [out / name for name in names]
    longer = [out / folder.resolve().parent.name / folder.resolve().name for folder in folders]
    if len(set(longer)) < len(longer):
        raise UsageError("Two of the folders have the same name and the same parent's name; validate them in separate calls")
    return longer


def _accepted(site: Site, period: str) -> dict[tuple[str, str], stages.Stage]:
    """The accepted stage in force for every provider of the site and month up to the period, in order of month and provider."""
    found: dict[tuple[str, str], stages.Stage] = {}
    for provider in site.providers:
        home = site.accepted(provider.code, period).parent
        for shelf in sorted(home.iterdir()) if home.is_dir() else ():
            if shelf.name <= period and (stage := stages.current(shelf)):
                found[provider.code, shelf.name] = stage
    return dict(sorted(found.items(), key=lambda item: (item[0][1], item[0][0])))


def _records(site: Site, period: str) -> dict[str, stages.Stage]:
    """The local IPS records in force for each provider: those taken with the period, else with the last month before it."""
    found: dict[str, stages.Stage] = {}
    for provider in site.providers:
        home = site.ips_records(provider.code, period).parent
        for shelf in sorted(home.iterdir()) if home.is_dir() and provider.ips_records is not None else ():
            if shelf.name <= period and (stage := stages.current(shelf)):
                found[provider.code] = stage
    return found


def validate_records(source: Path, out: Path, submissions: Path | None) -> dict[str, dict[str, Any]]:
    """Judge local IPS records that lie anywhere; the reports of several providers go to ``out``/<provider>. Gives the facts by provider.

    ``submissions`` is the root of the submission folders whose referrals the records may name. Raises InputError for what cannot be read.
    """
    returned = discover(submissions) if submissions else None
    facts: dict[str, dict[str, Any]] = {}
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    for provider, path in record_sources.find(source).items():
        with TemporaryDirectory(prefix=".landed-", dir=out) as work:
            landed = record_sources.land(path, provider, Path(work) / "landed")
            verdict = record_rules.validate(Path(work) / "landed", out / provider, submissions=returned)
            _write_records_report(verdict.out, landed, verdict, provider)
        facts[provider] = {**verdict.facts(), "tables": landed.rows, "unread": landed.unread, "accepted": verdict.accepted}
    return facts


def _write_records_report(
    out: Path, landed: record_sources.Landed, verdict: record_rules.RecordsVerdict, provider: str, *, temporary: Path | None = None
) -> None:
    """``report.html`` beside the findings of a provider's local IPS records."""
    rules = list(standard.load(standard.LOCAL).rules())
    write_records_report(
        out,
        rows=landed.rows,
        places=landed.places,
        unread=landed.unread,
        sentences={rule.code: rulebook.sentence(rule) for rule in rules},
        advice={rule.code: rulebook.advice(rule) for rule in rules},
        not_evaluated=verdict.not_evaluated,
        provider=provider or None,
        temporary=temporary,
    )


def _as_submissions(used: Mapping[tuple[str, str], stages.Stage], view: Path) -> list[Path]:
    """The accepted stages laid out as submission folders <provider>/<yyyy-mm>, by links."""
    folders = []
    for (provider, month), stage in used.items():
        folder = view / provider / month
        folder.parent.mkdir(exist_ok=True, mode=0o700)
        folder.symlink_to(stage.path, target_is_directory=True)
        folders.append(folder)
    return folders


def _lineage(site: Site) -> events.Log:
    """Where the lineage of a site is kept, if it is."""
    return events.log(site.lineage if site.publish.lineage else None, site.name)


def _take_accepted(judged: stages.Stage, folder: Path) -> Mapping[str, Any]:
    """Link the accepted rows of a judged submission; the same bytes under their own manifest."""
    for path in sorted((judged.path / "accepted").iterdir()):
        os.link(path, folder / path.name)
    facts = judged.manifest["facts"]
    return {"rows": facts["rows_submitted"] - facts["rows_rejected"]}


def _take_release(site: Site, evidence: stages.Stage, folder: Path) -> Mapping[str, Any]:
    """Copy what may leave the restricted zone: what disclosure control let through, none of the evidence and no exact small count."""
    shutil.copytree(evidence.path / "release", folder, dirs_exist_ok=True)
    facts = evidence.manifest["facts"]
    if site.options.disclosure == "published":
        final = next(name for name in facts["files"] if name.startswith("publication/") and "_RAW_" not in name)
        (folder / "publication").mkdir(mode=0o700)
        shutil.copyfile(evidence.path / "exact" / final, folder / final)
    about = dataset.About(
        evidence.identity,
        facts["period"],
        site.name,
        site.options.disclosure,
        site.publish.licence,
        registry.definitions(),
        _notice(site, facts),
    )
    dataset.describe(folder, about)
    write_release_site(
        folder,
        identity=evidence.identity,
        submissions=facts["submissions"],
        not_evaluated=facts["not_evaluated"],
        definitions=registry.definitions(),
        notice=about.notice,
    )
    dataset.complete(folder, about, temporary=site.temporary, memory_limit=site.options.memory_limit)
    return {key: facts[key] for key in ("period", "status", "submissions", "not_evaluated", "residence_tested", "reference")}


def _notice(site: Site, facts: Mapping[str, Any]) -> str | None:
    """What stands at the head of a release: the site's own notice, and where its numbers cannot be those of the national publication."""
    parts = [site.notice]
    if facts["reference"]["index_of_deprivation"] == "IoD2025":
        parts.append("Deprivation is by the English index of 2025 over the small areas of 2021; the national publication goes by 2019.")
    if not facts["residence_tested"]:
        parts.append("There were no postcodes, so nobody is left out for living outside England; the national publication leaves them out.")
    return " ".join(part for part in parts if part) or None


@cache
def _code(*parts: str) -> str:
    """A hash of the rules, the standard or the SQL that a stage's content depends on; a change of them is a new identity."""
    homes = {
        "quality": Path(quality.__file__).parent,
        "measures": Path(measures.__file__).parent,
        "publish": Path(publish.__file__).parent,
        "reports": Path(reports.__file__).parent,
        "mhsds": Path(standard.__file__).parent,
        "sql": steps.root(),
    }
    return stages.identity_of({part: stages.tree_hash(homes[part]) for part in parts})
