"""The one place that imports OpenVINO, with its telemetry kept out of the process.

``import openvino`` starts Intel's usage telemetry (package ``openvino-telemetry``, Google Analytics)
unless ``$HOME/intel/openvino_telemetry`` says no: its documented switch, ``opt_in_out --opt_out``,
writes that file for one user. A server must not depend on a file in somebody's home folder and must
never try to reach the network, so the package is barred here instead: OpenVINO then uses the stub it
brings for the case that telemetry is not installed.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_TELEMETRY = "openvino_telemetry"


def load_openvino() -> Any:
    """The ``openvino`` module, imported without its telemetry.

    Returns Any: OpenVINO ships no usable type information for what is used here.
    """
    if _TELEMETRY not in sys.modules:
        # None in sys.modules makes ``import openvino_telemetry`` raise ImportError (import system
        # reference, 5.3.1), which OpenVINO catches.
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    return importlib.import_module("openvino")
