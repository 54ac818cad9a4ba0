"""POST /v1/admin/imports: a catalogue, uploaded, becomes a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.datastructures import FileStorage

from app.api.context import container
from app.api.headers import InMemoryRequest
from app.api.jobs import KEY_PARAMETER, JobAccepted, accepted, idempotency_key
from app.api.problems import invalid
from app.api.resource import resource
from app.api.security import principal
from app.errors import RequestInvalid
from app.services.catalogue.uploads import PLACES

api = resource("imports", "/v1/admin", secured=True, admin=True)

_FILES = {
    "archive": "A catalogue folder as a zip archive: products.csv or products.jsonl, and images/<sku>/*.",
    "table": "Instead: the table alone, CSV or JSON Lines in UTF-8.",
    "images": "With `table`: its photos as a zip archive, images/<sku>/* or <sku>/*.",
}


class ImportForm(BaseModel):
    """The fields beside the files."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(False, description="Report what would happen; write nothing.")
    strict: bool = Field(False, description="All or nothing: with any row error, write nothing.")


_Form = TypeVar("_Form", bound=ImportForm)


def _multipart_schema() -> dict[str, Any]:
    schema = ImportForm.model_json_schema()
    files = {name: {"type": "string", "format": "binary", "description": told} for name, told in _FILES.items()}
    schema["properties"] = {**files, **schema["properties"]}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}


@api.post(
    "/imports",
    responses={202: JobAccepted},
    openapi_extensions={"requestBody": _multipart_schema(), **KEY_PARAMETER},
)
def import_catalogue() -> tuple[Response, int]:
    """Import a catalogue.

    The photos it brings are recognisable when the job that follows, of the kind `bottlenecks`, has ended.
    """
    key = idempotency_key()
    job_id = uuid4()
    with container().jobs.spooled(job_id) as folder:
        form = take_catalogue(folder, ImportForm)
        asked = container().jobs.ask_import(
            principal(), job_id, dry_run=form.dry_run, strict=form.strict, idempotency_key=key
        )
    return accepted(asked)


def take_catalogue(folder: Path, rules: type[_Form]) -> _Form:
    """Take the catalogue of this request's body in, its files to ``folder`` under the names that an import expects.

    rules: of the fields beside the files, which are returned.

    :raise RequestInvalid: the body is not a catalogue.
    """
    form, files = _read(folder, rules)
    for field, part in files.items():
        PLACES[field](part)
    return form


def _read(folder: Path, rules: type[_Form]) -> tuple[_Form, dict[str, Path]]:
    """Take the body in, files straight to ``folder``: the form, and field -> file."""
    assert isinstance(request._get_current_object(), InMemoryRequest)  # type: ignore[attr-defined]
    request.max_content_length = container().settings.max_import_bytes
    request.spool_folder = folder  # type: ignore[attr-defined]
    try:
        form = rules.model_validate(request.form.to_dict())
    except ValidationError as error:
        raise invalid(error) from None
    sent: list[tuple[str, Path]] = []
    for name, file in request.files.items(multi=True):
        path = _spooled(file)
        if file.filename:
            sent.append((name, path))
        else:
            path.unlink()  # a form's field in which no file was chosen
    names = sorted(name for name, _ in sent)
    if names not in (["archive"], ["table"], ["images", "table"]):
        came = ", ".join(names) or "none"
        raise RequestInvalid.of(
            "archive", f"send the file `archive`, or `table` and perhaps `images`; there came {came}"
        )
    return form, dict(sent)


def _spooled(file: FileStorage) -> Path:
    """Where an uploaded file lies, written to its end."""
    path = Path(file.stream.name)
    file.close()
    return path
