"""Download of a data set's official files, with verification and unpacking: `dag-pose fetch NAME`."""

import gzip
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
from dag.files import read_json, sha256, write_json
from dag.params import Block

SOURCE = "source.yaml"
FETCHED = ".fetched.json"
"""Record in the data set's folder: hashes of the files that were fetched and unpacked, by URL."""

TIMEOUT = 30
"""Seconds without data after which a download is aborted."""

BLOCK = 1 << 16
"""Bytes that are written at a time."""


class File(Block):
    """File of a data set.

    Attributes:
        url: address of the file.
        hash: "md5:..." or "sha256:..."; null if the source publishes none: the actual hash is then printed.
        megabytes: approximate size.
    """

    url: str
    hash: Annotated[str, Field(pattern=r"^(md5|sha256):[0-9a-f]{32,64}$")] | None
    megabytes: float


class Source(Block):
    """Content of datasets/<name>/source.yaml.

    Attributes:
        terms: terms that the user must accept, with a URL.
        files: archives, unpacked into the data set's folder; empty if the user must fetch them.
        manual_steps: how the user fetches them.
        next_step: what to do after the download; FOLDER stands for the data set's folder.
    """

    terms: Annotated[list[str], Field(min_length=1)]
    files: list[File] = Field(default_factory=list)
    manual_steps: list[str] = Field(default_factory=list)
    next_step: str | None = None


def fetch(name: str, folder: Path, *, accept: bool, datasets: Path = Path("datasets")) -> list[str]:
    """Fetch the missing files of a data set, verify and unpack them; an interrupted download is resumed.

    Args:
        name: name of the data set.
        folder: folder to unpack into, the data set's root.
        accept: the user accepts the terms.
        datasets: folder of the data sets' sources.

    Returns:
        Messages about each file, and the next step.

    Raises:
        UserError: unknown data set, terms not accepted, a data set that must be fetched manually, no answer from the
            server, a wrong hash, an archive that would write outside `folder`, or a folder that cannot be written.
    """
    source = read_source(name, datasets)
    if source.manual_steps:
        steps = " ".join(f"({number}) {step}" for number, step in enumerate([*source.terms, *source.manual_steps], 1))
        raise UserError(f"{name} must be fetched manually", do=steps)
    if not accept:
        size = sum(file.megabytes for file in source.files) / 1000
        do = f"read them; `dag-pose fetch {name} --to {shlex.quote(str(folder))} --accept` then fetches {size:.1f} GB"
        raise UserError(f"{name} has terms: {' '.join(source.terms)}", do=do)
    try:
        lines = [_fetch(file, folder) for file in source.files]
    except OSError as error:
        raise UserError(
            "cannot be written", where=folder, got=error, do="free disk space, or choose another --to"
        ) from None
    return lines if source.next_step is None else [*lines, source.next_step.replace("FOLDER", str(folder.absolute()))]


def _fetch(file: File, folder: Path) -> str:
    """Fetch and unpack a file unless that was done before. Returns a message."""
    record = read_json(folder / FETCHED) if (folder / FETCHED).exists() else {}
    if file.url in record:
        return f"{file.url}: already fetched (remove {folder / FETCHED} to fetch it again)"
    archive = _download(file, folder)
    digest = sha256(archive)
    _unpack(archive, folder)
    write_json(folder / FETCHED, {**record, file.url: digest})
    archive.unlink()
    return f"{file.url}: fetched, sha256:{digest}" + ("" if file.hash else " (the source publishes no hash)")


def read_source(name: str, datasets: Path) -> Source:
    """Read datasets/<name>/source.yaml.

    Raises:
        UserError: unknown data set or invalid file.
    """
    known = sorted(path.parent.name for path in datasets.glob(f"*/{SOURCE}"))
    if not known:
        raise UserError("no data sets in this folder", where=datasets, do="run dag-pose in the project's root")
    if name not in known:
        raise UserError("no such data set", where=datasets, expected=f"one of {', '.join(known)}", got=repr(name))
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
        path = pooch.retrieve(
            file.url, file.hash, fname=name, path=folder, downloader=_resume(folder / f".{name}.partial")
        )
    except requests.RequestException as error:
        do = "run the command again to resume the download"
        raise UserError("download failed", where=file.url, got=error, do=do) from None
    except ValueError as error:  # raised by pooch for a wrong hash
        do = "run the command again; if that does not help, the source has changed the file"
        raise UserError("wrong hash", where=file.url, got=error, do=do) from None
    return Path(path)


def _resume(partial: Path) -> Any:
    """Downloader for pooch that resumes an interrupted download."""

    def download(url: str, output: Any, _: Any) -> None:
        size = partial.stat().st_size if partial.exists() else 0
        # A compressed transfer could neither be measured nor resumed.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={size}-"} if size else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            content_range = response.headers.get("content-range", "")
            resumes, complete = content_range.startswith(f"bytes {size}-"), content_range == f"bytes */{size}"
            if size and not resumes and not complete and response.status_code in (206, 416):
                partial.unlink()  # not the requested range, or more bytes than the file has
                return download(url, output, _)
            if not complete:
                response.raise_for_status()
                _receive(response, partial, size if resumes else 0)
        os.replace(partial, output)

    return download


def _receive(response: requests.Response, partial: Path, size: int) -> None:
    """Append a response's body to the first `size` bytes of the file."""
    total = int(response.headers.get("content-length", 0)) + size or None
    bar = tqdm(desc=partial.name[1:-8], total=total, initial=size, unit="B", unit_scale=True, dynamic_ncols=True)
    with bar, partial.open("ab" if size else "wb") as content:
        for block in response.iter_content(BLOCK):
            content.write(block)
            bar.update(len(block))
    if total and partial.stat().st_size != total:
        raise requests.ConnectionError(f"{partial.stat().st_size} of {total} bytes received")


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into `folder`. Links and paths that leave it are refused before anything is written."""
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
        do = f"remove {archive} and run the command again"
        raise UserError("not an archive", where=archive, got=error, do=do) from None


def _leaves(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in Path(name.replace("\\", "/")).parts


def _refuse(names: list[str], archive: Path) -> None:
    if names:
        what = "archive with a link, or with a path that leaves the folder"
        raise UserError(what, where=archive, got=names[0], do="do not trust this source")
