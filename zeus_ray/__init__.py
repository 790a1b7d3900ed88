"""zeus-ray."""
