"""What the environment may say, and what a person is told when it does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from vantage_pipeline.errors import SettingsError
from vantage_pipeline.settings import Settings

Use = Callable[[Mapping[str, str]], Settings]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("true", True),
        ("0", False),
        ("", False),
        ("invoice", ("invoice",)),
        ("invoice, payment ,", ("invoice", "payment")),
    ],
)
def test_the_change_history_is_kept_of_all_or_some_tables(use_environment: Use, said: str, meant: Any) -> None:
    assert use_environment({"VANTAGE_PIPELINE_CHANGE_HISTORY": said}).change_history == meant


def test_a_table_that_no_sync_writes_is_told_with_those_that_are(use_environment: Use) -> None:
    with pytest.raises(SettingsError, match=r"CHANGE_HISTORY: knows no table invoices; those are: .*invoice, "):
        use_environment({"VANTAGE_PIPELINE_CHANGE_HISTORY": "invoice,invoices"})


def test_a_value_that_does_not_fit_is_named_and_not_shown(use_environment: Use) -> None:
    with pytest.raises(SettingsError) as caught:
        use_environment(
            {"BUBBLE_API_BASE_URL": "https://me:hidden-word@app.example.com", "VANTAGE_PIPELINE_CONCURRENCY": "0"}
        )
    assert "BUBBLE_API_BASE_URL: must not carry a user name or password" in str(caught.value)
    assert "VANTAGE_PIPELINE_CONCURRENCY: " in str(caught.value)
    assert "hidden-word" not in str(caught.value)
