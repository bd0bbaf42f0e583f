"""A service's HTTP face and its life: health, metrics, request ids, problem documents, start and graceful stop.

    app = create_web("kvstore", settings.process, ready=lambda: None)
    serve(app)

serve.py runs it and holds the order of a stop.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from functools import cache, lru_cache, wraps
from typing import Any, Literal

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import BadURL, NotFound, SanicException
from sanic.helpers import STATUS_CODES
from sanic.response import raw, text
from sanic.router import Router
from ulid import ULID

from dronedispatch.runtime.auth import check_bearer
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.health import Facts, Health, Word, judge
from dronedispatch.runtime.http.proof import NONCE, PATH, prove
from dronedispatch.runtime.logs import bind_request_id
from dronedispatch.runtime.problems import CONTENT_TYPE, Problem
from dronedispatch.runtime.settings import ProcessSettings

REQUESTS = Counter("dd_http_requests_total", "Requests by method and status class", ["method", "status"])
SECONDS = Histogram(
    "dd_http_seconds",
    "Time to answer",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
HEAD_BYTES_MAX = 24_576  # what the load balancer lets through (16 KiB), with the lines that it adds
HEAD_TOO_LONG = "Request header exceeds the size limit"  # Sanic's words: its status, 413, is for bodies
HEALTH = Gauge("dd_health", "0 healthy, 1 degraded (it serves less than it promises), 2 not ready")
REASONS = Gauge("dd_health_reason", "1: this kind of reason keeps the process from being healthy", ["reason"])
STATUS_CODES.setdefault(421, b"Misdirected Request")  # Sanic knows no phrase for it
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}\Z")

log = structlog.get_logger()

TokenName = Literal["store", "operator", "metrics"]
Handler = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]


class ServiceProcess:
    """What a running service knows of itself; `app.ctx.process`."""

    def __init__(
        self,
        service: str,
        settings: ProcessSettings,
        ready: Callable[[], str | None],
        facts: Callable[[], Facts],
    ) -> None:
        self.service = service
        self.settings = settings
        self.ready = ready
        self.facts = facts
        self.draining = False
        self.registered = False  # this process, by its own doing, in Consul
        self.port = settings.port
        self.instance = settings.instance or ""
        self.consul = ConsulClient(
            settings.consul_addr,
            token=settings.consul_token.value if settings.consul_token else None,
            cacert=settings.consul_cacert,
        )
        # Set by a service before it serves: what its entry in Consul says beside name and address.
        self.meta: dict[str, str] = {}
        self.public_port: int | None = None  # when the advertised port is not the one that answers /health
        self.stop: Callable[[], None] = lambda: None  # ends the process gracefully; set while serving

    @property
    def address(self) -> str:
        """Where others reach us."""
        return self.settings.advertise or self.settings.host

    def why_not_ready(self) -> str | None:
        return "draining" if self.draining else self.ready()

    def health(self) -> Health:
        """The verdict of runtime/health.py on this process, now."""
        return judge(dataclasses.replace(self.facts(), not_ready=self.why_not_ready()))


class PlainRouter(Router):
    """Sanic's, which ends in an IndexError for `//` where `/` has a handler (sanic-routing 23.12)."""

    def _get(self, path: str, method: str, host: str | None) -> tuple[Any, Any, dict[str, Any]]:
        """See Router. Raises NotFound."""
        if path == "//":
            raise NotFound("Requested URL // not found")
        return super()._get(path, method, host)


class AnsweredRequest(Request):
    """Sanic's, which ends in a traceback and no answer when a target is no URL: the request that it makes up to answer with
    is made of the same target again (`method` is NONE then)."""

    def __init__(self, url_bytes: bytes, *, method: str, **given: Any) -> None:
        """See Request. Raises BadURL."""
        try:
            super().__init__(url_bytes=url_bytes, method=method, **given)
        except BadURL:
            if method != "NONE":
                raise
            super().__init__(url_bytes=b"*", method=method, **given)


def process_of(request: Request) -> ServiceProcess:
    """The process that serves this request."""
    process = request.app.ctx.process
    assert isinstance(process, ServiceProcess)
    return process


def create_web(
    service: str,
    settings: ProcessSettings,
    *,
    ready: Callable[[], str | None],
    health_extra: Callable[[], dict[str, object]] = dict,
    facts: Callable[[], Facts] = Facts,
    request_timeout_s: float = 30.0,
    response_timeout_s: float = 60.0,
) -> Sanic[Any, Any]:
    """A Sanic app with /health and /metrics, problem documents for every error, and request ids.

    `ready` returns the reason why this process should get no requests now, None when it should. `facts` is what it knows
    of its health beside that (runtime/health.py judges); `health_extra` adds members to the health document.
    """
    app: Sanic[Any, Any] = Sanic(
        f"{service}-{ULID()}".replace("_", "-"),
        configure_logging=False,
        strict_slashes=True,
        router=PlainRouter(),
        request_class=AnsweredRequest,
    )
    _configure(app, settings, request_timeout_s, response_timeout_s)
    process = ServiceProcess(service, settings, ready, facts)
    app.ctx.process = process
    _add_middleware(app, process)
    _add_errors(app)
    _add_proof(app, settings)

    _add_health(app, process, health_extra)

    @app.get("/metrics", name="metrics")
    @require_token("metrics")
    async def metrics(_request: Request) -> HTTPResponse:
        tell_health(process.health())
        return raw(generate_latest(), content_type=CONTENT_TYPE_LATEST)

    return app


def _configure(
    app: Sanic[Any, Any], settings: ProcessSettings, request_timeout_s: float, response_timeout_s: float
) -> None:
    app.config.REQUEST_MAX_SIZE = settings.body_bytes_max
    app.config.REQUEST_MAX_HEADER_SIZE = HEAD_BYTES_MAX
    app.config.REQUEST_TIMEOUT = request_timeout_s
    app.config.RESPONSE_TIMEOUT = response_timeout_s
    app.config.KEEP_ALIVE_TIMEOUT = 120
    app.config.ACCESS_LOG = False
    app.config.MOTD = False
    app.config.AUTO_EXTEND = False
    app.config.FALLBACK_ERROR_FORMAT = "json"


def _add_proof(app: Sanic[Any, Any], settings: ProcessSettings) -> None:
    @app.get(PATH, name="proof")
    async def proof(request: Request) -> HTTPResponse:
        nonce, secret = request.args.get("nonce", ""), settings.service_secret
        end = request.transport.get_extra_info("sockname") if request.transport is not None else None
        if secret is None or not NONCE(nonce) or not end:
            raise Problem(404, "nothing is proved here: no secret, or no nonce of 64 hexadecimal digits")
        return text(prove(secret.value, nonce, str(end[0]), int(end[1])))


def _add_health(
    app: Sanic[Any, Any], process: ServiceProcess, health_extra: Callable[[], dict[str, object]]
) -> None:
    @app.route("/health", methods=("GET", "HEAD"), name="health")
    async def health(request: Request) -> HTTPResponse:
        verdict = process.health()
        why_not = verdict.reasons[0].text if verdict.word is Word.NOT_READY else None
        document: dict[str, object] = {
            "service": process.service,
            "instance": process.instance,
            "live": True,
            "ready": why_not is None,
            "reason": why_not,
            "wall_s": time.time(),
        }
        document |= verdict.document() | health_extra()
        return json_answer(
            document, status=200 if why_not is None or request.args.get("live") == "1" else 503
        )


def tell_health(verdict: Health) -> None:
    """The verdict as metrics: 0 healthy, 1 degraded, 2 not ready; and which kinds of reasons there are."""
    HEALTH.set(list(Word).index(verdict.word))
    REASONS.clear()
    if not verdict.reasons:
        REASONS.labels("none").set(
            0
        )  # a rule that asks for a metric which nobody has would never be seen to be wrong
    for reason in verdict.reasons:
        REASONS.labels(reason.kind).set(1)


def json_answer(document: object, status: int = 200, headers: dict[str, str] | None = None) -> HTTPResponse:
    """JSON by msgspec."""
    return raw(msgspec.json.encode(document), status=status, headers=headers, content_type="application/json")


def problem_answer(request: Request, problem: Problem) -> HTTPResponse:
    """The problem document (RFC 9457) as the answer to `request`; a service that has types of its own names them here."""
    name_type = getattr(request.app.ctx, "name_problem_type", None)
    if name_type is not None:
        name_type(problem)
    return raw(
        problem.body(request.path, getattr(request.ctx, "request_id", None)),
        status=problem.status,
        headers=problem.headers,
        content_type=CONTENT_TYPE,
    )


def require_token(name: TokenName) -> Callable[[Handler], Handler]:
    """Only callers with the bearer token `name` (of the process' settings) get to the handler."""

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        async def guarded(request: Request, *args: Any, **kwargs: Any) -> HTTPResponse | None:
            wanted = getattr(process_of(request).settings, f"{name}_token")
            check_bearer(request.headers.get("authorization"), wanted, name)
            return await handler(request, *args, **kwargs)

        return guarded

    return decorate


def _add_middleware(app: Sanic[Any, Any], process: ServiceProcess) -> None:
    @app.on_request
    async def begin(request: Request) -> None:
        given = request.headers.get("x-request-id", "")
        request.ctx.request_id = given if REQUEST_ID.match(given) else str(ULID())
        request.ctx.began_s = time.perf_counter()
        request.ctx.counted = True
        bind_request_id(request.ctx.request_id)

    @app.on_response  # type: ignore[untyped-decorator]
    async def end(request: Request, response: HTTPResponse) -> None:
        if getattr(request.ctx, "counted", False):
            request.ctx.counted = False
            _seconds(request.method).observe(time.perf_counter() - request.ctx.began_s)
            response.headers["x-request-id"] = request.ctx.request_id
        response.headers.setdefault("date", http_date(int(time.time())))
        _requests(request.method, response.status // 100).inc()
        if process.draining and request.stream is not None:
            setattr(request.stream, "keep_alive", False)  # noqa: B010 - untyped. Answered with Connection: close, then closed


_seconds = cache(SECONDS.labels)


@cache
def _requests(method: str, kind: int) -> Counter:
    return REQUESTS.labels(method, f"{kind}xx")


def count_request(method: bytes, status: int, seconds: float) -> None:
    """One request that was answered below Sanic counts as one above it."""
    _seconds(method.decode()).observe(seconds)
    _requests(method.decode(), status // 100).inc()


@lru_cache(maxsize=2)
def http_date(second: int) -> str:
    """UTC epoch seconds -> the Date header's form, such as Tue, 24 Nov 2026 05:44:53 GMT."""
    return formatdate(second, usegmt=True)


def unexpected_problem(path: str, exc: Exception) -> Problem:
    """What nobody has words for: logged, and answered by 500."""
    log.error("unexpected", path=path, error=repr(exc), exc_info=exc)
    return Problem(500, "an unexpected error, logged with this request id")


def _add_errors(app: Sanic[Any, Any]) -> None:
    @app.exception(Problem)
    async def known(request: Request, exc: Problem) -> HTTPResponse:
        return problem_answer(request, exc)

    @app.exception(SanicException)
    async def library(request: Request, exc: SanicException) -> HTTPResponse:
        if str(exc) == HEAD_TOO_LONG:
            return problem_answer(request, Problem(431, f"a head of more than {HEAD_BYTES_MAX} bytes"))
        headers = {str(name): str(value) for name, value in (getattr(exc, "headers", None) or {}).items()}
        return problem_answer(request, Problem(exc.status_code or 500, str(exc) or "error", headers=headers))

    @app.exception(Exception)
    async def unexpected(request: Request, exc: Exception) -> HTTPResponse:
        return problem_answer(request, unexpected_problem(request.path, exc))
