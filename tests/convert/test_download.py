"""Downloads from a real server on the loopback interface that can close a connection in the middle."""

import gzip
import hashlib
import io
import random
import re
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dag.convert.download import BLOCK, fetch, read_source
from dag.errors import UserError
from tests.imports import ROOT


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`, compressed if the client accepts it, and ranges if `server.ranges` is true.

    For a path in `server.cut` the first response ends after that many bytes.
    """

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)  # type: ignore[attr-defined]
        self.server.requests.append((self.path, self.headers.get("Range")))  # type: ignore[attr-defined]
        if content is None:
            self.send_error(404)
            return
        packed = "gzip" in self.headers.get("Accept-Encoding", "")
        content = gzip.compress(content) if packed else content
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) * self.server.ranges  # type: ignore[attr-defined]
        past = start >= len(content)
        self.send_response(416 if past else 206 if start else 200)
        if packed:
            self.send_header("Content-Encoding", "gzip")
        if start:
            self.send_header("Content-Range", f"bytes {'*' if past else f'{start}-{len(content) - 1}'}/{len(content)}")
        self.send_header("Content-Length", str(max(len(content) - start, 0)))
        self.end_headers()
        most = self.server.cut.pop(self.path, len(content))  # type: ignore[attr-defined]
        self.wfile.write(content[start : start + most])

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.cut, server.requests, server.ranges = {}, {}, [], True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def archive(names: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in names.items():
            file.writestr(name, text)
    return content.getvalue()


NOISE = random.Random(0).randbytes(200_000).hex()
GOOD = archive({"annotations/a.json": NOISE, "photos/1.jpg": "jpeg"})


def describe(
    folder: Path, server: ThreadingHTTPServer, name: str, content: bytes, hash_: str | None = "correct"
) -> Path:
    """A folder of data sets with the data set `toy`, which has one file."""
    server.files[f"/{name}"] = content  # type: ignore[attr-defined]
    digest = f"md5:{hashlib.md5(content).hexdigest()}" if hash_ == "correct" else hash_
    url = f"http://127.0.0.1:{server.server_address[1]}/{name}"
    source = {"terms": ["Be kind.", "https://example.org/terms"], "next_step": "Use FOLDER."}
    (folder / "datasets/toy").mkdir(parents=True, exist_ok=True)
    with (folder / "datasets/toy/source.yaml").open("w") as file:
        YAML(typ="safe").dump({**source, "files": [{"url": url, "hash": digest, "megabytes": 2000.0}]}, file)
    return folder / "datasets"


def get(folder: Path, datasets: Path) -> list[str]:
    return fetch("toy", folder / "toy", accept=True, datasets=datasets)


def test_files_are_fetched_once_and_unpacked(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD)
    lines = get(tmp_path, datasets)
    assert lines[0].endswith(f"a.zip: fetched, sha256:{hashlib.sha256(GOOD).hexdigest()}")
    assert lines[1] == f"Use {tmp_path}/toy."
    names = sorted(str(path.relative_to(tmp_path / "toy")) for path in (tmp_path / "toy").rglob("*") if path.is_file())
    assert names == [".fetched.json", "annotations/a.json", "photos/1.jpg"]
    again = f"a.zip: already fetched (remove {tmp_path}/toy/.fetched.json to fetch it again)"
    assert get(tmp_path, datasets)[0].endswith(again)
    assert len(server.requests) == 1  # type: ignore[attr-defined]


def test_an_interrupted_download_is_resumed(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD)
    server.cut["/a.zip"] = 150_000  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"a.zip: download failed: got .*; run the command again to resume"):
        get(tmp_path, datasets)
    assert not (tmp_path / "toy/annotations").exists()
    get(tmp_path, datasets)
    first, second = (content_range for _, content_range in server.requests)  # type: ignore[attr-defined]
    assert first is None
    assert 2 * BLOCK <= int(second.removeprefix("bytes=").removesuffix("-")) <= 150_000
    assert (tmp_path / "toy/photos/1.jpg").read_text() == "jpeg"


@pytest.mark.parametrize(
    ("partial", "ranges", "requests"),
    [
        (GOOD, True, 1),  # complete but not yet renamed: nothing is sent again
        (GOOD + b"more", True, 2),  # not the beginning of this file
        (b"0" * 999, False, 1),  # a server without ranges sends the whole file
    ],
)
def test_the_file_is_complete_after_any_partial_download(
    tmp_path: Path, server: ThreadingHTTPServer, partial: bytes, ranges: bool, requests: int
) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD)
    server.ranges = ranges  # type: ignore[attr-defined]
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/.a.zip.partial").write_bytes(partial)
    get(tmp_path, datasets)
    assert (tmp_path / "toy/annotations/a.json").read_text() == NOISE
    assert len(server.requests) == requests  # type: ignore[attr-defined]


def test_an_archive_that_was_not_unpacked_is_not_fetched_again(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/a.zip").write_bytes(GOOD)
    assert "fetched" in get(tmp_path, datasets)[0]
    assert server.requests == []  # type: ignore[attr-defined]
    assert not (tmp_path / "toy/a.zip").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD)
    (tmp_path / "toy").write_text("a file")
    with pytest.raises(
        UserError, match=r"toy: cannot be written: got .*File exists.*; free disk space, or choose another --to"
    ):
        get(tmp_path, datasets)


def test_terms_come_first(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD)
    with pytest.raises(UserError, match=r"toy has terms: Be kind. https://example.org/terms; read them; `dag-pose fetch toy --to .* --accept` then fetches 2.0 GB"):  # fmt: skip  # noqa: E501
        fetch("toy", tmp_path / "toy", accept=False, datasets=datasets)
    assert server.requests == []  # type: ignore[attr-defined]


def test_a_wrong_hash_is_refused(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD, "md5:" + "0" * 32)
    with pytest.raises(UserError, match=r"a.zip: wrong hash: got .*0000"):
        get(tmp_path, datasets)
    assert not (tmp_path / "toy/annotations").exists()


def test_without_a_published_hash_the_actual_hash_is_printed(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD, None)
    assert get(tmp_path, datasets)[0].endswith("(the source publishes no hash)")


def tar_with(name: str, type: bytes = tarfile.SYMTYPE) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = type, "/etc" if type == tarfile.SYMTYPE else ""
        file.addfile(tarfile.TarInfo("good.txt"))
        file.addfile(entry)
    return content.getvalue()


def zip_with_a_link() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        entry = zipfile.ZipInfo("photos")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr("good.txt", "good")
        file.writestr(entry, "/etc")
    return content.getvalue()


def damaged() -> bytes:
    content = bytearray(archive({"a.json": NOISE, "b.json": NOISE}))
    content[5000] ^= 255
    return bytes(content)


REFUSED = "archive with a link, or with a path that leaves the folder: got "


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        (
            "evil.zip",
            archive({"good.txt": "", "../evil.txt": "evil"}),
            REFUSED + "../evil.txt; do not trust this source",
        ),
        ("evil.zip", archive({"good.txt": "", "/tmp/evil.txt": "evil"}), REFUSED + "/tmp/evil.txt"),
        ("evil.zip", zip_with_a_link(), REFUSED + "photos"),
        ("evil.tar.gz", tar_with("photos"), REFUSED + "photos"),
        ("evil.tar.gz", tar_with("../evil.txt", tarfile.REGTYPE), REFUSED + "../evil.txt"),
        ("evil.tar.gz", tar_with("/tmp/evil.txt", tarfile.REGTYPE), REFUSED + "/tmp/evil.txt"),
        ("text.zip", b"not an archive", "text.zip: not an archive"),
        ("half.zip", GOOD[:9000], "half.zip: not an archive"),
        ("half.tar.gz", tar_with("photos")[:60], "half.tar.gz: not an archive"),
        ("damaged.zip", damaged(), "damaged.zip: not an archive"),
    ],
)
def test_invalid_and_malicious_archives_are_refused(
    tmp_path: Path, server: ThreadingHTTPServer, name: str, content: bytes, text: str
) -> None:
    datasets = describe(tmp_path, server, name, content)
    with pytest.raises(UserError, match=re.escape(text)):
        get(tmp_path, datasets)
    assert not Path("/tmp/evil.txt").exists()
    names = {path.name for path in tmp_path.rglob("*.*")}
    assert not names & {"evil.txt", "good.txt", "photos", ".fetched.json"}


def test_no_such_file_and_no_server(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD)
    del server.files["/a.zip"]  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"a.zip: download failed: got 404"):
        get(tmp_path, datasets)
    path = datasets / "toy/source.yaml"
    path.write_text(path.read_text().replace(f":{server.server_address[1]}/", ":9/"))
    with pytest.raises(UserError, match=r":9/a.zip: download failed"):
        get(tmp_path, datasets)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in (ROOT / "datasets").glob("*/source.yaml")))
def test_every_source_states_its_terms_and_the_next_step(name: str) -> None:
    source = read_source(name, ROOT / "datasets")
    assert bool(source.files) != bool(source.manual_steps)
    with pytest.raises(UserError, match=name) as caught:
        fetch(name, Path("nowhere"), accept=bool(source.manual_steps), datasets=ROOT / "datasets")
    for term in source.terms:
        assert " ".join(term.split()) in str(caught.value)
    assert not Path("nowhere").exists()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no such data set: expected one of .*coco.*, got 'moon'"):
        fetch("moon", Path("nowhere"), accept=True, datasets=ROOT / "datasets")


def test_the_command_fetches_into_external(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    describe(tmp_path, server, "a.zip", GOOD, None)
    command = [sys.executable, "-m", "dag", "fetch", "toy", "--accept"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "external/toy/photos/1.jpg").exists()
    assert done.stdout.splitlines()[1:] == [f"Use {tmp_path}/external/toy.", "toy is in external/toy"]


def test_invalid_sources_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "toy/source.yaml"
    with pytest.raises(UserError, match=r"no data sets in this folder; run dag-pose in the project's root"):
        read_source("toy", tmp_path)
    path.parent.mkdir()
    path.write_text("terms: [a\n")
    with pytest.raises(UserError, match=r"toy/source.yaml: not yaml"):
        read_source("toy", tmp_path)
    path.write_text('{terms: [a], files: [{url: "http://x/y", hash: "crc:1", megabytes: 1.0}], more: 1}')
    with pytest.raises(UserError, match=r"files.0.hash: String should match pattern .*; more: Extra inputs"):
        read_source("toy", tmp_path)


def test_the_command_ends_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dag", "fetch", "coco", "--to", str(tmp_path / "my coco")]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: coco has terms: Annotations: CC BY 4.0;")
    assert f"`dag-pose fetch coco --to '{tmp_path}/my coco' --accept` then fetches 20.4 GB" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
