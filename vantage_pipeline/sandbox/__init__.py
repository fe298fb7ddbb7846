"""Both APIs served on loopback with made-up data, for the demo and the tests."""

from vantage_pipeline.sandbox.server import Fault, Sandbox

__all__ = ["Fault", "Sandbox"]
