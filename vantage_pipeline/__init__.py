"""Keeps a PostgreSQL database in step with the Vantage IR and Bubble Data APIs."""

__version__ = "0.1.0"
