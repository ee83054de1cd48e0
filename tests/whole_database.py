"""The whole database as text: what is in no column of no table is not there any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connection


def places_of(*texts: str) -> list[str]:
    """Table, column and text of each place where one of the texts still stands, bodies included."""
    found = {
        f"{table}.{column}: {text}"
        for table, column, value in _values()
        for text in texts
        if text.lower() in value.lower()
    }
    return sorted(found)


def _values() -> Iterator[tuple[str, str, str]]:
    for table in connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            columns = [column.name for column in cursor.description]
            for row in cursor.fetchall():
                for column, value in zip(columns, row, strict=True):
                    yield table, column, _text(value)


def _text(value: Any) -> str:
    return bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else str(value)
