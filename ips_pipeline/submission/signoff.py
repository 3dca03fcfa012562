"""Sign-off: a return is a draft until the people who answer for it have approved exactly what would be sent.

There is no register of approvals beside the ledger: what stands is read from its entries. An approval names the content it is for,
so it ends by itself when anything of the return changes, and nothing that was approved can be changed afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from ips_pipeline.errors import UsageError
from ips_pipeline.store import ledger, stages
from ips_pipeline.store.ledger import Entry


class State(StrEnum):
    """How far a return has come."""

    DRAFT = "draft"
    WAITING = "waiting for a second approval"
    APPROVED = "approved"
    DECLINED = "declined"
    SUBMITTED = "submitted"


@dataclass(frozen=True, slots=True)
class Approval:
    """Who approved, in which role, when, and the seal of the ledger's line."""

    person: str
    role: str
    at: str
    seal: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a return stands: its content, the approvals of that content, and how many were for a content that is no more."""

    provider: str
    period: str
    content: str
    state: State
    approvals: tuple[Approval, ...]
    needed: int
    expired: int


def content_of(findings: str, accepted: str, package: str) -> str:
    """The content an approval is bound to: the verdict, the accepted rows and the package, each by its identity."""
    return stages.identity_of({"findings": findings, "accepted": accepted, "package": package})


def standing(entries: Iterable[Entry], provider: str, period: str, content: str, *, people: int) -> Standing:
    """Read where a return stands from the ledger's entries; ``people`` different persons have to approve."""
    approvals: dict[str, Approval] = {}
    expired, declined, submitted = 0, False, False
    for entry in entries:
        if (entry.provider, entry.period) != (provider, period) or "content" not in entry.facts:
            continue
        if entry.facts["content"] != content:
            expired += entry.kind == "approved"
            if entry.kind == "submitted":
                # Another return of the month went out since: to go back to this content is a new return, to be approved anew.
                submitted = False
                approvals.clear()
            continue
        match entry.kind:
            case "approved":
                approvals[entry.actor] = Approval(entry.actor, str(entry.facts["role"]), entry.at, entry.seal)
                declined = False
            case "withdrawn":
                approvals.pop(entry.actor, None)
            case "declined":
                approvals.clear()
                declined = True
            case "submitted":
                submitted = True
    if submitted:
        state = State.SUBMITTED
    elif len(approvals) >= people:
        state = State.APPROVED
    elif approvals:
        state = State.WAITING
    else:
        state = State.DECLINED if declined else State.DRAFT
    return Standing(provider, period, content, state, tuple(approvals.values()), people, expired)


def decide(
    home: Path,
    kind: ledger.Kind,
    now: Standing,
    *,
    role: str,
    roles: Iterable[str],
    holders: Mapping[str, Sequence[str]] | None = None,
    comment: str = "",
    seen: str | None = None,
    by: str | None = None,
    clock: Callable[[], datetime] = ledger.utc_now,
) -> Entry:
    """Record that a person approved, declined or withdrew (``kind``) the content that stands.

    ``role`` must be one of ``roles``, and the person among its ``holders`` where those are named; ``seen`` is the content the person looked
    at, if they said so. Raises UsageError for a role or a person that may not, for a content that is no longer the one seen, for the same
    person twice, and for nothing to withdraw.
    """
    person = by or ledger.actor()
    where = f"{now.provider} {now.period}"
    if role not in (allowed := tuple(roles)):
        raise UsageError(f"The role {role} may not sign off {where}; it is one of {', '.join(allowed)}")
    if role in (held_by := holders or {}) and person not in held_by[role]:
        raise UsageError(f"{person} does not hold the role {role} at this site, so nothing was recorded for {where}; see [signoff.holders]")
    if seen is not None and seen != now.content:
        raise UsageError(f"{where} has changed since that draft ({seen}): it is now {now.content}; look at the new one before you decide")
    if now.state is State.SUBMITTED:
        raise UsageError(f"{where} has been handed over already; a correction is a new return: run the month again")
    held = {approval.person for approval in now.approvals}
    if kind == "approved" and person in held:
        raise UsageError(f"{person} has approved {where} already; the second approval has to be another person's")
    if kind == "withdrawn" and person not in held:
        raise UsageError(f"{person} has not approved what {where} is now; there is nothing to withdraw")
    facts: Mapping[str, object] = {"content": now.content, "role": role, **({"comment": comment} if comment else {})}
    return ledger.append(home, kind, facts, provider=now.provider, period=now.period, by=person, clock=clock)


def refusal(now: Standing) -> str | None:
    """Why a return may not leave, in one sentence; None when it may."""
    where = f"{now.provider} {now.period}"
    before = f" ({now.expired} earlier approval{'s' if now.expired > 1 else ''} ended when the return changed)" if now.expired else ""
    match now.state:
        case State.APPROVED | State.SUBMITTED:
            return None
        case State.WAITING:
            return f"{where} has {len(now.approvals)} of {now.needed} approvals; another person has to approve it with: ips signoff approve"
        case State.DECLINED:
            return f"{where} was declined; correct it at source and run the month again{before}"
        case _:
            return f"{where} is a draft{before}; nothing leaves before it is approved with: ips signoff approve"
