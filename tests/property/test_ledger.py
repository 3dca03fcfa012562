"""The ledger: what was written is found again, and any change to it is noticed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ips_pipeline.errors import InputError, RetryableError
from ips_pipeline.store import ledger


def noon() -> datetime:
    return datetime(2026, 9, 8, 12, 0, tzinfo=UTC)


@contextmanager
def filled(lines: int = 5) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "ledger"
        for number in range(lines):
            ledger.append(home, "accepted", {"rows": number}, provider="RXA", period="2026-08", by="analyst", clock=noon)
        yield home


def test_lines_are_chained_and_owner_only() -> None:
    with filled(3) as home:
        first, second, third = ledger.entries(home)
        assert [first.number, second.number, third.number] == [1, 2, 3]
        assert (second.previous, third.previous) == (first.seal, second.seal)
        assert (third.at, third.actor, third.facts) == ("2026-09-08T12:00:00Z", "analyst", {"rows": 2})
        assert ledger.anchor(home) == third.seal
        assert ledger.holds(home, first.seal)
        assert not ledger.holds(home, "0" * 64)
        assert ledger.verify(home) == []
        assert {stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()} == {0o600}
        assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_an_empty_ledger_is_whole(tmp_path: Path) -> None:
    assert ledger.verify(tmp_path) == []
    assert list(ledger.entries(tmp_path)) == []
    assert ledger.anchor(tmp_path) is None


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    with filled() as home:
        path = home / ledger.LEDGER
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        assert ledger.verify(home)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_line_removed_repeated_or_moved_is_found(data: st.DataObject) -> None:
    with filled() as home:
        path = home / ledger.LEDGER
        lines = path.read_bytes().splitlines(keepends=True)
        place, other = data.draw(st.permutations(range(len(lines))).map(lambda order: order[:2]))
        match data.draw(st.sampled_from(["remove", "repeat", "swap"])):
            case "remove":
                del lines[place]
            case "repeat":
                lines.insert(other, lines[place])
            case _:
                lines[place], lines[other] = lines[other], lines[place]
        path.write_bytes(b"".join(lines))
        assert ledger.verify(home)


def test_a_line_forged_with_a_right_seal_breaks_the_chain() -> None:
    with filled() as home:
        path = home / ledger.LEDGER
        lines = path.read_bytes().splitlines(keepends=True)
        with tempfile.TemporaryDirectory() as folder:
            elsewhere = Path(folder)
            ledger.append(elsewhere, "accepted", {"rows": 0}, by="analyst", clock=noon)
            ledger.append(elsewhere, "accepted", {"rows": 99}, by="somebody else", clock=noon)
            lines[1] = (elsewhere / ledger.LEDGER).read_bytes().splitlines(keepends=True)[1]
        path.write_bytes(b"".join(lines))
        assert any("does not follow" in fault for fault in ledger.verify(home))


def test_lines_cut_off_at_the_end_are_found_by_the_head() -> None:
    with filled() as home:
        path = home / ledger.LEDGER
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
        assert ledger.verify(home) == ["HEAD names line 5, which is not in the ledger: lines were cut off or replaced"]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200))
def test_a_torn_last_line_is_set_aside_and_recorded(cut: int) -> None:
    """Killed in the middle of a write: the bytes are kept, the next line says so, and the chain is whole."""
    with filled(3) as home:
        path = home / ledger.LEDGER
        last = path.read_bytes().splitlines(keepends=True)[-1]
        torn = last[: min(cut, len(last) - 1)]
        with path.open("ab") as handle:
            handle.write(torn)
        assert ledger.verify(home)
        ledger.append(home, "published", {"release": "0123456789abcdef"}, by="analyst", clock=noon)
        assert [entry.kind for entry in ledger.entries(home)] == ["accepted"] * 3 + ["mended", "published"]
        assert [path.read_bytes() for path in home.glob("torn-*.bin")] == [torn]
        assert ledger.verify(home) == []


def test_a_line_written_just_before_the_head_is_not_a_fault() -> None:
    """Killed between the line and HEAD: the line stands, and HEAD names the one before it."""
    with filled(2) as home:
        before = (home / ledger.HEAD).read_bytes()
        ledger.append(home, "accepted", {}, by="analyst", clock=noon)
        (home / ledger.HEAD).write_bytes(before)
        assert ledger.verify(home) == []


def test_a_damaged_last_line_stops_the_next_one() -> None:
    with filled(2) as home:
        path = home / ledger.LEDGER
        path.write_bytes(path.read_bytes()[:-2] + b"?\n")
        with pytest.raises(InputError, match="line 2 is not an entry"):
            ledger.append(home, "accepted", {}, by="analyst", clock=noon)


def test_many_writers_do_not_lose_a_line(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ips_pipeline.store import ledger\n"
        "for number in range(20): ledger.append(Path(sys.argv[1]), 'landed', {'n': number}, by=sys.argv[2])"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"writer {number}"]) for number in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert ledger.verify(tmp_path) == []
    assert len(list(ledger.entries(tmp_path))) == 60


def test_a_full_disk_is_worth_trying_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append(tmp_path, "landed", {}, by="analyst", clock=noon)

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(RetryableError, match="No space left"):
        ledger.append(tmp_path, "landed", {}, by="analyst", clock=noon)
    monkeypatch.undo()
    assert ledger.verify(tmp_path) == []


def test_an_entry_is_one_line_of_plain_text(tmp_path: Path) -> None:
    ledger.append(tmp_path, "declined", {"comment": "Zeile eins\nzwei — drei"}, by="Zoë", clock=noon)
    (line,) = (tmp_path / ledger.LEDGER).read_bytes().splitlines()
    assert line.isascii()
    assert json.loads(line)["actor"] == "Zoë"


def test_the_lines_about_a_month_are_its_own(tmp_path: Path) -> None:
    others = (("RXA", "2026-07"), ("RXB", "2026-08"))
    for provider, period in (*others, ("RXA", "2026-08")):
        ledger.append(tmp_path, "approved", {"comment": '"provider":"RXA","period":"2026-08"'}, provider=provider, period=period, by="a", clock=noon)
    assert [entry.number for entry in ledger.about(tmp_path, "RXA", "2026-08")] == [3]
    assert ledger.about(tmp_path / "none", "RXA", "2026-08") == []


def test_what_is_said_once_is_said_again_only_after_something_else(tmp_path: Path) -> None:
    said = [
        ledger.append_once(tmp_path, "packaged", {"package": package}, package, provider="RXA", period=period, clock=noon)
        for package, period in (("a", "2026-08"), ("a", "2026-08"), ("a", "2026-09"), ("b", "2026-08"), ("a", "2026-08"))
    ]
    assert said == [True, False, True, True, True]
    assert ledger.verify(tmp_path) == []


def test_a_writer_killed_after_the_very_first_line_leaves_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ledger._replace

    def killed(path: Path, content: bytes) -> None:
        if content.startswith(b"1 "):
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(ledger, "_replace", killed)
    with pytest.raises(KeyboardInterrupt):
        ledger.append(tmp_path, "landed", {}, by="a", clock=noon)
    monkeypatch.undo()
    assert ledger.verify(tmp_path) == []
    (tmp_path / ledger.LEDGER).unlink()
    ledger.append(tmp_path, "landed", {}, by="a", clock=noon)
    (tmp_path / ledger.HEAD).unlink()
    assert ledger.verify(tmp_path) == ["HEAD is missing or damaged, so lines cut off at the end would not be seen"]


def test_who_and_when_hold_within_the_block_alone(tmp_path: Path) -> None:
    with ledger.in_the_name_of("analyst", noon):
        with ledger.in_the_name_of("uploader"):
            ledger.append(tmp_path, "landed", {})
        ledger.append(tmp_path, "landed", {}, by="another")
    entries = list(ledger.entries(tmp_path))
    assert [(entry.actor, entry.at) for entry in entries] == [("uploader", "2026-09-08T12:00:00Z"), ("another", "2026-09-08T12:00:00Z")]
    assert ledger.utc_now() != noon()
    assert ledger.actor() not in ("analyst", "uploader")
