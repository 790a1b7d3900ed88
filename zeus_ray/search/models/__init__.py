"""Models of what a batch size costs: epochs to the target, cost of an epoch, learning curves."""
