"""Raw record to typed row or a rejection: pure functions, no I/O."""
