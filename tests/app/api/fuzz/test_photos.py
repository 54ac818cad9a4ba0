"""Mutated photos: always a result or a clear refusal, in bounded time and memory, and the next search works."""

from __future__ import annotations

import faulthandler
import gc
import random
import resource
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from flask.testing import FlaskClient
from PIL import Image

from app.cli.demo.shop import FAMILY, demo_products
from augment.render import render_phone_photo
from tests.app.api.conftest import problem_of
from tests.app.api.fuzz import sizes
from tests.app.api.fuzz.mutations import mutated, real_files
from tests.app.api.test_search import search
from tests.app.api.world import Shop

SLOWEST_S = 20.0
HANG_S = 120
MOST_MB = 1_500
"""Peak memory: 50 megapixels at four bytes, some times over, and what was there before."""

GROWTH_MB = 200
_WARM = 0.2

CODES = {
    "photo_damaged",
    "photo_format_unsupported",
    "photo_too_large",
    "photo_empty",
    "photo_invalid",
    "request_too_large",
}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    products, _ = demo_products()
    pixels = render_phone_photo(products[0], 5, camera=FAMILY, backgrounds=FAMILY, size=(600, 800))
    return real_files(Image.fromarray(pixels))


def test_every_real_file_is_answered(client: FlaskClient, shop: Shop, files: dict[str, bytes]) -> None:
    assert {name: search(client, data).status_code for name, data in files.items()} == dict.fromkeys(files, 200)


@pytest.mark.filterwarnings("ignore")
def test_mutated_photos_cost_one_clear_answer_each(
    client: FlaskClient, shop: Shop, files: dict[str, bytes], tmp_path: Path
) -> None:
    rng = random.Random(sizes.seed())
    names, everything, wanted = list(files), list(files.values()), sizes.files()
    answers: Counter[str] = Counter()
    slowest, warm_mb = 0.0, 0.0
    culprit = tmp_path / "last"
    for number in range(wanted):
        name = names[number % len(names)]
        data = mutated(files[name], everything, rng)
        culprit.write_bytes(data)  # whatever becomes of this process, what did it is there
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        began = time.perf_counter()
        answer = search(client, data)
        slowest = max(slowest, time.perf_counter() - began)
        faulthandler.cancel_dump_traceback_later()
        if answer.status_code == 200:
            answers["200"] += 1
        else:
            problem = problem_of(answer)
            assert 400 <= answer.status_code < 500 and problem["code"] in CODES, (number, name, problem)
            answers[problem["code"]] += 1
        if number == int(wanted * _WARM):
            warm_mb = _memory_mb()
    grown = _memory_mb() - warm_mb
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e3
    print(f"{wanted} files: {dict(answers)}; slowest {slowest:.2f} s; peak {peak:.0f} MB, growth {grown:.0f} MB")
    assert answers["200"] and answers["photo_damaged"] and answers["photo_format_unsupported"]
    assert slowest < SLOWEST_S
    assert peak < MOST_MB
    assert grown < GROWTH_MB
    assert search(client, shop.photos["cap"]).status_code == 200


def _memory_mb() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6
