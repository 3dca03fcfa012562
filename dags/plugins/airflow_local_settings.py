"""Airflow's policies for the pipeline's DAGs. Airflow finds this file because AIRFLOW__CORE__PLUGINS_FOLDER names its folder.

An installation with an ``airflow_local_settings`` of its own calls ``dags.pools.put_into_pool`` from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

__all__ = ["task_instance_mutation_hook"]


def task_instance_mutation_hook(task_instance: TaskInstance, dag_run: DagRun | None) -> None:
    """Extracts wait for a slot of their source."""
    from dags.pools import put_into_pool

    put_into_pool(task_instance, dag_run)
