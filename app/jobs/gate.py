"""Puts champion and challenger before the gate (``models.training.gate``): their bundles, bottlenecks and hold-out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app.config import Settings
from app.jobs.material import Material, originals_in
from app.store.bundles import BundleStore, Gate
from app.store.database import transaction
from app.store.tables import Category, Product
from app.wiring import verified_bundle
from models.backbone.store import SEEN_FILE, backbones_folder, read_seen, verify_files
from models.bundle import HOLD_OUT, Bundle, read_roles
from models.errors import BackboneError, BundleError, TrainingError
from models.training.data import TrainingPhotos
from models.training.gate import Contender, GateSettings, Ruling, judge
from models.training.pairs import HeldPhoto

Promote = Literal["auto", "never"]
"""Whether a challenger that may be served is served at once, or kept for a person to promote."""

FIRST = "first model"

_BETWEEN = " > "


def decide(
    settings: Settings,
    engine: Engine,
    material: Material,
    challenger: Bundle,
    promote: Promote,
    say: Callable[[str], None],
) -> Gate:
    """Compare a finished bundle with the champion of this moment. Nothing is written.

    Whatever keeps the champion from being judged (files, another space without bottlenecks) refuses the challenger,
    with the reason: nobody could say that it is not worse.
    """
    bundles = BundleStore(settings.home)
    with transaction(engine) as session:
        champion = bundles.champion(session)
        held = held_photos(material, _groups(session))
    if champion is None:
        return _gate(Ruling(True, FIRST, {}), None, promote)
    say(f"comparing with {champion.version}")
    try:
        before = _champion(settings.home, verified_bundle(engine, bundles, champion.version), material, bundles)
        after = Contender(
            challenger,
            before.photos if before.bundle.space == challenger.space else _photos(settings.home, challenger, material),
            _taught(bundles, challenger),
            material.seen,
        )
    except (BackboneError, BundleError, TrainingError) as error:
        return Gate("refused", f"the champion {champion.version} cannot be compared with: {error}", champion.version)
    if held and not {photo.content_hash for photo in held} & set(before.photos.hashes):
        return Gate("refused", _no_bottlenecks(before.bundle), champion.version)
    bounds = GateSettings(settings.gate_max_drop, settings.gate_max_group_drop)
    return _gate(judge(before, after, held, bounds), champion.version, promote)


def held_photos(material: Material, groups: Mapping[str, tuple[str, ...]]) -> list[HeldPhoto]:
    """The hold-out photos of the catalogue as it is. groups: label -> its categories and those above them."""
    label_of = {image.content_hash: image.label for image in material.images}
    return [
        HeldPhoto(content_hash, label_of[content_hash], place.scene, groups.get(label_of[content_hash], ()))
        for content_hash, place in sorted(material.split.places.items())
        if place.role == HOLD_OUT
    ]


def _groups(session: Session) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = defaultdict(set)
    rows = session.execute(select(Product.label, Category.path).join(Category, Category.id == Product.category_id))
    for label, path in rows:
        names = path.split(_BETWEEN)
        found[label] |= {_BETWEEN.join(names[:depth]) for depth in range(1, len(names) + 1)}
    return {label: tuple(sorted(paths)) for label, paths in found.items()}


def _champion(home: Path, bundle: Bundle, material: Material, bundles: BundleStore) -> Contender:
    if bundle.space == material.backbone.space:
        seen = material.seen
    else:
        folder = backbones_folder(home) / bundle.space
        verify_files(folder, (SEEN_FILE,))
        seen = read_seen(folder)
    roles = read_roles(bundles.path_for(bundle.version))
    return Contender(
        bundle, _photos(home, bundle, material), _taught(bundles, bundle), seen, _reviewed(material) - roles.keys()
    )


def _photos(home: Path, bundle: Bundle, material: Material) -> TrainingPhotos:
    return originals_in(home, bundle.space, material.listed)


def _reviewed(material: Material) -> frozenset[str]:
    """Content hashes of the reviewed photos that are not the catalogue's own as well."""
    own = {image.content_hash for image in material.listed if image.image_id is not None}
    return frozenset(image.content_hash for image in material.listed if image.content_hash not in own)


def _taught(bundles: BundleStore, bundle: Bundle) -> frozenset[str]:
    """Content hashes of the photos that a bundle was fitted on.

    :raise SplitError: it does not say.
    """
    roles = read_roles(bundles.path_for(bundle.version))
    return frozenset(content_hash for content_hash, role in roles.items() if role != HOLD_OUT)


def _no_bottlenecks(champion: Bundle) -> str:
    return (
        f"the champion {champion.version} was trained with the weights {champion.weights} (space {champion.space}), "
        "which hold no bottlenecks of the hold-out photos: run `python -m app bottlenecks` with PICKTURE_WEIGHTS as it "
        "was for the champion and retrain, or promote this version by hand"
    )


def _gate(ruling: Ruling, champion: str | None, promote: Promote) -> Gate:
    comparison = ruling.comparison or None
    if ruling.promote is None:
        return Gate("kept", ruling.reason, champion, comparison)
    if not ruling.promote:
        return Gate("refused", ruling.reason, champion, comparison)
    if promote == "never":
        return Gate("kept", f"not promoted, as asked; {ruling.reason}", champion, comparison)
    return Gate("promoted", ruling.reason, champion, comparison)
