"""Settings of the service on a cluster, as a Serve config file or the command gives them."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from inference.catalog.catalog import Catalog
from inference.errors import LibraryUnavailable
from inference.library.address import SharedFolder, place_of
from inference.library.library import Library
from inference.library.limits import DAY, GIGABYTE, Limits
from inference.rest.callbacks import CallbackRules
from inference.rest.handlers import RestRules
from inference.serving.options import LIBRARY, LIBRARY_FILES, default_library
from inference.studio.studio import Studio


def _library() -> str:
    """Where the library is, by the environment: an address may have a password in it."""
    return os.environ.get(LIBRARY) or str(default_library())


class ServiceSettings(BaseModel):
    """What the deployments of the service are told.

    Attributes:
        library, library_files: where jobs and pictures are; a folder for one machine, a database
            and a store of files for many. By default what the environment says.
        library_size, library_days: gigabytes and days that are kept; None for ever.
        lease: seconds after which the job of a painter that is gone is painted by another.
        style: key of the default style; None takes that of the painters' hardware.
        catalog: file of styles laid over the built-in ones.
        safety_checker: withhold what the safety checker flags.
        hosts: names by which the service is called, beside localhost and IP addresses.
        idempotent, callback_hosts: as `Options` has them.
        max_waiting, max_waiting_of_one: most prompts that wait, of all and of one owner; more are
            answered by 503 and 429.
        retry_after: seconds after which a client that got 503 may try again.
        ingresses: number of replicas that take requests.
        min_painters, max_painters: limits of the autoscaling.
        painter_gpus, painter_cpus: what each painter takes.
        min_mask_finders, max_mask_finders, mask_finder_cpus: the same for those who look at photos;
            with 0 at most, painters do that themselves.
        drain: seconds that a painter has to end what it paints before it is ended.
        stalled: seconds without any progress after which a painter is replaced.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    library: str = Field(default_factory=_library, repr=False)
    library_files: str = Field(default_factory=lambda: os.environ.get(LIBRARY_FILES, ""))
    library_size: float = Field(default=10.0, gt=0)
    library_days: float | None = Field(default=None, gt=0)
    lease: float = Field(default=60.0, gt=0)
    style: str | None = None
    catalog: Path | None = None
    safety_checker: bool = False
    hosts: tuple[str, ...] = ()
    idempotent: bool = False
    callback_hosts: tuple[str, ...] = ()
    max_waiting: int = Field(default=500, ge=1)
    max_waiting_of_one: int = Field(default=100, ge=1)
    retry_after: int = Field(default=30, ge=1)
    ingresses: int = Field(default=1, ge=1)
    min_painters: int = Field(default=1, ge=1)
    max_painters: int = Field(default=1, ge=1)
    painter_gpus: float = Field(default=0.0, ge=0)
    painter_cpus: float = Field(default=1.0, ge=0)
    min_mask_finders: int = Field(default=1, ge=0)
    max_mask_finders: int = Field(default=1, ge=0)
    mask_finder_cpus: float = Field(default=1.0, ge=0)
    drain: float = Field(default=120.0, gt=0)
    stalled: float = Field(default=900.0, gt=0)

    def read_catalog(self) -> Catalog:
        """The catalog of styles."""
        return Catalog.load(self.catalog)

    def make_studio(self) -> Studio:
        """A studio of a process of its own."""
        return Studio(
            catalog=self.read_catalog(), style=self.style, safety_checker=self.safety_checker
        )

    def open_library(self) -> Library:
        """The library, which several processes use."""
        days = self.library_days
        limits = Limits(
            size=round(self.library_size * GIGABYTE), age=None if days is None else days * DAY
        )
        place = place_of(self.library, self.library_files)
        if isinstance(place, Path):
            place = SharedFolder(path=place)
        return Library(place, limits, lease=self.lease)

    def check_reach(self, machines: int) -> None:
        """Check that the library can be reached from so many machines.

        Raises:
            LibraryUnavailable: it is a folder of one, or no valid address.
        """
        if isinstance(place_of(self.library, self.library_files), Path) and machines > 1:
            raise LibraryUnavailable(
                "A library in a folder is for one machine: give --library postgresql://… and "
                "--library-files."
            )

    def rest_rules(self) -> RestRules:
        """What the REST service takes."""
        return RestRules(
            callbacks=CallbackRules(hosts=self.callback_hosts),
            idempotent=self.idempotent,
            # The library counts those that are painted with those that wait.
            most_waiting=self.max_waiting + self.max_painters,
            most_of_one=self.max_waiting_of_one + self.max_painters,
            full=503,
            try_again=self.retry_after,
        )
