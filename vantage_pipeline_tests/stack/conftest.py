"""One stack for all tests of this folder: it takes long to start. The tests are skipped where it cannot run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline_tests.conftest import ROOT
from vantage_pipeline_tests.stack.stack import Stack

_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"]  # fmt: skip
_PATIENCE_MS = 90_000


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[Stack]:
    """Everything that `make dev` starts, on a small sandbox."""
    if os.name == "nt":
        pytest.skip("kills processes by signal")
    with Sandbox.start(accounts=60, funds=7, cash_flows=150, bubble_scale=0.01) as sandbox:
        made = Stack(sandbox, tmp_path_factory.mktemp("stack"), ROOT, home)
        try:
            made.start()
            yield made
        finally:
            made.kill_everything()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    made = chromium.new_page(viewport={"width": 1400, "height": 900})
    made.set_default_timeout(_PATIENCE_MS)
    yield made
    made.close()
