"""Immutable stage directories: what is in force is whole, named by content, and never half-written."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline.errors import InputError, RetryableError
from ips_pipeline.store import stages


def build(text: str) -> Any:
    def write(folder: Path) -> Mapping[str, Any]:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(text)
        return {"rows": len(text)}

    return write


def write(tmp_path: Path, text: str, **given: Any) -> stages.Stage:
    return stages.write(tmp_path / "shelf", build(text), staging=tmp_path / "staging", **given)


def test_content_is_in_force_with_its_manifest(tmp_path: Path) -> None:
    stage = write(tmp_path, "one")
    assert stage.changed
    held = stages.current(tmp_path / "shelf")
    assert held is not None
    assert held.path == stage.path
    assert (held.path / "sub" / "a.txt").read_text() == "one"
    assert held.manifest["facts"] == {"rows": 3}
    assert held.manifest["files"]["sub/a.txt"]["bytes"] == 3
    stages.verify(held)


def test_the_same_content_changes_nothing(tmp_path: Path) -> None:
    first = write(tmp_path, "one")
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "shelf").rglob("*"))
    second = write(tmp_path, "one")
    assert second.identity == first.identity
    assert not second.changed
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "shelf").rglob("*")) == before


def test_a_given_identity_is_not_built_again(tmp_path: Path) -> None:
    write(tmp_path, "one", identity="abc")

    def never(folder: Path) -> Mapping[str, Any]:
        raise AssertionError("built again")

    assert not stages.write(tmp_path / "shelf", never, staging=tmp_path / "staging", identity="abc").changed


def test_going_back_to_earlier_content_makes_it_current_again(tmp_path: Path) -> None:
    first = write(tmp_path, "one")
    second = write(tmp_path, "two")
    assert first.identity != second.identity
    again = write(tmp_path, "one")
    assert again.changed
    held = stages.current(tmp_path / "shelf")
    assert held is not None and held.identity == first.identity
    assert second.path.is_dir()


def test_a_failing_build_leaves_the_old_content_and_no_remains(tmp_path: Path) -> None:
    first = write(tmp_path, "one")

    def fail(folder: Path) -> Mapping[str, Any]:
        (folder / "half").write_text("half")
        raise InputError("no")

    with pytest.raises(InputError):
        stages.write(tmp_path / "shelf", fail, staging=tmp_path / "staging")
    held = stages.current(tmp_path / "shelf")
    assert held is not None and held.identity == first.identity
    assert list((tmp_path / "staging").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_or_a_lost_permission_is_one_line_worth_a_retry(tmp_path: Path, number: int) -> None:
    def full(folder: Path) -> Mapping[str, Any]:
        raise OSError(number, os.strerror(number), "9990000018")

    with pytest.raises(RetryableError) as caught:
        stages.write(tmp_path / "shelf", full, staging=tmp_path / "staging")
    assert "9990000018" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.strerror(number) in str(caught.value)


def test_files_and_folders_are_for_the_owner_only(tmp_path: Path) -> None:
    stage = write(tmp_path, "one")
    for path in [stage.path, *stage.path.rglob("*"), tmp_path / "shelf" / "CURRENT"]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("harm", ["change", "add", "remove"])
def test_verify_names_the_file_that_was_tampered_with(tmp_path: Path, harm: str) -> None:
    stage = write(tmp_path, "one")
    path = stage.path / "sub" / "a.txt"
    if harm == "change":
        path.write_text("two")
    elif harm == "add":
        path = stage.path / "extra"
        path.write_text("")
    else:
        path.unlink()
    with pytest.raises(InputError, match=path.name):
        stages.verify(stage)


def test_a_pointer_to_nothing_is_an_error_and_no_pointer_is_nothing(tmp_path: Path) -> None:
    assert stages.current(tmp_path / "shelf") is None
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "CURRENT").write_text("abc\n")
    with pytest.raises(InputError):
        stages.current(tmp_path / "shelf")


def test_identities_depend_on_every_part_and_on_nothing_else() -> None:
    assert stages.identity_of({"a": 1, "b": 2}) == stages.identity_of(json.loads('{"b": 2, "a": 1}'))
    assert stages.identity_of({"a": 1}) != stages.identity_of({"a": 2})
