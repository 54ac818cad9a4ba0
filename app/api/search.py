"""POST /v1/search: a photo, words or both in, candidates out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response, jsonify, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.api import metrics
from app.api.context import container
from app.api.fields import Name
from app.api.problems import invalid
from app.api.products import ProductOut, product_out
from app.api.resource import resource
from app.api.security import principal
from app.errors import NotAvailable, Overloaded, RequestInvalid
from app.services.intake import Crop
from app.services.search import MAX_TOP_K, FoundCandidate, Recognition, SearchRequest
from app.services.word_search import WordAnswer, WordCandidate, WordRequest
from models.values import TOP_K, CastVote, HeatMap

api = resource("search", "/v1", secured=True)


def _crop(value: object) -> object:
    """``x,y,w,h`` -> four numbers."""
    return value.split(",") if isinstance(value, str) else value


class SearchForm(BaseModel):
    """The fields beside the photo. A photo or a text must come."""

    model_config = ConfigDict(extra="forbid")

    text: Name | None = Field(
        None, description="Words to search by, alone or to refine the photo: `red handbag`; `this, in red`."
    )
    category: Name | None = Field(None, description='Only this category and below, e.g. "Grocery > Dairy".')
    crop: Annotated[tuple[float, float, float, float], BeforeValidator(_crop)] | None = Field(
        None,
        description="Part of the photo to look at: x,y,w,h as fractions of the upright photo.",
        json_schema_extra={"type": "string", "examples": ["0.1,0.2,0.5,0.6"]},
    )
    top_k: int = Field(TOP_K, ge=1, le=MAX_TOP_K, description="Candidates wanted.")
    keep_photo: bool = Field(
        False, description="The shopper consents: the photo is kept, without metadata, for training."
    )
    explain: bool = Field(False, description="With a heat map of each candidate: where in the photo it is seen.")


class AdviceOut(BaseModel):
    """A hint to the shopper about the photo."""

    code: str
    message: str


class CropOut(BaseModel):
    """A part of the photo worth searching again, as fractions of the upright photo."""

    x: float
    y: float
    w: float
    h: float


class VoteOut(BaseModel):
    """What one classifier says of a candidate; rank and score only where it is `ranked`."""

    state: Literal["ranked", "not_ranked", "label_unknown"]
    rank: int | None = None
    score: float | None = None


class VotesOut(BaseModel):
    """The jury."""

    fcn: VoteOut
    knn: VoteOut
    svm: VoteOut


class KnownSinceOut(BaseModel):
    """When each classifier could first name the label; null where it cannot yet."""

    fcn: datetime | None
    knn: datetime | None
    svm: datetime | None


class HeatMapOut(BaseModel):
    """Where in the photo a candidate is seen, and by which classifier: cells in equal shares over a part of it."""

    classifier: Literal["fcn", "knn", "svm"]
    x: float = Field(description="Left edge of the cells, as a fraction of the upright photo's width.")
    y: float = Field(description="Top edge, as a fraction of its height.")
    w: float
    h: float
    values: list[list[float]] = Field(description="Rows from the top, 0 to 1; the strongest cell is 1.")


class CandidateOut(BaseModel):
    """One candidate."""

    rank: int
    score: float = Field(
        description="Estimated probability in [0, 1] that this is the product; with `text` a likeness in [0, 1]."
    )
    label: str
    product: ProductOut
    other_skus: list[str] = Field(description="Other products of the same label, e.g. sizes; at most 50.")
    votes: VotesOut | None = Field(description="Null where `text` was sent: no classifier votes then.")
    known_since: KnownSinceOut | None = Field(description="Null where `text` was sent.")
    heat_map: HeatMapOut | None = Field(None, description="Only where `explain` was sent.")


class TimingsOut(BaseModel):
    """Wall milliseconds a stage."""

    decode: float
    network: float = Field(description="0 where the same photo was looked at a moment ago.")
    classify: float
    total: float


class RecognitionOut(BaseModel):
    """What was recognised in a photo."""

    verdict: Literal["known", "unsure", "unknown"] | None = Field(description="Null where `text` was sent.")
    calibrated: bool = Field(description="False where the catalogue is too small to fit the verdict to it.")
    advice: list[AdviceOut]
    suggested_crops: list[CropOut] = Field(description="May be empty.")
    candidates: list[CandidateOut] = Field(description="Best first, distinct labels.")
    model_version: str
    weights: str
    timings_ms: TimingsOut


class SearchOut(RecognitionOut):
    """The answer to a search."""

    query_id: UUID = Field(description="For feedback, recommendations and deletion.")


def _multipart_schema() -> dict[str, Any]:
    schema = SearchForm.model_json_schema()
    photo = {
        "type": "string",
        "format": "binary",
        "description": "JPEG, PNG, WebP or HEIC as the phone made it.",
    }
    schema["properties"] = {"photo": photo, **schema["properties"]}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


@api.post(
    "/search",
    responses={200: SearchOut},
    openapi_extensions={"requestBody": _multipart_schema()},
)
def search() -> Response:
    """Recognise a product from a photo, or find products by words, or by a photo that words refine.

    The photo is forgotten after the answer unless `keep_photo` says otherwise.
    """
    counters = metrics.metrics()
    found: Recognition | WordAnswer
    try:
        with container().admission.enter(), counters.in_work.track_inprogress():
            # Only now is the body read: a full house refuses before it takes 20 MB in.
            asked = _read_request()
            if isinstance(asked, WordRequest):
                query_id, found = container().word_search.search(asked, principal())
            else:
                query_id, found = container().search.search(asked, principal())
    except Overloaded:
        counters.refused.inc()
        raise
    if isinstance(found, Recognition):
        counters.verdicts.labels(found.verdict.value).inc()
    for stage, spent_ms in found.timings_ms.items():
        counters.stages.labels(stage).observe(spent_ms / 1000)
    told = recognition_out(found) if isinstance(found, Recognition) else words_out(found)
    answer = SearchOut(query_id=query_id, **told.model_dump())
    return jsonify(answer.model_dump(mode="json"))


def _read_request() -> SearchRequest | WordRequest:
    try:
        form = SearchForm.model_validate(request.form.to_dict())
    except ValidationError as error:
        raise invalid(error) from None
    photo = request.files.get("photo")
    if form.text is not None:
        return _word_request(form, None if photo is None else photo.stream.read())
    if photo is None:
        raise RequestInvalid.of(
            "photo", "required where no text comes: the photo as a file part of a multipart/form-data body"
        )
    return SearchRequest(
        photo=photo.stream.read(),
        category=form.category,
        crop=None if form.crop is None else Crop(*form.crop),
        top_k=form.top_k,
        keep_photo=form.keep_photo,
        explain=form.explain,
    )


def _word_request(form: SearchForm, photo: bytes | None) -> WordRequest:
    """:raise RequestInvalid, NotAvailable: fields that do not go with words."""
    assert form.text is not None
    if form.keep_photo:
        raise RequestInvalid.of(
            "keep_photo", "must be left out with `text`: what is picked then is not what the photo shows"
        )
    if form.explain:
        raise NotAvailable("explain: searches with `text` are not explained; leave the field out")
    if form.crop is not None and photo is None:
        raise RequestInvalid.of("crop", "must be left out where no photo comes")
    crop = None if form.crop is None else Crop(*form.crop)
    return WordRequest(form.text, photo, form.category, crop, form.top_k)


def recognition_out(found: Recognition) -> RecognitionOut:
    """Serialise an answer."""
    return RecognitionOut(
        verdict=found.verdict.value,
        calibrated=found.calibrated,
        advice=[AdviceOut(code=hint.code, message=hint.message) for hint in found.advice],
        suggested_crops=[],
        candidates=[_candidate_out(candidate) for candidate in found.candidates],
        model_version=found.model_version,
        weights=found.weights,
        timings_ms=_timings_out(found.timings_ms),
    )


def words_out(found: WordAnswer) -> RecognitionOut:
    """Serialise the answer to words: nobody voted, and nobody judged."""
    return RecognitionOut(
        verdict=None,
        calibrated=False,
        advice=[AdviceOut(code=hint.code, message=hint.message) for hint in found.advice],
        suggested_crops=[],
        candidates=[_word_candidate_out(candidate) for candidate in found.candidates],
        model_version=found.model_version,
        weights=found.weights,
        timings_ms=_timings_out(found.timings_ms),
    )


def _timings_out(timings_ms: Mapping[str, float]) -> TimingsOut:
    return TimingsOut(**{stage: round(timings_ms[stage], 2) for stage in ("decode", "network", "classify", "total")})


def _word_candidate_out(candidate: WordCandidate) -> CandidateOut:
    return CandidateOut(
        rank=candidate.rank,
        score=candidate.score,
        label=candidate.label,
        product=product_out(candidate.product, candidate.image_token),
        other_skus=list(candidate.other_skus),
        votes=None,
        known_since=None,
        heat_map=None,
    )


def _candidate_out(candidate: FoundCandidate) -> CandidateOut:
    return CandidateOut(
        rank=candidate.rank,
        score=candidate.score,
        label=candidate.label,
        product=product_out(candidate.product, candidate.image_token),
        other_skus=list(candidate.other_skus),
        votes=VotesOut(
            fcn=_vote_out(candidate.votes["fcn"]),
            knn=_vote_out(candidate.votes["knn"]),
            svm=_vote_out(candidate.votes["svm"]),
        ),
        known_since=KnownSinceOut(
            fcn=candidate.known_since["fcn"],
            knn=candidate.known_since["knn"],
            svm=candidate.known_since["svm"],
        ),
        heat_map=None if candidate.heat_map is None else _heat_map_out(candidate.heat_map),
    )


def _heat_map_out(heat_map: HeatMap) -> HeatMapOut:
    area = heat_map.area
    return HeatMapOut(
        classifier=heat_map.classifier,
        x=round(area.x, 5),
        y=round(area.y, 5),
        w=round(area.width, 5),
        h=round(area.height, 5),
        values=[[round(float(value), 3) for value in row] for row in heat_map.values],
    )


def _vote_out(vote: CastVote) -> VoteOut:
    return VoteOut(state=vote.state.value, rank=vote.rank, score=vote.score)
