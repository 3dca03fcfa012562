"""OpenLineage events: one JSON object a line, in the words of the specification, without a value or a path."""

from __future__ import annotations

import json
import os
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ips_pipeline.errors import InputError
from ips_pipeline.mhsds import standard
from ips_pipeline.publish import dataset, events
from ips_pipeline.store import stages

PERIOD = "2026-02"


def log(tmp_path: Path) -> events.Log:
    """A log whose clock ticks once a second."""
    ticks = iter(range(10_000))
    return events.Log(tmp_path / "lineage", "ips://northshire", lambda: datetime(2026, 3, 8, 5, tzinfo=UTC) + timedelta(seconds=next(ticks)))


def told(where: events.Log) -> list[dict[str, Any]]:
    assert where.home is not None
    return [json.loads(line) for line in (where.home / f"{PERIOD}.jsonl").read_text(encoding="ascii").splitlines()]


def test_a_run_is_a_start_and_a_complete_of_one_id(tmp_path: Path) -> None:
    where = log(tmp_path)
    with events.recorded(where, "extract", PERIOD, provider="RXA", inputs=[events.Dataset("source/epr")]) as run:
        run.outputs.append(events.Dataset("landing/MHS101Referral"))
    start, complete = told(where)
    assert [event["eventType"] for event in (start, complete)] == ["START", "COMPLETE"]
    assert [event["eventTime"] for event in (start, complete)] == ["2026-03-08T05:00:00.000Z", "2026-03-08T05:00:01.000Z"]
    assert UUID(start["run"]["runId"]).version == 5 and start["run"]["runId"] == complete["run"]["runId"]
    assert (start["job"]["namespace"], start["job"]["name"]) == ("ips://northshire", "extract.RXA")
    assert start["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
    assert complete["inputs"] == [{"namespace": "ips://northshire", "name": "source/epr", "facets": {}, "inputFacets": {}}]
    assert [output["name"] for output in complete["outputs"]] == ["landing/MHS101Referral"] and start["outputs"] == []
    nominal = complete["run"]["facets"]["nominalTime"]
    assert (nominal["nominalStartTime"], nominal["nominalEndTime"]) == ("2026-02-01T00:00:00Z", "2026-02-28T23:59:59Z")


def test_the_same_run_has_the_same_id_and_another_attempt_another(tmp_path: Path) -> None:
    for home in ("one", "two"):
        where = log(tmp_path / home)
        for _ in range(2):
            with events.recorded(where, "measure", PERIOD):
                pass
    one, two = ([event["run"]["runId"] for event in told(log(tmp_path / home))] for home in ("one", "two"))
    assert one == two
    assert one[0] == one[1] != one[2] == one[3]


def test_a_failure_is_said_by_its_class_alone(tmp_path: Path) -> None:
    where = log(tmp_path)
    with pytest.raises(InputError), events.recorded(where, "validate", PERIOD):
        raise InputError("/srv/ips/9990000018.csv cannot be read")
    failed = told(where)[-1]
    assert failed["eventType"] == "FAIL"
    assert failed["run"]["facets"]["errorMessage"]["message"] == "InputError"
    assert "9990000018" not in json.dumps(failed)


def test_nothing_is_kept_when_it_is_switched_off(tmp_path: Path) -> None:
    with events.recorded(events.log(None, "Northshire"), "measure", PERIOD) as run:
        run.outputs.append(events.Dataset("measures"))
    assert list(tmp_path.iterdir()) == []


def test_the_namespace_is_the_name_of_the_site_in_plain_letters() -> None:
    assert events.log(None, "Northshire & Söuth (NHS)").namespace == "ips://northshire-s-uth-nhs"
    assert events.log(None, "–").namespace == "ips://site"


def stage(folder: Path, rows: int) -> stages.Stage:
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"_row": list(range(rows)), "LocalPatientID": ["9990000018"] * rows}), folder / "MHS101Referral.parquet")
    pq.write_table(pa.table({"_row": [1], "LocalPatientID": ["P1"]}), folder / "MHS001MPI.parquet")
    return stages.Stage(folder, "0123456789abcdef", {}, changed=True)


def test_a_validation_says_which_rules_rows_of_which_table_broke(tmp_path: Path) -> None:
    landed = stage(tmp_path / "landed", 3)
    findings = tmp_path / "findings"
    findings.mkdir()
    lines = ["table,row,code,level", "MHS101Referral,1,MHS10128,record", "MHS101Referral,3,MHS10128,record", "MHS101Referral,2,MHS10199,warning"]
    (findings / "findings.csv").write_text("\n".join(lines) + "\n")
    empty = tmp_path / "nothing found"
    empty.mkdir()
    (empty / "findings.csv").write_text("table,row,code,level\n")
    (people, referrals), clean = events.judged([(landed, findings), (landed, empty)])
    assert all(item.own["dataQualityAssertions"]["assertions"] == [] for item in clean)
    assert (people.name, referrals.name) == ("landing/MHS001MPI", "landing/MHS101Referral")
    assert referrals.own["dataQualityMetrics"]["rowCount"] == 3
    assert people.own["dataQualityAssertions"]["assertions"] == []
    assert referrals.own["dataQualityAssertions"]["assertions"] == [
        {"assertion": "MHS10128", "success": False, "severity": "error", "actual": "2 rows"},
        {"assertion": "MHS10199", "success": False, "severity": "warn", "actual": "1 rows"},
    ]
    assert "9990000018" not in repr((people, referrals))


def test_tables_are_told_with_columns_rows_and_the_version_of_their_stage(tmp_path: Path) -> None:
    _, referrals = events.tables("accepted", stage(tmp_path / "accepted", 5).path, "0123456789abcdef")
    assert referrals.facets["schema"]["fields"] == [{"name": "LocalPatientID", "type": "VARCHAR"}]
    assert referrals.facets["version"]["datasetVersion"] == "0123456789abcdef"
    assert referrals.own["outputStatistics"]["rowCount"] == 5


def test_measures_come_from_elements_of_the_standard_and_a_release_from_the_measures(released: Any) -> None:
    path = released("release") / "measures.parquet"
    measures, release = (make(path, "0123456789abcdef", "ips://northshire") for make in (events.measures, events.released))
    tables = {table.name: table.elements for table in standard.load().tables.values()}
    sources = measures.facets["columnLineage"]["fields"]["numerator"]["inputFields"]
    assert len(sources) > 20
    assert all(source["field"] in tables[source["name"].removeprefix("accepted/")] for source in sources)
    columns = release.facets["columnLineage"]["fields"]
    assert list(columns) == dataset.schema().names == [column["name"] for column in release.facets["schema"]["fields"]]
    assert columns["numerator"]["inputFields"][0]["transformations"] == [{"type": "DIRECT", "subtype": "TRANSFORMATION", "masking": True}]
    assert columns["level"]["inputFields"][0]["transformations"] == [{"type": "DIRECT", "subtype": "IDENTITY", "masking": False}]


def test_a_copy_is_named_as_its_storage_names_it_and_a_folder_by_no_path() -> None:
    bucket, share = (events.copied(target, PERIOD, "0123456789abcdef") for target in ("s3://ips/releases", "file:///srv/share"))
    assert (bucket.namespace, bucket.name) == ("s3://ips", "releases/2026-02")
    assert (share.namespace, share.name) == (None, "copy/releases")


def test_every_facet_says_who_made_it_and_by_which_schema(tmp_path: Path, released: Any) -> None:
    where = log(tmp_path)
    with events.recorded(where, "publish", PERIOD) as run:
        run.outputs.append(events.released(released("release") / "measures.parquet", "0123456789abcdef", where.namespace))
    event = told(where)[-1]
    (output,) = event["outputs"]
    facets = [*event["run"]["facets"].values(), *event["job"]["facets"].values(), *output["facets"].values(), *output["outputFacets"].values()]
    assert len(facets) == 7
    for facet in facets:
        assert facet["_producer"] == event["producer"] == events.PRODUCER
        assert re.fullmatch(r"https://openlineage\.io/spec/facets/\d-\d-\d/(\w+Facet)\.json#/\$defs/\1", facet["_schemaURL"])


def test_lines_of_several_writers_stay_whole(tmp_path: Path) -> None:
    where = events.Log(tmp_path / "lineage", "ips://northshire")

    def work(provider: str) -> None:
        for _ in range(20):
            with events.recorded(where, "extract", PERIOD, provider=provider):
                pass

    workers = [threading.Thread(target=work, args=(provider,)) for provider in ("RXA", "RXB", "RXC")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(told(where)) == 3 * 20 * 2


def test_a_full_disk_leaves_no_half_of_an_event_and_does_not_stop_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = log(tmp_path)
    with events.recorded(where, "measure", PERIOD):
        pass
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:10]))
        with events.recorded(where, "measure", PERIOD):
            pass
    with events.recorded(where, "publish", PERIOD):
        pass
    assert [event["job"]["name"] for event in told(where)] == ["measure", "measure", "publish", "publish"]
