"""`fairnas watch --run DIR`: the report of a run, live in the browser."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.cli.parsing import RunArguments, UsageError, parse
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class WatchVerb(RunArguments):
    """Serve the report of a run on this machine while the run is in progress, until Ctrl-C. The run is only read.

    Example:
        fairnas watch --run runs/digits
    """

    port: int = 0
    """Port to serve on; 0 takes a free port."""
    host: str = "127.0.0.1"
    """Address to listen on. If other machines can reach it, they need the token in the address that is printed, and the
    connection is not encrypted; an SSH tunnel to the default address is safer.
    """


def main(arguments: Sequence[str]) -> None:
    """Parse, print the address, serve."""
    given = parse(WatchVerb, arguments, "watch")
    if not 0 <= given.port <= 65_535:
        raise UsageError(f"--port is {given.port}; give 1 to 65535, or 0 for any free one")
    run = RunDirectory.open(given.run)
    _ = run.config  # refuse a folder that holds no run now, not on the page
    from fairnas.report.live import LivePage
    from fairnas.report.server import LiveServer, is_loopback

    page = LivePage(run)
    token = "" if is_loopback(given.host) else secrets.token_urlsafe(24)
    with LiveServer(page, given.host, given.port, token) as server:
        page.page()  # import what the page needs now, so that the first browser does not wait
        if given.json:
            found = {"run": str(run.path), "url": server.url, "port": server.server_port, "token": token or None}
            # on one line, because the program that reads it cannot wait for our end
            print(json.dumps(found), flush=True)
        else:
            print(f"{run.path} is at {server.url} (Ctrl-C ends it)", flush=True)
        server.serve_forever()
