"""Fetching, against a real server on the loopback that can cut a connection in the middle."""

import hashlib
import io
import random
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dag.errors import UserError
from dag.fetch import BLOCK, fetch, read_source
from tests.imports import ROOT


class Handler(BaseHTTPRequestHandler):
    """Gives `server.files`; of a path in `server.cut` only so many bytes, once."""

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)  # type: ignore[attr-defined]
        self.server.asked.append((self.path, self.headers.get("Range")))  # type: ignore[attr-defined]
        if content is None:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        most = self.server.cut.pop(self.path, len(content))  # type: ignore[attr-defined]
        self.wfile.write(content[start : start + most])

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.files, found.cut, found.asked = {}, {}, []  # type: ignore[attr-defined]
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def archive(names: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, text in names.items():
            file.writestr(name, text)
    return content.getvalue()


NOISE = random.Random(0).randbytes(200_000).hex()
GOOD = archive({"annotations/a.json": NOISE, "photos/1.jpg": "jpeg"})


def describe(folder: Path, server: ThreadingHTTPServer, name: str, content: bytes, hash_: str | None = "right") -> Path:
    """A folder of data sets with one, `toy`, of one file."""
    server.files[f"/{name}"] = content  # type: ignore[attr-defined]
    digest = f"md5:{hashlib.md5(content).hexdigest()}" if hash_ == "right" else hash_
    url = f"http://127.0.0.1:{server.server_address[1]}/{name}"
    source = {"terms": ["Be kind.", "https://example.org/terms"], "then": "Enjoy."}
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
    assert lines[1] == "Enjoy."
    names = sorted(str(path.relative_to(tmp_path / "toy")) for path in (tmp_path / "toy").rglob("*") if path.is_file())
    assert names == [".fetched.json", "annotations/a.json", "photos/1.jpg"]
    assert get(tmp_path, datasets)[0].endswith("a.zip: already there")
    assert len(server.asked) == 1  # type: ignore[attr-defined]


def test_a_cut_download_goes_on_where_it_stopped(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD)
    server.cut["/a.zip"] = 150_000  # type: ignore[attr-defined]
    with pytest.raises(
        UserError, match=r"a.zip: no answer, or it was cut off: got .*; call it again: what has arrived"
    ):
        get(tmp_path, datasets)
    assert not (tmp_path / "toy/annotations").exists()
    get(tmp_path, datasets)
    first, second = (asked for _, asked in server.asked)  # type: ignore[attr-defined]
    assert first is None
    assert 2 * BLOCK <= int(second.removeprefix("bytes=").removesuffix("-")) <= 150_000
    assert (tmp_path / "toy/photos/1.jpg").read_text() == "jpeg"


def test_terms_come_first(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD)
    with pytest.raises(UserError, match=r"toy has terms: Be kind. https://example.org/terms; read them; `dag-pose fetch toy --to .* --accept` then fetches 2.0 GB"):  # fmt: skip  # noqa: E501
        fetch("toy", tmp_path / "toy", accept=False, datasets=datasets)
    assert server.asked == []  # type: ignore[attr-defined]


def test_another_hash_is_refused(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD, "md5:" + "0" * 32)
    with pytest.raises(UserError, match=r"a.zip: another file than expected: got .*0000"):
        get(tmp_path, datasets)
    assert not (tmp_path / "toy/annotations").exists()


def test_a_file_without_a_published_hash_tells_its_own(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD, None)
    assert get(tmp_path, datasets)[0].endswith("(the source publishes no hash)")


def tar_with_a_link() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        link = tarfile.TarInfo("photos")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        file.addfile(link)
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("evil.zip", archive({"../evil.txt": "evil"}), r"refused: a path leaves the folder: got ../evil.txt"),
        ("evil.zip", archive({"/tmp/evil.txt": "evil"}), r"refused: a path leaves the folder: got /tmp/evil.txt"),
        ("evil.tar.gz", tar_with_a_link(), r"refused: a path leaves the folder: got photos"),
        ("text.zip", b"no archive at all", r"text.zip: not an archive"),
    ],
)
def test_archives_that_are_not_trusted(
    tmp_path: Path, server: ThreadingHTTPServer, name: str, content: bytes, text: str
) -> None:
    datasets = describe(tmp_path, server, name, content)
    with pytest.raises(UserError, match=text):
        get(tmp_path, datasets)
    assert not list(tmp_path.rglob("evil.txt"))
    assert not (tmp_path / "toy/photos").exists()


def test_no_such_file_and_no_server(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    datasets = describe(tmp_path, server, "a.zip", GOOD)
    del server.files["/a.zip"]  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"a.zip: no answer, or it was cut off: got 404"):
        get(tmp_path, datasets)
    path = datasets / "toy/source.yaml"
    path.write_text(path.read_text().replace(f":{server.server_address[1]}/", ":9/"))
    with pytest.raises(UserError, match=r":9/a.zip: no answer, or it was cut off"):
        get(tmp_path, datasets)


@pytest.mark.parametrize("name", sorted(path.parent.name for path in (ROOT / "datasets").glob("*/source.yaml")))
def test_every_source_says_terms_and_what_to_do(name: str) -> None:
    source = read_source(name, ROOT / "datasets")
    assert bool(source.files) != bool(source.by_hand)
    with pytest.raises(UserError, match=name) as caught:
        fetch(name, Path("nowhere"), accept=bool(source.by_hand), datasets=ROOT / "datasets")
    for term in source.terms:
        assert " ".join(term.split()) in str(caught.value)
    assert not Path("nowhere").exists()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"nothing to fetch: expected one of .*coco.*, got 'moon'"):
        fetch("moon", Path("nowhere"), accept=True, datasets=ROOT / "datasets")
