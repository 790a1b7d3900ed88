"""The event log of jobs and searches, on local disk or cloud storage, and the search rebuilt from it."""
