"""Inspection of sources: what the hub, the index and the model cache have, without fetching it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from inference.catalog.hub_cache import (
    Kept,
    cached_choice,
    kept,
    repo_folder,
    snapshot_folder,
)
from inference.catalog.hub_client import HubFile, check_access
from inference.catalog.pickled_weights import is_whole
from inference.catalog.sources import HubSource, LocalSource, Source, WheelSource
from inference.catalog.weight_forms import Ask, Choice, WeightForm, choose
from inference.catalog.wheel import kept_folder
from inference.errors import HubUnreachable, ModelUnavailable

# Asks a package index for a package.
AskIndex = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class FileState:
    """A wanted file: its name, its size in bytes, and whether the cache has it."""

    name: str
    bytes: int
    is_cached: bool


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What there is of a source.

    Attributes:
        name: repository, package or folder.
        revision: the branch or commit that its files come from; "" if it has none.
        form: the form of the weights; "" if unknown.
        licence: by the catalog.
        files: all wanted files, as far as they are known.
        problem: why it cannot be used, one sentence that says what to do; "" if it can.
        notes: what else a user may want to know, a sentence each.
    """

    name: str
    revision: str = ""
    form: str = ""
    licence: str = ""
    files: tuple[FileState, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def bytes_missing(self) -> int:
        """Bytes that a download would add to the cache."""
        return sum(file.bytes for file in self.files if not file.is_cached)


def inspect(source: Source, ask: Ask, ask_index: AskIndex) -> Inspection:
    """What there is of a source; problems are told and not raised.

    Args:
        source: a source of the catalog.
        ask: lists a repository, as `ask_hub`; the network is used only through this and by the
            check of a gate.
        ask_index: asks for a package, as `ask_index`.
    """
    try:
        if isinstance(source, LocalSource):
            return _of_folder(source)
        if isinstance(source, WheelSource):
            return _of_wheel(source, ask_index)
        return _of_repository(source, ask)
    except OSError as error:
        return Inspection(
            name=_name(source),
            licence=source.licence,
            problem=f"{_name(source)} cannot be read ({error.strerror}): allow reading its folder.",
        )


def _of_folder(source: LocalSource) -> Inspection:
    folder = source.folder
    name, problem = _name(source), ""
    if not folder.is_dir():
        problem = f"The model folder {name} does not exist: restore it or choose another style."
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    damaged = _damaged(paths)
    # A folder may hold what no style reads.
    notes = (f"{damaged} in {name} is damaged: restore it if it is needed.",) if damaged else ()
    files = tuple(_on_disk(folder, path.relative_to(folder).as_posix()) for path in paths)
    return Inspection(
        name=name,
        form=WeightForm.SAFETENSORS,
        licence=source.licence,
        files=files,
        problem=problem,
        notes=notes,
    )


def _of_wheel(source: WheelSource, ask_index: AskIndex) -> Inspection:
    there = kept_folder(source)
    files: tuple[FileState, ...] = ()
    problem = ""
    if there is not None:
        files = tuple(_on_disk(there, name) for name in source.names.values())
    else:
        # The wheel is fetched as a whole, and deleted once its files are taken out.
        files = (FileState(name=source.package, bytes=source.bytes or 0, is_cached=False),)
        try:
            ask_index(source.package)
        except ModelUnavailable as error:
            problem = str(error)
    return Inspection(
        name=source.package,
        form="files out of a Python wheel",
        licence=source.licence,
        files=files,
        problem=problem,
    )


def _of_repository(source: HubSource, ask: Ask) -> Inspection:
    there = kept(source)
    try:
        choice = choose(source, ask)
        if choice.listing.is_gated and there is None:
            check_access(source)
    except ModelUnavailable as error:
        return _without_hub(source, there, error)
    if there is not None:
        return _kept(source, there, ())
    notes = []
    if _is_other(source, choice.form, choice.revision):
        notes.append(_instead(source, choice.revision))
    folder = snapshot_folder(source, choice.listing.commit)
    files = tuple(_expected(folder, file, choice) for file in choice.listing.files)
    broken = [file.name for file in files if not file.is_cached and (folder / file.name).exists()]
    if broken:
        notes.append(f"{broken[0]} is damaged in the model cache, and will be fetched again.")
    half = sum(path.stat().st_size for path in _parts_of_files(source))
    if half:
        notes.append(
            f"A download that was broken off left {half / 1e6:.1f} MB of no use in the model "
            "cache; its file begins anew."
        )
    return Inspection(
        name=source.repo,
        revision=choice.revision,
        form=choice.form,
        licence=source.licence,
        files=files,
        notes=tuple(notes),
    )


def _without_hub(source: HubSource, there: Kept | None, error: ModelUnavailable) -> Inspection:
    """What the cache has; the hub's error is a problem if that is not everything."""
    # Without an answer, files in the cache are used; a repository that is closed is said so.
    choice = cached_choice(source) if isinstance(error, HubUnreachable) else None
    if there is not None:
        return _kept(source, there, (f"Only the model cache has it: {error}",))
    if choice is None:
        return Inspection(
            name=source.repo,
            revision=source.revision,
            licence=source.licence,
            problem=str(error),
        )
    files = tuple(
        FileState(name=file.name, bytes=file.size, is_cached=True) for file in choice.listing.files
    )
    return Inspection(
        name=source.repo,
        revision=choice.revision,
        form=choice.form,
        licence=source.licence,
        files=files,
        notes=(f"Only the model cache has it: {error}",),
    )


def _kept(source: HubSource, there: Kept, notes: tuple[str, ...]) -> Inspection:
    """A verified download, of which a part may have been damaged since."""
    damaged = _damaged(there.folder / name for name in there.sizes)
    problem = ""
    if damaged:
        problem = (
            f"{damaged} of {source.repo} is damaged in the model cache: delete the folder "
            f"{repo_folder(source).name} there, and start again."
        )
    if _is_other(source, there.form, there.revision):
        notes = (*notes, _instead(source, there.revision))
    return Inspection(
        name=source.repo,
        revision=there.revision,
        form=there.form,
        licence=source.licence,
        files=tuple(_on_disk(there.folder, name) for name in there.sizes),
        problem=problem,
        notes=notes,
    )


def _damaged(files: Iterable[Path]) -> str:
    """The name of the first file of safetensors that is not as long as it says, or ""."""
    weights = (file for file in files if file.suffix == ".safetensors")
    return next((file.name for file in weights if not is_whole(file)), "")


def _expected(folder: Path, file: HubFile, choice: Choice) -> FileState:
    """A file that would be fetched; a pickle counts as cached once it was converted."""
    converted = choice.conversions.get(file.name)
    if converted is not None and is_whole(folder / converted):
        return FileState(name=converted, bytes=(folder / converted).stat().st_size, is_cached=True)
    path = folder / file.name
    is_cached = path.is_file() and path.stat().st_size == file.size
    return FileState(name=file.name, bytes=file.size, is_cached=is_cached)


def _on_disk(folder: Path, name: str) -> FileState:
    return FileState(name=name, bytes=(folder / name).stat().st_size, is_cached=True)


def _parts_of_files(source: HubSource) -> Iterable[Path]:
    """What killed processes left of their downloads; huggingface_hub does not go on there."""
    return (repo_folder(source) / "blobs").glob("*.incomplete")


def _is_other(source: HubSource, form: str, revision: str) -> bool:
    return revision != source.revision and form != WeightForm.CONVERSION


def _instead(source: HubSource, revision: str) -> str:
    return f"The commit {source.revision[:8]} is gone, so the branch {revision} is taken."


def _name(source: Source) -> str:
    if isinstance(source, LocalSource):
        return source.folder.name
    return source.package if isinstance(source, WheelSource) else source.repo
