"""An empty workbook for local IPS records: a sheet per table under headings that are understood, with the rules of its cells built in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from ips_pipeline.errors import UsageError
from ips_pipeline.mhsds import standard
from ips_pipeline.mhsds.standard import LOCAL, Field, Table
from ips_pipeline.store.stages import storage_error

#: Rows of a sheet that are made ready.
_READY = 5_000
_EARLIEST, _LATEST = date(1900, 1, 1), date(2199, 12, 31)
_NEEDED: Mapping[str, str] = {"M": "Must be filled in.", "R": "Should be filled in: measures need it.", "O": "May stay empty."}
#: What Excel holds of a note beside a cell, and of its title.
_NOTE, _TITLE = 255, 32
#: Words of headings that are not written in small letters.
_WRITTEN = {"Nhs": "NHS", "Ips": "IPS", "Wte": "WTE", "Soc": "SOC", "id": "ID"}
#: The sheet of what may be chosen from; hidden, so that it is read by nobody.
_CHOICES = "Choices"


def write_template(path: Path) -> Path:
    """Write the workbook and give its path. Raises UsageError where the file is there or its folder is not, RetryableError when writing fails.

    Every heading is one that ``sources.records`` understands, and what may be chosen is understood as the code it stands for.
    """
    if path.suffix.lower() != ".xlsx":
        raise UsageError(f"{path} is not called .xlsx; name an Excel workbook that is not there yet")
    if not path.parent.is_dir():
        raise UsageError(f"The folder {path.parent} does not exist; make it, or name another")
    # The file is made first, and never over another, so that nobody's records are lost.
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise UsageError(f"{path} is there already and may hold records; name a file that is not there yet") from None
    except OSError as error:
        raise storage_error(error, path) from None
    try:
        _write(path)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise storage_error(error, path) from None
        raise
    return path


def _write(path: Path) -> None:
    import xlsxwriter  # noqa: PLC0415 - only this command needs it here
    from xlsxwriter.exceptions import FileCreateError  # noqa: PLC0415

    known = standard.load(LOCAL)
    book = xlsxwriter.Workbook(str(path))
    book.set_properties({"title": "Local IPS records", "created": datetime(2026, 1, 1)})
    styles = {
        "M": book.add_format({"bold": True, "font_color": "#ffffff", "bg_color": "#005eb8", "text_wrap": True, "valign": "top"}),
        "R": book.add_format({"bold": True, "font_color": "#ffffff", "bg_color": "#4c6272", "text_wrap": True, "valign": "top"}),
        "O": book.add_format({"bold": True, "bg_color": "#d8dde0", "text_wrap": True, "valign": "top"}),
        "date": book.add_format({"num_format": "dd/mm/yyyy"}),
        "text": book.add_format({"num_format": "@"}),
        "number": book.add_format({"num_format": "General"}),
    }
    lists = sorted({field.codes for table in known.tables.values() for field in table.fields if field.codes})
    sheets = [(table, book.add_worksheet(sheet_title(table))) for table in known.tables.values()]
    choices = book.add_worksheet(_CHOICES)
    choices.hide()
    ranges = {}
    for column, name in enumerate(lists):
        meanings = list(known.codes(name).values())
        choices.write_column(0, column, meanings)
        letter = chr(ord("A") + column)
        ranges[name] = f"={_CHOICES}!${letter}$1:${letter}${len(meanings)}"
    for table, sheet in sheets:
        sheet.freeze_panes(1, 0)
        sheet.set_landscape()
        sheet.set_paper(9)
        sheet.fit_to_pages(1, 0)
        sheet.set_row(0, 32)
        for column, field in enumerate(table.fields):
            sheet.write_string(0, column, heading(table, field), styles[field.mandation])
            kind = "date" if field.type == "date" else "number" if field.type in ("decimal", "integer") else "text"
            sheet.set_column(column, column, 14 if kind != "text" else 18, styles[kind])
            sheet.data_validation(1, column, _READY, column, _validation(field, ranges))
    try:
        book.close()
    except FileCreateError as error:
        raise OSError(*getattr(error.args[0], "args", error.args)) from None


def sheet_title(table: Table) -> str:
    """What the sheet of a table is called: as services call it."""
    return _capitals(standard.local_words()["sheets"][table.name][0])


def heading(table: Table, field: Field) -> str:
    """What the column of an element is called: as services call it, else its own name."""
    words = standard.local_words()["headings"][table.name].get(field.element, ())
    return _capitals(words[0]) if words else field.element


def _capitals(words: str) -> str:
    return " ".join(_WRITTEN.get(word, word) for word in words.capitalize().split())


def _validation(field: Field, ranges: Mapping[str, str]) -> dict[str, Any]:
    """What Excel lets into the cells of an element, and the note it shows beside them."""
    about: dict[str, Any] = {
        "input_title": field.element[:_TITLE],
        "input_message": f"{field.name}. {_NEEDED[field.mandation]}"[:_NOTE],
        "error_title": "Not understood",
        "ignore_blank": True,
    }
    number = next((rule.arguments for rule in field.rules if rule.kind == "number"), None)
    if field.codes:
        return about | {"validate": "list", "source": ranges[field.codes], "error_message": "Choose one of the list."}
    if field.type == "date":
        return about | {
            "validate": "date",
            "criteria": "between",
            "minimum": _EARLIEST,
            "maximum": _LATEST,
            "error_message": "Write a whole date, such as 05/01/2026.",
        }
    if number:
        low, high = number["lowest"], number["highest"]
        kind = "decimal" if number["places"] else "integer"
        bounds = {"criteria": "between", "minimum": low, "maximum": high, "error_message": f"Write a number from {low} to {high}."}
        return about | {"validate": kind, **bounds}
    if field.max_length:
        length = {"criteria": "<=", "value": field.max_length, "error_message": f"Write {field.max_length} characters at most."}
        return about | {"validate": "length", **length}
    return about | {"validate": "any"}
