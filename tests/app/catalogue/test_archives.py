"""Zip archives: what is unpacked and every attack that is not."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app.services.catalogue.archives import ArchiveLimits, opened_catalogue, unpack
from app.services.catalogue.errors import ArchiveRefused

TABLE = "sku,name\n1,a\n"


def archive(tmp_path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes | str]) -> Path:
    path = tmp_path / "catalogue.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in entries:
            opened.writestr(name, data)
    return path


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("top", ["", "my shop/"])
def test_a_catalogue_is_unpacked_and_removed_again(tmp_path: Path, top: str) -> None:
    path = archive(tmp_path, (f"{top}products.csv", TABLE), (f"{top}images/1/a.jpg", b"x"), ("__MACOSX/._a", b"y"))
    with opened_catalogue(path) as folder:
        assert (folder / "products.csv").read_text() == TABLE
        assert (folder / "images" / "1" / "a.jpg").read_bytes() == b"x"
    assert not folder.exists()


def test_a_folder_is_itself(tmp_path: Path) -> None:
    with opened_catalogue(tmp_path) as folder:
        assert folder == tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "images/../../evil",
        "/etc/evil",
        "C:/evil",
        "C:evil",
        "images\\..\\evil",
        "a/\x07b",
        "x" * 300,
    ],
)
def test_names_that_leave_the_folder_or_hide(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path, ("products.csv", TABLE), (name, b"evil"))
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    with pytest.raises(ArchiveRefused):
        unpack(path, target)
    assert not list(target.iterdir()), "checked before anything is written"
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices(tmp_path: Path, kind: int) -> None:
    path = archive(tmp_path, ("products.csv", TABLE), (entry("images/1/a.jpg", kind | 0o777), "/etc/passwd"))
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ArchiveRefused, match="link or special"):
        unpack(path, target)
    assert not list(target.iterdir())


def flip(path: Path, change: Callable[[bytearray, int], None]) -> None:
    """Change every local and central header of the archive."""
    data = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(magic)
        while at >= 0:
            change(data, at + offset)
            at = data.find(magic, at + 1)
    path.write_bytes(data)


def test_encrypted(tmp_path: Path) -> None:
    path = archive(tmp_path, ("products.csv", TABLE))

    def encrypt(data: bytearray, at: int) -> None:
        data[at] |= 1

    flip(path, encrypt)
    with pytest.raises(ArchiveRefused, match="encrypted"), opened_catalogue(path):
        pass


def test_the_same_path_twice_whatever_the_case(tmp_path: Path) -> None:
    path = archive(tmp_path, ("products.csv", TABLE), ("images/a/1.jpg", b"x"), ("images/A/1.JPG", b"y"))
    with pytest.raises(ArchiveRefused, match="twice"), opened_catalogue(path):
        pass


def test_a_file_where_a_folder_is(tmp_path: Path) -> None:
    path = archive(tmp_path, ("images/1", b"x"), ("images/1/a.jpg", b"y"))
    with pytest.raises(ArchiveRefused, match="as a file and as a folder"), opened_catalogue(path):
        pass


def test_a_bomb_is_stopped_by_what_it_unpacks_to(tmp_path: Path) -> None:
    path = archive(tmp_path, ("products.csv", TABLE), ("images/1/a.jpg", b"\0" * 5_000_000))
    limits = ArchiveLimits(ratio_from_bytes=1_000_000)
    with pytest.raises(ArchiveRefused, match="bomb"), opened_catalogue(path, limits):
        pass


def test_sizes_in_headers_are_not_believed(tmp_path: Path) -> None:
    path = archive(tmp_path, ("images/1/a.jpg", b"\0" * 3_000_000))
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 10)
    path.write_bytes(data)
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ArchiveRefused):
        unpack(path, target, ArchiveLimits(max_file_bytes=1_000_000))
    assert sum(file.stat().st_size for file in target.rglob("*") if file.is_file()) <= 1_000_000


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (ArchiveLimits(max_files=2), "3 entries"),
        (ArchiveLimits(max_total_bytes=1500), "1,500 bytes"),
        (ArchiveLimits(max_file_bytes=900), "900 bytes"),
    ],
)
def test_limits(tmp_path: Path, limits: ArchiveLimits, message: str) -> None:
    path = archive(tmp_path, ("products.csv", TABLE), ("images/1/a", b"a" * 1000), ("images/1/b", b"b" * 1000))
    with pytest.raises(ArchiveRefused, match=message), opened_catalogue(path, limits):
        pass


def test_an_uncommon_method_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("products.csv", TABLE)
    with pytest.raises(ArchiveRefused, match="uncommon"), opened_catalogue(path):
        pass


def test_no_archive_at_all_and_a_damaged_one(tmp_path: Path) -> None:
    plain = tmp_path / "plain.zip"
    plain.write_text("not a zip")
    with pytest.raises(ArchiveRefused, match="not a zip"), opened_catalogue(plain):
        pass
    path = archive(tmp_path, ("products.csv", TABLE * 500))
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ArchiveRefused, match="to its end"), opened_catalogue(path):
        pass
