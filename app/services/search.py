"""A shopper's photo -> candidates with their products, remembered as a query."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine
from sqlalchemy.orm import Session as DbSession

from app.errors import CategoryNotFound, RequestInvalid
from app.services.access import Principal
from app.services.intake import Crop, Intake, Look
from app.services.serving import Recognizes, Served, ServedModel
from app.store import answers, history, kept
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.tables import Product
from models.values import (
    CLASSIFIER_NAMES,
    TOP_K,
    Advice,
    Answer,
    Area,
    Candidate,
    CastVote,
    ClassifierName,
    Deadline,
    HeatMap,
    VerdictName,
    VoteState,
)

MAX_TOP_K = 20
_ABSENT = CastVote(VoteState.LABEL_UNKNOWN)
"""The vote of a classifier the model does not have, as no label had enough photos to train it."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What to look for and how.

    photo: the bytes as they came. category: only labels in it or below. top_k: candidates wanted, 1..20.
    keep_photo: the shopper consents to the photo being kept for training. explain: with a heat map a candidate.
    """

    photo: bytes
    category: str | None = None
    crop: Crop | None = None
    top_k: int = TOP_K
    keep_photo: bool = False
    explain: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class FoundCandidate:
    """One candidate with what the catalogue knows of it.

    product: the label's first product (available ones first, then by sku). image_token: of its first photo.
    known_since: when each classifier could first name the label; None where it cannot. heat_map: where it is seen in
    the upright photo; None unless asked for.
    """

    rank: int
    score: float
    label: str
    product: Product
    image_token: str | None
    other_skus: tuple[str, ...]
    votes: Mapping[ClassifierName, CastVote]
    known_since: Mapping[ClassifierName, datetime | None]
    heat_map: HeatMap | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Recognition:
    """The answer to one photo. timings_ms: wall milliseconds of decode, network, classify and the total."""

    photo_hash: str
    verdict: VerdictName
    calibrated: bool
    advice: tuple[Advice, ...]
    candidates: tuple[FoundCandidate, ...]
    model_version: str
    weights: str
    timings_ms: Mapping[str, float]


class SearchService:
    """Recognises photos. Any number of threads may call; decoder and network let them through in turns.

    search_s: seconds after which nobody waits for an answer any more.
    """

    def __init__(self, engine: Engine, media: MediaStore, model: ServedModel, intake: Intake, search_s: float) -> None:
        self._engine = engine
        self._media = media
        self._model = model
        self._intake = intake
        self._search_s = search_s

    def search(self, request: SearchRequest, caller: Principal) -> tuple[UUID, Recognition]:
        """Recognise a photo and remember the answer as a query of the caller's session.

        Returns the query's id beside the answer. Raises as ``recognize``.
        """
        seen = self._see(request)
        query_id, photo_hash = uuid4(), seen.look.content_hash
        if request.keep_photo:
            with transaction(self._engine) as session:
                kept.announce(session, photo_hash)
        with transaction(self._engine) as session:
            if request.keep_photo:
                history.lock_photo(session, photo_hash)
                self._media.put(request.photo)
            found = _recognition(session, seen)
            history.add_query(
                session,
                history.NewQuery(
                    id=query_id,
                    session_id=caller.session_id,
                    model_version=found.model_version,
                    verdict=found.verdict.value,
                    calibrated=found.calibrated,
                    candidates=[_remembered(candidate) for candidate in found.candidates],
                    category=request.category,
                    photo_hash=photo_hash if request.keep_photo else None,
                    cropped=request.crop is not None,
                ),
            )
        return query_id, found

    def recognize(self, request: SearchRequest) -> Recognition:
        """Recognise a photo and remember nothing of it.

        :raise PhotoError: the photo cannot be used.
        :raise RequestInvalid: crop or top_k out of range.
        :raise CategoryNotFound: no such category.
        :raise BundleError, BackboneError, NotReady: there is no model to answer with.
        """
        seen = self._see(request)
        with transaction(self._engine) as session:
            return _recognition(session, seen)

    def _see(self, request: SearchRequest) -> _Seen:
        if not 1 <= request.top_k <= MAX_TOP_K:
            raise RequestInvalid.of("top_k", f"is {request.top_k}; expected 1 to {MAX_TOP_K}")
        started = time.perf_counter()
        served = self._model.current()
        deadline = Deadline.after(self._search_s)
        within = None if request.category is None else self._labels_in(request.category)
        look = self._intake.look(request.photo, request.crop, served.recognizer, deadline, with_map=request.explain)
        answer = served.recognizer.answer(
            look.seen.features,
            look.seen.advice,
            within=within,
            top_k=request.top_k,
            withdrawn=served.withdrawn,
            feature_map=look.feature_map,
        )
        return _Seen(started, served, look, answer, request.crop)

    def _labels_in(self, category: str) -> frozenset[str]:
        with transaction(self._engine) as session:
            found = answers.labels_in_category(session, category)
        if found is None:
            raise CategoryNotFound(f"no category is called {category!r}; GET /v1/categories lists them")
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A photo that has been recognised, before the catalogue is asked. started: ``time.perf_counter`` of its coming."""

    started: float
    served: Served
    look: Look
    answer: Answer
    crop: Crop | None


def _recognition(session: DbSession, seen: _Seen) -> Recognition:
    """With the products of its candidates."""
    look, answer = seen.look, seen.answer
    return Recognition(
        photo_hash=look.content_hash,
        verdict=answer.verdict,
        calibrated=answer.calibrated,
        advice=answer.advice,
        candidates=_with_products(session, seen.served, answer, seen.crop),
        model_version=answer.model_version,
        weights=answer.weights,
        timings_ms={
            **answer.timings_ms,
            "decode": look.decode_ms,
            "network": look.network_ms,
            "total": (time.perf_counter() - seen.started) * 1000.0,
        },
    )


def _with_products(session: DbSession, served: Served, answer: Answer, crop: Crop | None) -> tuple[FoundCandidate, ...]:
    ranked = answer.ranking.candidates
    labels = [candidate.label for candidate in ranked]
    products = answers.products_of(session, labels)
    # A product deleted since the vote was cast takes its candidate with it; the ranks close up.
    ranked = tuple(candidate for candidate in ranked if candidate.label in products)
    first_photos = answers.first_photo_at(session, labels, served.memory.space_id)
    tokens = answers.first_tokens(session, [found[0].id for found in products.values()])
    return tuple(
        FoundCandidate(
            rank=rank,
            score=candidate.score,
            label=candidate.label,
            product=shown,
            image_token=tokens.get(shown.id),
            other_skus=tuple(other.sku for other in others),
            votes=_votes(candidate, candidate.label in first_photos),
            known_since=known_since(served.recognizer, candidate.label, first_photos.get(candidate.label)),
            heat_map=_in_the_whole(answer.heat_maps.get(candidate.label), crop),
        )
        for rank, candidate in enumerate(ranked, start=1)
        for shown, *others in [products[candidate.label]]
    )


def _in_the_whole(heat_map: HeatMap | None, crop: Crop | None) -> HeatMap | None:
    """The map with its area as a part of the whole photo, where the network saw a crop of it."""
    if heat_map is None or crop is None:
        return heat_map
    return replace(heat_map, area=heat_map.area.within(Area(crop.x, crop.y, crop.width, crop.height)))


def _remembered(candidate: FoundCandidate) -> dict[str, Any]:
    """What a query keeps of a candidate, for reviewing picks."""
    votes = {
        name: {"state": vote.state.value, "rank": vote.rank, "score": vote.score}
        for name, vote in candidate.votes.items()
    }
    return {"label": candidate.label, "sku": candidate.product.sku, "score": candidate.score, "votes": votes}


def _votes(candidate: Candidate, remembered: bool) -> Mapping[ClassifierName, CastVote]:
    """Every classifier's vote. remembered: k-NN holds a photo of the label; else it cannot have named it."""
    votes = {name: candidate.votes.get(name, _ABSENT) for name in CLASSIFIER_NAMES}
    if not remembered and votes["knn"].state is VoteState.NOT_RANKED:
        votes["knn"] = _ABSENT
    return votes


def known_since(
    recognizer: Recognizes, label: str, first_photo: datetime | None
) -> Mapping[ClassifierName, datetime | None]:
    """FCN and SVM know a label since their bundle was made, k-NN since the first of its photos that it holds came."""
    learned = recognizer.known_since(label)
    return {"fcn": _moment(learned.get("fcn")), "knn": first_photo, "svm": _moment(learned.get("svm"))}


def _moment(iso: str | None) -> datetime | None:
    if iso is None:
        return None
    moment = datetime.fromisoformat(iso)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
