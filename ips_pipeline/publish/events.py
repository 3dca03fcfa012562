"""What was made from what, as OpenLineage events: one JSON object a line in ``restricted/lineage/<reporting month>.jsonl``.

A run has a START and then a COMPLETE or a FAIL. Datasets are named by what they are to a reader of this project (``accepted/MHS101Referral``,
``measures``, ``releases/measures``), in the namespace of the site; a provider and month is a run of a job, not a dataset of its own. The events
hold names of tables and columns, counts of rows and identities of stages: no value of a patient and no path of the machine. They lie in the
restricted zone since the counts are exact, and apart from the stages since they hold times.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq

from ips_pipeline import __version__
from ips_pipeline.mhsds import standard
from ips_pipeline.publish import dataset
from ips_pipeline.store import ledger, stages
from ips_pipeline.store.duck import session, text_literal

PRODUCER = f"urn:ips-pipeline:{__version__}"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets"
#: The facets that are used: name -> version and name of its schema.
_SCHEMAS = {
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet",
    "dataQualityAssertions": "1-1-0/DataQualityAssertionsDatasetFacet",
    "dataQualityMetrics": "1-0-3/DataQualityMetricsInputDatasetFacet",
    "documentation": "1-1-0/DocumentationJobFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
    "nominalTime": "1-0-1/NominalTimeRunFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
    "version": "1-0-1/DatasetVersionDatasetFacet",
}

#: What each job does; an event's job is named so, with the provider where it is about one.
JOBS = {
    "extract": "Land what a provider's systems hold for a month, mapped to the standard.",
    "validate": "Judge a landed month by the published rules; the rows that would be loaded are accepted.",
    "ips_records": "Take in a provider's local IPS records and judge them.",
    "measure": "Compute every measure over the accepted months of all providers, with exact numbers.",
    "publish": "Put what disclosure control lets through in force as a release.",
    "copy": "Copy a release to where its readers are.",
}

#: Columns of the measures that are counted from elements; the others come from the registry and the settings.
_COUNTED = ("numerator", "denominator", "value")


@dataclass(slots=True)
class Dataset:
    """A dataset of an event; ``facets`` are about it, ``own`` about its part in the run. ``namespace`` is the site's unless given."""

    name: str
    facets: dict[str, dict[str, Any]] = field(default_factory=dict)
    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    namespace: str | None = None


@dataclass(slots=True)
class Run:
    """What is said of a run when it is complete; filled in by the one who runs it."""

    inputs: list[Dataset] = field(default_factory=list)
    outputs: list[Dataset] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Log:
    """Where the events of a site go; ``home`` is None when they are switched off."""

    home: Path | None
    namespace: str
    clock: Callable[[], datetime] = ledger.utc_now


def log(home: Path | None, site: str) -> Log:
    """The log of a site by its name, which is made the namespace of its jobs and datasets."""
    words = "".join(letter if letter.isalnum() and letter.isascii() else " " for letter in site.lower()).split()
    return Log(home, f"ips://{'-'.join(words) or 'site'}")


@contextmanager
def recorded(log: Log, job: str, period: str, *, provider: str | None = None, inputs: Sequence[Dataset] = ()) -> Iterator[Run]:
    """Record what is done within the block as a run of a job: START, then COMPLETE, or FAIL with the class of what was raised.

    The run's id follows from job, reporting month and the moment it began. An event that cannot be written is left out: the work itself
    says what is wrong with the disk.
    """
    run = Run(inputs=list(inputs))
    if log.home is None:
        yield run
        return
    began = log.clock()
    name = f"{job}.{provider}" if provider else job
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{log.namespace}/{name}/{period}/{began.astimezone(UTC).isoformat()}"))
    first, last = _days(period)
    run_facets = {"nominalTime": _facet("nominalTime", nominalStartTime=f"{first}T00:00:00Z", nominalEndTime=f"{last}T23:59:59Z")}
    about = {
        "namespace": log.namespace,
        "name": name,
        "facets": {
            "documentation": _facet("documentation", description=JOBS[job]),
            "jobType": _facet("jobType", processingType="BATCH", integration="IPS", jobType="TASK"),
        },
    }

    def tell(kind: str, moment: datetime, **facets: Any) -> None:
        event = {
            "eventType": kind,
            "eventTime": moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "run": {"runId": identity, "facets": run_facets | facets},
            "job": about,
            "inputs": [_as_json(item, log.namespace, "inputFacets") for item in run.inputs],
            "outputs": [_as_json(item, log.namespace, "outputFacets") for item in run.outputs],
            "producer": PRODUCER,
            "schemaURL": SCHEMA,
        }
        if log.home is not None:
            with contextlib.suppress(OSError):
                _append(log.home / f"{period}.jsonl", json.dumps(event, ensure_ascii=True, separators=(",", ":")) + "\n")

    tell("START", began)
    try:
        yield run
    except BaseException as error:
        # The message may name a path; the class says what kind of failure it was.
        tell("FAIL", log.clock(), errorMessage=_facet("errorMessage", message=type(error).__name__, programmingLanguage="PYTHON"))
        raise
    tell("COMPLETE", log.clock())


def tables(kind: str, folder: Path, identity: str) -> list[Dataset]:
    """The Parquet tables of a stage as outputs, with their columns and how many rows and bytes they have."""
    found = []
    for path in sorted(folder.glob("*.parquet")):
        held = pq.read_metadata(path)
        columns = [{"name": name, "type": "VARCHAR"} for name in held.schema.to_arrow_schema().names if not name.startswith("_")]
        found.append(
            Dataset(
                f"{kind}/{path.stem}",
                {"schema": _facet("schema", fields=columns), "version": _facet("version", datasetVersion=identity)},
                {"outputStatistics": _facet("outputStatistics", rowCount=held.num_rows, size=path.stat().st_size, fileCount=1)},
            )
        )
    return found


def judged(months: Sequence[tuple[stages.Stage, Path]]) -> list[list[Dataset]]:
    """The tables of landed months as inputs of their validation, with the rules that rows of each broke and how many rows there were.

    ``months`` are landed months with the folders of their findings.
    """
    broken = _broken([findings / "findings.csv" for _, findings in months])
    found = [tables("landing", landed.path, landed.identity) for landed, _ in months]
    for month, (_, findings) in zip(found, months, strict=True):
        for item in month:
            item.own = {
                "dataQualityMetrics": _facet("dataQualityMetrics", rowCount=item.own["outputStatistics"]["rowCount"], columnMetrics={}),
                "dataQualityAssertions": _facet(
                    "dataQualityAssertions",
                    assertions=[
                        {"assertion": code, "success": False, "severity": "warn" if level == "warning" else "error", "actual": f"{rows} rows"}
                        for code, level, rows in broken.get((findings / "findings.csv", item.name.partition("/")[2]), ())
                    ],
                ),
            }
    return found


def accepted(elements: Mapping[str, Sequence[str]]) -> list[Dataset]:
    """The accepted tables of all providers as inputs of the measures, with the elements that are read."""
    return [
        Dataset(f"accepted/{name}", {"schema": _facet("schema", fields=[{"name": element, "type": "VARCHAR"} for element in read])})
        for name, read in elements.items()
    ]


def local_records(stages_of_records: Iterable[stages.Stage]) -> list[Dataset]:
    """The accepted tables of local IPS records as inputs of the measures."""
    names = {path.stem for stage in stages_of_records for path in (stage.path / "accepted").glob("*.parquet")}
    return [Dataset(f"ips_records/{name}") for name in sorted(names)]


def reference(folder: Path) -> list[Dataset]:
    """The files of the reference folder as inputs."""
    return [Dataset(f"reference/{path.stem}") for path in sorted(folder.glob("*.csv"))]


def measures(path: Path, identity: str, namespace: str) -> Dataset:
    """The long table of exact measures as an output, with the elements its counts come from."""
    sources = [{"namespace": namespace, "name": f"accepted/{table}", "field": element} for table, element in _elements_read()]
    counted = [source | {"transformations": [{"type": "DIRECT", "subtype": "AGGREGATION", "masking": False}]} for source in sources]
    return _measures_of("measures", path, identity, {name: {"inputFields": counted} for name in _COUNTED})


def released(path: Path, identity: str, namespace: str) -> Dataset:
    """The long table of a release as an output: each column comes from that of the exact measures, through disclosure control."""
    masked = {*_COUNTED, "published", "lower", "upper", "ratio", "ratio_lower", "ratio_upper"}
    lineage = {
        name: {
            "inputFields": [
                {
                    "namespace": namespace,
                    "name": "measures",
                    "field": name,
                    "transformations": [{"type": "DIRECT", "subtype": "TRANSFORMATION" if name in masked else "IDENTITY", "masking": name in masked}],
                }
            ]
        }
        for name in dataset.schema().names
    }
    return _measures_of("releases/measures", path, identity, lineage)


def copied(target: str, period: str, identity: str) -> Dataset:
    """A copy of a release as an output: named as OpenLineage names objects of its storage, but a folder of a machine only as a copy."""
    place = urlsplit(target)
    version = {"version": _facet("version", datasetVersion=identity)}
    if place.scheme in ("file", "local"):
        return Dataset("copy/releases", version)
    return Dataset(f"{place.path.strip('/')}/{period}".strip("/"), version, namespace=f"{place.scheme}://{place.netloc}")


def _measures_of(name: str, path: Path, identity: str, lineage: Mapping[str, Any]) -> Dataset:
    held = pq.read_metadata(path)
    columns = [{"name": item.name, "type": str(item.type), "description": _said(item)} for item in dataset.schema()]
    return Dataset(
        name,
        {
            "schema": _facet("schema", fields=columns),
            "version": _facet("version", datasetVersion=identity),
            "columnLineage": _facet("columnLineage", fields=lineage),
        },
        {"outputStatistics": _facet("outputStatistics", rowCount=held.num_rows, size=path.stat().st_size, fileCount=1)},
    )


def _said(item: Any) -> str:
    return str(item.metadata[b"description"].decode("utf-8"))


@cache
def _elements_read() -> tuple[tuple[str, str], ...]:
    """Table and element of everything that measures read, from the generated list of the standard."""
    path = Path(standard.__file__).parent / "v6" / "measure_fields.csv"
    with path.open(encoding="utf-8", newline="") as handle:
        return tuple((row["table"], row["element"]) for row in csv.DictReader(handle))


def _broken(files: Sequence[Path]) -> Mapping[tuple[Path, str], list[tuple[str, str, int]]]:
    """Per file and table the code, level and number of rows of every rule that was broken, of many findings.csv in one go."""
    broken: dict[tuple[Path, str], list[tuple[str, str, int]]] = {}
    if not files:
        return broken
    given = {str(file.resolve()): file for file in files}
    with session(read=[file.parent for file in files]) as connection:
        names = ", ".join(text_literal(name) for name in given)
        columns = "{'table': 'VARCHAR', 'row': 'VARCHAR', 'code': 'VARCHAR', 'level': 'VARCHAR'}"
        found = connection.execute(
            f'SELECT filename, "table", code, level, count(*) FROM read_csv([{names}], columns = {columns}, header = true, auto_detect = false,'
            " filename = true) GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    for name, table, code, level, rows in found:
        broken.setdefault((given[name], table), []).append((code, level, rows))
    return broken


def _facet(name: str, **content: Any) -> dict[str, Any]:
    schema = _SCHEMAS[name]
    return {"_producer": PRODUCER, "_schemaURL": f"{_FACETS}/{schema}.json#/$defs/{schema.rpartition('/')[2]}", **content}


def _as_json(item: Dataset, namespace: str, own: str) -> dict[str, Any]:
    return {"namespace": item.namespace or namespace, "name": item.name, "facets": item.facets, own: item.own}


def _days(period: str) -> tuple[str, str]:
    """First and last day of a reporting month."""
    year, month = int(period[:4]), int(period[5:])
    first = datetime(year, month, 1, tzinfo=UTC)
    after = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return first.date().isoformat(), datetime.fromtimestamp(after.timestamp() - 86400, UTC).date().isoformat()


def _append(path: Path, line: str) -> None:
    """Add a line and leave no half of it: writers wait for each other, and what did not fit on the disk is taken back."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size, content = os.fstat(descriptor).st_size, line.encode("ascii")
        try:
            if os.write(descriptor, content) != len(content):
                os.ftruncate(descriptor, size)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
