"""The connection policy: nothing outside the given folders, nothing downloaded, no value in an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from ips_pipeline.errors import InputError, IpsError, RetryableError
from ips_pipeline.store import duck


def test_only_the_given_folders_can_be_read_and_written(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "a.csv").write_text("x\n1\n")
    with duck.session(write=[inside]) as connection:
        connection.execute(f"COPY (SELECT 1 AS x) TO '{inside / 'a.parquet'}'")
        assert connection.execute(f"SELECT x FROM '{inside / 'a.parquet'}'").fetchall() == [(1,)]
        for statement in (f"SELECT * FROM read_csv('{outside / 'a.csv'}')", f"COPY (SELECT 1) TO '{outside / 'b.csv'}'"):
            with pytest.raises(duck.DuckError):
                connection.execute(statement)


@pytest.mark.parametrize("statement", ["SET memory_limit = '9GB'", "SET enable_external_access = true", "INSTALL httpfs", "LOAD httpfs"])
def test_the_configuration_is_locked_and_nothing_can_be_installed(statement: str) -> None:
    with duck.session() as connection, pytest.raises(duck.DuckError):
        connection.execute(statement)


def test_a_value_in_an_error_of_the_engine_does_not_come_out() -> None:
    with pytest.raises(InputError) as caught, duck.session() as connection:
        connection.execute("SELECT CAST('canary-9990000018' AS INTEGER)").fetchall()
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_operator_finds_the_whole_error_in_the_restricted_zone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"operator\.log"), duck.session(temporary=tmp_path) as connection:
        connection.execute("SELECT CAST('canary-9990000018' AS INTEGER)").fetchall()
    log = tmp_path / "operator.log"
    assert "canary-9990000018" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_running_out_of_memory_is_worth_a_retry_with_more(tmp_path: Path) -> None:
    with pytest.raises(RetryableError, match="IPS_MEMORY_LIMIT"), duck.session(memory_limit="10MB", temporary=tmp_path) as connection:
        connection.execute("SELECT list(i || repeat('x', 1000)) FROM range(1000000) AS t(i)").fetchall()


def test_the_spill_folder_is_for_the_owner_and_goes_away(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    with duck.session(temporary=spill):
        assert spill.stat().st_mode & 0o077 == 0
        assert len(list(spill.iterdir())) == 1
    assert list(spill.iterdir()) == []


def test_our_own_errors_pass_through_unchanged() -> None:
    with pytest.raises(IpsError, match="as it is"), duck.session():
        raise InputError("as it is")
