"""What leaves a task: one safe line, retried only when trying again may help."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, AirflowTaskTimeout

from dags.ips_tasks import StageFailed, guarded
from ips_pipeline.errors import InputError, IpsError, PublishError, RetryableError, SubmissionRejected, UsageError

VALUE = "9990000018"


def failing(error: BaseException) -> Callable[[], None]:
    """A task body that fails as a library would: with a value in the text and in the exception behind it."""

    @guarded
    def body() -> None:
        try:
            raise KeyError(VALUE)
        except KeyError as cause:
            raise error from cause

    return body


@pytest.mark.parametrize("kind", [UsageError, InputError, SubmissionRejected, PublishError])
def test_a_fault_that_stays_fails_at_once_with_its_own_words(kind: type[IpsError]) -> None:
    with pytest.raises(AirflowFailException) as caught:
        failing(kind("RXA 2026-08: what is wrong;\n what to do"))()
    assert isinstance(caught.value, StageFailed)
    assert caught.value.exit_code == kind.exit_code
    assert str(caught.value).endswith(": RXA 2026-08: what is wrong; what to do")
    assert VALUE not in "".join(traceback.format_exception(caught.value))


def test_a_rejection_is_named_as_such() -> None:
    with pytest.raises(StageFailed, match=r"^Submission rejected: RXA"):
        failing(SubmissionRejected("RXA 2026-08 would be rejected"))()


def test_a_fault_that_may_pass_is_left_to_airflow_to_retry() -> None:
    with pytest.raises(RetryableError) as caught:
        failing(RetryableError("The disk is full"))()
    assert not isinstance(caught.value, AirflowFailException)
    assert VALUE not in "".join(traceback.format_exception(caught.value))


def test_the_text_of_an_unknown_exception_is_never_shown() -> None:
    with pytest.raises(StageFailed) as caught:
        failing(ValueError(f"Could not convert '{VALUE}'"))()
    assert str(caught.value).startswith("Unexpected ValueError at test_guard.py:")
    assert caught.value.exit_code == IpsError.exit_code
    assert VALUE not in "".join(traceback.format_exception(caught.value))


def test_a_task_that_runs_too_long_is_retried_without_what_it_was_doing() -> None:
    with pytest.raises(AirflowTaskTimeout) as caught:
        failing(AirflowTaskTimeout(VALUE))()
    assert VALUE not in "".join(traceback.format_exception(caught.value))


def test_what_a_task_writes_is_its_owners_alone(tmp_path: Path) -> None:
    @guarded
    def body() -> None:
        (tmp_path / "restricted" / "landing").mkdir(parents=True)
        (tmp_path / "restricted" / "rows").touch()

    before = os.umask(0o022)
    try:
        body()
        assert {path.stat().st_mode & 0o077 for path in (tmp_path / "restricted").rglob("*")} == {0}
        (tmp_path / "after").touch()
        assert (tmp_path / "after").stat().st_mode & 0o077 == 0o044
    finally:
        os.umask(before)


def test_the_line_to_act_on_stands_in_the_log_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(StageFailed):
        failing(InputError("Source epr: the database refused the login; check the user"))()
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "Input error: Source epr: the database refused the login; check the user"
    ]


def test_airflows_own_signals_pass() -> None:
    with pytest.raises(AirflowSkipException):
        failing(AirflowSkipException("not today"))()
