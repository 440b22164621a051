"""From a request's JSON to a validated model, with errors that name the field."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError

from mlxoss.errors import InvalidRequest

_MAX_PARAM_CHARS = 200

ModelT = TypeVar("ModelT", bound=BaseModel)


class StrictModel(BaseModel):
    """The base of every request model: no coercion, unknown keys accepted and dropped."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


def validate(model: type[ModelT], value: object, location: tuple[int | str, ...] = ()) -> ModelT:
    """Validate ``value``; raises InvalidRequest that names the first wrong field.

    ``location`` is where ``value`` stands in the request.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _to_invalid_request(error, location) from None


def read_later(kind: object) -> PlainValidator:
    """For a field of type Any that is looked into after validation: its schema is ``kind``'s."""
    return PlainValidator(lambda value: value, json_schema_input_type=kind)


def to_param(location: tuple[int | str, ...]) -> str:
    """OpenAI's dotted form: ``("messages", 0, "content")`` is ``messages[0].content``."""
    param = ""
    for step in location:
        if isinstance(step, int):
            param += f"[{step}]"
        elif step != "[key]":
            param += f".{step}" if param else step
    return param[:_MAX_PARAM_CHARS]


def _to_invalid_request(error: ValidationError, location: tuple[int | str, ...]) -> InvalidRequest:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    kind, param = first["type"], to_param((*location, *first["loc"]))
    if kind == "missing":
        return InvalidRequest(
            f"Missing required parameter: '{param}'.",
            param=param,
            code="missing_required_parameter",
        )
    reason = first["msg"][:1].lower() + first["msg"][1:]
    code = "invalid_type" if kind.endswith("_type") else "invalid_value"
    return InvalidRequest(f"Invalid '{param}': {reason}.", param=param, code=code)
