"""Limits: how many operations a minute an installation of the app, and an address, may ask for.

What is counted is work, not requests: a photo recognised or added, a decision, a page of twenty items or fewer. The
counts are in the database, so all processes and machines of a shop share them. A minute is the clock's: who asks at the
end of one and at the beginning of the next may get twice the number within a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from app.config import Settings
from app.errors import LimitExceeded
from app.services.access import Principal
from app.services.review_guards import site
from app.store.database import transaction
from app.store.operation_counts import count_operations

ITEMS_AN_OPERATION = 20
"""Items of a list that count as one operation."""


@dataclass(frozen=True, slots=True)
class LimitRules:
    """Operations a minute; 0: no limit. per_address: of IPv6 the first 64 bits count as one address."""

    per_installation: int
    per_address: int

    @classmethod
    def of(cls, settings: Settings) -> LimitRules:
        """Those of the settings."""
        return cls(settings.limit_per_installation, settings.limit_per_address)


class Limits:
    """Counts operations and refuses those beyond the rules."""

    def __init__(self, engine: Engine, rules: LimitRules) -> None:
        self._engine = engine
        self._rules = rules

    def spend(self, caller: Principal | None, address: str | None, operations: int = 1) -> None:
        """Count ``operations`` for the caller's installation and for the address.

        caller: None where nobody has said who asks, or not rightly: the address alone is counted. An admin key is no
        installation: its address alone is counted. address: None where there is none (a socket).

        :raise LimitExceeded: more than the rules allow in this minute; with the seconds until the next.
        """
        limit_of: dict[str, int] = {}
        if self._rules.per_installation and caller is not None and not caller.is_admin:
            limit_of[_name(caller)] = self._rules.per_installation
        if self._rules.per_address and address is not None:
            limit_of[f"address {site(address)}"] = self._rules.per_address
        if not limit_of:
            return
        with transaction(self._engine) as session:
            used = count_operations(session, list(limit_of), operations)
        for one in used:
            if one.operations > limit_of[one.subject]:
                scope = "address" if one.subject.startswith("address ") else "installation"
                words = f"at most {limit_of[one.subject]} operations a minute from one {scope}"
                raise LimitExceeded(f"{words}; try again in {one.left_s} s", scope, one.left_s)


def operations_of(items: int) -> int:
    """What a list of at most so many items counts."""
    return max(1, -(-items // ITEMS_AN_OPERATION))


def _name(caller: Principal) -> str:
    """An installation keeps its count from one session to the next; an app that names none has one a session."""
    return f"session {caller.session_id}" if caller.installation is None else f"installation {caller.installation}"
