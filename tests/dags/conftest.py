"""Airflow for the tests of the DAGs: its configuration is read when it is first imported, so it is set here, before any test module."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

ROOT = Path(__file__).resolve().parents[2]

os.environ |= {
    "AIRFLOW_HOME": tempfile.mkdtemp(prefix="airflow-"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
}


@pytest.fixture(scope="session")
def bag() -> DagBag:
    """Both DAGs as Airflow reads them."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(ROOT / "dags")
