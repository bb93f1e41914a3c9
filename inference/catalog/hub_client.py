"""Hugging Face Hub client: lists a repository, downloads a file, and translates errors.

No other module uses huggingface_hub.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inference.catalog.download import Activity, is_offline
from inference.catalog.sources import HubSource
from inference.errors import (
    DamagedDownload,
    HubUnreachable,
    MissingModel,
    MissingRevision,
    ModelUnavailable,
)

#: Seconds that the hub may take to list a repository, at the first request and at the next ones.
LISTING_TIMEOUTS_S = (5.0, 10.0, 15.0)
#: Seconds that it may take to begin to deliver a file.
ANSWER_TIMEOUT_S = 15.0

_MAX_RESTARTS = 3


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a repository: path in it, size in bytes, and SHA-256 where the hub has it (LFS)."""

    name: str
    size: int
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class HubListing:
    """The files of a repository at one commit.

    `is_gated` says that its owner lets only those download who accepted terms; the list is open.
    """

    commit: str
    files: tuple[HubFile, ...]
    is_gated: bool = False


def ask_hub(source: HubSource, asking: Callable[[Activity], None]) -> HubListing:
    """All files of the source's repository at its revision.

    A hub that is slow to answer is asked again, each time with more patience; `asking` is called
    before each request and may raise to stop.

    Raises:
        HubUnreachable: no connection, no answer, a server error, or HF_HUB_OFFLINE.
        MissingModel: no such repository or revision, or no access to it.
    """
    if is_offline():
        raise HubUnreachable(
            f"{source.repo} is not downloaded yet and HF_HUB_OFFLINE is set: unset it, "
            "or go on with the built-in pack."
        )
    from httpx2 import ReadTimeout

    asking(Activity.ASKING)
    for seconds in LISTING_TIMEOUTS_S[:-1]:
        try:
            return _list_files(source, seconds)
        except HubUnreachable as error:
            if not isinstance(error.__cause__, ReadTimeout):
                raise
        asking(Activity.WAITING)
    return _list_files(source, LISTING_TIMEOUTS_S[-1])


def _list_files(source: HubSource, timeout: float) -> HubListing:
    from httpx2 import HTTPError
    from huggingface_hub import HfApi

    try:
        info = HfApi(endpoint=_endpoint()).model_info(
            source.repo, revision=source.revision, files_metadata=True, timeout=timeout
        )
    except (HTTPError, OSError, ValueError, KeyError, TypeError) as error:
        # The last three: a response that is not the hub's, such as a network's login page.
        raise _translate(error, source, "its list of files") from error
    files = tuple(
        HubFile(
            name=entry.rfilename,
            size=entry.size or 0,
            sha256=entry.lfs.sha256 if entry.lfs else None,
        )
        for entry in info.siblings or []
    )
    return HubListing(commit=info.sha or source.revision, files=files, is_gated=bool(info.gated))


def check_access(source: HubSource) -> None:
    """Check that the files of a gated repository may be downloaded, with the user's token.

    Raises:
        MissingModel: they may not.
        HubUnreachable: as `ask_hub`.
    """
    from httpx2 import HTTPError
    from huggingface_hub import HfApi

    try:
        HfApi(endpoint=_endpoint()).auth_check(source.repo)
    except (HTTPError, OSError, ValueError) as error:
        raise _translate(error, source, "the right to its files") from error


def get_file(source: HubSource, *, commit: str, name: str, on_bytes: Callable[[int], None]) -> Path:
    """The file in the model cache, downloaded unless it is there.

    `on_bytes` gets the number of bytes so far, perhaps from another thread; an exception from it
    ends the download, except a transfer over Xet, which goes on to the end of the file.

    Raises:
        HubUnreachable, MissingModel: as `ask_hub`.
        DamagedDownload: the transfer was truncated repeatedly.
        ModelUnavailable: the file cannot be saved.
    """
    from httpx2 import HTTPError
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(
            source.repo,
            name,
            revision=commit,
            cache_dir=cache_folder(),
            endpoint=_endpoint(),
            etag_timeout=ANSWER_TIMEOUT_S,
            tqdm_class=_meter(on_bytes),
        )
    except (HTTPError, OSError, RuntimeError) as error:
        # The Xet transfer raises RuntimeError for failures without a class of their own.
        raise _translate(error, source, name) from error
    return Path(path)


def cache_folder() -> Path:
    """The model cache by the present environment; huggingface_hub reads it only when imported."""
    if "HF_HUB_CACHE" in os.environ:
        return Path(os.environ["HF_HUB_CACHE"]).expanduser()
    if "HF_HOME" in os.environ:
        return Path(os.environ["HF_HOME"]).expanduser() / "hub"
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def _translate(error: Exception, source: HubSource, what: str) -> ModelUnavailable:
    """The `ModelUnavailable` for an error of a library."""
    from httpx2 import HTTPError, RemoteProtocolError
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RevisionNotFoundError,
    )

    repo = source.repo
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, GatedRepoError) or status == 403:
        return MissingModel(
            f"{repo} is closed: accept its terms on its page on the hub, then set HF_TOKEN."
        )
    if isinstance(error, RevisionNotFoundError):
        return MissingRevision(
            f"{repo} has no revision {source.revision!r}: correct its entry in the catalog."
        )
    if status in (401, 404):
        return MissingModel(
            f"{repo} does not exist on the hub or is private: correct its entry in the catalog, "
            "or set HF_TOKEN."
        )
    if isinstance(error, RemoteProtocolError):
        return _cut_short(repo, what)
    if isinstance(error, HTTPError | ConnectionError | LocalEntryNotFoundError):
        return _unreachable(repo, status)
    if isinstance(error, OSError):
        if error.errno is None:
            return _cut_short(repo, what)
        return ModelUnavailable(
            f"{what} of {repo} cannot be saved ({error.strerror}): make room in {cache_folder()}."
        )
    return _unreachable(repo, status)


def _cut_short(repo: str, what: str) -> DamagedDownload:
    return DamagedDownload(
        f"{what} of {repo} was cut short: check the connection, then choose the style again."
    )


def _unreachable(repo: str, status: int | None) -> HubUnreachable:
    how = "does not answer" if status is None else f"answers with error {status}"
    return HubUnreachable(
        f"The model hub {how}, so {repo} cannot be downloaded: check the connection and try "
        "again, or go on with the built-in pack."
    )


def _meter(on_bytes: Callable[[int], None]) -> type:
    """A progress-bar class for huggingface_hub that only counts bytes."""

    class Meter:
        total: int | None = None

        def __init__(self, *, initial: int = 0, **_look: object) -> None:
            self.done = initial
            self.restarts = 0

        def update(self, n: float = 1) -> None:
            # With a proxy that cuts bodies short and ignores ranges, the transfer never ends.
            self.restarts += n < 0
            if self.restarts > _MAX_RESTARTS:
                raise OSError("the transfer starts over again and again")
            self.done += int(n)
            on_bytes(self.done)

        # Required by Xet transfers; their separate counts and speeds are not used.
        def update_transfer(self, n: float) -> None: ...
        def set_postfix_str(self, text: str, refresh: bool = True) -> None: ...
        def set_transfer_postfix_str(self, text: str, refresh: bool = True) -> None: ...
        def close(self) -> None: ...

        def __enter__(self) -> Meter:
            return self

        def __exit__(self, *_: object) -> None: ...

    return Meter
