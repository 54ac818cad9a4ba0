"""The review queue: what shoppers picked for photos that they let the shop keep, for a person to decide on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal
from uuid import UUID

from flask import Response, g, make_response, redirect, render_template, request, url_for
from pydantic import BaseModel, Field, ValidationError
from werkzeug.wrappers import Response as BaseResponse

from app.api import limits
from app.api.context import container
from app.api.fields import Cursor, Sku
from app.api.review import BulkRequest, PhotoQuery
from app.api.security import principal
from app.error_table import row_for
from app.errors import PreconditionFailed, RequestInvalid, ReviewDecided, ReviewLimit
from app.services.album import AlbumLabel
from app.services.review import BulkOutcome, Decision, ReviewedItem
from app.services.review_guards import FLAGS, FlagCode
from app.store.review import ReviewState
from app.store.review_listing import ReviewFilters
from app.web.admin import gate
from app.web.admin.arguments import asked, checked
from app.web.admin.problems import sentence
from app.web.site import translate as _
from models.errors import PicktureError

pages = gate.section("review")

PAGE: Final = 24


class ListQuery(BaseModel):
    """Which items, as the filters above the list say it."""

    state: ReviewState | Literal["all"] = "undecided"
    flagged: bool | None = None
    flag: FlagCode | None = None
    cursor: Cursor | None = None

    def filters(self) -> ReviewFilters:
        """For the service."""
        return ReviewFilters(None if self.state == "all" else self.state, self.flag, self.flagged)

    def again(self, **changed: Any) -> dict[str, Any]:
        """What an address of the same list says."""
        said = {"state": self.state, "flagged": self.flagged, "flag": self.flag, "cursor": self.cursor, **changed}
        return {name: str(value).lower() if isinstance(value, bool) else value for name, value in said.items()}


class DecisionForm(BaseModel):
    """What the person decides. sku: the product, where it is not the pick. etag: of the item as it was seen."""

    action: Literal["accept", "relabel", "discard"]
    sku: Sku | None = None
    etag: str = Field(max_length=100)


def flag_name(code: str) -> str:
    """A flag in a few words."""
    names = {
        "not_a_candidate": _("was not among the answers"),
        "far_from_references": _("looks unlike the product's photos"),
        "model_says_unknown": _("the model knew no such product"),
        "installation_share": _("most picks come from one phone"),
        "installation_doubtful": _("this phone's picks are doubtful"),
        "crowded_address": _("many phones at one address"),
        "same_photo_other_label": _("same photo, another product"),
        "catalogue_photo": _("is a photo of the catalogue"),
        "cropped": _("only a part was searched with"),
    }
    return names.get(code, code)


@pages.get("/review")
def listing() -> str:
    """Photos to decide on, newest first."""
    query = asked(ListQuery)
    page = container().review.page(query.filters(), PAGE, query.cursor)
    options = [("", _("Any")), *((code, flag_name(code)) for code in FLAGS)]
    return render_template(
        "admin/review/list.html",
        page=page,
        query=query,
        shown=_products(page.items),
        flag_options=options,
        flag_name=flag_name,
    )


@pages.get("/review/<uuid:query_id>")
def show(query_id: UUID) -> str:
    """One photo with everything that is known of it."""
    return _page(container().review.item(query_id), {})


@pages.get("/review/<uuid:query_id>/photo")
def photo(query_id: UUID) -> Response:
    """The shopper's photo, for administrators alone; it has no other address."""
    found = container().review.photo(query_id, asked(PhotoQuery).size)
    return Response(found.data, mimetype="image/webp")


@pages.post("/review/<uuid:query_id>")
def decide(query_id: UUID) -> BaseResponse:
    """Decide on one photo, and go back to the list that the person came from."""
    values = {name: request.form.get(name, "") for name in ("action", "sku", "etag")}
    try:
        form = DecisionForm.model_validate({name: value for name, value in values.items() if value.strip()})
        decision = Decision(form.action, form.sku if form.action == "relabel" else None)
        container().review.decide(principal(), query_id, decision, frozenset({form.etag}))
    except ValidationError:
        return _refused(query_id, RequestInvalid.of("sku", _("Expected the sku of a product.")), values)
    except (RequestInvalid, PreconditionFailed, ReviewDecided, ReviewLimit) as error:
        return _refused(query_id, error, values)
    return redirect(url_for("admin_review.listing", **_back(), told="decided"), 303)


@pages.post("/review")
def decide_many() -> BaseResponse:
    """Accept or discard the photos that were ticked; tells of each that could not be."""
    chosen = request.form.getlist("id")
    if not chosen:
        return redirect(url_for("admin_review.listing", **_back()), 303)
    many = checked(BulkRequest, {"action": request.form.get("action"), "ids": chosen})
    limits.spend(len(many.ids) - 1)
    outcomes = container().review.decide_many(principal(), many.ids, many.action)
    if all(outcome.error is None for outcome in outcomes):
        return redirect(url_for("admin_review.listing", **_back(), told="decided"), 303)
    return make_response(_told_of(outcomes), 409)


def _told_of(outcomes: tuple[BulkOutcome, ...]) -> str:
    refused = [(outcome.query_id, outcome.error) for outcome in outcomes if outcome.error is not None]
    told = [(query_id, _why(error), str(error)) for query_id, error in refused]
    return render_template(
        "admin/review/many.html", refused=told, done=len(outcomes) - len(refused), back=_back(), total=len(outcomes)
    )


def _why(error: PicktureError) -> str | None:
    """Why an item of many was left, in a sentence; None where the error's own words have to do."""
    if isinstance(error, RequestInvalid) and any(problem.field == "action" for problem in error.problems):
        return _("The shopper picked none of the answers: name the product, or discard the photo.")
    return sentence(error.code)


def _refused(query_id: UUID, error: PicktureError, values: Mapping[str, str]) -> BaseResponse:
    """The item as it is now, why nothing was decided, and what was typed."""
    g.problem_code = error.code
    wrong: dict[str, list[str]] = {}
    told = sentence(error.code)
    if isinstance(error, RequestInvalid):
        about_sku = values.get("action") == "relabel"
        wrong = {"sku": [problem.reason for problem in error.problems]} if about_sku else {}
        told = _("Nothing was decided: see below.") if about_sku else str(error)
    page = _page(container().review.item(query_id), wrong, values.get("sku", ""), told)
    return make_response(page, row_for(type(error)).status)


def _page(found: ReviewedItem, wrong: Mapping[str, list[str]], sku: str = "", problem: str | None = None) -> str:
    return render_template(
        "admin/review/show.html",
        found=found,
        shown=_products([found]),
        wrong=wrong,
        sku=sku,
        problem_told=problem,
        back=_back(),
        flag_name=flag_name,
    )


def _products(items: Iterable[ReviewedItem]) -> Mapping[str, AlbumLabel]:
    """What the catalogue has of every label that these items name."""
    labels = set[str]()
    for found in items:
        labels.update(candidate["label"] for candidate in found.query.candidates)
        if found.item.label is not None:
            labels.add(found.item.label)
    return container().album.labels(labels)


def _back() -> dict[str, Any]:
    """The list that the person came from, as this request's address says it; from its first page."""
    query = asked(ListQuery)
    return {name: value for name, value in query.again(cursor=None).items() if value is not None}
