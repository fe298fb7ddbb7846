from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vantage_pipeline import catalog
from vantage_pipeline.errors import (
    SandboxRefused,
    SourceProtocolError,
    SourceRefused,
    SourceThrottled,
    SourceUnreachable,
)
from vantage_pipeline.sandbox import Fault, Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline.sources.budget import RequestBudget
from vantage_pipeline.sources.vantage import VantageClient
from vantage_pipeline_tests.pipeline import settings_for

ACCOUNTS = catalog.dataset_of("investors")


def read_accounts(settings: Settings) -> tuple[int, VantageClient]:
    client = VantageClient(settings)
    try:
        return sum(len(page.records) for page in client.read(ACCOUNTS, since=None)), client
    finally:
        client.close()


@pytest.mark.parametrize(
    "kind", ["429", "500", "502", "503", "reset", "truncated", "malformed", "html", "wrong_code", "wrong_length"]
)
def test_passing_faults_are_retried(sandbox: Sandbox, kind: str) -> None:
    sandbox.faults.add(Fault(kind, match="/api/Accounts", times=2))
    read, client = read_accounts(settings_for(sandbox, page_size=25))
    assert read == 60
    assert sandbox.faults.injected[kind] == 2
    assert client.session.stats.requests >= 4


@pytest.mark.parametrize("after", ["0", "0.05", "date"])
def test_retry_after_is_honoured_in_all_its_forms(sandbox: Sandbox, after: str) -> None:
    told = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True) if after == "date" else after
    sandbox.faults.add(Fault("429", times=3, retry_after=told))
    read, client = read_accounts(settings_for(sandbox))
    assert read == 60
    assert client.session.stats.by_status["429"] == 3


def test_a_wait_longer_than_our_patience_defers(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("429", retry_after="3600"))
    with pytest.raises(SourceThrottled, match="3600 s") as caught:
        read_accounts(settings_for(sandbox))
    assert caught.value.retry_after == 3600
    assert len(sandbox.requests) == 1


def test_lasting_trouble_ends_in_a_clear_error(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("500", times=99))
    with pytest.raises(SourceUnreachable, match="HTTP 500"):
        read_accounts(settings_for(sandbox, max_attempts=3))
    assert len(sandbox.requests) == 3


def test_a_hang_ends_with_the_read_timeout(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("hang", times=9))
    with pytest.raises(SourceUnreachable, match="timed out"):
        read_accounts(settings_for(sandbox, read_timeout=0.2, max_attempts=2))


def test_a_byte_now_and_then_ends_with_the_response_timeout(sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault("drip", times=9))
    with pytest.raises(SourceUnreachable, match="took longer than"):
        read_accounts(settings_for(sandbox, response_timeout=0.3, max_attempts=1))


def test_a_refusal_is_not_retried_and_names_the_variables(sandbox: Sandbox) -> None:
    with pytest.raises(SourceRefused, match="VANTAGE_AUTH_TOKEN") as caught:
        read_accounts(settings_for(sandbox, VANTAGE_AUTH_TOKEN="Bearer wrong-secret-token"))
    assert len(sandbox.requests) == 1
    assert "wrong-secret-token" not in str(caught.value)


def test_nobody_there(sandbox: Sandbox) -> None:
    settings = settings_for(sandbox, VANTAGE_API_BASE_URL="http://127.0.0.1:9", max_attempts=2)
    with pytest.raises(SourceUnreachable, match="connection refused"):
        read_accounts(settings)


def test_a_response_may_be_too_large(sandbox: Sandbox) -> None:
    with pytest.raises(SourceProtocolError, match="larger than 1000 bytes"):
        read_accounts(settings_for(sandbox, max_response_bytes=1000))


def test_sandbox_data_never_meets_a_real_database(sandbox: Sandbox) -> None:
    settings = settings_for(sandbox, DATABASE_URL="postgresql://user:pw@127.0.0.1:9/real")
    with pytest.raises(SandboxRefused):
        read_accounts(settings)


def test_pages_are_read_no_more_often_than_needed(make_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = make_sandbox(accounts=2_050)
    read, _ = read_accounts(settings_for(sandbox))
    assert read == 2_050
    assert len(sandbox.requests) == 5


@pytest.mark.parametrize("url", ["ftp://example.com", "file:///etc/passwd", "example.com", "https://u:p@example.com"])
def test_base_urls_are_http_without_credentials(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(**dict[str, Any](VANTAGE_API_BASE_URL=url))


def test_secrets_do_not_print() -> None:
    secrets: dict[str, Any] = {
        "VANTAGE_AUTH_TOKEN": "very-secret-token",
        "DATABASE_URL": "postgresql://u:hidden-pw@h/d",
    }
    settings = Settings(**secrets)
    assert "very-secret-token" not in repr(settings)
    assert "hidden-pw" not in repr(settings)
    assert settings.mask("a very-secret-token and hidden-pw") == "a *** and ***"


def test_a_budget_is_shared(tmp_path: Path) -> None:
    first, second = (RequestBudget(tmp_path, "api", per_minute=6) for _ in range(2))
    nobody_waits = threading.Event()
    nobody_waits.set()
    told = [budget.take(nobody_waits) for _ in range(3) for budget in (first, second)]
    assert told[0] == 0
    assert told == sorted(told), "whoever comes later, by whichever of the two, is to wait longer"
    assert told[-1] > told[1] > 0
