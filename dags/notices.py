"""A failed task tells people by e-mail: which task, whose month, what kind of failure, what to do. Never a value.

Off unless IPS_NOTIFY_TO names addresses. The server, the login and the sender are those of an Airflow connection of type smtp: the one that
IPS_NOTIFY_CONNECTION names, else Airflow's own default for e-mail. Set both for the workers and for the DAG processor, which tells of tasks
whose worker was lost.
"""

from __future__ import annotations

import html
import os
from typing import Any

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import Context

#: What the exit codes of ``ips_pipeline.errors`` ask of an operator.
NEXT_STEP = {
    2: "Correct the setting or the parameter that the line names, then clear the task.",
    11: "Correct the source, the mapping or the file that the line names, then clear the task.",
    13: "Have the provider correct its return; its findings.csv says which rows. Then clear its extract with what follows.",
    15: "See to the disk or the permissions that the line names, then clear the task.",
    20: "Every retry met the same fault. See to what the line names, then clear the task.",
}
UNKNOWN = "Open the task's log; the description of the DAG says what to do for each kind of failure."


class FailureNotice(SmtpNotifier):
    """An e-mail about one failed task, in our own words."""

    def notify(self, context: Context) -> None:
        """Send it. The text is ours alone: nothing in it is taken for a template."""
        self.subject, lines = told(context)
        self.html_content = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
        super().notify(context)


def failure_notices() -> list[SmtpNotifier]:
    """What every DAG does when a task has failed for good; nothing where no address is given."""
    addresses = [address.strip() for address in os.environ.get("IPS_NOTIFY_TO", "").split(",") if address.strip()]
    return [FailureNotice(to=addresses, smtp_conn_id=os.environ.get("IPS_NOTIFY_CONNECTION") or None)] if addresses else []


def told(context: Context) -> tuple[str, list[str]]:
    """Subject and lines about the failure in a context.

    The text of an exception is shown where it is one of ours, which are safe to log; of any other only the class is.
    """
    from ips_pipeline.errors import IpsError

    ti = context["ti"]
    given: dict[str, Any] = getattr(context.get("task"), "op_kwargs", None) or {}
    params = context.get("params") or {}
    whose, month = given.get("provider") or params.get("provider"), given.get("period") or params.get("period")
    error = context.get("exception")
    code = getattr(error, "exit_code", None)
    ours = isinstance(error, IpsError) or (code is not None and type(error).__module__ == "dags.ips_tasks")
    about = f"{ti.dag_id} {ti.task_id}" + "".join(f" {part}" for part in (whose, month) if part)
    lines = [
        f"DAG: {ti.dag_id}",
        f"Task: {ti.task_id}",
        f"Run: {ti.run_id}",
        f"Provider: {whose or 'all'}",
        f"Period: {month or 'not given'}",
        f"Failure: {error if ours else type(error).__name__ if isinstance(error, BaseException) else 'the worker was lost'}",
        f"Exit class: {code if code is not None else 'none'}",
        f"Next step: {NEXT_STEP.get(code or 0, UNKNOWN)}",
    ]
    return f"Failed: {about}", lines
