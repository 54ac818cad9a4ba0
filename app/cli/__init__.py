"""``python -m app ...``: one module a command group; ``main`` loads the one that is asked for."""
