"""Leases on GPUs: which process may set which power limit, and restoring the limit that was found."""
