"""Problem documents (RFC 9457): every error that a caller sees says what was wrong and where."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

CONTENT_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is an error. `field` names the culprit of a 4xx; `extra` members go into the document.

    `type_uri` and `title` None: those of the service for this status, or `about:blank` and the status' phrase.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        field: str | None = None,
        headers: Mapping[str, str] | None = None,
        type_uri: str | None = None,
        **extra: object,
    ) -> None:
        super().__init__(f"{status} {detail}")
        self.status = status
        # It may show what came in: a header's bytes that are no UTF-8 are halves of surrogate pairs, which JSON cannot hold.
        self.detail = detail.encode(errors="backslashreplace").decode()
        self.title = title
        self.field = field
        self.headers = dict(headers or {})
        self.type_uri = type_uri
        self.extra = extra

    def body(self, instance: str | None = None, request_id: str | None = None) -> bytes:
        """The document as JSON."""
        document: dict[str, object] = {
            "type": self.type_uri or "about:blank",
            "title": self.title or HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.field is not None:
            document["field"] = self.field
        if instance is not None:
            document["instance"] = instance
        if request_id is not None:
            document["request_id"] = request_id
        return msgspec.json.encode(document | self.extra)
