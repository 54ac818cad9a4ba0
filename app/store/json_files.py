"""Small JSON files of the state folder, replaced whole."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from models.files import replace_file


def write_json(path: Path, data: object) -> None:
    """Write ``data`` in one rename, for good; the folder must exist."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False)
    replace_file(Path(temporary), path)
