"""Names and photos together: what a text model and its fusion with the bottlenecks need to serve."""
