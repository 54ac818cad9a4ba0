"""What keeps a crowd of picks from teaching the model something false: limits, findings, and who picked.

An installation of the app is known by the random id that it sends with each session (or by the session, where it sends
none). Anyone can make up such ids, so the address counts as well: of IPv6 the first 64 bits, which one customer has to
himself. Neither is stored with an item, but a pseudonym of it: an HMAC under a secret of this database.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, get_args

from sqlalchemy.orm import Session as DbSession

from app.config import Settings
from app.store import review
from app.store.review import Origin
from app.store.review_listing import Crowd, CrowdLimits
from app.store.review_tables import ReviewItem
from app.store.tables import Query

FlagCode = Literal[
    "not_a_candidate",
    "far_from_references",
    "model_says_unknown",
    "installation_share",
    "installation_doubtful",
    "crowded_address",
    "same_photo_other_label",
    "catalogue_photo",
    "cropped",
]
FLAGS: tuple[FlagCode, ...] = get_args(FlagCode)

WINDOW = timedelta(hours=24)
"""The time over which an installation's and an address's picks are counted."""

_SECRET_KEY = "review_secret"  # noqa: S105 - the name of the row, not the secret
_PSEUDONYM_DIGITS = 24
_IPV6_SITE = 64


@dataclass(frozen=True, slots=True)
class Guards:
    """How much is believed.

    picks_per_installation, picks_per_address: that become review items within ``WINDOW``; more are picks and no items.
    photos_per_installation: of one label that training takes, at most. crowd: see ``CrowdLimits``.
    """

    picks_per_installation: int = 50
    picks_per_address: int = 200
    photos_per_installation: int = 5
    crowd: CrowdLimits = field(default_factory=lambda: CrowdLimits(0.5, 5))

    @classmethod
    def of(cls, settings: Settings) -> Guards:
        """As the operator has set them."""
        return cls(
            settings.review_picks_per_installation,
            settings.review_picks_per_address,
            settings.review_photos_per_installation,
            CrowdLimits(settings.review_label_share, settings.review_installations_per_address),
        )


def origin_of(session: DbSession, session_id: int | None) -> Origin:
    """Who searched in this session, as pseudonyms."""
    found = review.session_of(session, session_id)
    if found is None:
        return Origin(None, None)
    secret = review.installation_secret(session, _SECRET_KEY, secrets.token_urlsafe(32))
    name = f"session {found.id}" if found.installation is None else f"installation {found.installation}"
    address = None if found.address is None else _pseudonym(secret, f"address {site(found.address)}")
    return Origin(_pseudonym(secret, name), address)


def site(address: str) -> str:
    """What one customer has of the address space: an IPv4 address, or the first 64 bits of an IPv6 one.

    Text that is no address (a socket's name) stands for itself.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), _IPV6_SITE), strict=False))


def _pseudonym(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()[:_PSEUDONYM_DIGITS]


def findings_of(query: Query, label: str | None) -> list[str]:
    """What is doubtful in picking ``label`` for a query, by what the model said of its photo; None: nothing picked."""
    if label is None:
        return []
    found: list[str] = []
    chosen = _candidate(query.candidates, label)
    if chosen is None:
        found.append("not_a_candidate")
    elif chosen.get("votes", {}).get("knn", {}).get("state") == "not_ranked":
        found.append("far_from_references")
    if query.verdict == "unknown":
        found.append("model_says_unknown")
    return found


def _candidate(candidates: Sequence[Mapping[str, Any]], label: str) -> Mapping[str, Any] | None:
    return next((candidate for candidate in candidates if candidate["label"] == label), None)


def reason_of(code: str, item: ReviewItem, query: Query, crowd: Crowd) -> str:
    """A flag in words: what was seen, and against what."""
    named = ", ".join(candidate["label"] for candidate in query.candidates) or "nothing"
    reasons = {
        "not_a_candidate": f"the model named {named}; {item.label!r}, which was picked, is not among them",
        "far_from_references": f"five other labels have photos nearer to this one than any photo of {item.label!r}",
        "model_says_unknown": "the model took the photo for a product that the catalogue does not have",
        "installation_share": f"{crowd.of_label_here} of the {crowd.of_label} items of {item.label!r} come from this "
        "installation",
        "installation_doubtful": f"{crowd.doubtful} of the {crowd.of_installation} items of this installation are "
        "doubtful by themselves, or were relabelled or discarded",
        "crowded_address": f"{crowd.installations} installations at this one address picked within a day of it",
        "same_photo_other_label": f"{crowd.same_photo} other picks give the very same photo another label",
        "catalogue_photo": "the photo is one of the catalogue's own, byte by byte: it teaches nothing new",
        "cropped": "the shopper searched with a part of the photo; training would take the whole, with whatever else "
        "it shows",
    }
    return reasons[code]
