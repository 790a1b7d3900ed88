"""The power limit of a run without a search: found while it trains, and found again when its load changes."""
