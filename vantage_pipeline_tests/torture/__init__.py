"""The convergence suite: histories of edits, syncs, faults and crashes, and what must hold after each step."""
