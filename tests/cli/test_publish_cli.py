"""ips publish copy: by hand after a lost connection or a rollback, one line whatever comes of it, noted in the ledger once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ips_pipeline import settings
from ips_pipeline.cli import ips
from ips_pipeline.errors import UsageError
from ips_pipeline.store import ledger, stages

SITE = """
name = "Northshire"
data = "data"
reference = "reference"
sources.epr = {{ kind = "files", folder = "exports" }}
providers = [{{ code = "RXA", name = "Northshire Trust", source = "epr", mapping = "rxa.yaml" }}]
{more}
"""


def site(tmp_path: Path, more: str) -> settings.Site:
    (tmp_path / "reference").mkdir(exist_ok=True)
    (tmp_path / "rxa.yaml").touch()
    (tmp_path / "SITE.toml").write_text(SITE.format(more=more), encoding="utf-8")
    return settings.load(tmp_path / "SITE.toml")


def put_in_force(made: settings.Site, text: str) -> str:
    def build(folder: Path) -> dict[str, Any]:
        (folder / "measures.csv").write_text(text)
        return {}

    return stages.write(made.releases("2026-02"), build, staging=made.data / "releases" / ".staging").identity


def copy(tmp_path: Path) -> tuple[Any, str]:
    finished = CliRunner().invoke(ips, ["publish", "copy", "--config", str(tmp_path / "SITE.toml"), "--period", "2026-02"])
    return finished.exception, finished.output


def test_the_release_in_force_is_copied_once_and_noted(tmp_path: Path) -> None:
    made = site(tmp_path, f'publish = {{ copy_to = "file://{tmp_path}/share" }}')
    first = put_in_force(made, "one")
    assert copy(tmp_path) == (None, f"file://{tmp_path}/share/2026-02: 2 of 2 objects sent; {first} is in force there now\n")
    assert copy(tmp_path) == (None, f"file://{tmp_path}/share/2026-02: 0 of 2 objects sent; {first} was in force there already\n")
    second = put_in_force(made, "two")
    copy(tmp_path)
    noted = [(entry.kind, entry.facts["release"], entry.period) for entry in ledger.entries(made.ledger)]
    assert noted == [("copied", first, "2026-02"), ("copied", second, "2026-02")]


def test_after_a_rollback_the_copy_is_rolled_back_too(tmp_path: Path) -> None:
    made = site(tmp_path, f'publish = {{ copy_to = "file://{tmp_path}/share" }}')
    first, second = put_in_force(made, "one"), put_in_force(made, "two")
    copy(tmp_path)
    arguments = ["rollback", "--config", str(made.file), "--period", "2026-02", "--to", first, "--why", "wrong denominators"]
    finished = CliRunner().invoke(ips, arguments)
    assert finished.output == f"The release of 2026-02 is {first}; it was {second}\nSo it is at file://{tmp_path}/share\n"
    there = stages.current(tmp_path / "share" / "2026-02")
    assert there is not None and there.identity == first


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("", "names no place for copies"),
        ('publish = { copy_to = "memory://bucket/ips", credentials = { env = "NO_SUCH_VARIABLE" } }', "NO_SUCH_VARIABLE"),
    ],
    ids=["no-place", "no-secret"],
)
def test_what_is_missing_in_the_settings_is_said(tmp_path: Path, more: str, says: str) -> None:
    put_in_force(site(tmp_path, more), "one")
    failure, _ = copy(tmp_path)
    assert isinstance(failure, UsageError) and says in str(failure)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('publish = { copy_to = "s3://AKIA:hunter2@bucket/ips" }', "holds a password"),
        ('publish = { copy_to = "/srv/share" }', "copy_to in [publish] is not right"),
        ('publish = { copied_to = "s3://bucket" }', "unknown key copied_to in [publish] (did you mean copy_to?)"),
        ('publish = { licence = { name = "OGL-UK-3.0" } }', "the key title is missing in [publish.licence]"),
        ('publish = { copy_to = "s3://bucket", credentials = { secret = "hunter2" } }', "unknown key secret in [publish]"),
    ],
)
def test_settings_that_are_not_right_are_said_without_their_values(tmp_path: Path, more: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        site(tmp_path, more)
    assert says in str(caught.value) and "hunter2" not in str(caught.value)
