"""The package's exceptions, and what they carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bailiwick._bailiwick import Decision, EntityUid


class BailiwickError(Exception):
    """The base of what is raised for input that cannot be used. A denial is no such error: see `Forbidden`."""


class RequestError(BailiwickError, ValueError):
    """A request that cannot be read. Nothing was decided."""

    index: int | None
    """Which request of a batch it is, from 0; `None` outside a batch."""

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True)
class Finding:
    """One thing wrong in a schema or policy text, and where."""

    message: str
    help: str | None
    """What to do about it, where there is advice."""
    policy: str | None
    """The id of the policy it is about, where it is about one."""
    file: str | None
    """The file it points into; `None`, like line and column, where it points at no text."""
    line: int | None
    """The line, from 1."""
    column: int | None
    """The column, from 1, in characters."""


class BundleError(BailiwickError, ValueError):
    """Policies or a schema that cannot be used. Nothing was replaced."""

    findings: tuple[Finding, ...]
    """Everything that is wrong, in the order of the files."""

    def __init__(self, message: str, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message)
        self.findings = findings


@dataclass(frozen=True)
class EntityFault:
    """One thing wrong with one entity."""

    index: int | None
    """The entity's place in the list it came in, from 0."""
    uid: EntityUid | None
    """The entity's uid, where it could be read."""
    message: str


class EntityError(BailiwickError, ValueError):
    """Entities that were refused. Nothing was loaded or changed."""

    faults: tuple[EntityFault, ...]
    """What is wrong, in the order of the entities; at most 1,000 faults."""
    more: int
    """How many more there were."""

    def __init__(self, message: str, faults: tuple[EntityFault, ...] = (), more: int = 0) -> None:
        super().__init__(message)
        self.faults = faults
        self.more = more


class QueryError(BailiwickError):
    """A question to many that has no answer, because a single decision could not be trusted."""

    code: str
    """What kind of error it is, as in `DecisionError`."""
    on: EntityUid | None
    """The principal or resource it was met on, where it was one among many."""

    def __init__(self, message: str, code: str = "", on: EntityUid | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.on = on


class DirectoryError(BailiwickError):
    """A directory that cannot be opened."""


class Forbidden(PermissionError):
    """Raised by `Authorizer.require` where the request is not allowed."""

    decision: Decision
    """The decision, which may be indeterminate."""

    def __init__(self, message: str, decision: Decision) -> None:
        super().__init__(message)
        self.decision = decision

    def __reduce__(self) -> tuple[Callable[..., Forbidden], tuple[str, Decision]]:
        return (type(self), (str(self), self.decision))
