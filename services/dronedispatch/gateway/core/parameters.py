"""The parameters of a query, held against the struct that states them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from dronedispatch.gateway.core.contract import SHOWN_CHARS_MAX, field_errors, printable, text_value
from dronedispatch.gateway.core.refusal import BadParameter, FieldError

T = TypeVar("T", bound=msgspec.Struct)


class NoParameters(msgspec.Struct, frozen=True):
    """A call without parameters."""


def parameters(kind: type[T], args: Mapping[str, Sequence[str]]) -> T:
    """The query `args` as a `kind`, whose fields are UNSET where nothing is given.

    Raises BadParameter with every parameter that is wrong, given twice, or unknown: a typing mistake must not become a
    default.
    """
    kinds = {member.encode_name: member.type for member in msgspec.structs.fields(kind)}
    values: dict[str, object] = {}
    errors: list[FieldError] = []
    for name, texts in args.items():
        if name not in kinds:
            shown = printable(name)[:SHOWN_CHARS_MAX] or "query"
            errors.append(FieldError(shown, f"unknown parameter; known: {', '.join(kinds) or 'none'}"))
        elif len(texts) != 1:
            errors.append(FieldError(name, "is given more than once"))
        else:
            values[name] = text_value(kinds[name], texts[0])
            errors += field_errors(kinds[name], values[name], name)
    if errors:
        raise BadParameter.of(errors)
    return msgspec.convert(values, kind)


def no_query(args: Mapping[str, Sequence[str]]) -> None:
    """Raises BadParameter for any parameter."""
    if args:
        parameters(NoParameters, args)
