"""Proposals of the text model: made, listed, decided on, and applied again after an import."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select, update

from app.services.proposals import ProposalService
from app.store.database import transaction
from app.store.tables import Category, Product
from app.store.text_models import TextModelStore
from models.errors import BundleNotFound, UsageError
from models.multimodal.bundle import TextBundle, save_text_bundle
from models.multimodal.calibration import Calibration
from models.multimodal.classifier import CategoryClassifier, Listing
from models.multimodal.features import NameFeatures
from models.multimodal.names import CategoryWords
from models.multimodal.network import Architecture, Network
from models.multimodal.sources import Malls
from models.multimodal.subwords import Subwords
from tests.models.multimodal.names import SHOP

TYPES = ("Dress", "Shirt", "Shoe")


def use_model(home: Path, version: str = "v1", threshold: float = 0.0) -> CategoryClassifier:
    """Have a small text model of random values used."""
    features = NameFeatures(Subwords.train(SHOP, 200), 64)
    answers = {"type": TYPES, "colour": ("Blue", "Red"), "season": ("Summer", "Winter")}
    architecture = Architecture(features.subwords.size, 64, 8, 6, "late", {h: len(n) for h, n in answers.items()})
    random = np.random.default_rng(0)
    parameters = {n: random.normal(0, 0.5, shape).astype(np.float32) for n, shape in architecture.shapes().items()}
    network = Network(architecture, parameters, np.zeros(2048, np.float32), 1.0)
    calibration = Calibration({"name": 1.0, "image": 1.0, "both": 1.0}, threshold, True)
    paths = {kind: f"Wear > {kind}" for kind in TYPES}
    classifier = CategoryClassifier(
        features, [network], answers, calibration, Malls.nothing(3), paths, CategoryWords([])
    )
    store = TextModelStore(home)
    store.folder.mkdir(parents=True, exist_ok=True)
    bundle = TextBundle(version, "space", "now", classifier, CategoryWords([]), {}, {})
    save_text_bundle(store.path_for(version), {"version": version, "space": "space", "created_at": "now"}, bundle)
    store.use(version)
    return classifier


@pytest.fixture
def service(own_engine: Engine, tmp_path: Path) -> ProposalService:
    with transaction(own_engine) as session:
        session.add(Product(sku="bare", name="Akko red shirt"))
        session.add(Product(sku="typed", name="Birna shoe", type="Shoe", type_key="shoe"))
    return ProposalService(own_engine, TextModelStore(tmp_path))


def product(engine: Engine, sku: str) -> Product:
    with transaction(engine) as session:
        found = session.scalars(select(Product).where(Product.sku == sku)).one()
        session.expunge(found)
    return found


def test_without_a_text_model_nothing_is_proposed(service: ProposalService, tmp_path: Path) -> None:
    assert service.propose() is None
    with pytest.raises(BundleNotFound, match="text train"):
        TextModelStore(tmp_path).load()


def test_what_lacks_is_proposed_and_written_only_when_accepted(
    service: ProposalService, own_engine: Engine, tmp_path: Path
) -> None:
    answer = use_model(tmp_path).classify(Listing.of_names(["Akko red shirt"]))[0]
    made = service.propose()
    assert made is not None and (made.products, made.proposals) == (2, 7)  # the typed one lacks no type
    found = {(item.sku, item.field): item for item in service.listed()}
    assert found["bare", "type"].value == answer.ranked[0].label
    assert found["bare", "type"].confidence == pytest.approx(answer.ranked[0].score)
    assert found["bare", "category"].value == f"Wear > {answer.ranked[0].label}"
    assert ("typed", "type") not in found
    assert product(own_engine, "bare").type is None

    assert service.decide([found["bare", "type"].id, found["bare", "category"].id], accept=True) == 2
    assert service.decide([found["bare", "colour"].id], accept=False) == 1
    assert service.decide([found["bare", "colour"].id], accept=True) == 0
    bare = product(own_engine, "bare")
    assert (bare.type, bare.colour) == (answer.ranked[0].label, None)
    with transaction(own_engine) as session:
        assert session.get_one(Category, bare.category_id).path == f"Wear > {answer.ranked[0].label}"


def test_decisions_outlast_new_proposals_and_imports(
    service: ProposalService, own_engine: Engine, tmp_path: Path
) -> None:
    use_model(tmp_path)
    service.propose()
    found = {(item.sku, item.field): item for item in service.listed()}
    service.decide([found["bare", "type"].id], accept=True)
    service.decide([found["bare", "season"].id], accept=False)
    with transaction(own_engine) as session:  # as an import of the same row does
        session.execute(update(Product).where(Product.sku == "bare").values(type=None, type_key=None))
    use_model(tmp_path, "v2")
    made = service.propose()
    assert made is not None and made.reapplied == 1
    assert product(own_engine, "bare").type == found["bare", "type"].value
    assert {item.field for item in service.listed("rejected")} == {"season"}
    assert {item.model_version for item in service.listed()} == {"v2"}


def test_what_is_hard_to_tell_is_not_proposed_as_type(service: ProposalService, tmp_path: Path) -> None:
    use_model(tmp_path, threshold=1.0)
    service.propose()
    assert {item.field for item in service.listed()} == {"colour", "season"}


def test_stop_words_are_approved_and_withdrawn_one_by_one(tmp_path: Path) -> None:
    store = TextModelStore(tmp_path)
    assert store.stop_words() == {}
    store.approve("Wear", "Free!")
    assert store.approve("Wear", "sale") == {"Wear": ["free", "sale"]} == store.stop_words()
    assert store.approve("Wear", "FREE", approved=False) == {"Wear": ["sale"]}
    with pytest.raises(UsageError, match="not one word"):
        store.approve("Wear", "free shipping")


def test_old_versions_are_removed_but_the_current_one(tmp_path: Path) -> None:
    for version in ("v1", "v2", "v3", "v4"):
        use_model(tmp_path, version)
    store = TextModelStore(tmp_path)
    assert sorted(path.name for path in store.folder.iterdir() if path.is_dir()) == ["v2", "v3", "v4"]
    assert store.current() == "v4" and store.load().version == "v4"
    with pytest.raises(BundleNotFound):
        store.use("v1")
    with pytest.raises(UsageError):
        store.path_for("../v1")
