"""Web APIs of carbon intensity and price: one file each, named in ``registry.py``."""
