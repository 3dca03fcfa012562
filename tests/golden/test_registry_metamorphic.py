"""Changes that must not matter to any measure of the registry: the order of rows, the names of patients and records."""

from __future__ import annotations

import importlib.util
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def crowd(new_world: Callable[[], Any]) -> Callable[[], Any]:
    """A fixed crowd without ties, as the tests of MHS116 use it."""
    spec = importlib.util.spec_from_file_location("crowds", Path(__file__).with_name("test_mhs116_differential.py"))
    assert spec is not None
    assert spec.loader is not None
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)

    def made() -> Any:
        world = new_world()
        plain.build(world, plain.crowd(7))
        return world

    return made


@pytest.fixture(scope="module")
def usual(run: Callable[..., Any], crowd: Callable[[], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(crowd(), tmp_path_factory.mktemp("usual"))


def unlike(found: list[dict[str, Any]], usual: list[dict[str, Any]]) -> set[str]:
    """The measures whose rows differ, in whatever order they stand."""
    held = [Counter((row["measure_id"], str(row)) for row in rows) for rows in (found, usual)]
    return {measure for measure, _ in (held[0] - held[1]) + (held[1] - held[0])}


def test_the_order_of_rows_does_not_matter(usual: Any, run: Callable[..., Any], crowd: Callable[[], Any], tmp_path: Path) -> None:
    world, chance = crowd(), random.Random(1)  # noqa: S311 - an order, not a secret
    for tables in world.rows.values():
        for rows in tables.values():
            chance.shuffle(rows)
    assert len(usual.measures) > 1_000
    assert unlike(run(world, tmp_path).measures, usual.measures) == set()


def test_the_names_of_patients_and_records_do_not_matter(usual: Any, run: Callable[..., Any], crowd: Callable[[], Any], tmp_path: Path) -> None:
    world, local = crowd(), ("LocalPatientID", "ServiceRequestID", "CareContactID", "CareActID")
    for tables in world.rows.values():
        for table, rows in tables.items():
            tables[table] = [{name: f"x-{value}" if value and name in local else value for name, value in row.items()} for row in rows]
    assert unlike(run(world, tmp_path).measures, usual.measures) == set()
