"""The one table that gives every error a status and a title.

A class whose code is not in the table takes the row of its nearest ancestor whose code is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import (
    CatalogueChanged,
    CategoryNotFound,
    ConflictError,
    CursorInvalid,
    DatabaseError,
    DatabaseOutdated,
    DatabaseUnavailable,
    Forbidden,
    IdempotencyKeyReused,
    JobEnded,
    JobNotFound,
    JobRunning,
    KeyNotFound,
    LimitExceeded,
    MediaNotFound,
    ModelNotFound,
    NoEarlierModel,
    NotAvailable,
    NotFoundError,
    NotReady,
    Overloaded,
    PreconditionFailed,
    PreconditionRequired,
    ProductNotFound,
    ProposalDecided,
    ProposalNotFound,
    ProposalOutdated,
    QueryNotFound,
    RequestError,
    RequestInvalid,
    ReviewDecided,
    ReviewFlagged,
    ReviewItemNotFound,
    ReviewLimit,
    ServiceError,
    SpaceIncomplete,
    SpaceInUse,
    SpaceMismatch,
    SpaceNotFound,
    StorageFull,
    TextModelNotFound,
    TextNotTrained,
    Unauthorized,
    UploadGone,
    UploadsFull,
)
from models import errors as models_errors
from models.errors import PicktureError


@dataclass(frozen=True, slots=True)
class Row:
    """How an error class is answered.

    status: HTTP status code. title: the same short sentence for every occurrence (RFC 9457).
    public: whether the message may reach the client as ``detail``; those that name files stay in the log.
    """

    status: int
    title: str
    public: bool = True


TABLE: Mapping[type[PicktureError], Row] = {
    PicktureError: Row(500, "The service failed", public=False),
    models_errors.PhotoError: Row(422, "The photo cannot be used"),
    models_errors.PhotoEmpty: Row(422, "The photo is empty"),
    models_errors.PhotoTooLarge: Row(413, "The photo is too large"),
    models_errors.PhotoFormatUnsupported: Row(415, "The photo's format is not supported"),
    models_errors.PhotoDamaged: Row(422, "The photo is damaged"),
    models_errors.PhotoUndecodable: Row(422, "The photo cannot be decoded"),
    models_errors.BackboneError: Row(503, "The recognition network cannot be used", public=False),
    models_errors.WeightsNotFound: Row(503, "The network's weights are missing", public=False),
    models_errors.WeightsMismatch: Row(503, "The network's weights do not fit", public=False),
    models_errors.BackboneNotReady: Row(503, "The recognition network is not prepared"),
    models_errors.NetworkBusy: Row(503, "Too many photos at once"),
    models_errors.DeadlineExceeded: Row(503, "No answer in time"),
    models_errors.BundleError: Row(503, "The model cannot be used", public=False),
    models_errors.BundleNotFound: Row(503, "No model has been published"),
    models_errors.BundleDamaged: Row(503, "The model is damaged", public=False),
    models_errors.BundleMismatch: Row(503, "The model does not fit the network", public=False),
    models_errors.UsageError: Row(422, "An argument is out of range"),
    RequestError: Row(400, "The request cannot be served"),
    RequestInvalid: Row(422, "The request is not valid"),
    NotAvailable: Row(422, "Not available here"),
    Unauthorized: Row(401, "Credentials are missing or not valid"),
    Forbidden: Row(403, "Not allowed"),
    CursorInvalid: Row(422, "The cursor is not valid"),
    IdempotencyKeyReused: Row(422, "The Idempotency-Key was used before"),
    ConflictError: Row(409, "The request does not fit what is there"),
    JobRunning: Row(409, "Another training is under way"),
    JobEnded: Row(409, "The job has ended"),
    UploadGone: Row(409, "The uploaded files are gone"),
    UploadsFull: Row(409, "Too many checked uploads are kept"),
    ReviewDecided: Row(409, "The review item was decided otherwise"),
    ReviewFlagged: Row(409, "The review item has a flag"),
    ReviewLimit: Row(409, "Enough photos from there"),
    TextNotTrained: Row(409, "Searching by words is not trained here"),
    ProposalDecided: Row(409, "The proposal was decided otherwise"),
    ProposalOutdated: Row(409, "The product says so itself"),
    PreconditionFailed: Row(412, "The resource is not as expected"),
    PreconditionRequired: Row(428, "Say what is to be replaced"),
    NoEarlierModel: Row(409, "Nothing to roll back to"),
    SpaceMismatch: Row(409, "The model's network is not here"),
    SpaceIncomplete: Row(409, "The model's space lacks photos"),
    SpaceInUse: Row(409, "The space is in use"),
    CatalogueChanged: Row(409, "The catalogue changed meanwhile"),
    LimitExceeded: Row(429, "Too many operations"),
    NotFoundError: Row(404, "Not found"),
    ProductNotFound: Row(404, "No such product"),
    CategoryNotFound: Row(404, "No such category"),
    QueryNotFound: Row(404, "No such query"),
    MediaNotFound: Row(404, "No such image"),
    KeyNotFound: Row(404, "No such key"),
    JobNotFound: Row(404, "No such job"),
    ReviewItemNotFound: Row(404, "No such review item"),
    ProposalNotFound: Row(404, "No such proposal"),
    TextModelNotFound: Row(404, "No text model has been trained"),
    SpaceNotFound: Row(404, "No such space"),
    ModelNotFound: Row(404, "No such model version"),
    ServiceError: Row(503, "The service is not available"),
    NotReady: Row(503, "The service is not ready"),
    DatabaseError: Row(503, "The database cannot be used", public=False),
    DatabaseUnavailable: Row(503, "The database does not answer", public=False),
    DatabaseOutdated: Row(503, "The database is not up to date"),
    Overloaded: Row(503, "Too many requests at once"),
    StorageFull: Row(503, "The disk is full"),
}

HTTP_CODES: Mapping[int, str] = {
    400: "bad_request",
    404: "route_not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    414: "uri_too_long",
    415: "media_type_unsupported",
    431: "headers_too_large",
}
"""Stable codes of the statuses that the web framework raises by itself, before any view runs."""


_BY_CODE: Mapping[str, Row] = {kind.code: row for kind, row in TABLE.items()}


def row_for(kind: type[BaseException]) -> Row:
    """The row of the nearest class in ``kind``'s ancestry, told by its code; failing that, ``internal``'s."""
    for ancestor in kind.__mro__:
        if issubclass(ancestor, PicktureError) and ancestor.code in _BY_CODE:
            return _BY_CODE[ancestor.code]
    return TABLE[PicktureError]
