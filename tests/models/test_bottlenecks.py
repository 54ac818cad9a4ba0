"""Filling the cache: what is stored is never computed again, whatever happened in between."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.variants import VARIANT_NAMES
from models.errors import BackboneError, TrainingError, UsageError
from models.training.bottlenecks.cache import BottleneckCache, open_cache
from models.training.bottlenecks.fill import FillProgress, fill_cache
from models.training.bottlenecks.keys import BottleneckKey, variant_key
from models.training.bottlenecks.progress import TqdmProgress
from tests.contracts.fake_backbone import FakeBackbone

ROOT = Path(__file__).parents[2]
TWO = ("blur", "crop_top_left")


@dataclass(frozen=True)
class FilePhoto:
    """A photo in a file, with the hash it was listed under."""

    path: Path
    content_hash: str

    def load(self) -> bytes:
        return self.path.read_bytes()


def write_photos(folder: Path, count: int, seed: int = 0) -> list[FilePhoto]:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    photos = []
    for number in range(count):
        small = generator.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(small).resize((200, 240)).save(buffer, "PNG")
        path = folder / f"{seed}-{number}.png"
        path.write_bytes(buffer.getvalue())
        photos.append(FilePhoto(path, hashlib.sha256(buffer.getvalue()).hexdigest()))
    return photos


@pytest.fixture
def cache(tmp_path: Path) -> BottleneckCache:
    cache = open_cache(tmp_path, FakeBackbone.space)
    yield cache  # type: ignore[misc]
    cache.close()


def test_a_second_run_computes_nothing(cache: BottleneckCache, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 3)
    backbone = FakeBackbone()
    first = fill_cache(cache, photos, backbone, variants=VARIANT_NAMES, batch_size=4)
    assert (first.new, first.reused, first.failed) == (27, 0, ())
    assert first.network_ms_per_image is not None
    assert first.seconds_decode > 0
    second = fill_cache(cache, photos, backbone, variants=VARIANT_NAMES, batch_size=4)
    assert (second.new, second.reused) == (0, 27)
    assert second.network_ms_per_image is None
    assert backbone.images == 27


def test_only_missing_variants_and_photos_are_computed(cache: BottleneckCache, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 2)
    backbone = FakeBackbone()
    fill_cache(cache, photos[:1], backbone, variants=())
    assert backbone.images == 1
    report = fill_cache(cache, photos, backbone, variants=TWO, seed=1)
    assert (report.new, report.reused) == (5, 1)
    other_seed = fill_cache(cache, photos, backbone, variants=TWO, seed=2)
    assert (other_seed.new, other_seed.reused) == (4, 2)


def test_vectors_do_not_depend_on_batches_or_workers(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 4)
    keys = [BottleneckKey(p.content_hash, variant_key(v, 3)) for p in photos for v in ("original", *TWO)]
    found = []
    for home, workers, batch_size in ((tmp_path / "a", 1, 1), (tmp_path / "b", 4, 7)):
        with open_cache(home, FakeBackbone.space) as cache:
            fill_cache(cache, photos, FakeBackbone(), variants=TWO, seed=3, workers=workers, batch_size=batch_size)
            found.append((cache.get(keys), cache.scenes([p.content_hash for p in photos])))
    assert np.array_equal(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])


def test_the_same_content_twice_counts_once(cache: BottleneckCache, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 1)
    backbone = FakeBackbone()
    assert fill_cache(cache, [*photos, *photos], backbone, variants=()).new == 1
    assert backbone.images == 1


def test_a_changed_photo_is_computed_under_its_new_hash(cache: BottleneckCache, tmp_path: Path) -> None:
    old = write_photos(tmp_path / "photos", 1, seed=1)[0]
    fill_cache(cache, [old], FakeBackbone(), variants=())
    new = write_photos(tmp_path / "photos", 1, seed=2)[0]
    assert fill_cache(cache, [new], FakeBackbone(), variants=()).new == 1
    assert not np.array_equal(cache.originals([old.content_hash]), cache.originals([new.content_hash]))


def test_damaged_and_missing_files_are_reported_and_the_rest_is_done(cache: BottleneckCache, tmp_path: Path) -> None:
    good, torn, gone = write_photos(tmp_path / "photos", 3)
    torn.path.write_bytes(b"GIF89a not a photo")
    gone.path.unlink()
    seen: list[FillProgress] = []
    photos = [torn, gone, good]
    report = fill_cache(cache, photos, FakeBackbone(), variants=TWO, progress=seen.append)
    assert report.new == 3
    assert [failed.content_hash for failed in report.failed] == [p.content_hash for p in (torn, gone)]
    assert all(failed.message for failed in report.failed)
    assert (seen[-1].done, seen[-1].failed, seen[-1].total) == (3, 6, 9)


def test_progress_tells_rate_and_time_left(cache: BottleneckCache, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 4)
    fill_cache(cache, photos[:1], FakeBackbone(), variants=())
    seen: list[FillProgress] = []
    fill_cache(cache, photos, FakeBackbone(), variants=(), batch_size=1, progress=seen.append)
    assert [progress.done for progress in seen] == [1, 2, 3, 4, 4]
    assert seen[0].seconds_left is None
    assert seen[0].per_second == 0
    assert seen[1].per_second > 0
    assert seen[1].seconds_left is not None
    assert seen[-1].seconds_left == 0


def test_the_bar_shows_the_count(cache: BottleneckCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_photos(tmp_path / "photos", 2)
    with TqdmProgress() as bar:
        fill_cache(cache, photos, FakeBackbone(), variants=TWO, progress=bar)
    assert "6/6" in capsys.readouterr().err


def test_stopping_from_the_callback_keeps_what_is_stored(cache: BottleneckCache, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 6)

    def stop(progress: FillProgress) -> None:
        if progress.done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_cache(cache, photos, FakeBackbone(), variants=(), batch_size=2, progress=stop)
    assert len(cache) == 4
    assert fill_cache(cache, photos, FakeBackbone(), variants=()).new == 2


def test_another_space_is_refused(tmp_path: Path) -> None:
    with open_cache(tmp_path, "other-space") as cache, pytest.raises(BackboneError, match="other-space"):
        fill_cache(cache, [], FakeBackbone())


def test_arguments_are_checked(cache: BottleneckCache) -> None:
    with pytest.raises(UsageError, match="sharpen"):
        fill_cache(cache, [], FakeBackbone(), variants=("sharpen",))
    with pytest.raises(UsageError, match="workers=0"):
        fill_cache(cache, [], FakeBackbone(), workers=0)
    assert fill_cache(cache, [], FakeBackbone()).new == 0


_CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from models.training.bottlenecks.fill import fill_cache
from models.training.bottlenecks.cache import open_cache
from tests.contracts.fake_backbone import FakeBackbone
from tests.models.test_bottlenecks import write_photos

class Halting(FakeBackbone):
    def extract(self, inputs):
        if self.images >= 8:            # the third batch hangs inside the network
            print("hanging", flush=True)
            sys.stdin.read()
        return super().extract(inputs)

photos = write_photos(Path(sys.argv[2]) / "photos", 10)
fill_cache(open_cache(Path(sys.argv[2]), FakeBackbone.space), photos, Halting(), variants=(), batch_size=4)
"""


def test_kill_9_in_the_middle_loses_one_batch_and_the_restart_recomputes_nothing_stored(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(ROOT), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "hanging\n"
        with open_cache(tmp_path, FakeBackbone.space) as other:  # the run in the other process holds the lock
            with pytest.raises(TrainingError, match="another run is filling"):
                fill_cache(other, [], FakeBackbone())
            assert len(other) == 8
        os.kill(child.pid, signal.SIGKILL)
    backbone = FakeBackbone()
    photos = write_photos(tmp_path / "photos", 10)
    with open_cache(tmp_path, FakeBackbone.space) as cache:
        report = fill_cache(cache, photos, backbone, variants=(), batch_size=4)
        assert (report.new, report.reused) == (2, 8)
        assert backbone.images == 2
        hashes = [photo.content_hash for photo in photos]
        with open_cache(tmp_path / "fresh", FakeBackbone.space) as fresh:
            fill_cache(fresh, photos, FakeBackbone(), variants=())
            assert np.array_equal(cache.originals(hashes), fresh.originals(hashes))
