"""A web server for one folder that supports range requests and ETags and counts the bytes that it sends."""

import contextlib
import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    def __init__(self, folder, *, has_ranges=True):
        self.bytes_given = 0
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self):
                self.answer(send=False)

            def do_GET(self):
                self.answer(send=True)

            def answer(self, *, send):
                path = folder / self.path.lstrip("/")
                outer.requests.append((self.command, self.path))
                if not path.is_file():
                    self.send_error(404)
                    return
                if path.name.startswith("secret"):
                    self.send_error(403)
                    return
                data = path.read_bytes()
                tag = hashlib.md5(data).hexdigest()
                wanted = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if has_ranges else None
                total = len(data)
                if wanted:
                    data = data[int(wanted[1]) : int(wanted[2]) + 1]
                self.send_response(206 if wanted else 200)
                if wanted:
                    self.send_header("Content-Range", f"bytes {wanted[1]}-{wanted[2]}/{total}")
                self.send_header("Content-Length", str(len(data)))
                self.send_header("ETag", f'"{tag}"')
                self.end_headers()
                if send:
                    with contextlib.suppress(ConnectionError):
                        self.wfile.write(data)
                        outer.bytes_given += len(data)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def close(self):
        self.http.shutdown()
        self.http.server_close()
