"""Copies of releases: complete before they are current, sent once, checked, never deleting; credentials in whatever form a site keeps them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from ips_pipeline.errors import InputError, RetryableError, UsageError
from ips_pipeline.publish import copying
from ips_pipeline.store import stages

TARGET = "memory://bucket/ips"


@pytest.fixture(autouse=True)
def store() -> Iterator[Any]:
    """An object store in memory, empty before and after."""
    held = fsspec.filesystem("memory")
    held.store.clear()
    yield held
    held.store.clear()


def release(tmp_path: Path, text: str = "one") -> stages.Stage:
    def build(folder: Path) -> dict[str, Any]:
        (folder / "measures" / "period=2026-02" / "provider=RXA").mkdir(parents=True)
        (folder / "measures" / "period=2026-02" / "provider=RXA" / "measures.parquet").write_bytes(text.encode() * 1000)
        (folder / "publication").mkdir()
        (folder / "publication" / "MHSDS Data_FebPerf_2026_bbrb.csv").write_text(text)
        (folder / "index.html").write_text("page")
        return {"period": "2026-02"}

    return stages.write(tmp_path / "releases" / "2026-02", build, staging=tmp_path / "staging")


def objects(store: Any) -> dict[str, bytes]:
    return {name.removeprefix("/bucket/ips/"): held.getvalue() for name, held in store.store.items()}


def test_a_copy_is_the_release_and_current_names_it(tmp_path: Path, store: Any) -> None:
    held = release(tmp_path)
    assert copying.copy(held, "2026-02", TARGET, {}) == copying.Copied(files=4, sent=4, changed=True)
    here = {f"2026-02/{held.identity}/{path.relative_to(held.path).as_posix()}": path.read_bytes() for path in held.path.rglob("*") if path.is_file()}
    assert objects(store) == here | {"2026-02/CURRENT": f"{held.identity}\n".encode()}


def test_a_second_copy_sends_nothing(tmp_path: Path) -> None:
    held = release(tmp_path)
    copying.copy(held, "2026-02", TARGET, {})
    assert copying.copy(held, "2026-02", TARGET, {}) == copying.Copied(files=4, sent=0, changed=False)


def test_an_object_that_was_altered_there_is_sent_again(tmp_path: Path, store: Any) -> None:
    held = release(tmp_path)
    copying.copy(held, "2026-02", TARGET, {})
    store.pipe_file(f"/bucket/ips/2026-02/{held.identity}/index.html", b"pagE")
    assert copying.copy(held, "2026-02", TARGET, {}) == copying.Copied(files=4, sent=1, changed=False)
    assert store.cat_file(f"/bucket/ips/2026-02/{held.identity}/index.html") == b"page"


def test_the_former_release_stays_and_a_rollback_only_moves_current(tmp_path: Path, store: Any) -> None:
    first, second = release(tmp_path, "one"), release(tmp_path, "two")
    copying.copy(first, "2026-02", TARGET, {})
    copying.copy(second, "2026-02", TARGET, {})
    assert len(objects(store)) == 4 + 4 + 1
    assert copying.copy(first, "2026-02", TARGET, {}) == copying.Copied(files=4, sent=0, changed=True)
    assert objects(store)["2026-02/CURRENT"] == f"{first.identity}\n".encode()


def test_a_file_share_is_a_target_too(tmp_path: Path) -> None:
    held = release(tmp_path)
    share = tmp_path / "share"
    assert copying.copy(held, "2026-02", f"file://{share}", {}).sent == 4
    there = stages.current(share / "2026-02")
    assert there is not None and there.identity == held.identity
    stages.verify(there)
    assert sorted(path.name for path in (share / "2026-02").iterdir()) == sorted([held.identity, "CURRENT"])
    assert not copying.copy(held, "2026-02", f"file://{share}", {}).changed


def test_a_damaged_release_is_not_copied(tmp_path: Path, store: Any) -> None:
    held = release(tmp_path)
    (held.path / "index.html").write_text("other")
    with pytest.raises(InputError, match=r"index\.html"):
        copying.copy(held, "2026-02", TARGET, {})
    assert objects(store) == {}


def test_current_is_not_moved_to_a_release_that_is_no_longer_in_force(tmp_path: Path, store: Any) -> None:
    with pytest.raises(RetryableError, match="came into force"):
        copying.copy(release(tmp_path), "2026-02", TARGET, {}, still=lambda: False)
    assert "2026-02/CURRENT" not in objects(store)


@pytest.mark.parametrize(("target", "says"), [("nowhere://bucket/ips", "copy_to"), ("s3://bucket/ips", "objectstore")])
def test_a_target_that_nothing_reaches_is_said_in_one_line(tmp_path: Path, target: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that no library knows, and one whose library is not installed."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UsageError, match=says) as caught:
        copying.copy(release(tmp_path), "2026-02", target, {})
    assert "\n" not in str(caught.value)


AIRFLOW = {"key": "AKIAMADEUP", "secret": "s/e+c", "endpoint_url": "https://s3.example.nhs.uk", "client_kwargs": {"region_name": "eu-west-2"}}


@pytest.mark.parametrize(
    "secret",
    [
        json.dumps(AIRFLOW),
        "aws://AKIAMADEUP:s%2Fe%2Bc@/?endpoint_url=https%3A%2F%2Fs3.example.nhs.uk&region_name=eu-west-2",
        json.dumps(
            {
                "conn_type": "aws",
                "login": "AKIAMADEUP",
                "password": "s/e+c",
                "extra": {"endpoint_url": "https://s3.example.nhs.uk", "region_name": "eu-west-2"},
            }
        ),
        json.dumps(
            {
                "conn_type": "aws",
                "login": "AKIAMADEUP",
                "password": "s/e+c",
                "extra": '{"endpoint_url": "https://s3.example.nhs.uk", "region_name": "eu-west-2"}',
            }
        ),
    ],
    ids=["options", "uri", "json", "json-with-text"],
)
def test_credentials_may_be_kept_as_options_or_as_an_airflow_connection(secret: str) -> None:
    assert copying.storage_options(secret, None) == AIRFLOW


def test_without_credentials_the_library_looks_itself() -> None:
    assert copying.storage_options(None, None) == {}
    assert copying.storage_options(None, "https://minio.example.nhs.uk") == {"endpoint_url": "https://minio.example.nhs.uk"}


@pytest.mark.parametrize("secret", ["hunter2", "{hunter2", "[]"])
def test_credentials_of_no_known_form_are_not_shown(secret: str) -> None:
    with pytest.raises(UsageError) as caught:
        copying.storage_options(secret, None)
    assert "hunter2" not in str(caught.value)
