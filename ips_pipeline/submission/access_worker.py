"""The process that holds the Java machine: it describes, makes, fills and unloads Access databases, one job a process.

Started by ``access`` and by nothing else. The job is one JSON line on standard input; the answer is one JSON object in the file that
the job names. It holds counts, names of tables and columns, and classes of errors, never a value. When standard input closes, the
process that asked is gone and this one ends too, so that nothing goes on writing for nobody.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

#: Rows handed to Java at a time: enough to share the cost of a call, few enough to bound memory.
_BATCH_ROWS = 5_000


Job = Mapping[str, Any]


def main() -> None:
    """Do the job on standard input and leave the answer; exit code 0 whenever there is an answer."""
    job: Job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_asker, daemon=True).start()
    answer = Path(job["answer"])
    answer.write_text(json.dumps(_answer(job)), encoding="utf-8")
    # Java's own threads must not keep the process: the databases are closed.
    os._exit(0)


def _end_with_the_asker() -> None:
    sys.stdin.read()
    os._exit(1)


def _answer(job: Job) -> dict[str, Any]:
    jpype: Any = __import__("jpype")
    place: dict[str, Any] = {}
    try:
        jpype.startJVM(job["jvm"], f"-Xmx{job['heap']}", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", classpath=list(job["jars"]))
        jobs: Mapping[str, Callable[[Job, Any, dict[str, Any]], dict[str, Any]]]
        jobs = {"describe": _describe, "template": _template, "fill": _fill}
        return jobs[job["do"]](job, jpype, place)
    except Exception as error:  # noqa: BLE001 - an answer is owed whatever Java threw; its text may quote a value, so only its class is told
        return {"error": type(error).__name__, **place}


def _open(job: Job, jpype: Any, *, read_only: bool = True) -> Any:
    jackcess = jpype.JPackage("com").healthmarketscience.jackcess
    builder = jackcess.DatabaseBuilder(jpype.java.io.File(job["file"])).setReadOnly(read_only).setAutoSync(False)
    database = builder.open()
    database.setDateTimeType(jackcess.DateTimeType.LOCAL_DATE_TIME)
    # Defaults and validation of a template are for people who type; every cell here is given, and compared afterwards.
    database.setEvaluateExpressions(False)
    return database


def _describe(job: Job, jpype: Any, place: dict[str, Any]) -> dict[str, Any]:
    """Tables with their columns (name, type, length in characters) and rows; a linked table is named and not followed.

    With ``into``, a folder, the rows of those ``tables`` (in small letters) that have any go to CSV files in it without a header, columns
    in the order of the table: the file is named by the position of the table in the answer.
    """
    java = jpype.java
    export = jpype.JPackage("com").healthmarketscience.jackcess.util.ExportUtil
    database = _open(job, jpype)
    try:
        tables = {}
        for position, name in enumerate(sorted(str(item) for item in database.getTableNames())):
            place["table"] = name
            if database.getTableMetaData(name).isLinked():
                tables[name] = {"linked": True, "columns": [], "rows": 0}
                continue
            table = database.getTable(name)
            columns = [[str(column.getName()), str(column.getType()), int(column.getLengthInUnits())] for column in table.getColumns()]
            tables[name] = {"linked": False, "columns": columns, "rows": int(table.getRowCount())}
            if "into" in job and name.lower() in job["tables"] and tables[name]["rows"]:
                stream = java.io.FileOutputStream(str(Path(job["into"]) / f"{position}.csv"))
                writer = java.io.BufferedWriter(java.io.OutputStreamWriter(stream, java.nio.charset.StandardCharsets.UTF_8))
                try:
                    export.Builder(database, name).setHeader(False).exportWriter(writer)
                finally:
                    writer.close()
        return {"format": str(database.getFileFormat()), "tables": tables}
    finally:
        database.close()


def _template(job: Job, jpype: Any, place: dict[str, Any]) -> dict[str, Any]:
    """Make a new database with the tables of the job: name -> [[column, type, length], …]."""
    jackcess = jpype.JPackage("com").healthmarketscience.jackcess
    kinds = jackcess.DataType
    database = jackcess.DatabaseBuilder.create(jackcess.Database.FileFormat.V2007, jpype.java.io.File(job["file"]))
    try:
        for name, columns in job["tables"].items():
            place["table"] = name
            table = jackcess.TableBuilder(name)
            for column, kind, length in columns:
                built = jackcess.ColumnBuilder(column).setType(kinds.valueOf(kind))
                table = table.addColumn(built.setLengthInUnits(length) if kind == "TEXT" else built)
            table.toTable(database)
        return {}
    finally:
        database.close()


def _fill(job: Job, jpype: Any, place: dict[str, Any]) -> dict[str, Any]:
    """Add the rows of the Parquet files of the job (table -> path) to the tables; a column of a file has the name of its column there."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - the other jobs need none

    moment = jpype.java.time.LocalDateTime.of
    row_of = jpype.JArray(jpype.JObject)
    # A month has few different moments to the second, and making one in Java costs more than a look-up.
    moments: dict[datetime, Any] = {}

    def to_moment(value: datetime | None) -> Any:
        if value is None:
            return None
        if (made := moments.get(value)) is None:
            if len(moments) > 200_000:
                moments.clear()
            made = moments[value] = moment(value.year, value.month, value.day, value.hour, value.minute, value.second)
        return made

    counts = {}
    database = _open(job, jpype, read_only=False)
    try:
        for name, path in job["tables"].items():
            place["table"] = name
            table = database.getTable(name)
            order = [str(column.getName()) for column in table.getColumns()]
            file = pq.ParquetFile(path)
            written = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=order):
                columns: list[Sequence[Any]] = []
                for number, field in enumerate(batch.schema):
                    values = batch.column(number).to_pylist()
                    columns.append([to_moment(value) for value in values] if str(field.type).startswith("timestamp") else values)
                rows = jpype.java.util.ArrayList(batch.num_rows)
                for row in zip(*columns, strict=True):
                    rows.add(row_of(row))
                table.addRows(rows)
                written += batch.num_rows
            counts[name] = written
        database.flush()
        return {"rows": counts}
    finally:
        database.close()


if __name__ == "__main__":
    main()
