"""One pool per source: made once, set by SITE.toml, given to the extracts of that source and to nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from airflow.utils.types import DagRunType
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dags import pools

SITE = """name = "A site"
data = "data"
reference = "reference"
[sources.epr]
kind = "sql"
url = "sqlite:///epr.sqlite"
{slots}
[sources.exports]
kind = "files"
folder = "exports"
[[providers]]
code = "RXA"
name = "A trust"
source = "epr"
mapping = "map.yaml"
"""


@pytest.fixture(scope="module", autouse=True)
def metadata() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "reference").mkdir()
    (tmp_path / "map.yaml").write_text("tables: {}\n", encoding="utf-8")
    file = tmp_path / "SITE.toml"
    file.write_text(SITE.format(slots=""), encoding="utf-8")
    return file


@pytest.fixture
def session() -> Iterator[Session]:
    with create_session() as opened:
        yield opened
        opened.rollback()


def held() -> dict[str, int]:
    with create_session() as session:
        return {pool.pool: pool.slots for pool in session.scalars(select(Pool).where(Pool.pool.startswith("ips_")))}


def test_pools_are_made_once_and_follow_the_settings(site: Path) -> None:
    assert pools.main(["--site", str(site)]) == 0
    assert held() == {"ips_epr": 1, "ips_exports": 4}
    site.write_text(SITE.format(slots="slots = 3"), encoding="utf-8")
    assert pools.main(["--site", str(site)]) == 0
    assert held() == {"ips_epr": 3, "ips_exports": 4}


def test_a_site_that_is_not_there_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pools.main(["--site", str(tmp_path / "SITE.toml")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def given(session: Session, names: object, task: str = pools.EXTRACT, index: int = 1) -> str:
    """The pool that an instance has after the policy, in a run whose first task named these pools."""
    # The instance of the first task is not needed for this, and the session is rolled back before anybody could miss it.
    session.execute(text("PRAGMA defer_foreign_keys = ON"))
    run = DagRun(dag_id=pools.DAG, run_id="by-hand", run_type=DagRunType.MANUAL, run_after=datetime(2026, 9, 8, tzinfo=UTC))
    session.add(run)
    session.flush()
    session.add(
        XComModel(
            dag_run_id=run.id,
            dag_id=pools.DAG,
            run_id=run.run_id,
            task_id=pools.FIRST,
            map_index=-1,
            key=pools.POOLS,
            value=XComModel.serialize_value(names),
        )
    )
    session.flush()
    instance = SimpleNamespace(dag_id=pools.DAG, task_id=task, map_index=index, pool="default_pool")
    pools.put_into_pool(instance, run)  # type: ignore[arg-type]
    return str(instance.pool)


def test_an_extract_waits_in_the_pool_of_its_own_source(site: Path, session: Session) -> None:
    pools.make(site)
    assert given(session, ["ips_exports", "ips_epr"]) == "ips_epr"


@pytest.mark.parametrize(
    ("names", "task", "index"),
    [
        (["ips_exports", "ips_nobody_made_this"], pools.EXTRACT, 1),
        (["ips_exports"], pools.EXTRACT, 1),
        ("/where/xcom/is/kept/elsewhere", pools.EXTRACT, 1),
        (["ips_exports", "ips_epr"], "provider_month.validate", 1),
        (["ips_exports", "ips_epr"], pools.EXTRACT, -1),
    ],
)
def test_nothing_waits_in_a_pool_that_is_not_there_or_not_its_own(site: Path, session: Session, names: object, task: str, index: int) -> None:
    pools.make(site)
    assert given(session, names, task, index) == "default_pool"


def test_a_run_that_is_not_known_yet_is_left_alone() -> None:
    instance = SimpleNamespace(dag_id=pools.DAG, task_id=pools.EXTRACT, map_index=0, pool="default_pool")
    pools.put_into_pool(instance, None)  # type: ignore[arg-type]
    assert instance.pool == "default_pool"
