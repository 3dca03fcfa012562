"""Which months are measured when a month has been accepted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ips_pipeline import flows, settings
from ips_pipeline.errors import UsageError
from ips_pipeline.settings import Site
from ips_pipeline.store import stages

SITE = """name = "A site"
data = "data"
reference = "reference"
[sources.files]
kind = "files"
folder = "exports"
[[providers]]
code = "RXA"
name = "A trust"
source = "files"
mapping = "map.yaml"
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with releases of three months, and the beginnings of one of a fourth."""
    monkeypatch.delenv("IPS_DATA", raising=False)
    (tmp_path / "reference").mkdir()
    (tmp_path / "map.yaml").write_text("tables: {}\n", encoding="utf-8")
    (tmp_path / "SITE.toml").write_text(SITE, encoding="utf-8")
    made = settings.load(tmp_path / "SITE.toml")

    def build(folder: Path) -> Mapping[str, Any]:
        (folder / "measures.csv").write_text("measure\n", encoding="utf-8")
        return {}

    for month in ("2026-05", "2026-07", "2026-08"):
        stages.write(made.releases(month), build, staging=made.data / "releases" / ".staging", inputs={"month": month})
    made.releases("2026-09").mkdir()
    return made


@pytest.mark.parametrize(
    ("accepted", "measured"),
    [
        (["2026-09"], ["2026-09"]),
        (["2026-08"], ["2026-08"]),
        # A month that was released counts the ones before it; one that was not waits for its own acceptance.
        (["2026-06"], ["2026-06", "2026-07", "2026-08"]),
        (["2026-09", "2026-07"], ["2026-07", "2026-08", "2026-09"]),
        ([], []),
    ],
)
def test_later_releases_are_made_again_and_others_wait(site: Site, accepted: list[str], measured: list[str]) -> None:
    assert flows.to_release(site, accepted) == measured


def test_without_any_release_a_month_is_measured_alone(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IPS_DATA", str(tmp_path / "empty"))
    assert flows.to_release(settings.load(site.file), ["2026-06"]) == ["2026-06"]


def test_a_release_of_what_is_in_force_is_left_as_it_is(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(content: str) -> None:
        def build(folder: Path) -> Mapping[str, Any]:
            (folder / "rows.csv").write_text(content, encoding="utf-8")
            return {}

        stages.write(site.accepted("RXA", "2026-07"), build, staging=site.staging)

    def release(month: str) -> None:
        used = flows._accepted(site, month)
        inputs = flows._measured_from(site, month, used, {}, stages.tree_hash(site.reference))
        identity = stages.identity_of(inputs)
        stages.write(site.releases(month), lambda _: {}, staging=site.data / "releases" / ".staging", identity=identity, inputs=inputs)

    accept("first")
    release("2026-07")
    assert flows.to_release(site, ["2026-07"]) == ["2026-08"]
    release("2026-08")
    assert flows.to_release(site, ["2026-07"]) == []
    accept("second")
    assert flows.to_release(site, ["2026-07"]) == ["2026-07", "2026-08"]
    accept("first")
    (site.reference / "providers.csv").write_text("another", encoding="utf-8")
    assert flows.to_release(site, ["2026-08"]) == ["2026-08"]


def test_what_is_no_month_is_refused(site: Site) -> None:
    with pytest.raises(UsageError, match="yyyy-mm"):
        flows.to_release(site, ["June"])


def test_what_is_different_in_an_extract_is_told_in_a_line_each() -> None:
    landed = {"provider": "RXA", "period": "2026-08", "drift": {}, "different": {}, "people_merged": 0, "late_unread": {}}
    assert flows.remarks(landed) == []
    contact = {"added": 2, "changed": 0, "withdrawn": 1, "moved": 0}
    changed = {"drift": {"new code": 1, "column added": 2}, "different": {"MHS201CareContact": contact}, "people_merged": 1}
    told = flows.remarks({**landed, **changed, "late_unread": {"2026-07": "Input error: the source has no such month"}})
    assert told[0] == "RXA  2026-08  the source has changed and was taken: column added 2, new code 1; see: ips drift list"
    assert told[1].startswith("RXA  2026-08  since the landing before: ") and told[1].endswith("; people merged with others: 1")
    assert "2 added" in told[1] and "1 withdrawn" in told[1]
    assert told[2] == "RXA  2026-07  was handed over and cannot be looked at for late records: Input error: the source has no such month"
