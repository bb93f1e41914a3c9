"""The forms in which a repository has a model's weights, and which of them is taken.

Wanted is safetensors, in half precision where the repository has it. Old repositories have it only
in a conversion branch (`refs/pr/N`), or have one file with the whole checkpoint, or pickles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase

from inference.catalog.hub_client import HubListing
from inference.catalog.sources import SAFE_SUFFIXES, HubSource
from inference.errors import MissingModel, MissingRevision

# Lists the files of a source's repository at its revision.
Ask = Callable[[HubSource], HubListing]

# Configs without which a folder does not describe a single-file checkpoint.
OWN_CONFIGS = (
    "model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json",
    "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json",
)  # fmt: skip

_WEIGHTS = ".safetensors"
_COMMIT = re.compile("[0-9a-f]{40}")


class WeightForm(StrEnum):
    """A form of weights; the value is shown to the user."""

    SAFETENSORS = "safetensors"
    HALF = "safetensors, half precision"
    CONVERSION = "safetensors of the conversion branch"
    SINGLE_FILE = "one file with the whole checkpoint"
    PICKLED = "pickles, kept as safetensors"
    GRAPH = "ONNX graph"
    NONE = "no weights"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The files to fetch of one repository.

    Attributes:
        form: the form of the weights.
        revision: the branch or commit that they come from; another one than the source's if that
            is gone, or for the conversion branch.
        listing: only the files to fetch, at the commit of `revision`.
        conversions: names of pickles in `listing`, with the name that each is kept under.
    """

    form: WeightForm
    revision: str
    listing: HubListing
    conversions: Mapping[str, str] = field(default_factory=dict)


def choose(source: HubSource, ask: Ask) -> Choice:
    """The files to fetch, in the first form that the repository has.

    A commit that is not in the repository any more is replaced by the branch main.

    Raises:
        MissingModel: no such repository or branch, or no form of some wanted file.
        HubUnreachable: as `ask`.
    """
    try:
        here, listing = source, ask(source)
    except MissingRevision:
        if not _COMMIT.fullmatch(source.revision):
            raise
        here = source.model_copy(update={"revision": "main"})
        listing = ask(here)
    try:
        return of_listing(here, listing)
    except MissingModel:
        ways = (_of_conversion_branch(here, ask), _of_single_file(here, listing))
        for way in (*ways, _of_pickles(here, listing)):
            if way is not None:
                return way
        raise


def of_listing(source: HubSource, listing: HubListing) -> Choice:
    """The files that the source names; half-precision weights replace full ones.

    Raises:
        MissingModel: a pattern matches nothing.
    """
    safe = [file.name for file in listing.files if file.name.endswith(SAFE_SUFFIXES)]
    names: list[str] = []
    for pattern in source.files:
        found = _matches(pattern, safe)
        if not found:
            raise MissingModel(
                f"{source.repo} has no file {pattern!r} at {source.revision!r}: "
                "correct its entry in the catalog."
            )
        names += found
    return _choice(source, listing, names, _form(names))


def _of_conversion_branch(source: HubSource, ask: Ask) -> Choice | None:
    """Everything from the conversion branch, if the catalog names one that has it."""
    if not source.conversion:
        return None
    branch = source.model_copy(update={"revision": source.conversion})
    try:
        choice = of_listing(branch, ask(branch))
    except MissingModel:
        return None
    return replace(choice, form=WeightForm.CONVERSION)


def _of_single_file(source: HubSource, listing: HubListing) -> Choice | None:
    """The whole checkpoint in one file, with those of the wanted configs that are there."""
    names = [file.name for file in listing.files]
    if not source.single_file or source.single_file not in names:
        return None
    configs = [name for pattern in _configs(source) for name in _matches(pattern, names)]
    return _choice(source, listing, [source.single_file, *configs], WeightForm.SINGLE_FILE)


def _of_pickles(source: HubSource, listing: HubListing) -> Choice | None:
    """A pickle for each wanted file of weights that is not there as safetensors."""
    there = [file.name for file in listing.files]
    names: list[str] = []
    conversions: dict[str, str] = {}
    for pattern in source.files:
        safe = [name for name in there if name.endswith(SAFE_SUFFIXES)]
        found = _matches(pattern, safe)
        pickled = next((pair for pair in _pickles(pattern) if pair[0] in there), None)
        if found:
            names += found
        elif pickled is not None:
            names.append(pickled[0])
            conversions |= [pickled]
        else:
            return None
    return _choice(source, listing, names, WeightForm.PICKLED, conversions)


def _pickles(pattern: str) -> Iterable[tuple[str, str]]:
    """Names that pickled weights have instead of `pattern`, each with its name as safetensors."""
    if not pattern.endswith(_WEIGHTS):
        return
    stem = pattern.removesuffix(_WEIGHTS)
    # The one name that transformers writes differently.
    pickled = re.sub(r"(^|/)model$", r"\1pytorch_model", stem)
    for precision in (".fp16", ""):
        yield f"{pickled}{precision}.bin", f"{stem}{precision}{_WEIGHTS}"


def _matches(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that match, in which `*` does not cross a `/`; or the half-precision twin."""
    names = sorted(names)
    twin = pattern.removesuffix(_WEIGHTS) + ".fp16" + _WEIGHTS
    if pattern.endswith(_WEIGHTS) and twin in names:
        return [twin]
    depth = pattern.count("/")
    return [name for name in names if name.count("/") == depth and fnmatchcase(name, pattern)]


def _configs(source: HubSource) -> list[str]:
    return [pattern for pattern in source.files if not pattern.endswith(_WEIGHTS)]


def _form(names: Iterable[str]) -> WeightForm:
    if any(name.endswith(".fp16" + _WEIGHTS) for name in names):
        return WeightForm.HALF
    if any(name.endswith(_WEIGHTS) for name in names):
        return WeightForm.SAFETENSORS
    if any(name.endswith(".onnx") for name in names):
        return WeightForm.GRAPH
    return WeightForm.NONE


def _choice(
    source: HubSource,
    listing: HubListing,
    names: Iterable[str],
    form: WeightForm,
    conversions: Mapping[str, str] | None = None,
) -> Choice:
    by_name = {file.name: file for file in listing.files}
    wanted = tuple(by_name[name] for name in dict.fromkeys(names))
    return Choice(
        form=form,
        revision=source.revision,
        listing=replace(listing, files=wanted),
        conversions=conversions or {},
    )
