"""Official files of a data set, fetched once and checked: `dag-pose fetch NAME`."""

import gzip
import hashlib
import os
import shlex
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any

import pooch
import requests
from pydantic import Field, ValidationError
from ruamel.yaml import YAML, YAMLError
from tqdm import tqdm

from dag.errors import UserError
from dag.files import read_json, write_json
from dag.params import Block

SOURCE = "source.yaml"
FETCHED = ".fetched.json"
"""In the data set's folder: hash of each file that was fetched and unpacked, by its address."""

TIMEOUT = 30
"""Seconds without a byte after which a server is given up."""

BLOCK = 1 << 16


class File(Block):
    """A file of a data set.

    Attributes:
        url: its address.
        hash: "md5:..." or "sha256:..."; null where the source publishes none: the hash found is then printed.
        megabytes: about its size.
    """

    url: str
    hash: Annotated[str, Field(pattern=r"^(md5|sha256):[0-9a-f]{32,64}$")] | None
    megabytes: float


class Source(Block):
    """datasets/<name>/source.yaml.

    Attributes:
        terms: what a user must accept, with an address.
        files: archives, unpacked into the data set's folder; empty where a person must fetch them.
        by_hand: what such a person does.
        then: what to do with what was fetched; FOLDER in it is where it lies.
    """

    terms: Annotated[list[str], Field(min_length=1)]
    files: list[File] = Field(default_factory=list)
    by_hand: list[str] = Field(default_factory=list)
    then: str | None = None


def fetch(name: str, folder: Path, *, accept: bool, datasets: Path = Path("datasets")) -> list[str]:
    """Fetch what is not there yet, check and unpack it; a download that was cut off is continued.

    Args:
        name: of a data set.
        folder: where its root will be.
        accept: the user accepts the terms.
        datasets: folder of the data sets' sources.

    Returns:
        Lines that say what was done.

    Raises:
        UserError: unknown data set, terms not accepted, a data set to be fetched by hand, no answer from the server, a
            file with another hash, an archive that would write outside `folder`, or a folder that cannot be written.
    """
    source = read_source(name, datasets)
    if source.by_hand:
        steps = " ".join(f"({number}) {step}" for number, step in enumerate([*source.terms, *source.by_hand], 1))
        raise UserError(f"{name} cannot be fetched by a program", do=steps)
    if not accept:
        size = sum(file.megabytes for file in source.files) / 1000
        do = f"read them; `dag-pose fetch {name} --to {shlex.quote(str(folder))} --accept` then fetches {size:.1f} GB"
        raise UserError(f"{name} has terms: {' '.join(source.terms)}", do=do)
    try:
        lines = [_fetch(file, folder) for file in source.files]
    except OSError as error:
        raise UserError("cannot be written", where=folder, got=error, do="make room, or choose another --to") from None
    return lines if source.then is None else [*lines, source.then.replace("FOLDER", str(folder.absolute()))]


def _fetch(file: File, folder: Path) -> str:
    """One file, fetched and unpacked unless it was already: a line that says so."""
    record = read_json(folder / FETCHED) if (folder / FETCHED).exists() else {}
    if file.url in record:
        return f"{file.url}: already there (remove {folder / FETCHED} to fetch it again)"
    archive = _download(file, folder)
    found = _sha256(archive)
    _unpack(archive, folder)
    write_json(folder / FETCHED, {**record, file.url: found})
    archive.unlink()
    return f"{file.url}: fetched, sha256:{found}" + ("" if file.hash else " (the source publishes no hash)")


def read_source(name: str, datasets: Path) -> Source:
    """Where a data set comes from."""
    known = sorted(path.parent.name for path in datasets.glob(f"*/{SOURCE}"))
    if not known:
        raise UserError("no data sets here", where=datasets, do="run dag-pose in the project's root")
    if name not in known:
        raise UserError("nothing to fetch", where=datasets, expected=f"one of {', '.join(known)}", got=repr(name))
    path = datasets / name / SOURCE
    try:
        return Source.model_validate(YAML(typ="safe", pure=True).load(path.read_text()))
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError("not yaml", where=path, got=error) from None
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise UserError("; ".join(faults), where=path) from None


def _download(file: File, folder: Path) -> Path:
    name = file.url.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("ERROR")
    try:
        found = pooch.retrieve(
            file.url, file.hash, fname=name, path=folder, downloader=_resume(folder / f".{name}.partial")
        )
    except requests.RequestException as error:
        do = "call it again: what has arrived is kept"
        raise UserError("no answer, or it was cut off", where=file.url, got=error, do=do) from None
    except ValueError as error:  # pooch's word for another hash
        do = "call it again; if that does not help, its source has changed it"
        raise UserError("another file than expected", where=file.url, got=error, do=do) from None
    return Path(found)


def _resume(partial: Path) -> Any:
    """A downloader for pooch that goes on where an earlier one stopped."""

    def download(url: str, output: Any, _: Any) -> None:
        have = partial.stat().st_size if partial.exists() else 0
        # Compressed on the way, bytes could neither be counted nor continued.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            given = answer.headers.get("content-range", "")
            go_on, complete = given.startswith(f"bytes {have}-"), given == f"bytes */{have}"
            if have and not go_on and not complete and answer.status_code in (206, 416):
                partial.unlink()  # another range than asked for, or more bytes than the file has
                return download(url, output, _)
            if not complete:
                answer.raise_for_status()
                _receive(answer, partial, have if go_on else 0)
        os.replace(partial, output)

    return download


def _receive(answer: requests.Response, partial: Path, have: int) -> None:
    """Write an answer's bytes behind the `have` first ones."""
    total = int(answer.headers.get("content-length", 0)) + have or None
    bar = tqdm(desc=partial.name[1:-8], total=total, initial=have, unit="B", unit_scale=True, dynamic_ncols=True)
    with bar, partial.open("ab" if have else "wb") as content:
        for block in answer.iter_content(BLOCK):
            content.write(block)
            bar.update(len(block))
    if total and partial.stat().st_size != total:
        raise requests.ConnectionError(f"{partial.stat().st_size} of {total} bytes arrived")


def _unpack(archive: Path, folder: Path) -> None:
    """Everything below `folder`, links and paths that leave it refused before anything is written."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content:
                entries = content.infolist()
                _refuse([entry.filename for entry in entries if stat.S_ISLNK(entry.external_attr >> 16)], archive)
                _refuse([entry.filename for entry in entries if _leaves(entry.filename)], archive)
                content.extractall(folder)
        else:
            with tarfile.open(archive) as content:
                members = content.getmembers()
                _refuse([m.name for m in members if not (m.isfile() or m.isdir()) or _leaves(m.name)], archive)
                content.extractall(folder, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, RuntimeError) as error:
        do = f"remove {archive} and call fetch again"
        raise UserError("not an archive", where=archive, got=error, do=do) from None


def _leaves(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in Path(name.replace("\\", "/")).parts


def _refuse(names: list[str], archive: Path) -> None:
    if names:
        what = "refused: a link, or a path that leaves the folder"
        raise UserError(what, where=archive, got=names[0], do="do not trust this source")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
