"""Files of hub repositories in the model cache, and the receipts that say they were verified."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inference.catalog.hub_client import HubFile, HubListing, cache_folder
from inference.catalog.sources import HubSource
from inference.catalog.weight_forms import Choice, WeightForm, choose
from inference.errors import MissingModel


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A complete and verified download in the cache.

    Attributes:
        folder: its snapshot.
        form: the form of its weights.
        revision: the branch or commit that they come from.
        sizes: bytes of each file.
    """

    folder: Path
    form: WeightForm
    revision: str
    sizes: Mapping[str, int]


def kept(source: HubSource) -> Kept | None:
    """The verified download; None if there is none, or if a file has another size now."""
    try:
        receipt = json.loads(_receipt_path(source).read_text())
        found = Kept(
            folder=snapshot_folder(source, receipt["commit"]),
            form=WeightForm[receipt.get("form", WeightForm.SAFETENSORS.name)],
            revision=receipt.get("revision", source.revision),
            sizes=receipt["files"],
        )
        intact = all((found.folder / n).stat().st_size == size for n, size in found.sizes.items())
    except (OSError, ValueError, KeyError):
        return None
    return found if intact else None


def verified_folder(source: HubSource) -> Path | None:
    """The snapshot of a verified download, else None."""
    found = kept(source)
    return None if found is None else found.folder


def write_receipt(source: HubSource, choice: Choice) -> None:
    """Note that the files of a choice were verified as they are now."""
    path, commit = _receipt_path(source), choice.listing.commit
    names = [choice.conversions.get(file.name, file.name) for file in choice.listing.files]
    sizes = {name: (snapshot_folder(source, commit) / name).stat().st_size for name in names}
    receipt = {
        "commit": commit,
        "files": sizes,
        "form": choice.form.name,
        "revision": choice.revision,
    }
    # If the cache is read-only, the files are verified again at the next start.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(receipt))


def cached_choice(source: HubSource) -> Choice | None:
    """The wanted files in the cache, from any program; None if some are missing."""
    ref = repo_folder(source) / "refs" / source.revision
    commit = ref.read_text().strip() if ref.is_file() else source.revision
    snapshot = snapshot_folder(source, commit)
    files = []
    for path in snapshot.rglob("*"):
        if path.is_file():
            blob = path.resolve()
            # The cache names the blob of a large file by its sha256.
            sha256 = blob.name if re.fullmatch("[0-9a-f]{64}", blob.name) else None
            name = path.relative_to(snapshot).as_posix()
            files.append(HubFile(name=name, size=blob.stat().st_size, sha256=sha256))
    try:
        return choose(source, lambda _: HubListing(commit=commit, files=tuple(files)))
    except MissingModel:
        return None


def bytes_present(source: HubSource, file: HubFile) -> int:
    """How much of a large file is in the cache; small ones count as missing."""
    blobs = repo_folder(source) / "blobs"
    found = [] if file.sha256 is None else blobs.glob(f"{file.sha256}*")
    return min(file.size, max((blob.stat().st_size for blob in found), default=0))


def delete_file(path: Path) -> None:
    """Delete a file of a snapshot, and the blob that it points to."""
    blob = path.resolve()
    path.unlink()
    blob.unlink(missing_ok=True)


def repo_folder(source: HubSource) -> Path:
    """The folder of the source's repository."""
    return cache_folder() / f"models--{source.repo.replace('/', '--')}"


def snapshot_folder(source: HubSource, commit: str) -> Path:
    """The folder of the repository's files at a commit."""
    return repo_folder(source) / "snapshots" / commit


def _receipt_path(source: HubSource) -> Path:
    wish = json.dumps([source.revision, sorted(source.files)]).encode()
    return repo_folder(source) / "receipts" / f"{hashlib.sha256(wish).hexdigest()[:16]}.json"
