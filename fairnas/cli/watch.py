"""`fairnas watch --run DIR`: the report of a run, live in the browser."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.cli.parsing import RunArguments, UsageError, parse
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class WatchVerb(RunArguments):
    """Serve the report of a run on this machine while the run is going on, until Ctrl-C. The run is only read.

    Example:
        fairnas watch --run runs/digits
    """

    port: int = 0
    """Where to serve; 0 takes a free port."""
    host: str = "127.0.0.1"
    """Address to listen on. One that other machines can reach is served only to those who have the token in the
    address that is printed, and unencrypted; an SSH tunnel to the default is safer."""


def main(arguments: Sequence[str]) -> None:
    """Parse, print the address, serve."""
    given = parse(WatchVerb, arguments, "watch")
    if not 0 <= given.port <= 65_535:
        raise UsageError(f"--port is {given.port}; give 1 to 65535, or 0 for any free one")
    run = RunDirectory.open(given.run)
    _ = run.config  # a folder of something else is refused now, not on the page
    from fairnas.report.live import LivePage
    from fairnas.report.server import LiveServer, is_loopback

    page = LivePage(run)
    token = "" if is_loopback(given.host) else secrets.token_urlsafe(24)
    with LiveServer(page, given.host, given.port, token) as server:
        page.page()  # so that the first browser does not wait for our imports
        if given.json:
            found = {"run": str(run.path), "url": server.url, "port": server.server_port, "token": token or None}
            print(json.dumps(found), flush=True)  # in one line, because whoever reads it cannot wait for our end
        else:
            print(f"{run.path} is at {server.url} (Ctrl-C ends it)", flush=True)
        server.serve_forever()
