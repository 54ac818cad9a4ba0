"""What the measurements of this folder judge by: functions of plain values, tested by themselves."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

PROBLEM = "application/problem+json"
_TRACEBACK = b"Traceback (most recent call last)"
_SHOWN = 120
BEYOND_CHANCE = 0.025
"""One-sided."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One thing that was to be shown. found: what was seen, in words.

    kept: None where that cannot be said, as it was not run, or, ``was_run``, as what was seen may be chance.
    """

    name: str
    kept: bool | None
    found: str
    was_run: bool = True

    @property
    def word(self) -> str:
        """For tables."""
        if self.kept is None:
            return "UNCLEAR" if self.was_run else "NOT RUN"
        return "kept" if self.kept else "BROKEN"


@dataclass(frozen=True, slots=True)
class Paired:
    """The same photos before and after something.

    photos: how many. before, after: shares that were right. won, lost: photos that only one of the two had right, after
    and before. p_fell, p_rose: exact one-sided probabilities of so few (so many) wins if nothing had changed
    (McNemar 1947).
    """

    photos: int
    before: float
    after: float
    won: int
    lost: int
    p_fell: float
    p_rose: float

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def answer_fault(status: int, headers: Mapping[str, str], body: bytes) -> str | None:
    """Why an answer is none that an app could show or act on; None where it is fine.

    Below 400 everything is. From there on: RFC 9457's type, a JSON object that repeats the status and has a code, no
    stack trace, and of the 5xx only 503, with Retry-After: any other is a fault of the service.
    headers: with lower-case names.
    """
    if _TRACEBACK in body:
        return "a stack trace"
    if status < 400:
        return None
    kind = headers.get("content-type", "").split(";")[0].strip()
    if kind != PROBLEM:
        return f"{status} as {kind or 'nothing'}: {body[:_SHOWN]!r}"
    try:
        problem = json.loads(body)
    except ValueError:
        return f"{status}, not JSON: {body[:_SHOWN]!r}"
    if not isinstance(problem, dict) or problem.get("status") != status or not problem.get("code"):
        return f"{status}, a problem without its status or code: {body[:_SHOWN]!r}"
    if status == 503 and "retry-after" not in headers:
        return f"503 {problem['code']} without Retry-After"
    if status >= 500 and status != 503:
        return f"{status} {problem['code']}"
    return None


def code_of(body: bytes) -> str | None:
    """The stable code of a problem body; None where there is none."""
    try:
        problem = json.loads(body)
    except ValueError:
        return None
    code = problem.get("code") if isinstance(problem, dict) else None
    return code if isinstance(code, str) else None


def share(answers: Iterable[bool]) -> float | None:
    """Share of true ones; None where there are none to count."""
    listed = list(answers)
    return sum(listed) / len(listed) if listed else None


def paired(before: Sequence[bool], after: Sequence[bool]) -> Paired:
    """Compare what was right before with what is right after, photo by photo.

    :raise ValueError: not as many of one as of the other, or none.
    """
    if not before or len(before) != len(after):
        raise ValueError(f"{len(before)} photos before and {len(after)} after; expected as many, and at least one")
    won = sum(new and not old for old, new in zip(before, after, strict=True))
    lost = sum(old and not new for old, new in zip(before, after, strict=True))
    photos, changed = len(before), won + lost
    p_fell, p_rose = _at_most(won, changed), _at_most(lost, changed)
    return Paired(photos, sum(before) / photos, sum(after) / photos, won, lost, p_fell, p_rose)


def _at_most(count: int, tries: int) -> float:
    """Probability of at most ``count`` heads of ``tries`` fair coins; exact."""
    return float(sum(math.comb(tries, k) for k in range(count + 1)) / 2**tries)


def has_fallen(compared: Paired, bound: float) -> bool:
    """Whether it fell: beyond chance (one-sided, 2.5 %), or by more than ``bound`` of the photos, net."""
    return compared.p_fell < BEYOND_CHANCE or compared.lost - compared.won > bound * compared.photos


def has_risen(compared: Paired) -> bool | None:
    """Whether it rose, beyond chance (one-sided, 2.5 %); None where it did, and chance could have done it."""
    if compared.won <= compared.lost:
        return False
    return True if compared.p_rose < BEYOND_CHANCE else None


def sorted_out(problems: Iterable[str], kinds: Mapping[str, str]) -> dict[str, list[str]]:
    """Problems by the first kind whose pattern (a regular expression) they begin with; the rest under ``else``."""
    found: dict[str, list[str]] = {kind: [] for kind in (*kinds, "else")}
    for problem in problems:
        kind = next((kind for kind, pattern in kinds.items() if re.match(pattern, problem)), "else")
        found[kind].append(problem)
    return found


def percent(value: float | None) -> str:
    """``91.2 %``, or ``n/a``."""
    return "n/a" if value is None else f"{100 * value:.1f} %"


def table(promises: Sequence[Promise]) -> str:
    """The promises for people, one a line."""
    width = max((len(promise.name) for promise in promises), default=0)
    return "\n".join(f"{p.word:8} {p.name:{width}}  {p.found}" for p in promises)


def exit_status(promises: Sequence[Promise]) -> int:
    """1 where any promise is broken; what was not run or is unclear breaks none, and is seen in the table."""
    return int(any(promise.kept is False for promise in promises))


def to_json(promises: Sequence[Promise]) -> list[dict[str, Any]]:
    """The promises as plain values."""
    return [asdict(promise) for promise in promises]
