"""Builds the container: every part of a process that lives longer than a request.

Used by the command line, the application factory and the worker. Building opens the database (and starts the
embedded one where nobody has); the network and the model are loaded when they are first needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from sqlalchemy import Engine, select, text

from app.config import Settings
from app.services.access import AccessService
from app.services.album import Album
from app.services.browse import BrowseService
from app.services.catalogue.editing import ProductEditor
from app.services.catalogue.live_photos import PhotoEditor
from app.services.cursors import Cursors
from app.services.feedback import FeedbackService
from app.services.inspection import Inspection
from app.services.intake import BottleneckCache, Intake
from app.services.jobs import JobService
from app.services.limits import LimitRules, Limits
from app.services.logins import LoginService
from app.services.observing import Observer, Relay
from app.services.pictures import PictureService
from app.services.proposals import ProposalService
from app.services.recommend import RecommendService
from app.services.review import ReviewService
from app.services.review_guards import Guards
from app.services.search import SearchService
from app.services.serving import Admission, Memory, Recognizes, Served, ServedModel
from app.services.spaces import Spaces
from app.services.text_models import TextModels
from app.services.versions import ModelVersions
from app.services.withdrawn import WithdrawnLabels
from app.services.word_search import WordSearchService
from app.services.words import FOLDER as SHARED_FOLDER
from app.services.words import SharedInService
from app.store.bundles import BundleStore
from app.store.database import open_database, require_current, transaction
from app.store.media import MediaStore
from app.store.neighbours import PgNeighbours
from app.store.spaces import find_space
from app.store.tables import Bundle as BundleRow
from app.store.text_models import TextModelStore
from models.backbone.batching import ProjectedBackbone, SharedBackbone
from models.backbone.store import load_space
from models.bundle import Bundle
from models.errors import BundleDamaged, BundleMismatch
from models.photo import PhotoLimits
from models.photo.pool import DecoderPool, Decodes, DecodesHere
from models.recognizer import Recognizer
from models.values import INPUT_SIZE, Photo

_THREADS_KEPT_FREE = 2
"""Threads a worker keeps for health checks and small requests when searches fill the rest."""

_IMPORTS_CHECKED = 2
"""Catalogues of the largest size that may be kept at a time after a check."""

_FEWEST_DECODERS = 2
"""However few the cores: one that hangs must not hold up every photo."""


@dataclass(frozen=True, eq=False)
class Container:
    """The parts, made once a process. media, bundles: stores. model: what answers, see ``ServedModel``.

    decoder: what turns bytes into pixels.
    observer: what the parts of a search tell of themselves; the application attaches its metrics.
    """

    settings: Settings
    engine: Engine
    media: MediaStore
    bundles: BundleStore
    model: ServedModel
    decoder: Decodes
    admission: Admission
    access: AccessService
    logins: LoginService
    limits: Limits
    search: SearchService
    words: SharedInService
    word_search: WordSearchService
    feedback: FeedbackService
    review: ReviewService
    pictures: PictureService
    proposals: ProposalService
    texts: TextModels
    browse: BrowseService
    recommend: RecommendService
    product_editor: ProductEditor
    photo_editor: PhotoEditor
    versions: ModelVersions
    inspection: Inspection
    album: Album
    spaces: Spaces
    jobs: JobService
    observer: Relay

    def recognizer(self) -> Recognizes:
        """The recognizer in service now; take it once a piece of work and keep it.

        :raise BundleError, BackboneError, NotReady: there is none.
        """
        return self.model.current().recognizer

    def ready(self) -> Recognizes:
        """The recognizer in service, after asking the database too.

        :raise DatabaseError, BundleError, BackboneError, NotReady: what is missing.
        """
        with transaction(self.engine) as session:
            session.execute(text("SELECT 1"))
        return self.model.current().recognizer

    def start(self) -> None:
        """Get ready to serve: start the decoders, load the model and watch for the next."""
        self.decoder.start()
        self.model.watch()

    def close(self) -> None:
        """Stop watching for models, end the decoders and close the database connections."""
        self.model.close()
        self.decoder.close()
        self.engine.dispose()


class ModelLoader:
    """Makes a published version ready to answer. The backbone is kept for the next version of the same space.

    backbone: loads that of the space with this identifier, e.g. by ``prepared_backbone``. Requests share it in small
    batches. observer: told of those.
    """

    def __init__(
        self,
        engine: Engine,
        bundles: BundleStore,
        backbone: Callable[[str], ProjectedBackbone],
        observer: Observer | None = None,
    ) -> None:
        self._engine = engine
        self._bundles = bundles
        self._load_backbone = backbone
        self._observer = observer or Relay()
        self._backbone: SharedBackbone | None = None

    def champion(self) -> str | None:
        """The published version, or None."""
        with transaction(self._engine) as session:
            found = self._bundles.champion(session)
            return None if found is None else found.version

    def load(self, version: str) -> Served:
        """The model ``version``, verified and warm: its first answer is as quick as the next.

        While the version of another space is loaded, two networks are in memory; the former one goes with the last
        request that holds it.

        :raise BundleNotFound, BundleDamaged: the version's files are missing or changed.
        :raise BundleMismatch: its space holds no reference vectors here, or the backbone makes another space.
        :raise BackboneError: the backbone of its space is not prepared here, or damaged.
        """
        bundle = verified_bundle(self._engine, self._bundles, version)
        with transaction(self._engine) as session:
            space_id = find_space(session, bundle.space)
        if space_id is None:
            raise BundleMismatch(
                f"model {version} needs space {bundle.space}, which holds no reference vectors here: "
                "run `python -m app bottlenecks` (make train-bottlenecks) with PICKTURE_WEIGHTS as in its training"
            )
        backbone = self._backbone
        if backbone is None or backbone.space != bundle.space:
            backbone = SharedBackbone(
                self._load_backbone(bundle.space),
                on_batch=self._observer.batched,
                on_waiting=self._observer.waiting,
            )
            backbone.warm_up()
        neighbours = PgNeighbours(self._engine, space_id, backbone.projection.apply)
        recognizer = Recognizer(bundle, backbone, neighbours)
        recognizer.recognize(_grey_photo())
        self._backbone = backbone
        trained = [model.known for model in (bundle.fcn, bundle.svm) if model is not None]
        withdrawn = WithdrawnLabels(self._engine, frozenset[str]().union(*trained))
        return Served(recognizer, withdrawn, Memory(space_id, backbone.projection.apply))


def verified_bundle(engine: Engine, bundles: BundleStore, version: str) -> Bundle:
    """The version's bundle, every file as it was when it was recorded.

    :raise BundleNotFound, BundleDamaged, BundleMismatch: files are missing, changed, or of another format.
    """
    bundle = Bundle.load(bundles.path_for(version))
    with transaction(engine) as session:
        recorded = session.scalar(select(BundleRow.manifest_sha256).where(BundleRow.version == version))
    if recorded != bundle.manifest_sha256:
        raise BundleDamaged(
            f"the manifest of model {version} is not the one that was published; restore it or roll back "
            "(`python -m app models rollback`)"
        )
    return bundle


def prepared_backbone(settings: Settings, space: str) -> ProjectedBackbone:
    """The prepared backbone of a space, with this process's share of the cores.

    :raise BackboneNotReady: it has not been prepared; the message names the command.
    """
    # Workers share the cores; more network threads than cores only get in each other's way.
    threads = max(1, len(os.sched_getaffinity(0)) // settings.workers)
    return load_space(space, settings.home, settings.runtime, threads=threads)


def _grey_photo() -> Photo:
    pixels = np.full((INPUT_SIZE, INPUT_SIZE, 3), 127, np.uint8)
    return Photo(pixels, "0" * 64, "png", INPUT_SIZE, INPUT_SIZE)


def serving_decoder(settings: Settings, observer: Observer) -> Decodes:
    """What decodes photos in a process that serves: processes of its own, unless the settings say otherwise."""
    size = settings.decoders
    if size is None:
        size = max(_FEWEST_DECODERS, len(os.sched_getaffinity(0)) // settings.workers)
    if size == 0:
        return DecodesHere()
    return DecoderPool(size, settings.max_photo_pixels, on_failure=observer.decoder_failed)


def build_container(settings: Settings, *, serving: bool = False) -> Container:
    """Build every part for these settings. serving: see ``assemble``.

    :raise DatabaseError: the database cannot be reached or is not at this code's revision.
    """
    engine = open_database(settings)
    require_current(engine)
    return assemble(settings, engine, serving=serving)


class Loader(Protocol):
    """Where models come from; ``ModelLoader`` is the one that serves."""

    def champion(self) -> str | None: ...

    def load(self, version: str) -> Served: ...


def assemble(settings: Settings, engine: Engine, loader: Loader | None = None, *, serving: bool = False) -> Container:
    """Build every part around an open database; opens no connection and starts no process.

    loader: the real one by default. serving: photos of strangers come, so they are decoded in processes of their own.
    """
    limits = PhotoLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_photo_pixels)
    observer = Relay()
    decoder: Decodes = serving_decoder(settings, observer) if serving else DecodesHere()
    media = MediaStore(settings.media_url or settings.home / "media", limits, decoder)
    bundles = BundleStore(settings.home)
    cursors = Cursors(engine)
    guards = Guards.of(settings)
    spaces = Spaces(engine, settings.home)
    intake = Intake(decoder, limits, BottleneckCache(settings.cache_bytes), observer.cache_asked)
    source = loader or ModelLoader(engine, bundles, partial(prepared_backbone, settings), observer)
    model = ServedModel(source.champion, source.load)
    words = SharedInService(engine, settings.home / SHARED_FOLDER)
    texts = TextModelStore(settings.home)
    return Container(
        settings=settings,
        engine=engine,
        media=media,
        bundles=bundles,
        model=model,
        decoder=decoder,
        admission=Admission(max(1, settings.threads - _THREADS_KEPT_FREE)),
        access=AccessService(engine, settings.session_minutes),
        logins=LoginService(engine, settings.admin_idle_minutes),
        limits=Limits(engine, LimitRules.of(settings)),
        search=SearchService(engine, media, model, intake, settings.search_seconds),
        words=words,
        word_search=WordSearchService(engine, words, model, intake, settings.search_seconds),
        feedback=FeedbackService(engine, media, bundles, guards),
        review=ReviewService(engine, media, cursors, guards),
        pictures=PictureService(engine, media),
        proposals=ProposalService(engine, texts, cursors, words),
        texts=TextModels(engine, texts, settings.home / SHARED_FOLDER),
        browse=BrowseService(engine, cursors),
        recommend=RecommendService(engine, cursors),
        product_editor=ProductEditor(engine, media, model, settings.currency, words),
        photo_editor=PhotoEditor(engine, media, model, words),
        versions=ModelVersions(engine, bundles, spaces),
        inspection=Inspection(engine, bundles),
        album=Album(engine),
        spaces=spaces,
        jobs=JobService(engine, settings.home, cursors, _IMPORTS_CHECKED * settings.max_import_bytes),
        observer=observer,
    )
