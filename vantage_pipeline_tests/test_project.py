"""The files around the package say what the package does: lock, dependencies, example environment."""

from __future__ import annotations

import re
import tomllib

from vantage_pipeline.settings import Settings
from vantage_pipeline_tests.conftest import ROOT

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_DIRECT = {
    re.split(r"[<>=!~\[; ]", wanted)[0]
    for wanted in (*_PROJECT["dependencies"], *_PROJECT["optional-dependencies"]["dev"])
}
_LOCK = (ROOT / "requirements.lock").read_text()


def test_each_dependency_is_explained() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)
    explained = [name for row in rows for name in row.split(", ")]
    assert sorted(name for name in explained if name not in ("package", "---")) == sorted(_DIRECT)


def test_each_dependency_is_locked_with_hashes_and_no_address() -> None:
    pinned = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", _LOCK, re.MULTILINE))
    assert pinned.keys() >= _DIRECT
    entries = re.split(r"\n(?=[a-z0-9])", _LOCK)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in _LOCK
    # a release of dagster-postgres fits one of dagster; a resolver left to itself takes one of years ago
    assert pinned["dagster"] == pinned["dagster-webserver"]
    assert pinned["dagster-postgres"].split(".")[2] == pinned["dagster"].split(".")[2]


def test_the_example_environment_names_settings_and_their_defaults() -> None:
    example = dict(re.findall(r"^#?([A-Z][A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    ours = {f"VANTAGE_PIPELINE_{name.upper()}": field for name, field in Settings.model_fields.items()}
    aliases = (field.validation_alias for field in Settings.model_fields.values())
    assert {name for name in example if name not in ours} == {name for name in aliases if isinstance(name, str)}
    for name, value in example.items():
        if name in ours and value:
            assert value == str(ours[name].default), name


def test_the_example_environment_is_all_comments() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert all(not line or line.startswith("#") for line in lines)
