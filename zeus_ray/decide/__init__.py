"""What to run next: pure numpy, no clock, no I/O, no Ray."""

from zeus_ray.decide.search import Search

__all__ = ["Search"]
