"""POST /v1/admin/retrain: what is new is learnt, and served where it is not worse than what is."""

from __future__ import annotations

from typing import Any, Literal

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.context import container
from app.api.jobs import KEY_PARAMETER, JobAccepted, accepted, idempotency_key
from app.api.resource import resource
from app.api.security import principal
from app.errors import RequestInvalid

api = resource("retrain", "/v1/admin", secured=True, admin=True)


class RetrainRequest(BaseModel):
    """How to retrain; nothing need be said."""

    model_config = ConfigDict(extra="forbid")

    folds: int | None = Field(None, ge=2, le=20, description="Folds of the cross-validation.")
    without_variants: bool | None = Field(None, description="On the originals alone.")
    promote: Literal["auto", "never"] = Field(
        "auto", description="`auto`: served at once where the gate lets it; `never`: kept for you to promote."
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        return {} if value is None else value


@api.post("/retrain", responses={202: JobAccepted}, openapi_extensions=KEY_PARAMETER)
def retrain(body: RetrainRequest) -> tuple[Response, int]:
    """Learn what is new: compute the missing bottlenecks, train a challenger, compare it with the champion.

    It is promoted where it is not worse on the hold-out, and refused with the reason otherwise; the job's `result`
    says which. One training is let in at a time: where another has not ended, 409 `job_running` names it.
    """
    # The body may be missing. One that cannot be read must not pass for that.
    if request.get_data() and request.get_json(silent=True) is None:
        raise RequestInvalid.of("body", "expected a JSON object with the content type application/json, or no body")
    return accepted(container().jobs.ask(principal(), "retrain", body.model_dump(exclude_none=True), idempotency_key()))
