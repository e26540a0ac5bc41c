import dataclasses
import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from bench.metrics import weights

GOOD = b"the weights, as published " * 1000


class Handler(BaseHTTPRequestHandler):
    """/good, /changed, /truncated, /stalled; anything else is 404. Counts requests on the server."""

    def do_GET(self) -> None:
        self.server.requests += 1
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(GOOD)))
        self.end_headers()
        if self.path == "/good":
            self.wfile.write(GOOD)
        elif self.path == "/changed":
            self.wfile.write(b"<html>log in" + GOOD[12:])
        elif self.path == "/truncated":
            self.wfile.write(GOOD[:1000])
        elif self.path == "/stalled":
            self.wfile.write(GOOD[:1000])
            self.wfile.flush()
            self.server.release.wait(10)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = 0
    server.release = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def checkpoints(tmp_path, monkeypatch) -> Path:
    """An empty TORCH_HOME, a clean memory of attempts, and no proxy between the test and its server."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("BENCH_OFFLINE", raising=False)
    weights._download_once.cache_clear()
    return tmp_path / "hub" / "checkpoints"


def publish(monkeypatch, server, name: str, path: str) -> weights.Weights:
    """The entry `name` as it is, but for its content, which is `GOOD`, and its address on `server`."""
    entry = dataclasses.replace(
        weights.WEIGHTS[name],
        url=f"http://127.0.0.1:{server.server_port}{path}",
        sha256=hashlib.sha256(GOOD).hexdigest(),
    )
    monkeypatch.setitem(weights.WEIGHTS, name, entry)
    return entry


def leftovers(checkpoints: Path) -> list[str]:
    return [path.name for path in checkpoints.glob("*")]


def test_weights_lie_where_torchvision_and_torch_fidelity_look(checkpoints):
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchvision.models import AlexNet_Weights

    assert weights.directory() == Path(torch.hub.get_dir()) / "checkpoints" == checkpoints
    assert weights.WEIGHTS["inception"].url == URL_INCEPTION_V3
    assert weights.WEIGHTS["alexnet"].url == AlexNet_Weights.IMAGENET1K_V1.url


@pytest.mark.parametrize("name", weights.WEIGHTS)
def test_the_checksum_continues_the_one_in_the_file_name(name):
    entry = weights.WEIGHTS[name]
    prefix = Path(entry.filename).stem.rpartition("-")[2]
    assert entry.url.endswith("/" + entry.filename)
    assert entry.sha256.startswith(prefix)
    assert len(bytes.fromhex(entry.sha256)) == 32


def test_a_file_is_used_only_while_its_checksum_is_right(monkeypatch, server, checkpoints):
    entry = publish(monkeypatch, server, "alexnet", "/good")
    path = checkpoints / entry.filename
    assert weights.find("alexnet") is None

    checkpoints.mkdir(parents=True)
    path.write_bytes(GOOD)
    assert weights.find("alexnet") == path

    path.write_bytes(GOOD[:-1])
    assert weights.find("alexnet") is None
    with pytest.raises(ValueError, match=r"which is corrupt in .* run `bench fetch weights`"):
        weights.require("lpips")
    states = {status.name: status.state for status in weights.WEIGHTS.values()}
    assert states == {"inception": "missing", "alexnet": "corrupt"}


def test_a_file_is_hashed_once_until_it_changes(monkeypatch, server, checkpoints):
    entry = publish(monkeypatch, server, "alexnet", "/good")
    checkpoints.mkdir(parents=True)
    (checkpoints / entry.filename).write_bytes(GOOD)
    weights._sha256.cache_clear()
    for _ in range(3):
        assert weights.find("alexnet")
    assert weights._sha256.cache_info().misses == 1


def test_a_folder_in_place_of_the_file_counts_as_missing(checkpoints):
    (checkpoints / weights.WEIGHTS["alexnet"].filename).mkdir(parents=True)
    assert weights.find("alexnet") is None


def test_fetch_brings_every_file_and_leaves_good_ones_alone(monkeypatch, server, checkpoints, capsys):
    entries = [publish(monkeypatch, server, name, "/good") for name in ("inception", "alexnet")]
    lines = weights.fetch()
    assert len(lines) == 2
    assert all("downloaded" in line and str(checkpoints) in line for line in lines)
    for entry in entries:
        assert (checkpoints / entry.filename).read_bytes() == GOOD
    assert len(leftovers(checkpoints)) == 2
    assert capsys.readouterr() == ("", ""), "no progress bar where nobody looks at a terminal"

    assert all("already here" in line for line in weights.fetch())
    assert server.requests == 2


def test_fetch_replaces_a_corrupt_file(monkeypatch, server, checkpoints):
    publish(monkeypatch, server, "inception", "/good")
    entry = publish(monkeypatch, server, "alexnet", "/good")
    checkpoints.mkdir(parents=True)
    (checkpoints / entry.filename).write_bytes(b"half a download")
    weights.fetch()
    assert (checkpoints / entry.filename).read_bytes() == GOOD


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/changed", r"wrong checksum \(sha256 [0-9a-f]{64}, not [0-9a-f]{64}\)"),
        ("/truncated", f"ended after 1000 of {len(GOOD)} bytes"),
        ("/stalled", "timed out"),
        ("/missing", "HTTP Error 404: Not Found"),
    ],
)
def test_a_bad_download_is_one_clear_line_and_leaves_nothing(monkeypatch, server, checkpoints, path, problem):
    monkeypatch.setattr(weights, "TIMEOUT", 0.3)
    good = publish(monkeypatch, server, "inception", "/good")
    bad = publish(monkeypatch, server, "alexnet", path)
    with pytest.raises(ValueError, match=problem) as caught:
        weights.fetch()
    message = str(caught.value)
    assert "\n" not in message
    assert bad.url in message
    assert bad.filename in message
    assert good.filename not in message, "the file that came is no part of the error"
    assert leftovers(checkpoints) == [good.filename]


def test_a_failed_download_leaves_the_corrupt_file_for_a_look(monkeypatch, server, checkpoints):
    publish(monkeypatch, server, "inception", "/good")
    bad = publish(monkeypatch, server, "alexnet", "/missing")
    checkpoints.mkdir(parents=True)
    (checkpoints / bad.filename).write_bytes(b"half a download")
    with pytest.raises(ValueError, match="404"):
        weights.fetch()
    assert (checkpoints / bad.filename).read_bytes() == b"half a download"


def test_no_server_is_connection_refused_in_both_lines(monkeypatch, checkpoints):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/weights"
    for name in weights.WEIGHTS:
        monkeypatch.setitem(weights.WEIGHTS, name, dataclasses.replace(weights.WEIGHTS[name], url=url))
    with pytest.raises(ValueError, match=r"Connection refused.*; .*Connection refused") as caught:
        weights.fetch()
    assert "\n" not in str(caught.value)
    assert "urlopen" not in str(caught.value)
    assert leftovers(checkpoints) == []


def test_a_checkpoint_folder_that_cannot_be_made_is_named(monkeypatch, server, checkpoints):
    publish(monkeypatch, server, "alexnet", "/good")
    checkpoints.parent.write_text("a file where the folder should be")
    ok, reason = weights.available("lpips")
    assert not ok
    assert f"cannot write {checkpoints}" in reason
    assert server.requests == 0


def test_metrics_without_weights_are_always_available():
    assert weights.available("psnr") == (True, "")


def test_available_downloads_what_is_missing(monkeypatch, server):
    publish(monkeypatch, server, "inception", "/good")
    assert weights.available("rfid") == (True, "")
    assert weights.available("rfid") == (True, "")
    assert server.requests == 1
    assert weights.require("rfid").read_bytes() == GOOD


def test_available_tries_a_failing_download_once_per_process(monkeypatch, server):
    publish(monkeypatch, server, "inception", "/missing")
    answers = [weights.available("rfid") for _ in range(3)]
    assert server.requests == 1
    assert answers[0] == answers[1] == answers[2]
    ok, reason = answers[0]
    assert not ok
    assert "\n" not in reason
    assert "which is missing" in reason
    assert "404" in reason
    assert "bench fetch weights" in reason


def test_offline_available_asks_nobody(monkeypatch, server):
    publish(monkeypatch, server, "inception", "/good")
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    ok, reason = weights.available("rfid")
    assert not ok
    assert "BENCH_OFFLINE" in reason
    assert server.requests == 0
