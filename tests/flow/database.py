"""The product's database as its superuser reads it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import psycopg2

from appliance.embedded.layout import Layout
from appliance.embedded.postgres import PORT, SUPERUSER
from tests.support.canary import Canaries
from tests.support.product import Product

COLUMNS = """
SELECT table_schema, table_name, column_name FROM information_schema.columns
 WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
 ORDER BY 1, 2, 3
"""


@contextlib.contextmanager
def superuser(product: Product, name: str | None = None) -> Iterator[Any]:
    """A cursor on the product's database, or on another of its server; each statement commits."""
    layout = Layout(product.data)
    connection = psycopg2.connect(
        host=str(layout.postgres / "socket"),
        port=PORT,
        user=SUPERUSER,
        password=json.loads((layout.secrets / "database.json").read_text())["superuser"],
        dbname=name or product.settings.database.name,
    )
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def walk(cursor: Any, canaries: Canaries) -> tuple[list[str], int, int]:
    """Every value of every column: each thing found with its column, how many columns, how many bytes."""
    cursor.execute(COLUMNS)
    columns = cursor.fetchall()
    hits, size = [], 0
    for schema, table, column in columns:
        cursor.execute(f'SELECT string_agg("{column}"::text, chr(10)) FROM "{schema}"."{table}"')
        [(text,)] = cursor.fetchall()
        data = (text or "").encode()
        size += len(data)
        hits += [f"{name} in {table}.{column}" for name in sorted(canaries.found(data))]
    return hits, len(columns), size
