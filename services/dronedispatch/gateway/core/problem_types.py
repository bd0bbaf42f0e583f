"""The kinds of problem that the API answers: each has a name for programs, a page for people, and keeps its meaning."""

from __future__ import annotations

from typing import NamedTuple

PAGES = "/problems/"


class ProblemType(NamedTuple):
    """`meaning`: what has happened. `remedy`: what the caller does next."""

    name: str
    status: int
    title: str
    meaning: str
    remedy: str

    @property
    def uri(self) -> str:
        """The `type` member, relative to the API."""
        return PAGES + self.name


PROBLEM_TYPES = (
    ProblemType(
        "invalid-parameter",
        400,
        "A parameter or header is refused",
        "A parameter of the query or a header does not hold what the API documents, is unknown, or came more "
        "than once.",
        "Correct what `errors` names. The same request will be refused again.",
    ),
    ProblemType(
        "malformed-body",
        400,
        "The body is not JSON",
        "The body is not a JSON text in UTF-8 (RFC 8259). NaN and Infinity are not JSON.",
        "Send JSON, as a serializer of your language writes it.",
    ),
    ProblemType(
        "unauthorized",
        401,
        "The operator token is missing or wrong",
        "This call is the operator's: it wants `Authorization: Bearer` with the operator token, or, from a page of "
        "this system, the session that POST /session began. A session ends after 12 hours, on plain HTTP after one.",
        "Send the token that the system was started with, or sign in again.",
    ),
    ProblemType(
        "cross-site",
        403,
        "Another site's page sent this",
        "A browser says that a page of another site sent this request (Sec-Fetch-Site, or an Origin that is "
        "not the Host). Such a page may not change anything here.",
        "Call from a page of this API's own address, or from a program that is no browser.",
    ),
    ProblemType(
        "wants-tls",
        403,
        "The operator signs in over TLS only",
        "The operator token came in plain text from another machine: whoever stands between can read it.",
        "Open the page by https, or on the machine itself (http://localhost).",
    ),
    ProblemType(
        "not-found",
        404,
        "There is no such thing",
        "Nothing has this path, or no delivery or drone this id.",
        "Check the id; the lists hold all that exist.",
    ),
    ProblemType(
        "method-not-allowed",
        405,
        "The path does not know this method",
        "The path exists; `Allow` in the answer lists its methods.",
        "Use one of them.",
    ),
    ProblemType(
        "not-acceptable",
        406,
        "None of the forms is accepted",
        "The Accept header excludes every form that this list has.",
        "Accept application/json, text/csv or application/x-ndjson.",
    ),
    ProblemType(
        "request-timeout",
        408,
        "The request did not come whole in time",
        "Head or body stopped coming before their end. Nothing was done.",
        "Send it again; with an Idempotency-Key an order is safe to repeat.",
    ),
    ProblemType(
        "conflict",
        409,
        "Its present status does not allow this",
        "The delivery has moved on: `status_now` says where it is.",
        "Read the delivery, and decide anew.",
    ),
    ProblemType(
        "changed-since",
        412,
        "It has changed since it was read",
        "None of the ETags in If-Match is that of what is stored now. Nothing was changed.",
        "Read it again, make your change to that, and send its ETag.",
    ),
    ProblemType(
        "body-too-large",
        413,
        "The body is too large",
        "The body has more bytes than this call takes; `detail` says how many it takes.",
        "Send less.",
    ),
    ProblemType(
        "unsupported-media-type",
        415,
        "The body's type is not one that this call takes",
        "A body is application/json (zones: also application/geo+json) in UTF-8, not compressed, and its "
        "Content-Type says so.",
        "Send the header Content-Type: application/json.",
    ),
    ProblemType(
        "misdirected",
        421,
        "This is not the host that was called",
        "The Host header holds a name that this system was not told is its own. It answers to every IP "
        "address, to localhost, to names without a dot, to the machine's own, and to those in GATEWAY_HOST_NAMES.",
        "Call it by one of these, or start the gateways with the name in GATEWAY_HOST_NAMES.",
    ),
    ProblemType(
        "invalid-body",
        422,
        "A field of the body is refused",
        "The body is JSON, and one or more of its fields do not hold what the API documents. Nothing was stored.",
        "Correct every field that `errors` names. The same body will be refused again.",
    ),
    ProblemType(
        "idempotency-key-reused",
        422,
        "The Idempotency-Key was used for another order",
        "Within 24 hours this key came with another body. Nothing was stored.",
        "Use a new key for a new order; repeat an order with the same body.",
    ),
    ProblemType(
        "head-too-large",
        431,
        "The request's head is too large",
        "The request line and headers have more bytes, or are more, than this system takes.",
        "Send fewer or shorter headers.",
    ),
    ProblemType(
        "internal-error",
        500,
        "An error of ours",
        "Something went wrong that should not. It is logged with this `request_id`.",
        "Tell the operator the request_id.",
    ),
    ProblemType(
        "unavailable",
        503,
        "Nobody can answer now",
        "Nothing was done. A part of the system is away, full, or starting.",
        "Try again after Retry-After seconds.",
    ),
    ProblemType(
        "outcome-unknown",
        504,
        "The outcome is unknown",
        "The request may have been carried out or not: no answer came in time. The header X-Outcome says unknown.",
        "With an Idempotency-Key repeat it with the same one. Otherwise read first what is there.",
    ),
)
BY_NAME = {one.name: one for one in PROBLEM_TYPES}
BY_STATUS = {one.status: one for one in reversed(PROBLEM_TYPES)}  # the first of each status
