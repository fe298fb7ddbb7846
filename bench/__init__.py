"""Benchmarks: this project beside a loader that does the least possible work, in one go."""
