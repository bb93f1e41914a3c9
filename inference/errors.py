"""Exception hierarchy of Masquerade.

    MasqueradeError
    ├── InvalidRecipe          a setting is out of range or contradicts another one
    ├── InvalidPhoto           the upload is not a picture, too large, too small or damaged
    ├── EmptyMask              nothing would be repainted, or nothing kept
    │   └── WordsNotFound      … because the words are not in the picture
    ├── ModelUnavailable       a model cannot be loaded or downloaded
    │   ├── HubUnreachable     no answer, or a broken one, from the model hub
    │   ├── DamagedDownload    a file is truncated or has the wrong hash
    │   ├── MissingModel       unknown key, absent folder, absent or closed repository
    │   │   └── MissingRevision    … or the repository has no such branch or commit
    │   └── InvalidCatalog     a catalog file has a mistake
    ├── NoDevice               no GPU was allocated for this painting (ZeroGPU)
    ├── OutOfMemory            the device has too little memory for this picture
    ├── ModelFailed            a model or a library raised an unexpected error
    │   └── PaintingFailed     … or the model's output is NaN or infinite
    ├── Withheld               the safety checker flagged every picture
    ├── LibraryUnavailable     the library cannot be opened
    ├── NotStored              something could not be written to the library
    └── Cancelled              the user pressed Cancel

`str(error)` is one sentence for the user and says what to do next. The technical cause, if there
is one, is `__cause__`. All classes can be pickled, because a worker process (ZeroGPU) returns its
errors that way.
"""


class MasqueradeError(Exception):
    """Base class of all errors; `str(error)` is a message for the user."""


class InvalidRecipe(MasqueradeError):
    """A setting of the recipe is invalid.

    Attributes:
        field: name of the field of `Recipe`, by which the page marks its control; "" if a
            combination of fields is invalid.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidPhoto(MasqueradeError):
    """The uploaded file or the URL does not give a usable photo."""


class EmptyMask(MasqueradeError):
    """The mask repaints nothing, or keeps nothing."""

    def __init__(
        self,
        message: str = "The mask is empty, nothing would be repainted: raise mask dilate.",
    ) -> None:
        super().__init__(message)


class WordsNotFound(EmptyMask):
    """None of the mask's phrases was found in the picture.

    Attributes:
        scores: peak score in 0–1 of each phrase.
    """

    def __init__(self, message: str, *, scores: dict[str, float] | None = None) -> None:
        super().__init__(message)
        self.scores = dict(scores or {})


class ModelUnavailable(MasqueradeError):
    """A required model cannot be loaded or downloaded."""


class HubUnreachable(ModelUnavailable):
    """The model hub does not answer, or answers with a server error."""


class DamagedDownload(ModelUnavailable):
    """A downloaded file is truncated or has the wrong hash, also after a second attempt."""


class MissingModel(ModelUnavailable):
    """Unknown catalog key, missing folder, or missing or inaccessible repository."""


class MissingRevision(MissingModel):
    """A repository has no such branch, tag or commit."""


class InvalidCatalog(ModelUnavailable):
    """A catalog file is missing, unreadable, or has an invalid entry."""


class NoDevice(MasqueradeError):
    """No GPU was allocated, or the allocation ended before the painting was done (ZeroGPU)."""


class OutOfMemory(MasqueradeError):
    """The device ran out of memory; a smaller picture or fewer images may fit."""

    def __init__(
        self,
        message: str = "The device ran out of memory: choose a smaller size or fewer images.",
    ) -> None:
        super().__init__(message)


class ModelFailed(MasqueradeError):
    """A model or a library raised an unexpected error; later jobs are not affected."""

    def __init__(
        self,
        message: str = "The model failed: press Generate again, or choose another style.",
    ) -> None:
        super().__init__(message)


class PaintingFailed(ModelFailed):
    """The model's output contains NaN or infinity."""

    def __init__(
        self,
        message: str = "The model produced no picture: lower the guidance or try another seed.",
    ) -> None:
        super().__init__(message)


class Withheld(MasqueradeError):
    """The safety checker flagged every painted picture."""

    def __init__(
        self,
        message: str = "The safety checker held the picture back: try another seed or prompt.",
    ) -> None:
        super().__init__(message)


class LibraryUnavailable(MasqueradeError):
    """The library cannot be opened: taken, of a newer version, or not accessible."""


class NotStored(MasqueradeError):
    """Something could not be written to the library or read from it; nothing half is left."""


class Cancelled(MasqueradeError):
    """The job was cancelled by the user."""

    def __init__(self, message: str = "Cancelled: press Generate to start again.") -> None:
        super().__init__(message)
