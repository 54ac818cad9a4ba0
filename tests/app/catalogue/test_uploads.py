"""What came over HTTP, unpacked into a catalogue folder; forgotten uploads go."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest

from app.errors import UploadGone
from app.services.catalogue.archives import ArchiveLimits
from app.services.catalogue.errors import ArchiveRefused
from app.services.catalogue.uploads import (
    FORGOTTEN_AFTER_S,
    digests,
    is_kept,
    keep_upload,
    place_table,
    remove_forgotten,
    remove_upload,
    take_kept,
    unpacked_catalogue,
    upload_folder,
)

LIMITS = ArchiveLimits()


def pack(path: Path, *names: str) -> None:
    with zipfile.ZipFile(path, "w") as opened:
        for name in names:
            opened.writestr(name, name)


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "names", [("a/1.jpg", "b/2.jpg"), ("images/a/1.jpg", "images/b/2.jpg")], ids=["skus", "images"]
)
def test_a_table_and_its_photos_become_one_folder_as_often_as_asked(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "products.csv").write_text("sku\na\n")
    pack(tmp_path / "images.zip", *names)
    for _ in range(2):
        folder = unpacked_catalogue(tmp_path, LIMITS)
        assert tree(folder) == ["images/a/1.jpg", "images/b/2.jpg", "products.csv"]
        (folder / "half").write_text("what a killed attempt left")


def test_a_table_alone_has_no_images_folder(tmp_path: Path) -> None:
    (tmp_path / "products.jsonl").write_text('{"sku": "a"}\n')
    assert [path.name for path in unpacked_catalogue(tmp_path, LIMITS).iterdir()] == ["products.jsonl"]


def test_an_archive_may_have_one_top_folder(tmp_path: Path) -> None:
    pack(tmp_path / "archive.zip", "shop/products.csv", "shop/images/a/1.jpg")
    assert tree(unpacked_catalogue(tmp_path, LIMITS)) == ["images/a/1.jpg", "products.csv"]


def test_two_tables_and_unsafe_archives_are_refused(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("sku\na\n")
    pack(tmp_path / "images.zip", "a/1.jpg", "products.csv")
    with pytest.raises(ArchiveRefused, match="table too"):
        unpacked_catalogue(tmp_path, LIMITS)
    pack(tmp_path / "images.zip", "../../1.jpg")
    with pytest.raises(ArchiveRefused, match="leaves the folder"):
        unpacked_catalogue(tmp_path, LIMITS)
    pack(tmp_path / "images.zip", "a/1.jpg")
    with pytest.raises(ArchiveRefused, match="more than 3 bytes"):
        unpacked_catalogue(tmp_path, ArchiveLimits(max_total_bytes=3))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'{"sku": "a"}', "products.jsonl"),
        (b'\xef\xbb\xbf\r\n {"sku": "a"}', "products.jsonl"),
        (b"sku,name\n", "products.csv"),
        (b"", "products.csv"),
    ],
)
def test_the_kind_of_a_table_is_told_by_its_content(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / "part").write_bytes(data)
    place_table(tmp_path / "part")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_digests_are_of_what_came_not_of_what_was_unpacked(tmp_path: Path) -> None:
    pack(tmp_path / "archive.zip", "products.csv")
    before = digests(tmp_path)
    unpacked_catalogue(tmp_path, LIMITS)
    assert digests(tmp_path) == before
    assert list(before) == ["archive.zip"]


def test_only_old_uploads_without_a_job_are_forgotten(tmp_path: Path) -> None:
    assert remove_forgotten(tmp_path, []) == 0
    active, old, fresh = uuid4(), uuid4(), uuid4()
    for job_id in (active, old, fresh):
        upload_folder(tmp_path, job_id).mkdir(parents=True)
    long_ago = time.time() - FORGOTTEN_AFTER_S - 60
    for job_id in (active, old):
        os.utime(upload_folder(tmp_path, job_id), (long_ago, long_ago))
    assert remove_forgotten(tmp_path, {active}) == 1
    assert [upload_folder(tmp_path, job_id).exists() for job_id in (active, old, fresh)] == [True, False, True]
    remove_upload(tmp_path, active)
    remove_upload(tmp_path, active)
    assert not upload_folder(tmp_path, active).exists()


def test_checked_files_are_kept_for_an_hour_and_can_be_taken(tmp_path: Path) -> None:
    checked, wanted = uuid4(), tmp_path / "wanted"
    folder = upload_folder(tmp_path, checked)
    (folder / "work").mkdir(parents=True)
    (folder / "products.csv").write_bytes(b"sku")
    wanted.mkdir()
    os.utime(folder, (0, 0))
    keep_upload(tmp_path, checked)
    assert is_kept(tmp_path, checked) and not (folder / "work").exists()
    assert remove_forgotten(tmp_path, []) == 0
    take_kept(tmp_path, checked, ["products.csv"], wanted)
    os.utime(folder, (0, 0))
    assert remove_forgotten(tmp_path, []) == 1
    assert (wanted / "products.csv").read_bytes() == b"sku"
    assert not is_kept(tmp_path, checked)
    keep_upload(tmp_path, checked)
    for names in (["products.csv"], []):
        with pytest.raises(UploadGone, match="upload them again"):
            take_kept(tmp_path, checked, names, wanted)
