"""Submission windows as deadlines of Airflow: a return that still waits when its window is about to close is a missed deadline.

Airflow knows the reference by the plugin in ``dags/plugins``; where that is not installed the DAG has no deadline, and ``ips_deadlines``
alone warns. It is so under ``airflow dags test`` as well, which cannot run a DAG that has a deadline (Airflow 3.3.2): leave the plugin out there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert

from dags import ips_tasks


class ClosingWindow(BaseDeadlineReference):
    """The moment from which the submission window that is open counts as closing, by the site's calendar and its ``closing_days``.

    Worked out by whatever starts a run. A component that does not see the site, such as an API server without its folder, or a day without a
    known window, gives no deadline: the run is started all the same.
    """

    def _evaluate_with(self, *, session: Any, **_: Any) -> datetime | None:
        if "IPS_SITE" not in os.environ:
            return None
        from ips_pipeline import returns
        from ips_pipeline.errors import IpsError

        try:
            return returns.closing_from(ips_tasks.site(), ips_tasks.now())
        except IpsError:
            # What is wrong with the site is told by the tasks, in a place where somebody looks.
            return None


def closing_alert() -> DeadlineAlert | None:
    """The alert of a run that is not done when its window is about to close; None where the plugin is not installed."""
    from airflow import plugins_manager

    name = f"{ClosingWindow.__module__}.{ClosingWindow.__qualname__}"
    if name not in plugins_manager.get_deadline_references_plugins():
        return None
    return DeadlineAlert(reference=ClosingWindow(), interval=timedelta(0), callback=SyncCallback(warn), name="The window is about to close")


def warn(context: Mapping[str, Any] | None = None, **_: Any) -> None:
    """Say which returns are not handed over, in Airflow's log: providers, months, progress and dates, never data."""
    from ips_pipeline import returns

    left = returns.closing(ips_tasks.site(), ips_tasks.now())
    logging.getLogger(__name__).warning(returns.warning(left) if left else "Every return of the closing window is handed over")
