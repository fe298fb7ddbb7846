"""What is wrong with a page that Bubble gave, where one cannot go on from it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from vantage_pipeline.catalog.model import BubbleEndpoint
from vantage_pipeline.errors import SourceProtocolError
from vantage_pipeline.sources.windows import MILLISECOND, Window, iso


def trouble(records: Sequence[Any], remaining: int, sort_field: str | None, window: Window | None) -> str | None:
    """Why one cannot go on from this page; None where one can."""
    if not records and remaining > 0:
        return f"{remaining} records promised and none given"
    if window is None:
        return None
    moments = [moment for record in records if (moment := moment_of(record, window.field)) is not None]
    if sort_field == window.field and any(later < earlier for earlier, later in pairwise(moments)):
        return f"the records are not in the order of {window.field}"
    if window.start is not None and moments and min(moments) < window.start - MILLISECOND:
        return f"records from before {iso(window.start)} came, an earlier page once more"
    if window.end is not None and moments and max(moments) >= window.end:
        return f"records from {iso(window.end)} on came, a page of another part"
    return None


def strangers(records: Sequence[Any], ids: Collection[str] | None) -> str | None:
    """Whether a record came that none of the `ids` asked for names; None where none did."""
    if ids is None:
        return None
    found = (record.get("_id") for record in records if isinstance(record, dict))
    strange = next((key for key in found if isinstance(key, str) and key not in ids), None)
    return None if strange is None else f"the record {strange} came, which was not asked for"


def moment_of(record: object, field: str) -> datetime | None:
    """The time in a field; None where there is none: the mapping then says what is wrong with the record."""
    value = record.get(field) if isinstance(record, dict) else None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def moments(records: Sequence[Any], field: str, endpoint: BubbleEndpoint) -> list[datetime]:
    """The times of a page's records, in their order; SourceProtocolError where no record has one."""
    moments = [moment for record in records if (moment := moment_of(record, field)) is not None]
    if not moments:
        raise SourceProtocolError(
            f"bubble: {endpoint.type_name}: none of {len(records)} records has a time in {field}, so the reading "
            f"cannot go on from there; nothing was marked as synced; look at the type in the app, or ask its maker"
        )
    return moments
