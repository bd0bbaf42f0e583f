"""Bearer tokens of the private endpoints, compared in constant time."""

from __future__ import annotations

import hmac

from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.settings import Secret


def check_bearer(header: str | None, wanted: Secret | None, name: str) -> None:
    """Raises Problem 401 unless `header` is "Bearer <wanted>" or one of its `also`. Without a token nobody gets in."""
    scheme, _, shown = (header or "").partition(" ")
    given = shown.strip() if scheme.lower() == "bearer" else ""
    accepted = () if wanted is None else (wanted.value, *wanted.also)
    # A header's bytes beyond ASCII come as halves of surrogate pairs: those are wrong tokens too, and no error of ours.
    shown_bytes = given.encode(errors="surrogatepass")
    fits = [hmac.compare_digest(shown_bytes, one.encode()) for one in accepted]
    if not given or not any(fits):
        raise Problem(
            401,
            f"this endpoint wants the {name} token: Authorization: Bearer <token>",
            headers={"WWW-Authenticate": f'Bearer realm="{name}"'},
        )


def bearer(token: Secret | None) -> tuple[tuple[str, str], ...]:
    """The header that shows `token` (none: no header)."""
    return () if token is None else (("authorization", f"Bearer {token.value}"),)
