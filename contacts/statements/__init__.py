"""The SQL of the sync, one statement a file, in the order in which a batch issues them.

A batch of one event or of ten thousand is one JSON parameter, so the number of statements never grows, and PostgreSQL
does the set work: upserts, joins by natural key, newest and earliest. What a statement may rely on is said on top of
it; who calls it says when.
"""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection
from psycopg.rows import dict_row, tuple_row


class _PreparedCursor(psycopg.Cursor[Any]):
    """Prepares what it executes: planning these statements takes several times as long as running them."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> _PreparedCursor:
        super().execute(query, params, prepare=True, **options)
        return self


def run(statement: str, parameters: Any) -> list[tuple[Any, ...]]:
    """Execute one of the statements of this package on Django's connection, and return its rows.

    Like `connection.cursor()`, it is seen by Django's query log and raises Django's database errors.
    """
    return _run(statement, parameters, tuple_row)


def run_named(statement: str, parameters: Any) -> list[dict[str, Any]]:
    """As `run`, with each row by its column names."""
    return _run(statement, parameters, dict_row)


def _run(statement: str, parameters: Any, row_factory: Any) -> list[Any]:
    connection.close_if_health_check_failed()  # as `connection.cursor()` does: its first use in a request may find it closed
    connection.ensure_connection()
    with connection.wrap_database_errors:
        prepared = _PreparedCursor(connection.connection, row_factory=row_factory)
        wrap = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
        with wrap(prepared) as cursor:  # type: ignore[arg-type]
            cursor.execute(statement, parameters)
            # Asked of libpq: `description` would make an object for each column, each time.
            returns_rows = prepared.pgresult is not None and prepared.pgresult.nfields > 0
            return list(cursor.fetchall()) if returns_rows else []
