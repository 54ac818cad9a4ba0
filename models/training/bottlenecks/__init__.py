"""The bottleneck cache: filling it, reading it, and what is kept beside the vectors."""
