"""Eight-bit arithmetic: post-training quantisation of a converted network, with NNCF.

Weights become 8-bit numbers, a scale an output channel; the ranges of activations are taken from calibration photos.
The vectors change, and with other photos or another NNCF they change otherwise: so the name of the precision carries a
digest of the quantised network, and with it the space's identifier does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

from models.backbone.openvino_loader import load_openvino
from models.backbone.weights import file_digest
from models.values import UInt8

CALIBRATION_PHOTOS: Final = 300
"""NNCF's own default."""

_DIGEST_LENGTH: Final = 16


def quantise_network(network: Path, photos: Sequence[UInt8], out: Path) -> str:
    """Write the network with 8-bit convolutions to ``out``; takes a minute or two. Returns its precision's name.

    network, out: ``.xml`` of an OpenVINO network, with its ``.bin`` beside it; two files. uint8 (n, 299, 299, 3) goes
        in.
    photos: uint8 (299, 299, 3) each, like those it will see.
    Returns ``int8:`` and the first 16 hex digits of the SHA-256 of the new ``.bin``, which holds weights and ranges.
    """
    openvino = load_openvino()  # first: it bars the telemetry package, which NNCF would use too
    import nncf

    model = openvino.Core().read_model(str(network))
    data = nncf.Dataset(list(photos), lambda pixels: pixels[None])
    with redirect_stdout(sys.stderr):  # its progress; standard output may be for a result
        small = nncf.quantize(model, data, subset_size=len(photos), fast_bias_correction=True)
    openvino.save_model(small, str(out), compress_to_fp16=False)
    return f"int8:{file_digest(out.with_suffix('.bin'))[:_DIGEST_LENGTH]}"
