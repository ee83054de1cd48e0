"""Embedded PostgreSQL servers, with fsync and all settings as they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

from leadcrm.embedded import cluster as embedded_cluster
from leadcrm.embedded import server as embedded_server

LARGE = 200_000_000  # bytes


class Cluster:
    """An embedded PostgreSQL in a folder of its own. It stops by itself when the process that asked for it ends."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.address = embedded_server.ensure_running(folder)

    def url(self, database: str) -> str:
        user, password = quote(self.address.user), quote(self.address.password)
        return f"postgresql://{user}:{password}@/{database}?{urlencode({'host': self.address.host})}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database), autocommit=True)

    @property
    def log(self) -> Path:
        """What PostgreSQL itself logs."""
        return embedded_cluster.Cluster(self.folder).log

    def has(self, database: str) -> bool:
        with self.connect() as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [database])
            return found.rowcount > 0

    def create(self, database: str, *, template: str = "template0") -> None:
        """A fresh one, whoever may still be connected to the last."""
        self.drop(database)
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY {}")
        with self.connect() as connection:
            size = connection.execute("SELECT pg_database_size(%s)", [template]).fetchone()
            # Files are quicker to copy where there is much, but wait for a checkpoint.
            how = "file_copy" if size and size[0] > LARGE else "wal_log"
            connection.execute(make.format(*map(sql.Identifier, (database, template, how))))

    def drop(self, database: str) -> None:
        with self.connect() as connection:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(drop.format(sql.Identifier(database)))

    def drop_all(self, beginning: str) -> None:
        with self.connect() as connection:
            found = connection.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [beginning]
            ).fetchall()
        for (database,) in found:
            self.drop(database)

    def rename(self, database: str, name: str) -> None:
        with self.connect() as connection:
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            connection.execute(rename.format(sql.Identifier(database), sql.Identifier(name)))
