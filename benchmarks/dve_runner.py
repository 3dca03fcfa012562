"""Run NHS England's data-validation-engine over files that ``benchmarks.dve`` has laid out; started by it in the engine's own environment.

    python dve_runner.py FOLDER

FOLDER holds ``<table>/dischema.json`` and ``<table>/submitted/<table>.csv`` with its metadata. Prints the failures it found as one
JSON object a line: table, row, code.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import dve.core_engine.backends.implementations.duckdb  # type: ignore[import-not-found]  # noqa: F401 - registers the readers
from duckdb import connect
from dve.core_engine.backends.implementations.duckdb.auditing import DDBAuditingManager  # type: ignore[import-not-found]
from dve.pipeline.duckdb_pipeline import DDBDVEPipeline  # type: ignore[import-not-found]


def main(root: Path) -> None:
    logging.disable(logging.CRITICAL)
    for folder in sorted(path for path in root.iterdir() if (path / "dischema.json").is_file()):
        connection = connect()
        processed = folder / "processed"
        processed.mkdir()
        pipeline = DDBDVEPipeline(
            processed_files_path=processed.as_posix(),
            audit_tables=DDBAuditingManager(str(folder / "audit.duckdb")),
            connection=connection,
            rules_path=(folder / "dischema.json").as_posix(),
            submitted_files_path=(folder / "submitted").as_posix(),
        )
        for report in pipeline.cluster_pipeline_run(max_workers=1):
            if report[1].processing_failed:
                sys.exit(f"{folder.name} could not be processed; see {processed}")
        for path in processed.rglob("errors/*.jsonl"):
            for line in path.read_text(encoding="utf-8").splitlines():
                error = json.loads(line)
                print(json.dumps([folder.name, int(error["RecordIndex"]), error["ErrorCode"]]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
