"""Words, alone or refining a photo -> products near them in the shared space, remembered as a query.

No classifier votes here and nobody judges whether the product is of this catalogue: the answer is a ranking. A photo
alone is ``app.services.search``'s.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import Engine
from sqlalchemy.orm import Session as DbSession

from app.errors import CategoryNotFound, RequestInvalid, TextNotTrained
from app.services.access import Principal
from app.services.intake import Crop, Intake, Look
from app.services.search import MAX_TOP_K
from app.services.serving import ServedModel
from app.services.words import ServedWords, SharedInService
from app.store import answers, history
from app.store.database import transaction
from app.store.shared_vectors import nearest_labels
from app.store.tables import Product
from models.errors import UsageError
from models.values import TOP_K, Advice, Deadline, Float32


@dataclass(frozen=True, slots=True)
class WordRequest:
    """What to look for. photo: the bytes as they came, which the words refine; None for words alone.

    Others as in ``app.services.search.SearchRequest``.
    """

    text: str
    photo: bytes | None = None
    category: str | None = None
    crop: Crop | None = None
    top_k: int = TOP_K


@dataclass(frozen=True, slots=True, eq=False)
class WordCandidate:
    """One candidate. score: likeness in 0..1, (cosine + 1) / 2; it orders one answer and is no probability."""

    rank: int
    score: float
    label: str
    product: Product
    image_token: str | None
    other_skus: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class WordAnswer:
    """The answer. model_version, weights: of the shared space.

    timings_ms: wall milliseconds of decode and network (0 without a photo), classify (encoding the words and looking
    up) and the total.
    """

    advice: tuple[Advice, ...]
    candidates: tuple[WordCandidate, ...]
    model_version: str
    weights: str
    timings_ms: Mapping[str, float]


class WordSearchService:
    """Searches by words. Any number of threads may call.

    search_s: seconds after which nobody waits for an answer any more.
    """

    def __init__(
        self, engine: Engine, words: SharedInService, model: ServedModel, intake: Intake, search_s: float
    ) -> None:
        self._engine = engine
        self._words = words
        self._model = model
        self._intake = intake
        self._search_s = search_s

    def search(self, request: WordRequest, caller: Principal) -> tuple[UUID, WordAnswer]:
        """Find products and remember the answer as a query of the caller's session. Raises as ``find``.

        The photo is never kept: what is picked then is not what it shows, and training must not learn that.
        """
        found = self.find(request)
        query_id = uuid4()
        with transaction(self._engine) as session:
            history.add_query(
                session,
                history.NewQuery(
                    id=query_id,
                    session_id=caller.session_id,
                    model_version=found.model_version,
                    verdict=None,
                    calibrated=False,
                    candidates=[
                        {"label": candidate.label, "sku": candidate.product.sku, "score": candidate.score, "votes": {}}
                        for candidate in found.candidates
                    ],
                    category=request.category,
                    photo_hash=None,
                ),
            )
        return query_id, found

    def find(self, request: WordRequest) -> WordAnswer:
        """Find products and remember nothing.

        :raise TextNotTrained: there is no shared space, or it reads another network's bottlenecks than is served.
        :raise RequestInvalid: words that say nothing, crop or top_k out of range.
        :raise PhotoError: the photo cannot be used.
        :raise CategoryNotFound: no such category.
        :raise BundleError, BackboneError, NotReady: what a photo, or the shared space, needs cannot be used.
        """
        if not 1 <= request.top_k <= MAX_TOP_K:
            raise RequestInvalid.of("top_k", f"is {request.top_k}; expected 1 to {MAX_TOP_K}")
        started = time.perf_counter()
        words = self._words.current()
        look = None if request.photo is None else self._look(words, request.photo, request.crop)
        seen = time.perf_counter()
        query = _query(words, request.text, None if look is None else look.seen.features.vector)
        with transaction(self._engine) as session:
            within = None if request.category is None else _labels_in(session, request.category)
            nearest = nearest_labels(session, words.id, query, request.top_k, within)
            candidates = _with_products(session, nearest)
        done = time.perf_counter()
        return WordAnswer(
            advice=() if look is None else look.seen.advice,
            candidates=candidates,
            model_version=words.bundle.version,
            weights=words.bundle.weights,
            timings_ms={
                "decode": 0.0 if look is None else look.decode_ms,
                "network": 0.0 if look is None else look.network_ms,
                "classify": 1000 * (done - seen),
                "total": 1000 * (done - started),
            },
        )

    def _look(self, words: ServedWords, photo: bytes, crop: Crop | None) -> Look:
        recognizer = self._model.current().recognizer
        if recognizer.space != words.bundle.space:
            raise TextNotTrained(
                f"the shared space {words.bundle.version} reads photos of space {words.bundle.space}, and space "
                f"{recognizer.space} is served: an administrator runs `python -m app text train` with its weights; "
                "words without a photo can be searched meanwhile"
            )
        return self._intake.look(photo, crop, recognizer, Deadline.after(self._search_s))


def _query(words: ServedWords, text: str, vector: Float32 | None) -> Float32:
    try:
        return words.bundle.shared.query(text, vector)
    except UsageError as error:
        raise RequestInvalid.of("text", str(error)) from None


def _labels_in(session: DbSession, category: str) -> frozenset[str]:
    found = answers.labels_in_category(session, category)
    if found is None:
        raise CategoryNotFound(f"no category is called {category!r}; GET /v1/categories lists them")
    return found


def _with_products(session: DbSession, nearest: Sequence[tuple[str, float]]) -> tuple[WordCandidate, ...]:
    products = answers.products_of(session, [label for label, _ in nearest])
    tokens = answers.first_tokens(session, [found[0].id for found in products.values()])
    # A product deleted since the look-up takes its candidate with it; the ranks close up.
    there = [(label, likeness) for label, likeness in nearest if label in products]
    return tuple(
        WordCandidate(
            rank=rank,
            score=min(1.0, max(0.0, (likeness + 1.0) / 2.0)),
            label=label,
            product=shown,
            image_token=tokens.get(shown.id),
            other_skus=tuple(other.sku for other in others),
        )
        for rank, (label, likeness) in enumerate(there, start=1)
        for shown, *others in [products[label]]
    )
