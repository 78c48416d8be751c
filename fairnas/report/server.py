"""Server of the live page of a run: two addresses, one method, and no files."""

import hmac
import ipaddress
import json
import socket
import socketserver
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from fairnas.errors import ConfigError
from fairnas.report.live import LivePage

_SECURITY = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address may contain the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_FRAMES = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_WILDCARDS = ("0.0.0.0", "::", "")


class LiveServer(ThreadingHTTPServer):
    """HTTP server of one page; listens once constructed, and answers in `serve_forever`. A context manager.

    Args:
        page: page to serve.
        host: host name or address to listen on.
        port: port to listen on; 0 takes a free one.
        token: secret that requests must contain; empty: none. Needed if other machines can reach `host`.

    Raises:
        ConfigError: if the address cannot be listened on.
    """

    daemon_threads = True
    allow_reuse_port = False  # otherwise two servers could share a port, and either might answer

    def __init__(self, page: LivePage, host: str, port: int, token: str = "") -> None:
        self.page, self.host, self.token = page, host, token
        self.is_local = is_loopback(host)
        assert self.is_local or token, "anybody who can reach the machine could read the run"
        try:
            self.address_family, address = _resolved(host, port)
            super().__init__(address, _Handler)
        except (OSError, UnicodeError) as error:
            remedy = "give another --port, or 0 for any free one" if port else "give another --host"
            raise ConfigError(f"cannot serve on {host}, port {port}: {_reason(error)}; {remedy}") from error

    def server_bind(self) -> None:
        """Listen without looking up this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    @property
    def url(self) -> str:
        """Address to open, with the token if there is one."""
        host = socket.gethostname() if self.host in _WILDCARDS else self.host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.server_port}/" + (f"?token={quote(self.token)}" if self.token else "")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that left; print any other error as one line."""
        error = sys.exception()
        if not isinstance(error, OSError):
            print(f"fairnas: our fault: {type(error).__name__}: {error}", file=sys.stderr)


class _Handler(BaseHTTPRequestHandler):
    """One request. Anything but a plain GET of a known address is refused."""

    timeout = 20  # seconds, for a client that sends nothing

    def version_string(self) -> str:
        """Return the server's name; the base class would add Python's version."""
        return "fairnas"

    def parse_request(self) -> bool:
        """Refuse whitespace other than single spaces between words, which the base class accepts."""
        if not super().parse_request():
            return False
        if self.requestline != " ".join(self.requestline.split()):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        return True

    def do_GET(self) -> None:
        assert isinstance(self.server, LiveServer)
        path, _, query = self.path.partition("?")
        if not self._is_allowed(self.server, query):
            self._answer(HTTPStatus.FORBIDDEN)
        elif path == "/":
            served = self.server.page.page()
            self._answer(HTTPStatus.OK, served.content, "text/html; charset=utf-8", served.policy)
        elif path == "/version":
            content = json.dumps(self.server.page.state().to_dict(time.time())).encode()
            self._answer(HTTPStatus.OK, content, "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND)

    def _is_allowed(self, server: LiveServer, query: str) -> bool:
        """True if the request is meant for this server and carries the token, if one is needed."""
        if server.token:
            given = parse_qs(query).get("token", [""])[0]
            if not hmac.compare_digest(given.encode(), server.token.encode()):
                return False
        # A foreign web page can point its own host name at our address (DNS rebinding), then read our answers. Such a
        # request has the foreign name in its Host header.
        return not server.is_local or _names_this_machine(self.headers.get_all("Host", []))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse in the same plain form. The base class answers 501 to unknown methods."""
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code))

    def _answer(
        self,
        status: HTTPStatus,
        content: bytes | None = None,
        kind: str = "text/plain; charset=utf-8",
        policy: str = "default-src 'none'",
    ) -> None:
        content = f"{status.value} {status.phrase}\n".encode() if content is None else content
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), "Connection": "close", **_SECURITY}
        headers["Content-Security-Policy"] = f"{policy}; {_FRAMES}"
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: a page asks every few seconds."""


def is_loopback(host: str) -> bool:
    """True if only this machine can reach the host. False for an unknown name."""
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    family, _, _, _, address = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM)[0]
    return family, address


def _reason(error: OSError | UnicodeError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _names_this_machine(given: list[str]) -> bool:
    """True if a request has exactly one Host and it is loopback. Any port, because a tunnel may use another."""
    if len(given) != 1:
        return False
    try:
        name = urlsplit(f"//{given[0]}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
