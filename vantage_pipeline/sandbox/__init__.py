"""Both APIs served on loopback with made-up data, for the demo and the tests."""

from vantage_pipeline.sandbox.faults import FAULT_KINDS, Fault, FaultKind, FaultPlan
from vantage_pipeline.sandbox.second_client import Edit, SecondClient
from vantage_pipeline.sandbox.server import Sandbox

__all__ = ["FAULT_KINDS", "Edit", "Fault", "FaultKind", "FaultPlan", "Sandbox", "SecondClient"]
