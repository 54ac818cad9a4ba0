"""What the figures are judged by: functions of plain values, tested by themselves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.load.clients import Entry, Load

FAIR_REFUSALS = (429, 503)


@dataclass(frozen=True, slots=True)
class Row:
    """A figure beside its yardstick. met: None where it was not run, or has no aim."""

    scenario: str
    what: str
    measured: str
    yardstick: str
    aim: str
    met: bool | None

    @property
    def word(self) -> str:
        """For tables."""
        return ("not run" if self.aim else "") if self.met is None else "met" if self.met else "MISSED"

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them do not exceed; NaN where there are none."""
    listed = sorted(values)
    return listed[max(0, math.ceil(share * len(listed)) - 1)] if listed else math.nan


def speeds(entries: Sequence[Entry]) -> dict[str, Any]:
    """How many, and their milliseconds."""
    spent = [1000 * entry.seconds for entry in entries]
    return {
        "requests": len(spent),
        **{f"p{round(100 * share)}_ms": _rounded(quantile(spent, share)) for share in (0.5, 0.9, 0.99)},
        "slowest_ms": _rounded(max(spent, default=math.nan)),
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 1)


def answers(entries: Sequence[Entry]) -> dict[str, int]:
    """How often which answer came: ``200``, ``503 overloaded``, ``no answer``."""
    return dict(Counter(f"{e.status or 'no answer'}{f' {e.code}' if e.code else ''}" for e in entries))


def unfair(entries: Sequence[Entry]) -> dict[str, int]:
    """Answers that a full house does not excuse: neither a success nor a clear 429 or 503; by their words."""
    bad = [e for e in entries if e.status != 200 and (e.status not in FAIR_REFUSALS or e.fault is not None)]
    return dict(Counter(e.fault or str(e.status) for e in bad))


def bound(cores: int, network_a_second: float, decode_core_ms: float, client_core_ms: float) -> float:
    """Searches a second that the machine leaves room for.

    The best rate of the bare network uses every core, so an image costs cores / rate core-seconds of it; decoding and
    the clients, which share the machine, come on top.
    """
    network_core_s = cores / network_a_second
    return cores / (network_core_s + (decode_core_ms + client_core_ms) / 1000)


def client_core_ms(load: Load) -> float:
    """Core-milliseconds that the clients spent on a request."""
    return 1000 * load.core_seconds / max(1, len(load.entries))


def table(rows: Sequence[Row]) -> str:
    """The figures for people."""
    heads = Row("scenario", "what", "measured", "yardstick", "aim", None)
    cells = [[r.scenario, r.what, r.measured, r.yardstick, r.aim] for r in (heads, *rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    words = ["", *(row.word for row in rows)]
    return "\n".join(
        "  ".join([f"{word:7}", *(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))]).rstrip()
        for word, line in zip(words, cells, strict=True)
    )
