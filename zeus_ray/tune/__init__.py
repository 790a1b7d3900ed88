"""Adapters to Ray Tune: they translate, and decide nothing."""
