"""Alerts: what is wrong now, compared with what people were told, and one message for what began and what ended."""
