"""The daily look at the site: green with warnings, red when something needs an operator, and its log says what."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dags.ips_tasks import StageFailed
from ips_pipeline.errors import InputError
from ips_pipeline.sources import madeup

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return madeup.write_site(tmp_path_factory.mktemp("doctor") / "site")


def test_it_is_red_only_when_something_needs_an_operator(
    site: Path, bag: DagBag, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("IPS_SITE", str(site))
    monkeypatch.delenv("IPS_DATA", raising=False)
    # Which folder of DAGs the tests read is none of the site's.
    monkeypatch.delenv("AIRFLOW__CORE__DAGS_FOLDER")
    examine = bag.dags["ips_doctor"].get_task("examine").python_callable
    with caplog.at_level(logging.INFO):
        found = examine()
    assert found["warnings"] == len([record for record in caplog.records if record.levelname == "WARNING"]) > 0
    assert any(record.levelname == "WARNING" and record.getMessage().startswith("hand-over: ") for record in caplog.records)
    caplog.clear()
    (site.parent / "trusts" / "MU1" / "epr.sqlite").rename(site.parent / "elsewhere.sqlite")
    with pytest.raises(StageFailed, match=rf"^1 of {found['checks']} checks found a fault. source epr-mu1: .*there is no database file") as failed:
        examine()
    assert failed.value.exit_code == InputError.exit_code
    assert any(record.levelname == "ERROR" and record.getMessage().startswith("source epr-mu1: ") for record in caplog.records)
