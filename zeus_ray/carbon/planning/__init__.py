"""Decisions over time: the power limit of an interval, the number of trials, the start of a job."""
