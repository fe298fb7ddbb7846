"""The report: one HTML page with each resource's health and plots of its last runs, without anything from a network."""
