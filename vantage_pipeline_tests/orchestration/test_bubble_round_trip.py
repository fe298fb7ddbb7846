"""Generated records of every Bubble type, with every mapped field, from the source to their columns."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import BubbleEndpoint, Column, Kind, Rule, Table
from vantage_pipeline.records.rules import NO_FILE
from vantage_pipeline.sandbox.bubble_data import iso
from vantage_pipeline.warehouse.load_report import LoadOptions
from vantage_pipeline_tests.pipeline import Pipeline

Record = dict[str, Any]

TYPES: Mapping[str, str] = {
    dataset.table.name: dataset.endpoint.type_name
    for resource in catalog.BUBBLE_RESOURCES
    for dataset in resource.datasets
    if isinstance(dataset.endpoint, BubbleEndpoint)
}
EACH = 40
"""Records of each type in one example: a sync of many costs hardly more than one of few."""
IDS = {name: [f"{10**12 + 1000 * place + n}x{n}" for n in range(EACH)] for place, name in enumerate(TYPES)}
NO_USER = "office@example.com"

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
MOMENT = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda moment: iso(moment.replace(tzinfo=UTC)))
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: TEXT | st.sampled_from(["", " ", "two\r\nlines", "\\N", "\t", NO_FILE, "NULL", '"', "\u202e\U0001f600"]),
    Kind.INTEGER: st.integers(-(2**31), 2**31 - 1),
    Kind.NUMERIC: st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15)
    | st.integers(-(10**15), 10**15),
    Kind.BOOLEAN: st.booleans(),
    Kind.TIMESTAMP: MOMENT,
    Kind.JSON: st.dictionaries(TEXT.filter(bool), st.integers() | TEXT, min_size=1, max_size=3),
    Kind.TEXT_ARRAY: st.lists(TEXT, min_size=1, max_size=4) | TEXT | st.just(["", "NULL", 'a,"b"', "{", "\\"]),
}


@st.composite
def records(draw: st.DrawFn) -> dict[str, list[Record]]:
    """Records of every type. Values are drawn by kind and then dealt out, each field left out now and then."""
    pools = {kind: draw(st.lists(values, min_size=6, max_size=12)) for kind, values in VALUES.items()}
    chance = random.Random(draw(st.integers(0, 2**32)))
    return {name: [_record(catalog.table(name), record_id, pools, chance) for record_id in IDS[name]] for name in TYPES}


def _record(table: Table, record_id: str, pools: Mapping[Kind, list[Any]], chance: random.Random) -> Record:
    record: Record = {"_id": record_id, "Modified Date": chance.choice(pools[Kind.TIMESTAMP])}
    for column in table.columns:
        for field in column.fields:
            if field not in record and chance.random() < 0.8:
                record[field] = _linked(column, chance) if column.link else chance.choice(pools[column.kind])
        if len(column.fields) > 1 and chance.random() < 0.3:
            record[column.fields[0]] = ""
    return record


def _linked(column: Column, chance: random.Random) -> Any:
    """A link's id or ids; an agent's may be that of its user, and what created a record may be no user."""
    if column.link is None:
        raise TypeError(f"{column.name} is no link")
    ids = IDS[column.link.table]
    if column.link.many:
        return chance.choice([chance.sample(ids, 3), [chance.choice(ids)], chance.choice(ids)])
    if column.link.alias is not None and chance.random() < 0.3:
        return chance.choice(IDS[column.link.alias.table])
    return NO_USER if column.name == "created_by" and chance.random() < 0.2 else chance.choice(ids)


def expected(column: Column, record: Record, users: Mapping[str, Record]) -> Any:
    """What a column holds, by what the record says."""
    value = record.get(column.fields[0])
    if len(column.fields) > 1 and (value is None or not str(value).strip()):
        value = record.get(column.fields[1])
    if column.rule is Rule.FILE_URL:
        value = None if value == NO_FILE else value
        value = [item for item in value if item != NO_FILE] or None if isinstance(value, list) else value
    if value is None:
        return None
    if column.link is not None and not column.link.many:
        if column.link.alias is not None and value in users:
            return users[value].get("Linked Agent Profile")
        return None if value == NO_USER else value
    if column.kind is Kind.TEXT_ARRAY:
        return [value] if isinstance(value, str) else value
    return datetime.fromisoformat(value) if column.kind is Kind.TIMESTAMP else value


def assert_arrived(pipeline: Pipeline, made: Mapping[str, list[Record]]) -> None:
    """Every mapped field of every record is in its column with its value exactly."""
    users = {record["_id"]: record for record in made["user"]}
    for name, listed in made.items():
        table = catalog.table(name)
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        key = f'"{table.key}"'
        rows = pipeline.database.rows(f'SELECT extra, {columns} FROM "{name}" WHERE deleted_at IS NULL ORDER BY {key}')
        assert len(rows) == len(listed), name
        for record, (extra, *row) in zip(sorted(listed, key=lambda item: item["_id"]), rows, strict=True):
            for column, value in zip(table.columns, row, strict=True):
                wanted = expected(column, record, users)
                assert value == wanted, (name, record["_id"], column.name)
                assert type(value) is not bool or type(wanted) is bool, (name, record["_id"], column.name)
                if column.link is not None and column.keep_raw:
                    assert (extra or {}).get(column.fields[0]) == record.get(column.fields[0])


def test_every_mapped_field_is_generated() -> None:
    """Of every column: a field that nobody generates would never be compared."""
    pools = {kind: [None] for kind in VALUES}
    for name in TYPES:
        table, chance = catalog.table(name), random.Random(1)
        made = {field for n in range(99) for field in _record(table, f"{n}x{n}", pools, chance)}
        assert made == {field for column in table.columns for field in column.fields}, name


# what fails is told by table, record and column; to shrink it would take minutes and say no more
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(made=records())
def test_a_record_of_every_type_arrives_exactly(pipeline: Pipeline, made: dict[str, list[Record]]) -> None:
    for name, listed in made.items():
        pipeline.sandbox.bubble.records[TYPES[name]] = {record["_id"]: record for record in listed}
        pipeline.sandbox.bubble.changed(TYPES[name])
    for name in made:
        pipeline.sync(
            f"bubble/{name}",
            full=True,
            allow_clear=["*"],
            options=LoadOptions(allow_deleting=True, allow_clearing=frozenset("*")),
        )
    assert_arrived(pipeline, made)
