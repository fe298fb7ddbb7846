"""Pages that overlap, for an API that knows page numbers and page sizes only.

Offset paging over a live collection passes over records: when one before the cursor goes, all behind it move up by
one, unseen, and when another is added meanwhile, even the total is as it was. Pages that share a record show it: the
shared one then differs. And since the next page begins with it, a single move hides nothing in the first place.
Page `n` of size `s` begins at ``(n - 1) * s``, so a page of a slightly different size begins a little earlier.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count


@dataclass(frozen=True, slots=True)
class Span:
    """One request's part of a collection: page `page` (from 1) of pages of `size` records."""

    page: int
    size: int

    @property
    def start(self) -> int:
        return (self.page - 1) * self.size

    @property
    def end(self) -> int:
        return self.page * self.size


def overlapping(most: int, first: int | None = None) -> Iterator[Span]:
    """Spans of at most `most` records from the first on, each sharing a record or more with the one before it.

    The first one is of `first` records, of `most` if not told. Where no size allows an overlap, which happens with
    pages of a few records only, one joins on without a record in common.
    """
    span = Span(1, first or most)
    while True:
        yield span
        covered = span.end
        # a larger one than all that is covered would begin with the first record again
        largest = min(most, covered)
        fitting = (size for size in range(largest, 1, -1) if covered % size)
        size = max(fitting, key=lambda size: (size - covered % size, size), default=largest)
        span = Span(covered // size + 1, size)


def bounded(limit: int, most: int) -> Iterator[Span]:
    """Spans of at most `most` records that together are the first `limit` records and none beyond, in few pages."""
    for size in range(min(limit, most), 0, -1):
        whole, rest = divmod(limit, size)
        if not rest or whole * size % rest == 0:
            yield from (Span(page, size) for page in range(1, whole + 1))
            if rest:
                yield Span(whole * size // rest + 1, rest)
            return


def joined(size: int) -> Iterator[Span]:
    """Spans of `size` records each, from the first on, each beginning where the one before it ends."""
    return (Span(page, size) for page in count(1))
