"""What is refused of a request: every wrong field at once, each with its path and a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One wrong field. `field`: its path, such as `origin.lat`; empty: the body itself. `detail`: what is wrong with it."""

    field: str
    detail: str

    def __str__(self) -> str:
        return f"{self.field}: {self.detail}" if self.field else self.detail


class NoJson(ValueError):
    """The body is not JSON (400)."""


class BadField(ValueError):
    """Members of the body are refused (422); `field` and `reason` are those of the first."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(str(FieldError(field, reason)))
        self.errors: tuple[FieldError, ...] = (FieldError(field, reason),)

    @classmethod
    def of(cls, errors: Sequence[FieldError]) -> BadField:
        """One refusal that names all of `errors`, of which there is one or more."""
        first = errors[0]
        refusal = cls(first.field, first.detail)
        refusal.errors = tuple(errors)
        return refusal

    @property
    def field(self) -> str:
        return self.errors[0].field

    @property
    def reason(self) -> str:
        return self.errors[0].detail


class BadParameter(BadField):
    """Parameters of the query, or headers, are refused (400)."""


class NoSuchPath(BadField):
    """A part of the path names nothing (404)."""
