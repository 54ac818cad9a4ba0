"""``python -m app demo``: the whole way on a rendered shop, over real HTTP."""

from app.cli.demo.command import command

__all__ = ["command"]
