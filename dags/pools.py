"""One Airflow pool per source of the site, so that no more extracts read a trust's database at once than it has slots.

    python -m dags.pools --site SITE.toml

makes the pools, with the ``slots`` of each source in SITE.toml (1 for a database, 4 for a folder, unless set). It needs the metadata database, as
``airflow db migrate`` does, and is run after it; ``python -m dags.ui`` does so by itself. Where a pool is missing, its extracts run in
Airflow's default pool.

Airflow cannot give the instances of a mapped task pools of their own, so a policy does as they are made: ``dags/plugins/airflow_local_settings.py``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance

#: Under this key the first task of a run keeps the pools of its mapped instances, in their order.
POOLS = "pools"
DAG, FIRST, EXTRACT = "ips_provider_month", "submissions", "provider_month.extract"


def pool_of(source: str) -> str:
    """The name of a source's pool."""
    return f"ips_{source}"


def put_into_pool(task_instance: TaskInstance, dag_run: DagRun | None) -> None:
    """Give an instance of ``extract`` the pool of its source; leave every other one alone. The scheduler calls it for each instance it makes."""
    if task_instance.dag_id != DAG or task_instance.task_id != EXTRACT or task_instance.map_index is None or task_instance.map_index < 0:
        return
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run) if dag_run is not None else None
    if session is None or dag_run is None:
        return
    from airflow.models.pool import Pool
    from airflow.models.xcom import XComModel

    with session.no_autoflush:
        kept = session.scalars(XComModel.get_many(run_id=dag_run.run_id, key=POOLS, task_ids=FIRST, dag_ids=DAG, limit=1)).first()
        pools: Any = XComModel.deserialize_value(kept) if kept is not None else None
        if isinstance(pools, list) and task_instance.map_index < len(pools):
            name = pools[task_instance.map_index]
            # A task in a pool that is not there would wait for ever.
            if session.scalar(select(Pool.id).where(Pool.pool == name)) is not None:
                task_instance.pool = name


def make(site: Path) -> list[tuple[str, int]]:
    """Make the pool of every source of a site, or set its slots where it is there; gives names and slots. Raises UsageError for the site."""
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session

    from ips_pipeline import settings

    loaded = settings.load(site)
    wanted = [(pool_of(name), source.slots) for name, source in sorted(loaded.sources.items())]
    with create_session() as session:
        for name, slots in wanted:
            Pool.create_or_update_pool(name, slots, f"Extracts at once from a source of {loaded.name}", include_deferred=False, session=session)
    return wanted


def main(arguments: list[str] | None = None) -> int:
    """Make the pools and print them. Returns 0, or the exit code of what is wrong with the site."""
    from ips_pipeline.errors import IpsError

    parser = argparse.ArgumentParser(prog="python -m dags.pools", description="Make one Airflow pool per source of the site.")
    parser.add_argument("--site", type=Path, required=True, help="the site's SITE.toml")
    given = parser.parse_args(arguments)
    try:
        for name, slots in make(given.site):
            print(f"{name}  {slots} {'slot' if slots == 1 else 'slots'}")
    except IpsError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
