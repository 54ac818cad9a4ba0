"""The command table. A command's module is imported only when it runs, so ``--help`` is quick."""

from __future__ import annotations

import importlib
import sys

import click

from models.errors import PicktureError

COMMANDS: dict[str, tuple[str, str]] = {
    "augment": ("app.cli.augment", "Look at the training variants of a photo."),
    "backup": ("app.cli.backup", "Back up and restore database, photos and models together."),
    "bottlenecks": ("app.cli.bottlenecks", "Prepare the backbone and fill the bottleneck cache."),
    "catalog": ("app.cli.catalog", "Import and check the catalogue; convert data sets."),
    "db": ("app.cli.db", "Run, upgrade, check, back up and restore the database."),
    "demo": ("app.cli.demo", "From a rendered catalogue to a recommendation, in one go."),
    "evaluate": ("app.cli.evaluate", "Measure the served model on photos with known answers."),
    "experiments": ("app.cli.experiments", "Measure what the paper leaves open: labels, categories, parameters."),
    "finetune": ("app.cli.finetune", "Adapt the backbone to the catalogue, as new weights."),
    "keys": ("app.cli.keys", "Create, list and revoke access keys."),
    "models": ("app.cli.models", "List, promote and roll back model versions."),
    "pretrain": ("app.cli.pretrain", "Make backbone weights from random values."),
    "proposals": ("app.cli.proposals", "What the text model would fill in; accept or reject it."),
    "recognize": ("app.cli.recognize", "Recognise one photo."),
    "recommend": ("app.cli.recommend", "Recommend products like a given one."),
    "retrain": ("app.cli.retrain", "Learn what is new; serve it if it is not worse."),
    "retention": ("app.cli.retention", "Remove what shoppers sent when its time is over."),
    "serve": ("app.cli.serve", "Serve the HTTP API."),
    "spaces": ("app.cli.spaces", "List, fill and drop spaces: one a weight source."),
    "text": ("app.cli.text", "Categories from names and pictures: train, measure, ask."),
    "train": ("app.cli.train", "Train classifiers, vote and verdict; publish the bundle."),
    "worker": ("app.cli.worker", "Run jobs asked for over HTTP."),
    "yardstick": ("app.cli.yardstick", "Compare weights on listed photos, with the network frozen."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.command(cls=LazyGroup)
def cli() -> None:
    """Pickture: recognise a product from a photo and recommend similar ones."""


def main() -> None:
    """Run the command line; a Pickture error becomes one line on stderr and exit status 1, and so does a database that
    goes away in the middle of a command.
    """
    try:
        cli(standalone_mode=True)
    except Exception as error:
        told = error if isinstance(error, PicktureError) else _database_away(error)
        if told is None:
            raise
        click.echo(f"error: {told} [{told.code}]", err=True)
        sys.exit(1)


def _database_away(error: Exception) -> PicktureError | None:
    """What to tell of a driver's error; None of any other. Its statement and values are left out."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    from app.errors import DatabaseUnavailable

    if not isinstance(error, OperationalError | InterfaceError):
        return None
    why = " ".join(str(error.orig).split())
    return DatabaseUnavailable(f"the database stopped answering in the middle of the command ({why}); run it again")
