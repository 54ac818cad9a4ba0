"""Uploads are taken whole, whatever bytes they hold."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from flask import Flask
from werkzeug.test import EnvironBuilder

from app.api import headers


def test_no_photo_is_refused_for_how_its_bytes_fall_into_chunks() -> None:
    """Bytes that look like the beginning of a boundary stay behind in the parser when a chunk ends in them."""
    app = Flask(__name__)
    headers.init_app(app, 20 * 2**20, ())
    rng = np.random.default_rng(3)
    for number in range(40):
        photo = rng.integers(0, 256, 200_000 + 997 * number, dtype=np.uint8).tobytes()
        for chunk_end in (64 * 1024, 128 * 1024):
            photo = photo[: chunk_end - 300] + b"\r\n--" + photo[chunk_end - 300 :]
        builder = EnvironBuilder(method="POST", data={"photo": (BytesIO(photo), "photo.jpg"), "top_k": "5"})
        with app.request_context(builder.get_environ()) as context:
            assert context.request.files["photo"].read() == photo
