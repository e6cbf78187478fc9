"""Files from the network: against a server on this machine that can be told to misbehave."""

import contextlib
import hashlib
import os
import socket
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from mmjax.data.download import data_folders, digest, download
from mmjax.data.errors import DataError, DownloadError

CONTENT = np.random.default_rng(0).bytes(300_007)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT. Its attributes say how it misbehaves, `ranges` what it was asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.ranges, self.lock = CONTENT, [], threading.Lock()
        self.break_after = []  # bytes before the connection breaks, for each of the next requests
        self.knows_ranges, self.says_length, self.status = True, True, 200
        self.go_on = threading.Event()  # a silent server waits for it
        self.silent = False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        with server.lock:
            server.ranges.append(asked)
            cut = server.break_after.pop(0) if server.break_after else None
        if server.silent:
            server.go_on.wait(10)
            return
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if not server.knows_ranges:
            start = 0
        if start >= len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if asked and server.knows_ranges else 200)
        if asked and server.knows_ranges:
            size = len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if server.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may be gone
            self.wfile.write(body[:cut])

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


def fetch(server, path, **options):
    return download(server.url, path, **{"sha256": SHA256, "timeout": 5.0} | options)


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_with_a_bar_and_nothing_beside_it(server, tmp_path, capsys):
    path = tmp_path / "new" / "file.bin"
    assert fetch(server, path) == path
    assert path.read_bytes() == CONTENT and left(path.parent) == ["file.bin"]
    assert path.stat().st_mode & 0o777 == 0o644
    out, err = capsys.readouterr()
    assert out.endswith(f"\r{'█' * 20} 0.3/0.3 MB  file.bin\n") and err == ""


def test_a_file_that_is_there_is_not_fetched(server, tmp_path):
    (tmp_path / "file.bin").write_bytes(b"mine")
    fetch(server, tmp_path / "file.bin")
    assert server.ranges == [] and (tmp_path / "file.bin").read_bytes() == b"mine"


def test_without_a_bar_nothing_is_printed(server, tmp_path, capsys):
    fetch(server, tmp_path / "file.bin", progress=False)
    assert capsys.readouterr() == ("", "")


def test_a_length_that_is_not_said_is_no_obstacle(server, tmp_path, capsys):
    server.says_length = False
    assert fetch(server, tmp_path / "file.bin").read_bytes() == CONTENT
    assert capsys.readouterr().out.endswith("\r0.3 MB  file.bin\n")


def test_a_connection_that_breaks_off_is_resumed(server, tmp_path):
    server.break_after = [100_003, 100_003]
    assert fetch(server, tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100003-", "bytes=200006-"]


def test_a_later_call_goes_on_where_an_earlier_one_stopped(server, tmp_path):
    server.break_after = [100_003, 0]
    with pytest.raises(DownloadError, match=r"broke off after 100,003 of 300,007 bytes"):
        fetch(server, tmp_path / "file.bin")
    assert left(tmp_path) == ["file.bin.part"]
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:100_003]
    fetch(server, tmp_path / "file.bin")
    assert server.ranges == [None, "bytes=100003-", "bytes=100003-"]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT and left(tmp_path) == ["file.bin"]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.knows_ranges = False
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:5])
    assert fetch(server, tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.ranges == ["bytes=5-"]


@pytest.mark.parametrize("size", [300_007, 300_011])
def test_a_remainder_that_is_too_long_is_dropped(server, tmp_path, size):
    (tmp_path / "file.bin.part").write_bytes(b"x" * size)
    assert fetch(server, tmp_path / "file.bin").read_bytes() == CONTENT


def test_the_remainder_of_another_file_is_noticed(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"another file")
    assert fetch(server, tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.ranges == ["bytes=12-", None]


def test_a_wrong_digest_leaves_nothing(server, tmp_path):
    server.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(DownloadError, match="its SHA-256 digest is not the known one"):
        fetch(server, tmp_path / "file.bin")
    assert left(tmp_path) == [] and server.ranges == [None]


def test_contents_that_are_checked_later_need_no_digest(server, tmp_path):
    path = fetch(server, tmp_path / "file.bin", sha256=None)
    assert digest(path) == SHA256


def one_sentence(caught, url):
    """The error says from where and what to do, and shows no other error as its cause."""
    text = str(caught.value)
    assert url in text and "connect to the internet" in text and "MMJAX_DATA" in text
    assert "\n" not in text and text.count(". ") == 0
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    return text


def test_a_silent_server_is_given_up(server, tmp_path):
    server.silent = True
    with pytest.raises(DownloadError) as caught:
        fetch(server, tmp_path / "file.bin", timeout=0.1)
    assert "no answer for 0.1 s" in one_sentence(caught, server.url)


def test_a_server_that_falls_silent_is_given_up_and_its_bytes_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve():
            for _ in range(2):
                with listener.accept()[0] as connection:
                    asked = connection.recv(4096)
                    if b"Range" not in asked:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
                        done.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        timer = threading.Timer(0.5, done.set)
        timer.start()
        with pytest.raises(DownloadError) as caught:
            download(url, tmp_path / "file.bin", sha256=SHA256, timeout=0.2)
        one_sentence(caught, url)
        thread.join()
        timer.join()
    assert (tmp_path / "file.bin.part").read_bytes() == b"half"


def test_a_refused_connection(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DownloadError) as caught:
        download(f"http://127.0.0.1:{port}/x", tmp_path / "file.bin", sha256=SHA256)
    assert "the connection was refused" in one_sentence(caught, f"127.0.0.1:{port}/x")
    assert left(tmp_path) == []


def test_no_network(tmp_path, monkeypatch):
    def unknown(*_, **__):
        raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(urllib.request, "urlopen", unknown)
    with pytest.raises(DownloadError) as caught:
        download("https://example.org/x", tmp_path / "file.bin", sha256=SHA256)
    assert "cannot be looked up, as without a network" in one_sentence(caught, "example.org")


@pytest.mark.parametrize("status", [404, 403, 503])
def test_a_server_that_refuses(server, tmp_path, status):
    server.status = status
    with pytest.raises(DownloadError) as caught:
        fetch(server, tmp_path / "file.bin")
    assert f"the server answered {status}" in one_sentence(caught, server.url)
    assert left(tmp_path) == [] and len(server.ranges) == 1


def test_something_that_speaks_no_http(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with listener.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"hello\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(DownloadError) as caught:
            download(url, tmp_path / "file.bin", sha256=SHA256)
        one_sentence(caught, url)
        thread.join()


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(server, tmp_path / "file" / "file.bin")
    assert server.ranges == []


def test_an_interruption_keeps_what_had_arrived(server, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("mmjax.data.progress.Bar.show", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(server, tmp_path / "file.bin")
    kept = (tmp_path / "file.bin.part").read_bytes()
    assert left(tmp_path) == ["file.bin.part"] and kept and CONTENT.startswith(kept)


def test_two_at_once_write_no_common_file(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:100_003])
    threads = [
        threading.Thread(target=fetch, args=(server, tmp_path / "file.bin")) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file.bin").read_bytes() == CONTENT and left(tmp_path) == ["file.bin"]
    assert server.ranges.count("bytes=100003-") == 1


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"url": "file:///x"}, "url"), ({"url": "http://x", "timeout": 0}, "timeout")],
)
def test_wrong_arguments_are_named(tmp_path, arguments, named):
    with pytest.raises(ValueError, match=f"argument '{named}'"):
        download(**arguments, path=tmp_path / "x", sha256=None)


def test_folders_are_searched_in_order(tmp_path, monkeypatch):
    monkeypatch.setenv("MMJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MMJAX_DATA", raising=False)
    assert data_folders() == [tmp_path / "cache"]
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path))
    assert data_folders() == [tmp_path, tmp_path / "cache"]
    monkeypatch.setenv("MMJAX_DATA", str(tmp_path / "slip"))
    with pytest.raises(DataError, match="MMJAX_DATA: expected a folder, got '.*slip'"):
        data_folders()


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    for name in ("MMJAX_CACHE", "XDG_CACHE_HOME", "MMJAX_DATA"):
        monkeypatch.delenv(name, raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert data_folders() == []
    assert os.environ.get("MMJAX_DATA") is None
