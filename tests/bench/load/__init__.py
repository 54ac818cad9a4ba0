"""``make bench``: the service under real clients, every figure beside its yardstick of the same run."""
