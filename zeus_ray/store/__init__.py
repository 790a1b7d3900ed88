"""What jobs and searches remember on disk or cloud storage, and how a search is made from it again."""
