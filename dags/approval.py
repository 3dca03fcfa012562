"""The approval of a return by a person, in Airflow: what stands before them, and what becomes of their answer.

The question and the form are Airflow's own (Required Actions). The answer goes where ``ips signoff`` puts it: into the ledger, bound to the
content that was shown.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.hitl import HITLUser

from dags import ips_tasks
from dags.ips_tasks import StageFailed, guarded

if TYPE_CHECKING:
    from ips_pipeline.settings import Site

APPROVE, DECLINE = "Approve", "Decline"

#: What a person fills in, to be given as ``params`` of the operator. Which roles there are is known when the task asks.
FORM = {"role": Param("", type="string"), "comment": Param(None, type=["null", "string"])}


class SignOff(HITLOperator):
    """Wait for one person's decision about a return and record it.

    ``content`` is what was built: an approval is for that and nothing else. ``order`` is 1 for the first approval and 2 for the second, which
    passes at once where the site asks for one person alone. The task passes as well when the return was approved on the command line
    meanwhile; it fails when the return is no longer what was built, and when the window closes without an answer; it is skipped, with all
    that follows, when the return is declined. What people see holds counts and dates only.
    """

    template_fields = ("provider", "period", "content")

    def __init__(self, *, provider: str, period: str, content: str, order: int, **kwargs: Any) -> None:
        super().__init__(
            subject="Approve a return",
            options=[APPROVE, DECLINE],
            # How long a person may take is no matter of the machine: the window's end is the limit, see ``execute``.
            execution_timeout=None,
            **kwargs,
        )
        self.provider, self.period, self.content, self.order = provider, period, content, order

    def execute(self, context: Context) -> dict[str, Any] | None:
        """Ask, unless nobody has to be asked any more."""
        if not guarded(self._prepare)():
            return {"provider": self.provider, "period": self.period, "content": self.content}
        super().execute(context)
        return None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Record the answer."""
        if "error" in event:
            raise StageFailed(f"Nobody decided about {self.provider} {self.period} before the window closed; nothing was handed over", 2)
        return guarded(self._record)(event)

    def _prepare(self) -> bool:
        """Put the question together; False when enough people have approved exactly this content."""
        from ips_pipeline import returns
        from ips_pipeline.errors import UsageError

        site, moment = ips_tasks.site(), ips_tasks.now()
        draft = returns.draft(site, self.provider, self.period, clock=ips_tasks.now)
        if draft.standing.content != self.content:
            raise UsageError(
                f"{self.provider} {self.period} has changed since this draft ({self.content}): it is now {draft.standing.content}; "
                "approve it in the run that built that, or trigger a new one"
            )
        if len(draft.standing.approvals) >= min(self.order, draft.standing.needed):
            return False
        closes = returns.closes_at(site, self.period, moment)
        if closes is None:
            raise UsageError(f"Nobody was asked: {returns.not_due(site, self.period, moment)}")
        self.response_timeout = max(closes - moment, timedelta(seconds=1))
        self.subject = f"Return of {self.provider} for {self.period}: {'first' if self.order == 1 else 'second'} approval"
        self.body = "\n".join(f"- {line}" for line in draft.lines())
        self._offer_roles(site)
        people = returns.may_decide(site, draft.standing)
        self.assigned_users = [HITLUser(id=person, name=person) for person in people] or None
        return True

    def _offer_roles(self, site: Site) -> None:
        roles = list(site.signoff.roles)
        self.params["role"] = Param(roles[0], type="string", enum=roles, title="In which role", description="One of those that may sign off.")
        self.params["comment"] = Param(None, type=["null", "string"], title="Comment", description="Kept in the ledger. No patient's details.")

    def _record(self, event: dict[str, Any]) -> dict[str, Any]:
        from ips_pipeline import returns
        from ips_pipeline.errors import UsageError

        person = event.get("responded_by_user")
        if person is None:
            raise UsageError(f"Airflow does not say who decided about {self.provider} {self.period}; clear this task and decide again, logged in")
        answer, given = event["chosen_options"][0], event["params_input"] or {}
        returns.decide(
            ips_tasks.site(),
            self.provider,
            self.period,
            "approved" if answer == APPROVE else "declined",
            role=str(given.get("role", "")),
            comment=str(given.get("comment") or ""),
            seen=self.content,
            by=person["id"],
            clock=ips_tasks.now,
        )
        if answer != APPROVE:
            raise AirflowSkipException(f"{self.provider} {self.period} was declined by {person['id']}; correct it at source and run the month again")
        return {"provider": self.provider, "period": self.period, "content": self.content}
