"""The service's own errors. The tree goes on where ``models.errors`` ends; neither knows HTTP (``app.error_table``).

PicktureError
├── RequestError                the request cannot be served as it came
│   ├── RequestInvalid, NotAvailable    a field is wrong (``problems`` names each); the feature is not offered here
│   ├── Unauthorized, Forbidden         no valid credentials came; valid ones that do not reach this far
│   ├── CursorInvalid, PreconditionFailed, PreconditionRequired   no cursor of this listing; an old picture; none told
│   └── SpaceMismatch, CatalogueChanged   the version's weights are not prepared; the catalogue changed meanwhile
├── ConflictError               the request does not fit what is there now
│   ├── JobRunning, JobEnded    another job is in the way; this one is over
│   ├── UploadGone, UploadsFull the files that were checked are not kept any more; as many are kept as may be
│   ├── ReviewDecided, ReviewFlagged, ReviewLimit   of an item: decided otherwise; not in bulk; enough of them
│   ├── TextNotTrained          searching by words needs a training that nobody has done here
│   ├── ProposalDecided, ProposalOutdated   decided otherwise before; the product says so itself by now
│   └── SpaceIncomplete, SpaceInUse     the model version's space lacks photos; it is served or at work
├── LimitExceeded               more operations in a minute than an installation or an address may ask for
├── NotFoundError               there is no such thing (or, of a query, it is another session's)
│   ├── ProductNotFound, CategoryNotFound, QueryNotFound, MediaNotFound, KeyNotFound
│   └── ReviewItemNotFound, ProposalNotFound, SpaceNotFound, ModelNotFound, TextModelNotFound, JobNotFound
├── BundleNotFound: NoEarlierModel   there is nothing to roll back to
├── DatabaseError: DatabaseUnavailable, DatabaseOutdated   it cannot be reached; it is at another revision
└── ServiceError                the service cannot answer now
    └── NotReady, Overloaded, StorageFull   something is missing; the house is full; the disk is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models import errors as models_errors
from models.errors import PicktureError


class RequestError(PicktureError):
    """The request cannot be served as it came."""

    code = "request_error"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field; ``field`` is dotted, e.g. ``colours.0``.

    value: what came, cut; None where it is not repeated.
    """

    field: str
    reason: str
    value: str | None = None


class RequestInvalid(RequestError):
    """A field is missing, malformed or out of range; ``problems`` names each."""

    code = "request_invalid"

    def __init__(self, message: str, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    @classmethod
    def of(cls, field: str, reason: str) -> RequestInvalid:
        """One field, one reason."""
        return cls(f"{field}: {reason}", (FieldProblem(field, reason),))


class NotAvailable(RequestError):
    """The feature is not offered by this installation, or its data are missing."""

    code = "not_available"


class Unauthorized(RequestError):
    """No valid credentials came. The message never says what exactly was wrong with them."""

    code = "unauthorized"


class Forbidden(RequestError):
    """The credentials are valid but do not reach this far."""

    code = "forbidden"


class CursorInvalid(RequestError):
    """Not a cursor of this listing: altered, cut off, or made for other filters."""

    code = "cursor_invalid"


class PreconditionFailed(RequestError):
    """What the caller believes to be there is not what is there (`If-Match`, `If-None-Match`)."""

    code = "precondition_failed"


class PreconditionRequired(RequestError):
    """Replacing something needs `If-Match` with its ETag, so that nobody's change is lost unseen."""

    code = "precondition_required"


class SpaceMismatch(RequestError):
    """The network that the model version was trained with is not prepared here, or its space was dropped."""

    code = "space_mismatch"


class CatalogueChanged(RequestError):
    """Products that an import lists were changed while it read their photos, again and again."""

    code = "catalogue_changed"


class IdempotencyKeyReused(RequestError):
    """This Idempotency-Key came with another request before."""

    code = "idempotency_key_reused"


class ConflictError(PicktureError):
    """The request does not fit what is there now; ``job_id`` names the job in its way, where one is."""

    code = "conflict"

    def __init__(self, message: str, job_id: str | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id


class JobRunning(ConflictError):
    """Another training has been asked for and has not ended; one is let in at a time."""

    code = "job_running"


class JobEnded(ConflictError):
    """The job has ended already."""

    code = "job_ended"


class UploadGone(ConflictError):
    """The uploaded files that were checked are not kept any more."""

    code = "upload_gone"


class UploadsFull(ConflictError):
    """As many checked uploads are kept as may be, by number or by bytes."""

    code = "uploads_full"


class ReviewDecided(ConflictError):
    """Something else has been decided on the review item before."""

    code = "review_decided"


class ReviewFlagged(ConflictError):
    """A review item with a flag is not accepted together with others."""

    code = "review_flagged"


class ReviewLimit(ConflictError):
    """Training takes as many photos of this installation and label as it may."""

    code = "review_limit"


class TextNotTrained(ConflictError):
    """Searching by words needs a shared space of words and photos, which nobody has trained here yet."""

    code = "text_not_trained"


class ProposalDecided(ConflictError):
    """The other thing was decided on the proposal before."""

    code = "proposal_decided"


class ProposalOutdated(ConflictError):
    """The product says by now what was proposed for want of it."""

    code = "proposal_outdated"


class SpaceIncomplete(ConflictError):
    """The space of the model version lacks photos of the catalogue; it can be promoted once they are in."""

    code = "space_incomplete"


class SpaceInUse(ConflictError):
    """The space is served, or a rollback would serve it, or a job works in it."""

    code = "space_in_use"


class LimitExceeded(PicktureError):
    """More operations in this minute than an installation, or an address, may ask for.

    scope: ``installation`` or ``address``. retry_after_s: until the next minute begins.
    """

    code = "limit_exceeded"

    def __init__(self, message: str, scope: str = "installation", retry_after_s: int = 60) -> None:
        super().__init__(message)
        self.scope = scope
        self.retry_after_s = retry_after_s


class NotFoundError(PicktureError):
    """What was asked for does not exist."""

    code = "not_found"


class ProductNotFound(NotFoundError):
    """No product has this sku."""

    code = "product_not_found"


class CategoryNotFound(NotFoundError):
    """No category has this path."""

    code = "category_not_found"


class QueryNotFound(NotFoundError):
    """No such query, or one of another session (the answer does not tell which)."""

    code = "query_not_found"


class MediaNotFound(NotFoundError):
    """No image has this address."""

    code = "media_not_found"


class KeyNotFound(NotFoundError):
    """No access key has this id."""

    code = "key_not_found"


class ModelNotFound(NotFoundError):
    """No model version has this name, or it lacks what was asked for."""

    code = "model_not_found"


class JobNotFound(NotFoundError):
    """No job has this id."""

    code = "job_not_found"


class ReviewItemNotFound(NotFoundError):
    """No query of this id has a review item."""

    code = "review_item_not_found"


class ProposalNotFound(NotFoundError):
    """No proposal has this id, or it was withdrawn."""

    code = "proposal_not_found"


class TextModelNotFound(NotFoundError):
    """No text model has been trained here."""

    code = "text_model_not_found"


class SpaceNotFound(NotFoundError):
    """No space has this identifier."""

    code = "space_not_found"


class NoEarlierModel(models_errors.BundleNotFound):
    """There is nothing to roll back to."""

    code = "no_earlier_model"


class DatabaseError(PicktureError):
    """The database cannot be used as it is."""

    code = "database_error"


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached or started; trying again later may help."""

    code = "database_unavailable"


class DatabaseOutdated(DatabaseError):
    """The database is at another revision than this code needs."""

    code = "database_outdated"


class ServiceError(PicktureError):
    """The service cannot answer now; the same request may succeed later."""

    code = "unavailable"
    retry_after_s = 5


class NotReady(ServiceError):
    """Something the service needs is still loading or has not been prepared."""

    code = "not_ready"


class Overloaded(ServiceError):
    """As many requests are in work as the service admits."""

    code = "overloaded"
    retry_after_s = 1


class StorageFull(ServiceError):
    """The disk of the state folder is full."""

    code = "storage_full"
    retry_after_s = 60
