"""The files around the package say what the package does: lock, dependencies, example environment."""

from __future__ import annotations

import re
import tomllib

import pytest

from vantage_pipeline.settings import Settings
from vantage_pipeline_tests.conftest import ROOT

_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _names(*extras: str) -> set[str]:
    """The packages that the project itself names: what it always needs, and what the extras add."""
    wanted = [
        *_PROJECT["dependencies"],
        *(line for extra in extras for line in _PROJECT["optional-dependencies"][extra]),
    ]
    return {re.split(r"[<>=!~\[; ]", line)[0] for line in wanted}


_LOCKS = {"requirements.lock": _names("dev"), "bench/requirements.lock": _names("bench")}


def test_each_dependency_is_explained() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)
    explained = [name for row in rows for name in row.split(", ")]
    assert sorted(name for name in explained if name not in ("package", "---")) == sorted(_names("dev", "bench"))


@pytest.mark.parametrize("file", _LOCKS)
def test_each_dependency_is_locked_with_hashes_and_no_address(file: str) -> None:
    lock = (ROOT / file).read_text()
    pinned = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lock, re.MULTILINE))
    assert pinned.keys() >= _LOCKS[file]
    entries = re.split(r"\n(?=[a-z0-9])", lock)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in lock
    # a release of dagster-postgres fits one of dagster; a resolver left to itself takes one of years ago
    assert pinned["dagster"] == pinned["dagster-webserver"]
    assert pinned["dagster-postgres"].split(".")[2] == pinned["dagster"].split(".")[2]


def test_what_the_benchmarks_compare_with_is_not_in_the_product() -> None:
    compared = _names("bench") - _names("dev")
    assert compared
    assert not [name for name in compared if f"\n{name}==" in (ROOT / "requirements.lock").read_text()]


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
