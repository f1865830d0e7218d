"""A server on this machine, archives to download from it, and what came of them."""

import http.server
import io
import os
import re
import zipfile


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`, whole or from a byte on, and notes where each answer started."""

    def do_GET(self):
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = 0
        requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if requested and self.server.ranges:
            start = int(requested.group(1))
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", "bytes */%d" % len(content))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.server.starts.append(start)
        self.send_response(206 if start else 200)
        if start:
            span = "bytes %d-%d/%d" % (start, len(content) - 1, len(content))
            self.send_header("Content-Range", span)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.break_after])

    def log_message(self, *_):
        pass


def make_zip(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def snapshot(folder):
    """All files below a folder with their content."""
    return {
        os.path.relpath(os.path.join(parent, name), str(folder)): open(
            os.path.join(parent, name), "rb"
        ).read()
        for parent, _, names in os.walk(str(folder))
        for name in names
    }
