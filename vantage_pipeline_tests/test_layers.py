"""Each floor imports only those below it: import-linter's contracts of ``pyproject.toml`` are kept."""

from __future__ import annotations

import tomllib

from importlinter.cli import lint_imports

from vantage_pipeline_tests.conftest import ROOT


def test_the_contracts_are_kept() -> None:
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_every_floor_is_in_the_contract() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (contract["layers"] for contract in linter["contracts"] if contract["type"] == "layers")
    named = {name.strip().rpartition(".")[2] for layer in layers for name in layer.split("|")}
    packages = {path.parent.name for path in (ROOT / "vantage_pipeline").glob("*/__init__.py")}
    assert packages - {"sandbox"} <= named
