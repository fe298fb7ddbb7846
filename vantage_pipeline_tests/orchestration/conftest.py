from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline_tests.alert_channels import mail_server, webhook
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.duty import TOKEN, Duty
from vantage_pipeline_tests.pipeline import Pipeline
from vantage_pipeline_tests.verifier import Verifier


@pytest.fixture
def duty(database: Database, make_settings: Callable[..., Settings]) -> Iterator[Duty]:
    with webhook() as hook, mail_server() as mail:
        settings = make_settings(
            VANTAGE_API_BASE_URL="http://127.0.0.1:9",
            VANTAGE_AUTH_TOKEN=TOKEN,
            ALERT_URLS=f"{hook.url} {mail.url}",
            ui_url="http://127.0.0.1:3000",
        )
        yield Duty(database, settings, hook, mail)


@pytest.fixture
def verifier(sandbox: Sandbox, embedded: Database, state_dir: Path) -> Verifier:
    return Verifier(Pipeline(sandbox, embedded), state_dir)


@pytest.fixture
def vantage(verifier: Verifier) -> Verifier:
    verifier.pipeline.sync_all("vantage")
    return verifier


@pytest.fixture
def bubble(verifier: Verifier) -> Verifier:
    verifier.pipeline.sync_all("bubble")
    return verifier
