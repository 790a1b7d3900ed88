"""Searches of batch size and power limit in Ray Tune, each as its library is used well."""
