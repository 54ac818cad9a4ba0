"""What a retraining does with words: the model that tells categories, then the shared space that words are searched in.

A step of its own, after the gate of the classifiers has decided and its decision is in force: nothing here can delay or
undo it, and what fails here is told in the job's result. Each of the two replaces the one in use only where it is not
worse (``models.training.replacing``). A job that is killed here and begun again goes on with what it had made.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import InterfaceError, OperationalError

from app.config import Settings
from app.errors import DatabaseError
from app.jobs.shared import retrain_shared_space
from app.jobs.text import retrain_text_model
from app.services.proposing import propose
from app.store.database import transaction
from app.store.decisions import Decision
from app.store.media import MediaStore
from app.store.tables import Bundle as BundleRow
from app.store.tables import Image, Product, Space
from app.store.text_models import TextModelStore
from models.errors import NotEnoughData

log = logging.getLogger(__name__)

LEAST_NAMED: Final = 1000
"""Products with a name and a type that the category model takes: a tenth of fewer cannot be calibrated on."""

LEAST_SHOWN: Final = 200
"""Products with a name and a photo that the shared space takes; a fifth of them is held out to measure."""

Say = Callable[[str], None]
State = Literal["promoted", "refused", "not_run", "failed"]


@dataclass(frozen=True, slots=True)
class TextOutcome:
    """What came of one of the two. reason: in words. version: that was made; champion: the one it was compared with.
    comparison: see ``models.training.replacing.paired``. measured: what the training measured of it.
    """

    state: State
    reason: str
    version: str | None = None
    champion: str | None = None
    comparison: Mapping[str, Any] | None = None
    measured: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TextReport:
    """What came of both."""

    categories: TextOutcome
    words: TextOutcome

    def to_json(self) -> dict[str, Any]:
        """As plain values, for people and for the job's result."""
        return {"categories": self.categories.to_json(), "words": self.words.to_json()}

    def lines(self) -> list[str]:
        """For people."""
        told = {"text model": self.categories, "shared space": self.words}
        return [
            f"{name} {one.version or ''} {one.state}: {one.reason}".replace("  ", " ") for name, one in told.items()
        ]


def retrain_texts(
    settings: Settings,
    engine: Engine,
    media: MediaStore,
    space: str,
    job_id: UUID | None = None,
    say: Say = lambda line: None,
) -> TextReport:
    """Train both on the catalogue as it is, where it names enough, and ask for proposals anew.

    space: that was trained in; where another one is served, words are left as they are: they would not fit the photos
    that are searched with.
    :raise DatabaseError, sqlalchemy.exc.OperationalError: the database does not answer; begin again.
    """
    served = _served_space(engine)
    if served not in (None, space):
        other = TextOutcome("not_run", f"space {served} is served, and {space} was trained in")
        return TextReport(other, other)
    named, shown = _counts(engine)

    def categories() -> TextOutcome:
        if named < LEAST_NAMED:
            return TextOutcome("not_run", f"{named} products have a name and a type; {LEAST_NAMED} are needed")
        say("names and pictures: telling categories")
        done = retrain_text_model(settings, engine, job_id, say=say)
        assert done.decision is not None, "a retraining decides"
        if done.decision.decision == "promoted":
            say("asking the text model about what is lacking")
            propose(engine, TextModelStore(settings.home).load())
        return _outcome(done.version, done.decision, done.metrics)

    def words() -> TextOutcome:
        if shown < LEAST_SHOWN:
            return TextOutcome("not_run", f"{shown} products have a name and a photo; {LEAST_SHOWN} are needed")
        say("names and pictures: searching by words")
        done = retrain_shared_space(settings, engine, media, job_id, say=say)
        assert done.decision is not None, "a retraining decides"
        return _outcome(done.version, done.decision, done.metrics)

    return TextReport(_tried(categories, "text model", say), _tried(words, "shared space", say))


def _tried(work: Callable[[], TextOutcome], name: str, say: Say) -> TextOutcome:
    try:
        return work()
    except NotEnoughData as error:
        return TextOutcome("not_run", str(error))
    except (DatabaseError, OperationalError, InterfaceError):
        raise  # the job is begun again and goes on from here
    except Exception as error:
        # The classifiers that this job was for are in service: it has not failed.
        log.exception("the %s could not be trained", name)
        say(f"{name} failed: {error}")
        return TextOutcome("failed", f"{type(error).__name__}: {error}")


def _outcome(version: str, decision: Decision, metrics: Mapping[str, Any]) -> TextOutcome:
    measured = metrics.get("measured")
    return TextOutcome(decision.decision, decision.reason, version, decision.champion, decision.comparison, measured)


def _served_space(engine: Engine) -> str | None:
    """The champion's; None where nothing is served."""
    with transaction(engine) as session:
        found: str | None = session.scalar(
            select(Space.identifier)
            .join(BundleRow, BundleRow.space_id == Space.id)
            .where(BundleRow.state == "champion")
        )
    return found


def _counts(engine: Engine) -> tuple[int, int]:
    """(products with a name and a type, products with a name and a photo)."""
    with transaction(engine) as session:
        named = session.scalar(select(func.count()).where(Product.name.is_not(None), Product.type.is_not(None)))
        has_photo = select(Image.product_id).where(Image.product_id == Product.id).exists()
        shown = session.scalar(select(func.count(Product.id)).where(Product.name.is_not(None), has_photo))
    return named or 0, shown or 0
