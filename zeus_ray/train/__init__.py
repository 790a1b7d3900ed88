"""One file per training framework. Import the one you use: the package imports none."""
