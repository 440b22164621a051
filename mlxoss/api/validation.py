"""From a request's JSON to a validated model, with errors that name the field."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError
from pydantic_core import ErrorDetails

from mlxoss.errors import InvalidRequest

_MAX_PARAM_CHARS = 200

Location = tuple[int | str, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


class StrictModel(BaseModel):
    """The base of every request model: no coercion, unknown keys accepted and dropped."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


def validate(model: type[ModelT], value: object, location: Location = ()) -> ModelT:
    """Validate ``value``; raises InvalidRequest that names the first wrong field.

    ``location`` is where ``value`` stands in the request.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _to_invalid_request(error, value, location) from None


def read_later(kind: object) -> PlainValidator:
    """For a field of type Any that is looked into after validation: its schema is ``kind``'s."""
    return PlainValidator(lambda value: value, json_schema_input_type=kind)


def to_param(location: Location) -> str:
    """OpenAI's dotted form: ``("messages", 0, "content")`` is ``messages[0].content``."""
    param = ""
    for step in location:
        if isinstance(step, int):
            param += f"[{step}]"
        elif step != "[key]":
            param += f".{step}" if param else step
    return param[:_MAX_PARAM_CHARS]


def _to_invalid_request(
    error: ValidationError, value: object, location: Location
) -> InvalidRequest:
    where, first = _first_error(error, value)
    kind, param = first["type"], to_param((*location, *where))
    if kind == "missing":
        return InvalidRequest(
            f"Missing required parameter: '{param}'.",
            param=param,
            code="missing_required_parameter",
        )
    reason = first["msg"][:1].lower() + first["msg"][1:]
    code = "invalid_type" if kind.endswith("_type") else "invalid_value"
    return InvalidRequest(f"Invalid '{param}': {reason}.", param=param, code=code)


def _first_error(error: ValidationError, value: object) -> tuple[Location, ErrorDetails]:
    """The first wrong field; where several forms may stand, the one that went furthest."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    places = [_to_place(each, value) for each in errors]
    found = places[0], errors[0]
    for place, each in zip(places, errors, strict=True):
        if len(place) > len(found[0]) and place[: len(places[0])] == places[0]:
            found = place, each
    return found


def _to_place(error: ErrorDetails, value: object) -> Location:
    """Where it stands in ``value``: without the names of forms that pydantic puts between."""
    place: list[int | str] = []
    last = error["loc"][-1] if error["loc"] else ""
    for step in error["loc"]:
        if isinstance(value, dict | list) and _has(value, step):
            value = value[step]  # type: ignore[index]
            place.append(step)
        elif isinstance(step, int) or (error["type"] == "missing" and step == last):
            place.append(step)
    return tuple(place)


def _has(value: dict[str, object] | list[object], step: int | str) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(step, int) and step < len(value)
