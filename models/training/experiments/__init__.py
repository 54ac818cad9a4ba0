"""The questions that the paper leaves open, each answered by a measured table on the operator's own bottlenecks."""
