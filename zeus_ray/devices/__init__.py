"""Boards: one protocol, its implementations, and the lease that gives back what was found."""
