"""Tables and pictures of finished searches."""
