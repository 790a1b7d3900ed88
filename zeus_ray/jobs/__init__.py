"""Recurring jobs: ask for a run, train, tell; and commands run as such jobs."""
