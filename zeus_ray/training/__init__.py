"""One training run, without Ray: its session, power limit, profile, energy and reports."""
