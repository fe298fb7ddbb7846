"""What a sync takes from an API, and from whom: sizes, nesting, redirects, certificates."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from vantage_pipeline import catalog
from vantage_pipeline.errors import SourceProtocolError, SourceUnreachable
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline.sources.vantage import VantageClient
from vantage_pipeline_tests.pipeline import Pipeline, settings_for

Answer = Callable[[str], tuple[int, Mapping[str, str], bytes]]
EMPTY = (
    b'{"code": 0, "accounts": [], "page_context": {"page": 1, "has_more_page": false, "total_available_Records": 0}}'
)


class Host:
    """A server on loopback that answers as it is told, and remembers who asked."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None) -> None:
        asked: list[tuple[str, str | None]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, self.headers.get("Authorization")))
                status, headers, body = answer(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """What was asked is kept."""

        self.asked = asked
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@contextmanager
def host(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[Host]:
    made = Host(answer, context)
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()


def read(sandbox: Sandbox, url: str, **changes: object) -> int:
    client = VantageClient(settings_for(sandbox, VANTAGE_API_BASE_URL=url, max_attempts=2, **changes))
    try:
        return sum(len(page.records) for page in client.read(catalog.dataset_of("investors"), since=None))
    finally:
        client.close()


def test_a_redirect_to_another_host_is_not_followed(sandbox: Sandbox) -> None:
    with host(lambda _: (200, {}, EMPTY)) as thief:
        target = f"http://localhost:{thief.port}/api/Accounts"
        with (
            host(lambda _: (302, {"Location": target}, b"")) as ours,
            pytest.raises(SourceProtocolError, match=r"another host \(http://localhost\).*check VANTAGE_API_BASE_URL"),
        ):
            read(sandbox, f"http://127.0.0.1:{ours.port}")
        assert thief.asked == []


def test_a_redirect_within_the_host_is_followed_and_one_in_a_circle_ends(sandbox: Sandbox) -> None:
    def moved(path: str) -> tuple[int, Mapping[str, str], bytes]:
        return (200, {}, EMPTY) if path.startswith("/new") else (301, {"Location": f"/new{path}"}, b"")

    with host(moved) as ours:
        assert read(sandbox, f"http://127.0.0.1:{ours.port}") == 0
        assert [token for _, token in ours.asked] == ["sandbox-vantage-token"] * 2
    with (
        host(lambda path: (302, {"Location": path}, b"")) as ours,
        pytest.raises(SourceProtocolError, match="redirected more than 5 times"),
    ):
        read(sandbox, f"http://127.0.0.1:{ours.port}")


def test_a_response_that_swells_when_unpacked_is_refused(sandbox: Sandbox) -> None:
    packed = gzip.compress(b" " * 50_000_000)
    assert len(packed) < 60_000
    with (
        host(lambda _: (200, {"Content-Encoding": "gzip"}, packed)) as ours,
        pytest.raises(SourceProtocolError, match=r"larger than 1000000 bytes.*VANTAGE_PIPELINE_MAX_RESPONSE_BYTES"),
    ):
        read(sandbox, f"http://127.0.0.1:{ours.port}", max_response_bytes=1_000_000)


@pytest.mark.parametrize(
    ("spoil", "code", "told"),
    [
        ({"notes": "x" * 5_000}, "TOO_LARGE", "at most 4000 bytes a record"),
        ({"notes": [[[[[["deep"]]]]]]}, "TOO_DEEP", "at most 5 levels"),
        ({"investor_id": "9" * 501}, "TOO_LONG", "at most 500 characters"),
    ],
)
def test_a_record_beyond_a_limit_waits_in_quarantine(
    pipeline: Pipeline, spoil: dict[str, object], code: str, told: str
) -> None:
    pipeline.sandbox.vantage.records["accounts"][3].update(spoil)
    pipeline.changes = {"max_record_bytes": 4_000, "max_nesting": 5}
    report = pipeline.sync("accounts")
    assert (report.counts.created, report.quarantined) == (59, 1)
    (found,) = pipeline.database.rows("SELECT code, message FROM vantage_quarantine")
    assert found[0] == code
    assert told in found[1]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def secure(authority: trustme.CA) -> Iterator[Host]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with host(lambda _: (200, {}, EMPTY), context) as made:
        yield made


@pytest.mark.parametrize(
    "stray", ["CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PYTHONHTTPSVERIFY", "SSL_VERIFY", "nothing"]
)
def test_a_certificate_that_nobody_vouches_for_is_refused(
    sandbox: Sandbox, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, stray: str
) -> None:
    """Also with the empty and zero values that switch the check off elsewhere."""
    monkeypatch.setenv(stray, "0" if stray in ("PYTHONHTTPSVERIFY", "SSL_VERIFY") else "")
    with (
        secure(authority) as ours,
        pytest.raises(SourceUnreachable, match=r"certificate is not trusted.*REQUESTS_CA_BUNDLE"),
    ):
        read(sandbox, f"https://127.0.0.1:{ours.port}")
    assert ours.asked == []


def test_an_authority_of_ones_own_is_named_in_the_environment(
    sandbox: Sandbox, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with secure(authority) as ours:
        assert read(sandbox, f"https://127.0.0.1:{ours.port}") == 0
        assert len(ours.asked) == 1
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    with pytest.raises(SourceUnreachable, match=r"REQUESTS_CA_BUNDLE.*is not there"):
        read(sandbox, f"https://127.0.0.1:{ours.port}")


def test_no_setting_switches_the_check_off() -> None:
    words = ("tls", "ssl", "insecure", "certificate")
    assert [name for name in Settings.model_fields if any(word in name for word in words)] == []
