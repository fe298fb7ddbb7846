"""One HTTP session to an API: authentication, time limits, retries, sizes, counts.

What is retried, with exponential pauses and jitter: connection faults, 429, 5xx, and bodies that are cut short
or not what they claim to be. ``Retry-After`` (seconds or a date, 0 included) lengthens a pause, never shortens
it; one longer than our patience ends the sync at once, so that it is taken up again later.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from tenacity import RetryCallState, Retrying

from vantage_pipeline.errors import (
    PipelineError,
    SandboxRefused,
    SourceError,
    SourceNotFound,
    SourceProtocolError,
    SourceRefused,
    SourceThrottled,
    SourceUnreachable,
)
from vantage_pipeline.records.decode import Decoded, decode
from vantage_pipeline.settings import Settings, System
from vantage_pipeline.sources.budget import RequestBudget
from vantage_pipeline.sources.deadline import BoundedAdapter

T = TypeVar("T")
SANDBOX_HEADER = "X-Vantage-Sandbox"
_MAX_REDIRECTS = 5
_MAX_PAUSE = 60.0
_UNTRUSTED = "its TLS certificate is not trusted (name your authority's certificate in REQUESTS_CA_BUNDLE)"
_NO_BUNDLE = "the file of certificates that REQUESTS_CA_BUNDLE names is not there"
_NOT_PASSING = (_UNTRUSTED, _NO_BUNDLE)
"""What another try does not get over."""
_NO_CLOCK_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)


class _Transient(Exception):
    """A failure worth another try; `final` is what to raise when tries run out."""

    def __init__(self, final: SourceError, retry_after: float | None = None) -> None:
        super().__init__(str(final))
        self.final = final
        self.retry_after = retry_after


@dataclass
class SourceStats:
    """What a reading cost. Thread-safe through the session's lock."""

    requests: int = 0
    by_status: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    retries: int = 0
    server_clock: datetime | None = None
    """The ``Date`` of the first answer: the watermark never lies after it, whatever our own clock says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded response."""

    status: int
    decoded: Decoded
    size: int
    """Bytes of the body."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How one API differs from another: its name, its headers, and how it words a refusal."""

    system: System
    base_url: str
    headers: Mapping[str, str] = field(repr=False)
    refusal_hint: str = ""


class _HeaderAuth(requests.auth.AuthBase):
    """Puts the secrets on each request. Being set, it keeps a stray ``.netrc`` from replacing them."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class ApiSession:
    """GETs JSON from one API. Safe to use from several threads."""

    def __init__(self, policy: Policy, settings: Settings, budget: RequestBudget | None = None) -> None:
        self.policy = policy
        self.stats = SourceStats()
        self._settings = settings
        self._attempts = settings.max_attempts_of.get(policy.system, settings.max_attempts)
        self._backoff = settings.backoff_seconds_of.get(policy.system, settings.backoff_seconds)
        self._budget = budget
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._session = requests.Session()
        self._session.auth = _HeaderAuth(policy.headers)
        self._session.headers["Accept"] = "application/json"
        self._session.headers["User-Agent"] = "vantage-pipeline"
        adapter = BoundedAdapter(
            settings.response_timeout, pool_connections=1, pool_maxsize=settings.concurrency, max_retries=0
        )
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._host = urlsplit(policy.base_url).netloc

    def close(self) -> None:
        """End all waits and connections."""
        self._closing.set()
        self._session.close()

    def get(self, path: str, *, params: Mapping[str, str] | None = None, what: str) -> Answer:
        """GET `path` below the base URL, decoded.

        Args:
            path: begins with a slash.
            params: the query; values are encoded here.
            what: what is asked for, in the words of the messages.

        Raises:
            SourceError: one of its kinds, after the retries that it deserves.
        """
        return self.retrying(lambda: self._once(path, params, what))

    def retrying(self, attempt: Callable[[], T]) -> T:
        """Run `attempt` until it succeeds or no further try is due."""
        started = time.monotonic()
        retrying = Retrying(
            wait=self._pause,
            stop=lambda state: self._exhausted(state, started),
            retry=lambda state: isinstance(state.outcome and state.outcome.exception(), _Transient),
            sleep=self._sleep,
            before_sleep=self._count_retry,
            retry_error_callback=_raise_final,
        )
        return retrying(attempt)

    def transient(self, error: SourceError) -> Exception:
        """`error` as one that `retrying` tries again."""
        return _Transient(error)

    def _once(self, path: str, params: Mapping[str, str] | None, what: str) -> Answer:
        if self._closing.is_set():
            raise SourceError(f"{what}: the reading was stopped")
        if self._budget is not None:
            self._budget.take(self._closing)
        response, body = self._exchange(path, params, what)
        self._note(response, len(body))
        self._check_status(response, body, what)
        try:
            return Answer(response.status_code, decode(body, where=f"{self.policy.system}: {what}"), len(body))
        except SourceProtocolError as error:
            raise _Transient(error) from error

    def _exchange(self, path: str, params: Mapping[str, str] | None, what: str) -> tuple[requests.Response, bytes]:
        """One request and its whole body, redirects within the host included."""
        url = self.policy.base_url + path
        timeout = (self._settings.connect_timeout, self._settings.read_timeout)
        deadline = time.monotonic() + self._settings.response_timeout
        try:
            for _ in range(_MAX_REDIRECTS):
                response = self._session.get(url, params=params, timeout=timeout, stream=True, allow_redirects=False)
                with response:
                    body = self._read(response, deadline, what)
                if not response.is_redirect:
                    return response, body
                url, params = self._redirect(url, response, what), None
            raise SourceProtocolError(f"{self._prefix(what)}: redirected more than {_MAX_REDIRECTS} times")
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = self._unreachable(error, what)
            if any(words in str(failure) for words in _NOT_PASSING):
                raise failure from error
            raise _Transient(failure) from error

    def _read(self, response: requests.Response, deadline: float, what: str) -> bytes:
        limit = self._settings.max_response_bytes
        body = bytearray()
        raw = response.raw
        while True:
            chunk = raw.read1(1 << 18, decode_content=True)
            if not chunk:
                break
            body += chunk
            if len(body) > limit:
                raise SourceProtocolError(
                    f"{self._prefix(what)}: the response is larger than {limit} bytes; ask for smaller pages "
                    f"(VANTAGE_PIPELINE_PAGE_SIZE) or raise VANTAGE_PIPELINE_MAX_RESPONSE_BYTES"
                )
            if time.monotonic() > deadline:
                raise requests.exceptions.ReadTimeout(
                    f"the response took longer than {self._settings.response_timeout:g} s"
                )
        promised = response.headers.get("Content-Length")
        encoded = response.headers.get("Content-Encoding", "identity")
        if promised and promised.isdigit() and encoded == "identity" and int(promised) != len(body):
            raise requests.exceptions.ContentDecodingError(f"{promised} bytes promised, {len(body)} came")
        return bytes(body)

    def _redirect(self, url: str, response: requests.Response, what: str) -> str:
        target = urljoin(url, response.headers.get("Location", ""))
        parts = urlsplit(target)
        if parts.netloc != self._host or parts.scheme != urlsplit(self.policy.base_url).scheme:
            raise SourceProtocolError(
                f"{self._prefix(what)}: redirected to another host ({parts.scheme}://{parts.hostname}), which was "
                f"not followed because the token would go with it; check {self.policy.system.upper()}_API_BASE_URL"
            )
        return target

    def _check_status(self, response: requests.Response, body: bytes, what: str) -> None:
        status = response.status_code
        if SANDBOX_HEADER in response.headers and not self._settings.embedded:
            raise SandboxRefused(
                f"{self.policy.system}: the sandbox answers at {self.policy.base_url}, and DATABASE_URL names a real "
                f"database; made-up data never goes there: unset DATABASE_URL or set the real API's address"
            )
        if status == 200:
            return
        prefix = self._prefix(what)
        told = self._settings.mask(_message_of(body))
        if status in (401, 403):
            raise SourceRefused(f"{prefix}: HTTP {status} {told}; {self.policy.refusal_hint}")
        if status == 404:
            raise SourceNotFound(f"{prefix}: HTTP 404 {told}")
        if status == 429:
            after = _retry_after(response.headers.get("Retry-After"))
            throttled = SourceThrottled(
                f"{prefix}: HTTP 429 too many requests, asked to wait {after or 0:g} s; run the sync again later",
                retry_after=after or 0.0,
            )
            if after is not None and after > self._settings.patience_seconds:
                raise throttled
            raise _Transient(throttled, after)
        if status >= 500:
            after = _retry_after(response.headers.get("Retry-After"))
            error = SourceUnreachable(f"{prefix}: HTTP {status} {told}; the API is in trouble, try again later")
            if after is not None and after > self._settings.patience_seconds:
                raise SourceThrottled(str(error), retry_after=after)
            raise _Transient(error, after)
        raise SourceProtocolError(f"{prefix}: HTTP {status} {told}")

    def _note(self, response: requests.Response, size: int) -> None:
        with self._lock:
            self.stats.requests += 1
            self.stats.by_status[str(response.status_code)] += 1
            self.stats.bytes += size
            if self.stats.server_clock is None:
                told = _http_date(response.headers.get("Date", ""))
                # a clock that is wrong by decades tells nothing of when the records changed
                self.stats.server_clock = told if told is not None and told > _NO_CLOCK_BEFORE else None

    def _unreachable(self, error: BaseException, what: str) -> SourceUnreachable:
        with self._lock:
            self.stats.requests += 1
            self.stats.by_status["no answer"] += 1
        return SourceUnreachable(
            f"{self._prefix(what)}: {_reason(error)}; check {self.policy.system.upper()}_API_BASE_URL and the network"
        )

    def _prefix(self, what: str) -> str:
        return f"{self.policy.system}: {what} from {self.policy.base_url}"

    def _pause(self, state: RetryCallState) -> float:
        backoff = min(_MAX_PAUSE, self._backoff * 2 ** (state.attempt_number - 1))
        jittered: float = backoff * random.uniform(0.5, 1.0)
        failure = state.outcome.exception() if state.outcome else None
        after = failure.retry_after if isinstance(failure, _Transient) else None
        return max(jittered, after + jittered / 4) if after else jittered

    def _exhausted(self, state: RetryCallState, started: float) -> bool:
        failure = state.outcome.exception() if state.outcome else None
        throttled = isinstance(failure, _Transient) and isinstance(failure.final, SourceThrottled)
        if throttled and failure is not None and isinstance(failure, _Transient) and failure.retry_after:
            return time.monotonic() - started + failure.retry_after > self._settings.patience_seconds
        return state.attempt_number >= self._attempts

    def _sleep(self, seconds: float) -> None:
        self._closing.wait(seconds)

    def _count_retry(self, _state: RetryCallState) -> None:
        with self._lock:
            self.stats.retries += 1


def _raise_final(state: RetryCallState) -> object:
    failure = state.outcome.exception() if state.outcome else None
    if isinstance(failure, _Transient):
        raise failure.final from failure.__cause__
    raise PipelineError("a retry ended without an outcome")


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from seconds or an HTTP date; None where there is nothing usable."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        moment = _http_date(value)
        return None if moment is None else max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _message_of(body: bytes) -> str:
    """What the API says of an error, in any of its shapes, short."""
    try:
        value = decode(body, where="").value
    except SourceProtocolError:
        return f"({len(body)} bytes that are not JSON)"
    if isinstance(value, dict):
        inner = value.get("body")
        for source in (inner if isinstance(inner, dict) else {}, value):
            for name in ("message", "translation", "error_class"):
                if isinstance(source.get(name), str):
                    return f"({source[name][:200]})"
    return ""


def _told(error: BaseException | None) -> Iterator[str]:
    """What an error and those behind it say."""
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__


def _reason(error: BaseException) -> str:
    """The cause in a few words, without addresses of objects."""
    text = " / ".join(_told(error))
    for words, reason in (
        ("Connection refused", "connection refused"),
        ("Name or service not known", "the host name is unknown"),
        ("nodename nor servname", "the host name is unknown"),
        ("Temporary failure in name resolution", "the host name is unknown"),
        ("getaddrinfo failed", "the host name is unknown"),
        ("CERTIFICATE_VERIFY_FAILED", _UNTRUSTED),
        ("TLS CA certificate bundle", _NO_BUNDLE),
        ("Connection reset", "connection reset"),
        ("took longer", "the response took longer than VANTAGE_PIPELINE_RESPONSE_TIMEOUT"),
        ("timed out", "timed out"),
        ("promised", f"the response was cut short: {error}"),
        ("IncompleteRead", "the response was cut short"),
        ("RemoteDisconnected", "the connection was closed without an answer"),
    ):
        if words in text:
            return reason
    return type(error).__name__
