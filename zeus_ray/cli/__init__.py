"""The ``zeus-ray`` command line: one file per command."""
