"""A release is whole or not there: killed, out of space, written twice at once, or broken off while it is copied to its readers."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest

from ips_pipeline.errors import PublishError, RetryableError
from ips_pipeline.publish import copying, dataset
from ips_pipeline.store import stages

Make = Callable[[str], Path]
Build = Callable[[Path], Mapping[str, Any]]

_WRITES = ("open", "os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir", "os.link")


def about(identity: str) -> dataset.About:
    return dataset.About(identity, "2026-02", "Northshire", "local", None, [])


def release(source: Path, identity: str) -> Build:
    """A build of a release: what was computed, and everything that describes it."""

    def build(folder: Path) -> Mapping[str, Any]:
        for path in sorted(source.rglob("*")):
            target = folder / path.relative_to(source)
            if path.is_dir():
                target.mkdir(mode=0o700)
            else:
                target.write_bytes(path.read_bytes())
        dataset.describe(folder, about(identity))
        dataset.complete(folder, about(identity))
        return {"period": "2026-02"}

    return build


def put(home: Path, build: Build, identity: str) -> stages.Stage:
    return stages.write(home / "2026-02", build, staging=home / ".staging", identity=identity)


def in_force(home: Path) -> stages.Stage:
    """What a reader of CURRENT finds, which must be whole."""
    held = stages.current(home / "2026-02")
    assert held is not None
    stages.verify(held)
    assert (held.path / "SHA256SUMS").is_file()
    return held


def test_killed_at_any_moment_the_old_release_or_the_new_one_is_in_force(released: Make, tmp_path: Path) -> None:
    """The process is killed, as by kill -9, at files that are opened, renamed or changed while a release is put in force: at all of them from
    when the files are complete, and at every seventh before, where nothing can be in force yet."""
    source, home = released("computed"), tmp_path / "releases"
    put(home, release(source, "a" * 16), "a" * 16)
    last = _put_and_die(source, home, None)
    in_the_end = range(last - 14, last + 1)
    seen = []
    for fatal in (*range(1, in_the_end.start, 7), *in_the_end):
        stages.put_in_force(home / "2026-02", "a" * 16)
        for finished in (home / "2026-02").glob("b*"):
            _remove(finished)
        _put_and_die(source, home, fatal)
        seen.append(in_force(home).identity)
    assert len(seen) > 25, "the hook saw too few operations to prove anything"
    assert set(seen) == {"a" * 16, "b" * 16}
    assert seen == sorted(seen), "once the new release is in force it stays"


def _put_and_die(source: Path, home: Path, fatal: int | None) -> int:
    """Put release b in force in a process of its own that is killed at the file operation of that number; gives how many there were."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - ends by a signal or by _exit
        count = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            if event in _WRITES and any(str(home) in str(item) for item in arguments):
                count += 1
                if count == fatal:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        put(home, release(source, "b" * 16), "b" * 16)
        os.write(writer, str(count).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        count_of_child = told.read()
    assert (os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0) == (fatal is None)
    return int(count_of_child or 0)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


@pytest.mark.parametrize("name", ["dictionary/measures.csv", "datapackage.json", "measures.parquet", "measures.csv-metadata.json", "SHA256SUMS"])
def test_a_full_disk_leaves_the_old_release_and_no_remains(released: Make, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, home = released("computed"), tmp_path / "releases"
    put(home, release(source, "a" * 16), "a" * 16)
    opened = Path.open

    def full(path: Path, mode: str = "r", *args: Any, **more: Any) -> Any:
        if "w" in mode and path.as_posix().endswith(name) and ".staging" in path.parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *args, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(RetryableError, match="No space left"):
        put(home, release(source, "b" * 16), "b" * 16)
    monkeypatch.undo()
    assert in_force(home).identity == "a" * 16
    assert list((home / ".staging").iterdir()) == []


def test_two_releases_at_once_are_both_whole(released: Make, tmp_path: Path) -> None:
    source, home = released("computed"), tmp_path / "releases"
    names = ["a" * 16, "a" * 16, "b" * 16, "b" * 16]
    failures: list[Exception] = []

    def work(identity: str) -> None:
        try:
            put(home, release(source, identity), identity)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test fails by it
            failures.append(error)

    workers = [threading.Thread(target=work, args=(identity,)) for identity in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert in_force(home).identity in names
    for held in stages.kept(home / "2026-02"):
        stages.verify(held)
    assert {held.identity for held in stages.kept(home / "2026-02")} == set(names)


def test_a_rollback_puts_the_same_bytes_in_force_again(released: Make, tmp_path: Path) -> None:
    source, home = released("computed"), tmp_path / "releases"
    first = put(home, release(source, "a" * 16), "a" * 16)
    before = {path: path.read_bytes() for path in first.path.rglob("*") if path.is_file()}
    put(home, release(source, "b" * 16), "b" * 16)
    stages.put_in_force(home / "2026-02", "a" * 16)
    assert in_force(home).identity == "a" * 16
    assert {path: path.read_bytes() for path in first.path.rglob("*") if path.is_file()} == before


@pytest.fixture
def bucket() -> Iterator[Any]:
    held = fsspec.filesystem("memory")
    held.store.clear()
    yield held
    held.store.clear()


def test_a_connection_lost_at_any_object_leaves_the_old_release_current_and_the_copy_goes_on(
    released: Make, tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, home, target = released("computed"), tmp_path / "releases", "memory://bucket/ips"
    old = put(home, release(source, "a" * 16), "a" * 16)
    copying.copy(old, "2026-02", target, {})
    new = put(home, release(source, "b" * 16), "b" * 16)
    wanted = len(new.manifest["files"]) + 1
    sends: list[str] = []
    send, write = type(bucket).put_file, type(bucket).pipe_file

    def flaky(self: Any, local: str, remote: str, **more: Any) -> None:
        if len(sends) == 1:
            sends.clear()
            # Half of the object may have arrived.
            write(self, remote, Path(local).read_bytes()[:10])
            raise ConnectionResetError(errno.ECONNRESET, "reset by AKIAMADEUP")
        sends.append(remote)
        send(self, local, remote, **more)

    monkeypatch.setattr(type(bucket), "put_file", flaky)
    lost = 0
    while True:
        try:
            copied = copying.copy(new, "2026-02", target, {})
            break
        except RetryableError as error:
            lost += 1
            assert "AKIAMADEUP" not in str(error) and "copy again" in str(error)
            assert bucket.cat_file("/bucket/ips/2026-02/CURRENT") == b"a" * 16 + b"\n"
        assert lost <= wanted
    assert lost >= wanted - 2, "each attempt sent one object more"
    assert copied.changed and bucket.cat_file("/bucket/ips/2026-02/CURRENT") == b"b" * 16 + b"\n"
    there = {name.rpartition(f"{new.identity}/")[2]: held.getvalue() for name, held in bucket.store.items() if new.identity in name}
    assert there == {path.relative_to(new.path).as_posix(): path.read_bytes() for path in new.path.rglob("*") if path.is_file()}


def test_killed_before_the_pointer_the_old_copy_is_current(released: Make, tmp_path: Path) -> None:
    """On a file share, by a real kill between the last object and CURRENT."""
    source, home, share = released("computed"), tmp_path / "releases", tmp_path / "share"
    copying.copy(put(home, release(source, "a" * 16), "a" * 16), "2026-02", f"file://{share}", {})
    new = put(home, release(source, "b" * 16), "b" * 16)
    child = os.fork()
    if child == 0:  # pragma: no cover - ends by a signal
        copying.copy(new, "2026-02", f"file://{share}", {}, still=lambda: os.kill(os.getpid(), signal.SIGKILL) is None)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert in_force(share).identity == "a" * 16
    assert copying.copy(new, "2026-02", f"file://{share}", {}) == copying.Copied(files=len(new.manifest["files"]) + 1, sent=0, changed=True)
    assert in_force(share).identity == "b" * 16


@pytest.mark.parametrize(
    ("failure", "error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), PublishError, "full"),
        (PermissionError(errno.EACCES, "The AWS Access Key Id AKIAMADEUP does not exist"), PublishError, "credentials"),
        (FileNotFoundError(errno.ENOENT, "The specified bucket does not exist"), PublishError, "no such bucket"),
        (TimeoutError("timed out"), RetryableError, "connection was lost"),
        (OSError(errno.EBUSY, "Please reduce your request rate"), RetryableError, "busy"),
        (RuntimeError("AKIAMADEUP"), PublishError, "RuntimeError"),
    ],
    ids=["full", "refused", "no-bucket", "timeout", "busy", "unknown"],
)
def test_what_a_storage_raises_is_one_line_without_its_text(
    released: Make, tmp_path: Path, bucket: Any, failure: Exception, error: type[Exception], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = put(tmp_path / "releases", release(released("computed"), "a" * 16), "a" * 16)

    def fail(self: Any, *args: Any, **more: Any) -> None:
        raise failure

    monkeypatch.setattr(type(bucket), "put_file", fail)
    with pytest.raises(error, match=says) as caught:
        copying.copy(held, "2026-02", "memory://bucket/ips", {})
    assert "AKIAMADEUP" not in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__suppress_context__ and caught.value.__cause__ is None, "a log would show the storage's own text"
    assert not any(name.endswith("CURRENT") for name in bucket.store)


def test_an_object_that_arrived_damaged_is_not_made_current(released: Make, tmp_path: Path, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = put(tmp_path / "releases", release(released("computed"), "a" * 16), "a" * 16)
    send = type(bucket).put_file

    def damage(self: Any, local: str, remote: str, **more: Any) -> None:
        send(self, local, remote, **more)
        if remote.endswith("SHA256SUMS"):
            content = self.store[remote].getvalue()
            self.pipe_file(remote, content[:-1] + b"?")

    monkeypatch.setattr(type(bucket), "put_file", damage)
    with pytest.raises(PublishError, match="SHA256SUMS"):
        copying.copy(held, "2026-02", "memory://bucket/ips", {})
    assert not any(name.endswith("CURRENT") for name in bucket.store)
