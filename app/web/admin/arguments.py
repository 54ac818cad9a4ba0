"""What an address or a form of the dashboard asks for, checked by a model as the API checks its requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MultiDict

from app.api.problems import invalid

_Model = TypeVar("_Model", bound=BaseModel)


def asked(model: type[_Model], values: Mapping[str, Any] | None = None) -> _Model:
    """The address's parameters that the model knows. An empty one, as a form's "all" sends it, was not given.

    values: what the path says.
    :raise RequestInvalid: one is malformed.
    """
    return checked(model, {**_given(model, request.args), **(values or {})})


def filled_in(model: type[_Model]) -> _Model:
    """The form's fields that the model knows; empty ones were not filled in. :raise RequestInvalid: see ``asked``."""
    return checked(model, _given(model, request.form))


def checked(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """The values as the model knows them. :raise RequestInvalid: one is malformed."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(error) from None


def _given(model: type[BaseModel], came: MultiDict[str, str]) -> dict[str, str]:
    return {name: came[name] for name in model.model_fields if came.get(name, "").strip()}
