"""The long tasks: filling the bottleneck cache, training and publishing. The only users of ``models.training``
besides the command line; each can be interrupted, repeated and resumed."""
