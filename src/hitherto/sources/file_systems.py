"""Where a source's path lies: a local folder, S3 or GCS, each as a pyarrow file system."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from hitherto.definitions.source import ParquetSource
from hitherto.errors import SourceError

REMOTE = ("s3", "gs")


@dataclass(frozen=True)
class Home:
    """A file system, and how a path of the source is spelled inside it."""

    filesystem: pafs.FileSystem
    path: str
    """The source's path inside the file system, wildcards and all."""
    scheme: str = ""
    """"s3" or "gs"; empty for local files."""
    folder: str | None = None
    """What recorded local paths are relative to; None when they are absolute."""

    @property
    def is_local(self) -> bool:
        """Whether DuckDB can open the files by itself."""
        return not self.scheme

    def recorded(self, inner: str) -> str:
        """How a file is called in the registry and in messages."""
        if self.scheme:
            return f"{self.scheme}://{inner}"
        return Path(os.path.relpath(inner, self.folder)).as_posix() if self.folder else inner

    def inner(self, recorded: str) -> str:
        """The path inside the file system of a recorded path."""
        if self.scheme:
            return recorded.removeprefix(f"{self.scheme}://")
        return os.path.normpath(os.path.join(self.folder or "/", recorded))


def blame(source: ParquetSource, message: str) -> SourceError:
    """A SourceError that names the source and the line of its definition."""
    at = f" ({source.location})" if source.location else ""
    return SourceError(f"Source {source.name!r}{at}: {message}")


def find_home(source: ParquetSource, *, root: Path) -> Home:
    """The file system of a source. Raises SourceError for a scheme that is not known or a file system that does not start."""
    scheme, separator, rest = source.path.partition("://")
    if not separator:
        path = os.path.expanduser(source.path)
        folder = None if os.path.isabs(path) else os.path.abspath(root)
        return Home(pafs.LocalFileSystem(), os.path.normpath(os.path.join(folder or "/", path)), folder=folder)
    if scheme == "file":
        return Home(pafs.LocalFileSystem(), os.path.normpath(unquote(urlsplit(source.path).path)))
    if scheme not in REMOTE:
        raise blame(source, f"its path begins with {scheme}://; paths are local, s3:// or gs://.")
    try:
        filesystem = _s3(rest.partition("/")[0]) if scheme == "s3" else pafs.GcsFileSystem()
    except (OSError, pa.ArrowException) as error:
        raise blame(source, f"the file system of {scheme}:// cannot be opened: {first_line(error)}") from error
    return Home(filesystem, rest.rstrip("/"), scheme)


def _s3(bucket: str) -> pafs.FileSystem:
    """S3 by the settings that AWS's own tools read; pyarrow itself reads the credentials, but neither endpoint nor region."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        host = parts.netloc + parts.path.rstrip("/")
        return pafs.S3FileSystem(endpoint_override=host, scheme=parts.scheme, region=region or "us-east-1")
    if region is None:
        try:
            region = pafs.resolve_s3_region(bucket)
        except OSError:  # a bucket that is not there, or no network: the listing will say which
            region = "us-east-1"
    return pafs.S3FileSystem(region=region)


def first_line(error: BaseException) -> str:
    """The first line of a foreign error, which says what happened; the rest is its machinery."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
