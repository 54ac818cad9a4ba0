"""What words do: the text models in use, words left out of names, and values proposed for products that lack them."""

from __future__ import annotations

from typing import Any, Final

from flask import Response, g, make_response, redirect, render_template, request, url_for
from pydantic import BaseModel
from werkzeug.wrappers import Response as BaseResponse

from app.api import limits
from app.api.admin_models import REPORT_POLICY
from app.api.context import container
from app.api.fields import CategoryLevels, Cursor
from app.api.proposals import FieldName, ManyProposalsRequest, StateName
from app.api.text import StopWordRequest
from app.store.proposals import ProposalFilters
from app.web.admin import gate
from app.web.admin.arguments import asked, checked, filled_in
from app.web.admin.problems import sentence
from app.web.site import translate as _

pages = gate.section("texts")

PAGE: Final = 24


class ProposalQuery(BaseModel):
    """Which proposals, as the filters above the list say it."""

    state: StateName = "undecided"
    field: FieldName | None = None
    cursor: Cursor | None = None

    def again(self, **changed: Any) -> dict[str, Any]:
        """What an address of the same list says."""
        return {"state": self.state, "field": self.field, "cursor": self.cursor, **changed}


class StopWordForm(StopWordRequest):
    """The same as the API takes; an empty category is one: names without a category above their own."""

    category: CategoryLevels = ""


@pages.get("/words")
def page() -> str:
    """Both text models and the stop words."""
    texts = container().texts
    waiting = container().proposals.page(ProposalFilters("undecided", None), 1).undecided
    return render_template(
        "admin/texts/page.html",
        categories=texts.categories(),
        words=texts.words(),
        stop_words=texts.stop_words(),
        waiting=waiting,
    )


@pages.get("/words/report")
def report() -> Response:
    """The report of the model that tells categories: a page that loads and runs nothing."""
    response = Response(container().texts.report(), mimetype="text/html")
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response


@pages.post("/words/stop-words")
def decide_stop_word() -> BaseResponse:
    """Leave a word out of a category's names, or let it count again."""
    form = filled_in(StopWordForm)
    container().texts.approve(form.category, form.word, approved=form.approved)
    told = "approved" if form.approved else "withdrawn"
    return redirect(url_for("admin_texts.page", told=told, _anchor="stop-words"), 303)


@pages.get("/proposals")
def proposals() -> str:
    """Proposals, the surest first."""
    return _listed(asked(ProposalQuery))


@pages.post("/proposals")
def decide_proposals() -> BaseResponse:
    """Accept or reject the proposals that were ticked, or the one whose button was pressed."""
    query = asked(ProposalQuery)
    # A button of one row says which way and which one; those below the list mean all that are ticked.
    action, _sign, one = request.form.get("action", "").partition(":")
    chosen = [one] if one else request.form.getlist("id")
    if not chosen:
        return redirect(url_for("admin_texts.proposals", **query.again(cursor=None)), 303)
    many = checked(ManyProposalsRequest, {"action": action, "ids": chosen})
    limits.spend(len(many.ids) - 1)
    outcomes = container().proposals.decide_many(many.ids, many.action)
    refused = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not refused:
        return redirect(url_for("admin_texts.proposals", **query.again(cursor=None), told="decided"), 303)
    g.problem_code = refused[0].code
    told = sorted({sentence(error.code) or str(error) for error in refused})
    return make_response(_listed(query.model_copy(update={"cursor": None}), told), 409)


def _listed(query: ProposalQuery, problems: list[str] | None = None) -> str:
    found = container().proposals.page(ProposalFilters(query.state, query.field), PAGE, query.cursor)
    return render_template("admin/texts/proposals.html", page=found, query=query, problems=problems, names=_names())


def _names() -> dict[str, str]:
    """What the fields are called."""
    return {"type": _("Type"), "category": _("Category"), "colour": _("Colour"), "season": _("Season")}
