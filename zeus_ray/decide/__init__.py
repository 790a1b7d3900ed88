"""What to run next: pure numpy, no clock, no I/O, no Ray."""
