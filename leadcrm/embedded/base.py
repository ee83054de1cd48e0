"""Django's PostgreSQL backend, connected to the checkout's own server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, client
from django.db.utils import OperationalError
from psycopg import sql

from leadcrm.embedded import server
from leadcrm.embedded.cluster import EmbeddedPostgresError, NotInstalledError


@contextlib.contextmanager
def _as_django_errors() -> Iterator[None]:
    try:
        yield
    except NotInstalledError as error:
        raise ImproperlyConfigured(str(error)) from error
    except EmbeddedPostgresError as error:
        raise OperationalError(str(error)) from error


class DatabaseClient(client.DatabaseClient):
    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        with _as_django_errors():
            address = server.ensure_running(settings.LOCAL_DIR)
            psql = str(server.pginstall() / "bin" / "psql")
        filled = settings_dict | {"HOST": address.host, "USER": address.user, "PASSWORD": address.password}
        (_, *arguments), env = super().settings_to_cmd_args_env(filled, parameters)
        return [psql, *arguments], env


class DatabaseWrapper(base.DatabaseWrapper):
    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        """Starts PostgreSQL if it does not run: Django asks for these right before it connects."""
        with _as_django_errors():
            address = server.ensure_running(settings.LOCAL_DIR)
        params = super().get_connection_params()
        return params | {"host": address.host, "user": address.user, "password": address.password}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        try:
            return super().get_new_connection(conn_params)
        except psycopg.OperationalError as error:
            # No SQLSTATE comes with a refused connection; the server speaks English (see postgres.initdb).
            if f'database "{conn_params.get("dbname")}" does not exist' not in str(error):
                raise
        _create_database(conn_params)
        return super().get_new_connection(conn_params)


def _create_database(conn_params: dict[str, Any]) -> None:
    where = {name: conn_params[name] for name in ("host", "user", "password")}
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(conn_params["dbname"]))
    # Another process may create it at the same time: PostgreSQL then says one of these two.
    already = (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation)
    with (
        psycopg.connect(dbname="postgres", autocommit=True, **where) as connection,
        contextlib.suppress(*already),
    ):
        connection.execute(statement)
