"""A database for one test, on the session's one server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.embedded import EmbeddedServer

_numbers = itertools.count(1)


class Database:
    """A database and one connection to it that commits each statement."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection: Connection | None = None

    def connect(self) -> Connection:
        """A connection of the test's own, in a transaction. The test closes it, or the drop does."""
        return engine.connect(self.url)

    def execute(self, statement: str, params: Sequence[Any] | dict[str, Any] | None = None) -> int:
        """Run a statement; gives how many rows it touched."""
        with self._open().cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.rowcount

    def rows(self, query: str, params: Any = None) -> list[tuple[Any, ...]]:
        """The rows of a query, none of a statement that gives none. A single parameter may stand by itself."""
        given = params if params is None or isinstance(params, (list, tuple, dict)) else [params]
        with self._open().cursor() as cursor:
            cursor.execute(query, given)
            return cursor.fetchall() if cursor.description else []

    def scalar(self, query: str, params: Any = None) -> Any:
        """The first column of the first row; None without one."""
        found = self.rows(query, params)
        return found[0][0] if found else None

    def cursor(self) -> Cursor:
        """A cursor of that connection, for statements composed of identifiers."""
        return self._open().cursor()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = engine.connect(self.url)
            self._connection.autocommit = True
        return self._connection


@contextmanager
def fresh(server: EmbeddedServer, template: str | None = None) -> Iterator[Database]:
    """A database of its own, dropped afterwards whoever is still connected."""
    name = f"test_{next(_numbers)}"
    create(server, name, template)
    database = Database(server.url(name))
    try:
        yield database
    finally:
        database.close()
        drop(server, name)


def create(server: EmbeddedServer, name: str, template: str | None = None) -> None:
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template is not None:
        statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    administer(server, statement)


def drop(server: EmbeddedServer, name: str) -> None:
    administer(server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def administer(server: EmbeddedServer, *statements: sql.Composable) -> None:
    connection = engine.connect(server.url("postgres"))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()
