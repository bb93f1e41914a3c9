"""Everything that can go wrong in Masquerade, as one tree.

    MasqueradeError
    ├── InvalidRecipe          a setting is out of range or contradicts another one
    ├── InvalidPhoto           the upload is no picture, too large, too small or damaged
    ├── EmptyMask              nothing would be repainted, or nothing kept
    │   └── WordsNotFound      … because the words are not in the picture
    ├── ModelUnavailable       a model cannot be had right now
    │   ├── HubUnreachable     no answer, or a broken one, from the model hub
    │   ├── DamagedDownload    what arrived is cut short or has the wrong hash
    │   ├── MissingModel       unknown key, absent folder, absent or closed repository
    │   └── InvalidCatalog     a catalog file has a mistake
    ├── NoDevice               no GPU is lent for this painting
    ├── OutOfMemory            the device has too little memory for this picture
    ├── ModelFailed            a model broke off, for a reason of its own
    │   └── PaintingFailed     … or returned something that is not a picture (NaN)
    ├── Withheld               the safety checker flagged every picture
    └── Cancelled              the user pressed Cancel

`str(error)` is always one sentence for the person at the screen, and says what to do next. The
technical cause, where there is one, is the chained `__cause__`. All of these survive pickling,
because a worker process (ZeroGPU) hands its errors back that way.
"""


class MasqueradeError(Exception):
    """Root of the tree: catch this one to show `str(error)` to the user."""


class InvalidRecipe(MasqueradeError):
    """A setting of the recipe is not usable.

    `field` is the name of the recipe's field, in the recipe's own spelling ("" if the fault lies
    in a combination of fields), so that the page can mark the right control.
    """

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidPhoto(MasqueradeError):
    """The uploaded bytes or the address do not give a usable photo."""


class EmptyMask(MasqueradeError):
    """The mask selects nothing, so painting it would be a waste of the user's time."""

    def __init__(
        self,
        message: str = "The mask is empty, nothing would be repainted: raise mask dilate.",
    ) -> None:
        super().__init__(message)


class WordsNotFound(EmptyMask):
    """None of the phrases to keep is in the picture.

    `scores` holds the peak score in 0–1 of each phrase that was looked for.
    """

    def __init__(self, message: str, *, scores: dict[str, float] | None = None) -> None:
        super().__init__(message)
        self.scores = dict(scores or {})


class ModelUnavailable(MasqueradeError):
    """A model is needed that is not here and cannot be fetched."""


class HubUnreachable(ModelUnavailable):
    """The model hub does not answer, or answers with a server error."""


class DamagedDownload(ModelUnavailable):
    """A downloaded file is still cut short or altered after a second attempt."""


class MissingModel(ModelUnavailable):
    """No such key in the catalog, no such folder, or no access to such a repository."""


class InvalidCatalog(ModelUnavailable):
    """A catalog file is absent, unreadable, or has a wrong entry."""


class NoDevice(MasqueradeError):
    """Where GPUs are lent, none was, or it was taken back before the painting was done."""


class OutOfMemory(MasqueradeError):
    """The device ran out of memory; a smaller picture or fewer images may fit."""

    def __init__(
        self,
        message: str = "The device ran out of memory: choose a smaller size or fewer images.",
    ) -> None:
        super().__init__(message)


class ModelFailed(MasqueradeError):
    """A model, or what it needs, broke off; the next job finds everything as it was."""

    def __init__(
        self,
        message: str = "The model failed: press Generate again, or choose another style.",
    ) -> None:
        super().__init__(message)


class PaintingFailed(ModelFailed):
    """The model produced NaN or infinity instead of a picture."""

    def __init__(
        self,
        message: str = "The model produced no picture: lower the guidance or try another seed.",
    ) -> None:
        super().__init__(message)


class Withheld(MasqueradeError):
    """The safety checker is on and flagged what was painted."""

    def __init__(
        self,
        message: str = "The safety checker held the picture back: try another seed or prompt.",
    ) -> None:
        super().__init__(message)


class Cancelled(MasqueradeError):
    """Work was stopped at the user's request."""

    def __init__(self, message: str = "Cancelled: press Generate to start again.") -> None:
        super().__init__(message)
