"""Records that came late: months that were handed over and are different at source now, marked until they are handed over again.

With every extract of a month, the months before it that were handed over are mapped again, as many as ``late_months`` of the site says, and
compared with what was handed over. What is different is told by table, with the window that is left for it, and kept in the ledger. Nothing
of the month itself changes: to send it again is for its people, with a replay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ips_pipeline.errors import InputError, IpsError
from ips_pipeline.mhsds import standard
from ips_pipeline.settings import Site
from ips_pipeline.sources import changes
from ips_pipeline.sources.changes import Counts
from ips_pipeline.sources.extract import extract_aside
from ips_pipeline.store import ledger, stages
from ips_pipeline.submission import calendar


@dataclass(frozen=True, slots=True)
class Late:
    """A month that is different at source since it was handed over: by table, and the landing that holds it as it is now.

    ``at`` is when that was noticed, ``handed_over`` the landing that the return was made of, and ``sent_at`` when it was handed over.
    """

    provider: str
    period: str
    landing: str
    at: str
    tables: Mapping[str, Counts]
    handed_over: str
    sent_at: str

    def words(self, site: Site, moment: datetime) -> str:
        """2026-07: Care Contact: 4 added, 1 withdrawn since the return was handed over; the window closes on 17 September 2026."""
        return f"{self.period}: {changes.words(self.tables)}, since the return was handed over; {_window(site, self.period, moment)}"


def look(site: Site, provider: str, period: str) -> dict[str, str]:
    """Compare the months before one that were handed over with what their source holds now; the ledger keeps what is different.

    Gives by month why it could not be looked at; a month that cannot be read any more is no fault of the one that is extracted.
    """
    unread = {}
    number = standard.month_id(int(period[:4]), int(period[5:]))
    for month in ("{:04d}-{:02d}".format(*standard.month_of(number - back)) for back in range(site.late_months, 0, -1)):
        entries = ledger.about(site.ledger, provider, month)
        handed = next((entry for entry in reversed(entries) if entry.kind == "submitted"), None)
        if handed is None:
            continue
        try:
            _compare(site, provider, month, handed, _last(entries))
        except IpsError as error:
            unread[month] = str(error)
    return unread


def mark(site: Site, provider: str, period: str, entries: Sequence[ledger.Entry] | None = None) -> Late | None:
    """What is different in a month since it was handed over, by the ledger (or those lines of it); None when nothing is known to be."""
    entries = ledger.about(site.ledger, provider, period) if entries is None else entries
    last, sent = _last(entries), next((entry for entry in reversed(entries) if entry.kind == "submitted"), None)
    if last is None or sent is None or not last.facts["tables"]:
        return None
    return Late(provider, period, last.facts["landing"], last.at, changes.counts(last.facts), last.facts["handed_over"], sent.at)


def marks(site: Site, provider: str | None = None) -> list[Late]:
    """Every month that is marked, in order of provider as the site names them and of month."""
    found = []
    lines: dict[tuple[str | None, str | None], list[ledger.Entry]] = {}
    for entry in ledger.entries(site.ledger):
        if entry.kind in ("submitted", "late"):
            lines.setdefault((entry.provider, entry.period), []).append(entry)
    for code in [site.provider(provider).code] if provider else [item.code for item in site.providers]:
        for month in sorted(period for held, period in lines if held == code and period):
            if (late := mark(site, code, month, lines[code, month])) is not None:
                found.append(late)
    return found


def _last(entries: Sequence[ledger.Entry]) -> ledger.Entry | None:
    """The last line about late records since the month was handed over last."""
    last = next((entry for entry in reversed(entries) if entry.kind in ("submitted", "late")), None)
    return last if last is not None and last.kind == "late" else None


def _compare(site: Site, provider: str, month: str, handed: ledger.Entry, last: ledger.Entry | None) -> None:
    sent = _landing(site, provider, month, handed.facts["package"])
    now = extract_aside(site, provider, month)
    if now.identity == sent.identity:
        tables: Mapping[str, Mapping[str, int]] = {}
    else:
        tables = changes.keep(site, provider, month, sent, now).manifest["facts"]["tables"]
    if tables != (last.facts["tables"] if last is not None else {}):
        facts = {"landing": now.identity, "handed_over": sent.identity, "tables": tables}
        ledger.append(site.ledger, "late", facts, provider=provider, period=month)


def _landing(site: Site, provider: str, month: str, package: str) -> stages.Stage:
    """The landing that a package was made of."""
    accepted = stages.opened(site.package(provider, month), package).manifest["inputs"]["accepted"]
    landed = stages.opened(site.landing(provider, month), stages.opened(site.accepted(provider, month), accepted).manifest["inputs"]["landing"])
    if not any(landed.path.glob("*.parquet")):
        raise InputError(f"What {provider} {month} was handed over from is no longer kept; compare it by hand")
    return landed


def _window(site: Site, period: str, moment: datetime) -> str:
    """What is left to send a month again, as the end of a sentence."""
    now = calendar.load(site.calendar).standing(period, moment)
    if now.window is None:
        return "the last window for it is closed" if now.state is calendar.State.CLOSED else "no window for it is known"
    opens = f"opens on {now.window.opens:%-d %B %Y} and " if now.window.opens_at() > moment else ""
    return f"the window {opens}closes on {now.window.closes:%-d %B %Y}"
