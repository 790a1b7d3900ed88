"""One training run: lease, limit, profile, meter, report; with Ray Tune or without Ray."""
