"""Ray actors: one per GPU, found or created where a trial runs, and one per carbon signal of a cluster."""

NAMESPACE = "zeus-ray"
"""The Ray namespace of all of them."""
