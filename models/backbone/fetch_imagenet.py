"""Download Keras' official ImageNet weights once: ``python -m models.backbone.fetch_imagenet HOME``.

The only place of the backbone that uses the network, and only when asked to (``make imagenet-weights``).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from models.backbone.network import load_keras
from models.backbone.weights import IMAGENET_FILE, IMAGENET_MD5, check_imagenet
from models.errors import PicktureError, WeightsNotFound

IMAGENET_URL: Final = f"https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{IMAGENET_FILE}"


def fetch_imagenet(home: Path, url: str = IMAGENET_URL) -> Path:
    """Have ``home/weights/inception_v3_..._notop.h5``, about 84 MB, and return its path.

    A file with the right hash is kept; nothing is downloaded then.
    :raise WeightsNotFound: the download failed or what came has another hash; nothing is left behind.
    :raise WeightsMismatch: a file is there already but is not the official one.
    """
    target = (home / "weights" / IMAGENET_FILE).absolute()
    if target.exists():
        check_imagenet(target)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    _, keras = load_keras()
    try:
        keras.utils.get_file(
            fname=partial.name,
            origin=url,
            file_hash=IMAGENET_MD5,
            hash_algorithm="md5",
            cache_dir=str(partial.parent),
            cache_subdir=".",
        )
        partial.replace(target)
    except Exception as error:  # get_file raises a bare Exception for network errors
        raise WeightsNotFound(
            f"Keras' ImageNet weights could not be downloaded from {url} ({error}). Check the connection, or "
            f"copy the file to {target} (MD5 {IMAGENET_MD5})."
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def main(arguments: list[str]) -> int:
    """Command line: one argument, the state folder. Returns the exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m models.backbone.fetch_imagenet HOME\n")
        return 2
    try:
        path = fetch_imagenet(Path(arguments[0]))
    except PicktureError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"ImageNet weights: {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
