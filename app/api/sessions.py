"""POST /v1/sessions: trade the app key for a short-lived token."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from flask import Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field

from app.api.context import container
from app.api.resource import resource

api = resource("sessions", "/v1", secured=False, limited=True)


class SessionRequest(BaseModel):
    """The app's key."""

    model_config = ConfigDict(extra="forbid")

    app_key: str = Field(min_length=1, max_length=256, description="The public app key that the app ships.")
    installation_id: UUID | None = Field(
        None, description="A random id that the app makes at its first start and keeps; the same in all its sessions."
    )


class SessionOut(BaseModel):
    """A session just opened."""

    token: str = Field(description="Send it as `Authorization: Bearer TOKEN`.")
    expires_at: datetime = Field(description="UTC; open another session then.")


@api.post("/sessions", responses={201: SessionOut})
def open_session(body: SessionRequest) -> tuple[Response, int]:
    """Open a session.

    One session an installation of the app; it lives `PICKTURE_SESSION_MINUTES`.
    """
    grant = container().access.open_session(body.app_key, request.remote_addr, body.installation_id)
    opened = SessionOut(token=grant.token, expires_at=grant.expires_at)
    return jsonify(opened.model_dump(mode="json")), 201
