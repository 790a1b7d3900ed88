"""Pictures of searches and runs: described once, drawn by matplotlib or by Plotly."""
