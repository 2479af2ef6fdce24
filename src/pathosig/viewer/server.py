"""Start the viewer on 127.0.0.1, in this process or in a thread."""

from __future__ import annotations

import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pathosig.core.errors import ConfigError
from pathosig.core.study import Study
from pathosig.viewer.app import create_app

if TYPE_CHECKING:
    import uvicorn


@dataclass(kw_only=True)
class RunningViewer:
    """A viewer running in a thread; use as a context manager or call `stop`.

    Attributes
    ----------
    url
        Address with the token.
    port, token
        Its parts.
    """

    url: str
    port: int
    token: str
    _server: uvicorn.Server = field(repr=False)
    _thread: threading.Thread = field(repr=False)

    def stop(self) -> None:
        """Stop serving and wait for the thread."""
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def __enter__(self) -> RunningViewer:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()


def serve_viewer(study: Study, *, port: int = 0, read_only: bool = False) -> dict[str, str]:
    """Show the study in the browser until interrupted; the address goes to standard error.

    Parameters
    ----------
    study
        An open study; only names of HPCs (hpc_names.csv) and corrected cores (cores.csv) are written.
    port
        TCP port on 127.0.0.1; 0 takes a free one.
    read_only
        Do not let the page change names of HPCs and cores.
    """
    server, sock, url = _prepare(study, port, read_only)
    sys.stderr.write(f"pathosig viewer: {url}\nOnly this machine can open it. Stop with Ctrl-C.\n")
    sys.stderr.flush()
    try:
        server.run(sockets=[sock])
    finally:
        sock.close()
    return {"url": url.split("?")[0], "status": "stopped"}


view = serve_viewer
"""The command `pathosig view`."""


def start_viewer(study: Study, *, port: int = 0, read_only: bool = False) -> RunningViewer:
    """Show the study from a thread of this process and return at once: for notebooks and tests."""
    server, sock, url = _prepare(study, port, read_only)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [sock]}, daemon=True, name="pathosig-viewer"
    )
    thread.start()
    for _ in range(500):
        if server.started or not thread.is_alive():
            break
        time.sleep(0.01)
    token = url.split("token=")[1]
    return RunningViewer(url=url, port=sock.getsockname()[1], token=token, _server=server, _thread=thread)


def _prepare(study: Study, port: int, read_only: bool) -> tuple[uvicorn.Server, socket.socket, str]:
    from pathosig.viewer.connections import impatient_server  # uvicorn is an extra

    app = create_app(study, read_only=read_only)
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        sock.close()
        message = f"port {port}: cannot be used ({error}). Choose another, or 0 for any free one."
        raise ConfigError(message, code="E_PORT") from error
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/?token={app.state.token}"
    return impatient_server(app), sock, url
