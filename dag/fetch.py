"""Official files of a data set, fetched once and checked: `dag-pose fetch NAME`."""

import hashlib
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Annotated, Any

import pooch
import requests
from pydantic import Field, ValidationError
from ruamel.yaml import YAML
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
        then: what to do with what was fetched.
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
            file with another hash, or an archive that would write outside `folder`.
    """
    source = read_source(name, datasets)
    if source.by_hand:
        steps = " ".join(f"({number}) {step}" for number, step in enumerate([*source.terms, *source.by_hand], 1))
        raise UserError(f"{name} cannot be fetched by a program", do=steps)
    if not accept:
        size = sum(file.megabytes for file in source.files) / 1000
        do = f"read them; `dag-pose fetch {name} --to {folder} --accept` then fetches {size:.1f} GB"
        raise UserError(f"{name} has terms: {' '.join(source.terms)}", do=do)
    lines = []
    for file in source.files:
        record = read_json(folder / FETCHED) if (folder / FETCHED).exists() else {}
        if file.url in record:
            lines.append(f"{file.url}: already there")
            continue
        archive = _download(file, folder)
        found = _sha256(archive)
        _unpack(archive, folder)
        write_json(folder / FETCHED, {**record, file.url: found})
        archive.unlink()
        lines.append(f"{file.url}: fetched, sha256:{found}" + ("" if file.hash else " (the source publishes no hash)"))
    return lines if source.then is None else [*lines, source.then]


def read_source(name: str, datasets: Path) -> Source:
    """Where a data set comes from."""
    known = sorted(path.parent.name for path in datasets.glob(f"*/{SOURCE}"))
    if name not in known:
        raise UserError("nothing to fetch", where=datasets, expected=f"one of {', '.join(known)}", got=repr(name))
    path = datasets / name / SOURCE
    try:
        return Source.model_validate(YAML(typ="safe", pure=True).load(path.read_text()))
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
        raise UserError(
            "another file than expected", where=file.url, got=error, do="call it again, or tell us"
        ) from None
    return Path(found)


def _resume(partial: Path) -> Any:
    """A downloader for pooch that goes on where an earlier one stopped."""

    def download(url: str, output: Any, _: Any) -> None:
        have = partial.stat().st_size if partial.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                partial.unlink()  # longer than the file: not its beginning
                return download(url, output, _)
            answer.raise_for_status()
            go_on = answer.status_code == requests.codes.partial_content
            total = int(answer.headers.get("content-length", 0)) + (have if go_on else 0)
            bar = tqdm(desc=partial.name[1:-8], total=total, initial=have if go_on else 0, unit="B", unit_scale=True)
            with bar, partial.open("ab" if go_on else "wb") as content:
                for block in answer.iter_content(BLOCK):
                    content.write(block)
                    bar.update(len(block))
        if total and partial.stat().st_size != total:
            raise requests.ConnectionError(f"{partial.stat().st_size} of {total} bytes arrived")
        os.replace(partial, output)

    return download


def _unpack(archive: Path, folder: Path) -> None:
    """Everything below `folder`, links and paths that leave it refused before anything is written."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content:
                names = content.namelist()
                _refuse([name for name in names if name.startswith(("/", "\\")) or ".." in Path(name).parts], archive)
                content.extractall(folder)
        else:
            with tarfile.open(archive) as content:
                members = content.getmembers()
                _refuse(
                    [m.name for m in members if not (m.isfile() or m.isdir()) or ".." in Path(m.name).parts], archive
                )
                content.extractall(folder, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError) as error:
        raise UserError("not an archive", where=archive, got=error, do="remove it and call fetch again") from None


def _refuse(names: list[str], archive: Path) -> None:
    if names:
        raise UserError("refused: a path leaves the folder", where=archive, got=names[0], do="do not trust this source")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
