"""How often each hint about a photo comes, and how often in vain, on rendered phone photos.

    python -m models.training.reports.advice --photos 40

The thresholds in ``models.photo.advice`` were set on family, cameras and places ``training``; the default
here, ``demo``, shares none of them.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from PIL import Image

from augment.render import FailureKind, make_catalogue, render_phone_photo
from augment.render.phone import DEFAULT_SIZE
from models.photo.advice import ADVICE_CODES, advise
from models.values import UInt8

KINDS: Final = (
    FailureKind.NONE,
    FailureKind.DARK,
    FailureKind.BLURRED,
    FailureKind.SMALL,
    FailureKind.CUT_OFF,
)
"""What is rendered; each kind but ``none`` is also the code of the hint that should come."""


@dataclass(frozen=True, slots=True)
class AdviceRates:
    """The hints given on photos of one kind.

    kind: a ``FailureKind``. photos: how many. shares: share of them that got each advice code, all
    codes present; where the code is the kind it is the detection rate, elsewhere a false alarm.
    """

    kind: str
    photos: int
    shares: dict[str, float]


def rates_of(kind: str, photos: Iterable[UInt8]) -> AdviceRates:
    """Count the hints on photos, each uint8 (height, width, 3), RGB, upright."""
    given: Counter[str] = Counter()
    total = 0
    for pixels in photos:
        height, width, _ = pixels.shape
        given.update(hint.code for hint in advise(Image.fromarray(pixels), width, height))
        total += 1
    return AdviceRates(kind, total, {code: given[code] / max(1, total) for code in ADVICE_CODES})


def measure_advice(
    photos: int, purpose: str = "demo", *, seed: int = 0, size: tuple[int, int] = DEFAULT_SIZE
) -> list[AdviceRates]:
    """Rates on ``photos`` rendered photos of every kind in ``KINDS``.

    purpose: the renderer's family, cameras and places: ``pretrain``, ``training`` or ``demo``.
    size: (width, height) of a photo, pixels.
    """
    catalogue = make_catalogue(min(30, photos), seed, purpose)

    def rendered(kind: FailureKind) -> Iterable[UInt8]:
        for number in range(photos):
            yield render_phone_photo(
                catalogue[number % len(catalogue)],
                seed + number,
                camera=purpose,
                backgrounds=purpose,
                distractors=catalogue,
                failure=kind,
                size=size,
            )

    return [rates_of(kind.value, rendered(kind)) for kind in KINDS]


def as_table(rates: Iterable[AdviceRates]) -> str:
    """A row a kind, a column a code, in per cent."""
    lines = [f"{'photos':<10}{'n':>5}" + "".join(f"{code:>10}" for code in ADVICE_CODES)]
    for row in rates:
        shares = "".join(f"{100 * row.shares[code]:>9.1f}%" for code in ADVICE_CODES)
        lines.append(f"{row.kind:<10}{row.photos:>5}{shares}")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure the hints about photos on rendered phone photos.")
    parser.add_argument("--photos", type=int, default=40, help="photos of each kind (default 40)")
    parser.add_argument("--purpose", default="demo", help="pretrain, training or demo (default demo)")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.photos < 1:
        parser.error(f"--photos is {chosen.photos}; it must be at least 1")
    table = as_table(measure_advice(chosen.photos, chosen.purpose, seed=chosen.seed))
    sys.stdout.write(table + "\n")


if __name__ == "__main__":
    main()
