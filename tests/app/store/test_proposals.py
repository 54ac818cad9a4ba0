"""Proposals of the text model: made, listed, decided on, and read by imports; text models on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from app.errors import ProposalDecided, ProposalNotFound, ProposalOutdated
from app.services.catalogue.importing import ImportReport, import_catalogue
from app.services.cursors import Cursors
from app.services.proposals import ProposalService, ShownProposal
from app.store.database import transaction
from app.store.media import MediaStore
from app.store.proposals import ProposalFilters
from app.store.tables import Category, Product
from app.store.text_models import TextModelStore
from models.errors import BundleNotFound, UsageError
from models.multimodal.classifier import Listing
from tests.app.text_world import use_model

BARE = "sku,name\nbare,Akko red shirt\n"


@pytest.fixture
def service(own_engine: Engine, tmp_path: Path) -> ProposalService:
    with transaction(own_engine) as session:
        session.add(Product(sku="bare", name="Akko red shirt", name_key="akko red shirt"))
        session.add(Product(sku="typed", name="Birna shoe", type="Shoe", type_key="shoe"))
    return ProposalService(own_engine, TextModelStore(tmp_path), Cursors(own_engine))


def listed(service: ProposalService, state: Any = "undecided") -> dict[tuple[str, str], ShownProposal]:
    return {(item.product.sku, item.proposal.field): item for item in service.page(ProposalFilters(state), 100).items}


def number(service: ProposalService, sku: str, field: str) -> int:
    return listed(service)[sku, field].proposal.id


def product(engine: Engine, sku: str) -> Product:
    with transaction(engine) as session:
        found = session.scalars(select(Product).where(Product.sku == sku)).one()
        session.expunge(found)
    return found


def imported(engine: Engine, folder: Path, table: str) -> ImportReport:
    folder.mkdir(exist_ok=True)
    (folder / "products.csv").write_text(table, "utf-8")
    return import_catalogue(engine, MediaStore(folder / "media"), folder)


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
    found = listed(service)
    kind, path = answer.ranked[0].label, f"Wear > {answer.ranked[0].label}"
    assert found["bare", "type"].proposal.value == kind
    assert found["bare", "type"].proposal.confidence == pytest.approx(answer.ranked[0].score)
    assert found["bare", "category"].proposal.value == path
    assert ("typed", "type") not in found
    assert product(own_engine, "bare").type is None

    for field in ("type", "category", "season"):
        assert service.decide(found["bare", field].proposal.id, "accept").proposal.state == "accepted"
    service.decide(found["bare", "colour"].proposal.id, "reject")
    bare = product(own_engine, "bare")
    assert (bare.type, bare.type_key, bare.colour) == (kind, kind.lower(), None)
    assert bare.season == found["bare", "season"].proposal.value
    with transaction(own_engine) as session:
        assert session.get_one(Category, bare.category_id).path == path


def test_a_proposal_is_decided_once(service: ProposalService, own_engine: Engine, tmp_path: Path) -> None:
    use_model(tmp_path)
    service.propose()
    colour, kind = number(service, "bare", "colour"), number(service, "bare", "type")
    service.decide(colour, "accept")
    assert service.decide(colour, "accept").proposal.state == "accepted"
    with pytest.raises(ProposalDecided, match="was accepted before"):
        service.decide(colour, "reject")
    with transaction(own_engine) as session:  # as an administrator does
        session.execute(update(Product).where(Product.sku == "bare").values(type="Coat", type_key="coat"))
    with pytest.raises(ProposalOutdated, match="says its type itself"):
        service.decide(kind, "accept")
    assert product(own_engine, "bare").type == "Coat"
    with pytest.raises(ProposalNotFound):
        service.decide(10**12, "accept")
    outcomes = service.decide_many([colour, 10**12, kind, colour], "reject")
    assert [(one.id, type(one.error)) for one in outcomes] == [
        (colour, ProposalDecided), (10**12, ProposalNotFound), (kind, type(None))
    ]  # fmt: skip


def test_what_no_longer_holds_is_withdrawn_and_decisions_stay(
    service: ProposalService, own_engine: Engine, tmp_path: Path
) -> None:
    use_model(tmp_path)
    service.propose()
    service.decide(number(service, "bare", "season"), "reject")
    with transaction(own_engine) as session:
        session.execute(update(Product).where(Product.sku == "bare").values(type="Coat", type_key="coat"))
    use_model(tmp_path, "v2")
    made = service.propose()
    assert made is not None and made.withdrawn == 1
    found = listed(service)
    assert ("bare", "type") not in found and ("bare", "season") not in found
    assert {item.proposal.model_version for item in found.values()} == {"v2"}
    assert set(listed(service, "rejected")) == {("bare", "season")}
    use_model(tmp_path, "v3", threshold=1.0)  # everything is hard to tell
    service.propose()
    assert {field for _, field in listed(service)} == {"colour", "season"}


def test_an_import_reads_what_was_accepted_as_if_the_row_said_so(
    service: ProposalService, own_engine: Engine, tmp_path: Path
) -> None:
    use_model(tmp_path)
    service.propose()
    found = listed(service)
    for field in ("type", "category", "colour", "season"):
        service.decide(found["bare", field].proposal.id, "accept")
    before = product(own_engine, "bare")
    report = imported(own_engine, tmp_path / "shop", BARE)
    assert (report.changed, report.unchanged) == (0, 1)
    assert product(own_engine, "bare").updated_at == before.updated_at
    imported(own_engine, tmp_path / "shop", "sku,name,type,season\nbare,Akko red shirt,Blouse,SS24\n")
    after = product(own_engine, "bare")
    assert (after.type, after.season) == ("Blouse", "SS24")
    assert (after.colour, after.category_id) == (before.colour, before.category_id)


def test_the_date_of_a_listing_tells_its_season(service: ProposalService, own_engine: Engine, tmp_path: Path) -> None:
    use_model(tmp_path)
    imported(own_engine, tmp_path / "shop", "sku,name,listed_at\ndated,Akko shirt,2012-06-01\n")
    service.propose()
    assert ("dated", "season") not in listed(service) and ("bare", "season") in listed(service)


def test_pages_go_from_the_surest_to_the_least_sure(service: ProposalService, tmp_path: Path) -> None:
    use_model(tmp_path)
    service.propose()
    whole = [item.proposal.id for item in service.page(ProposalFilters(), 100).items]
    seen, cursor = [], None
    while True:
        page = service.page(ProposalFilters(), 3, cursor)
        seen += [item.proposal for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [item.id for item in seen] == whole and page.undecided == len(whole) == 7
    sure = [item.confidence for item in seen]
    assert sure == sorted(sure, reverse=True)
    assert {item.proposal.field for item in service.page(ProposalFilters(field="colour"), 100).items} == {"colour"}


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
