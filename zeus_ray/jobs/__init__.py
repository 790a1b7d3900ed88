"""A job that comes back: its history on any storage, and the search that goes on from run to run."""
