"""The upstream APIs: HTTP, the Vantage client, the Bubble client."""
