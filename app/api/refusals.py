"""Why nothing was done to one thing of many, inside an answer that succeeded."""

from __future__ import annotations

from pydantic import BaseModel

from app.error_table import row_for
from models.errors import PicktureError


class RefusalOut(BaseModel):
    """Why nothing was done."""

    code: str
    status: int
    detail: str


def refusal_out(error: PicktureError) -> RefusalOut:
    """As a problem would tell it."""
    return RefusalOut(code=error.code, status=row_for(type(error)).status, detail=str(error))
