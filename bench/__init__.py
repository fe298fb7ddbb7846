"""Benchmarks: this project beside the floor and the alternatives, in one go (``python -m bench``)."""
