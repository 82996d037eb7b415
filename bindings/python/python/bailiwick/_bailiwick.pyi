"""The compiled part of the package.

Values in attributes, tags and contexts are: bool, int (64 bits), str, list, tuple, set, dict with str keys, `EntityUid`,
aware `datetime` and `timedelta` (to the millisecond), `Decimal` (4 places), addresses, networks and interfaces of
`ipaddress`, and Cedar's JSON escapes `{"__entity": …}` and `{"__extn": …}`. A str may stand for a datetime, duration,
decimal or IP address where the schema declares one. Floats, None and naive datetimes are refused.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from os import PathLike
from typing import Any, Literal, TypeAlias, final

__all__ = [
    "AllowedActions",
    "Authorizer",
    "Decision",
    "DecisionError",
    "Entity",
    "EntityUid",
    "Found",
    "Request",
    "Revision",
    "_restore",
]

_Path: TypeAlias = str | PathLike[str]
# A uid's text, the uid, or `{"type": …, "id": …}`.
_Uid: TypeAlias = str | EntityUid | dict[str, str]

@final
class EntityUid:
    """The uid of an entity: its type, such as `Grc::Member`, and its id."""

    def __new__(cls, type: str, id: str) -> EntityUid: ...
    @staticmethod
    def parse(text: str) -> EntityUid:
        """The uid written as `text`, such as `Grc::Member::"m-1"`."""

    @property
    def type(self) -> str:
        """The type, with its namespace."""

    @property
    def id(self) -> str:
        """The id, without quotes and escapes."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: EntityUid, /) -> bool: ...
    def __le__(self, other: EntityUid, /) -> bool: ...
    def __gt__(self, other: EntityUid, /) -> bool: ...
    def __ge__(self, other: EntityUid, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Entity:
    """An entity: its uid, attributes, direct parents and tags, as in Cedar's entity JSON."""

    def __new__(
        cls,
        uid: _Uid,
        attrs: dict[str, Any] | None = None,
        parents: Iterable[_Uid] | None = None,
        tags: dict[str, Any] | None = None,
    ) -> Entity: ...
    @property
    def uid(self) -> EntityUid:
        """Its uid."""

    @property
    def attrs(self) -> dict[str, Any]:
        """Its attributes, by name."""

    @property
    def parents(self) -> tuple[EntityUid, ...]:
        """Its direct parents."""

    @property
    def tags(self) -> dict[str, Any]:
        """Its tags, by name."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Request:
    """A request that `is_authorized_many` decides."""

    def __new__(
        cls,
        principal: _Uid,
        action: _Uid,
        resource: _Uid | Entity | dict[str, Any],
        context: dict[str, Any] | None = None,
    ) -> Request: ...
    @property
    def principal(self) -> EntityUid:
        """Who asks."""

    @property
    def action(self) -> EntityUid | str:
        """What is to be done: a uid, or an action's bare id."""

    @property
    def resource(self) -> EntityUid | Entity:
        """On what: a uid, or a whole entity."""

    @property
    def context(self) -> dict[str, Any] | None:
        """The context, by attribute; none where it was left out."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Revision:
    """Which state of the entities a decision was made on."""

    def __new__(cls, epoch: int, number: int) -> Revision: ...
    @property
    def epoch(self) -> int:
        """Changes with each load from scratch."""

    @property
    def number(self) -> int:
        """Grows by one with each change."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: Revision, /) -> bool: ...
    def __le__(self, other: Revision, /) -> bool: ...
    def __gt__(self, other: Revision, /) -> bool: ...
    def __ge__(self, other: Revision, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class DecisionError:
    """An error met while deciding."""

    def __new__(cls, policy: str | None, code: str, message: str) -> DecisionError: ...
    @property
    def policy(self) -> str | None:
        """The policy that could not be evaluated; `None` for errors of the request or the state."""

    @property
    def code(self) -> str:
        """What kind of error it is: `evaluation`, `unknown_principal`, `unknown_resource`, `invalid_request`,
        `inline_conflict`, `stale`, `clock`, `window`."""

    @property
    def message(self) -> str:
        """The error in words, one line."""

    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Decision:
    """The answer to one request. It is true where the request is allowed. Only an authorizer makes one."""

    @property
    def allowed(self) -> bool:
        """Whether the request is allowed."""

    @property
    def indeterminate(self) -> bool:
        """Whether the policies' own answer could not be trusted; such a decision is always a denial."""

    @property
    def determining(self) -> tuple[str, ...]:
        """The ids of the policies that determined the decision, sorted: for an allow the permits that matched,
        for a denial the forbids; empty where no policy matched."""

    @property
    def errors(self) -> tuple[DecisionError, ...]:
        """The errors met, those of no policy first."""

    @property
    def revision(self) -> Revision:
        """The state of the entities it was made on."""

    @property
    def bundle(self) -> str:
        """The version of the policies it was made by: a hash of schema and policies."""

    @property
    def window(self) -> tuple[datetime, datetime] | None:
        """The effective window of an audit download, both ends included, where the request asked for one.

        Raises `OverflowError` where an end is before the year 1, which Python's datetimes do not reach.
        """

    def __bool__(self) -> bool: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Found:
    """What `who_can` and `allowed_resources` found. Only an authorizer makes one."""

    @property
    def uids(self) -> tuple[EntityUid, ...]:
        """The uids of the page, in the order of type and id."""

    @property
    def total(self) -> int:
        """How many there are on all pages."""

    @property
    def more(self) -> bool:
        """Whether more come after this page."""

@final
class AllowedActions:
    """What `allowed_actions` found. Only an authorizer makes one."""

    @property
    def allowed(self) -> tuple[EntityUid, ...]:
        """Those that are allowed, in the order of their ids."""

    @property
    def undecided(self) -> tuple[EntityUid, ...]:
        """Those that need more context than was given, such as the role to be granted."""

@final
class Authorizer:
    """Answers requests by the policies, on the entities it holds. All threads share one."""

    def __new__(
        cls,
        *,
        policies: _Path | Iterable[_Path] | None = None,
        schema: _Path | None = None,
        entities: _Path | Iterable[Entity | dict[str, Any]] | None = None,
        directory: _Path | None = None,
        errors: Literal["strict", "cedar"] = "strict",
        clock: datetime | Callable[[], datetime] | None = None,
    ) -> Authorizer:
        """`policies`: folders or files; without it the built-in ones. `schema`: where the folder holds none.
        `entities`: a file in Cedar's entity JSON, or a list of dicts and `Entity`; or `directory`: the file of a
        directory, which is followed: what other processes commit is seen within 100 ms, and everything is denied
        as `stale` where it cannot be. `clock`: an aware datetime
        that stands still, or a callable; without it the system's clock.

        Raises `BundleError`, `EntityError` and `DirectoryError`.
        """

    def is_authorized(
        self,
        principal: _Uid,
        action: _Uid,
        resource: _Uid | Entity | dict[str, Any],
        context: dict[str, Any] | None = None,
    ) -> Decision:
        """Whether `principal` may do `action` on `resource`, and why.

        Raises `RequestError` where the request cannot be read. One that can be read but does not fit is a denial.
        """

    def is_authorized_many(self, requests: Iterable[Request]) -> list[Decision]:
        """Decides all requests on one state of the entities and at one instant.

        Raises `RequestError` with `.index` where one cannot be read; then none is decided.
        """

    def require(
        self,
        principal: _Uid,
        action: _Uid,
        resource: _Uid | Entity | dict[str, Any],
        context: dict[str, Any] | None = None,
    ) -> Decision:
        """As `is_authorized`, but raises `Forbidden` where the request is not allowed."""

    def explain(
        self,
        principal: _Uid,
        action: _Uid,
        resource: _Uid | Entity | dict[str, Any],
        context: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """As `is_authorized`, and why: the policies that decided, or those that came nearest, with the clauses that
        were not as they had to be, their places and the values they saw. For people who ask: it takes milliseconds.

        `{"decision", "determining", "nearest", "in_scope", "failed"}`. `decision` is the decision as `bailiwick
        authorize` writes it. `determining`, `nearest` and `failed` are lists of policies: `{"policy", "effect", "doc",
        "source", "file", "line", "in_scope", "held", "clauses", "more"}`. A clause is `{"text", "file", "line",
        "column", "part", "value", "error", "seen"}`, where `seen` is a list of `{"of"}` with `"value"` in Cedar's JSON,
        `"clipped"`, `"missing"` or `"ancestors"` and `"total"`.
        """

    def who_can(
        self,
        action: _Uid,
        resource: _Uid | Entity | dict[str, Any],
        context: dict[str, Any] | None = None,
        *,
        limit: int | None = None,
        after: _Uid | None = None,
    ) -> Found:
        """All stored principals that may do `action` on `resource`; with `limit` a page of them, after the uid `after`.

        Raises `RequestError` where the question cannot be read, and `QueryError` where it has no trustworthy answer.
        """

    def allowed_actions(
        self,
        principal: _Uid,
        resource: _Uid | Entity | dict[str, Any],
        context: dict[str, Any] | None = None,
    ) -> AllowedActions:
        """All actions that `principal` may do on `resource`, and those that need more context than was given.

        Raises `RequestError` where the question cannot be read, and `QueryError` where it has no trustworthy answer.
        """

    def allowed_resources(
        self,
        principal: _Uid,
        action: _Uid,
        type: str,
        context: dict[str, Any] | None = None,
        *,
        limit: int | None = None,
        after: _Uid | None = None,
    ) -> Found:
        """All stored resources of a type that `principal` may do `action` on; with `limit` a page of them, after the
        uid `after`.

        Raises `RequestError` where the question cannot be read, and `QueryError` where it has no trustworthy answer.
        """

    def replace_entities(self, entities: _Path | Iterable[Entity | dict[str, Any]]) -> Revision:
        """Replaces all entities: by those of a file in Cedar's entity JSON, or by a list of dicts and `Entity`.

        Raises `EntityError` where one is bad; then the old ones stay.
        """

    def apply(
        self,
        *,
        upsert: Iterable[Entity | dict[str, Any]] | None = None,
        remove: Iterable[_Uid] | None = None,
    ) -> Revision:
        """Puts single entities in and takes others out, by uid: all of it, or on an error nothing.

        Raises `EntityError` where an entity is bad, or what remains refers to one that is taken out.
        """

    def replace_bundle(self, policies: _Path | Iterable[_Path] | None, schema: _Path | None = None) -> Revision:
        """Replaces the policies, and the schema: by those of the paths, or with `None` by the built-in ones.

        Raises `BundleError` where they are not valid, `EntityError` where the stored entities do not fit them;
        then the old ones stay.
        """

    def reset_clock(self) -> None:
        """Accepts the clock as it is now, after it was set back on purpose."""

    @property
    def revision(self) -> Revision:
        """The state of the entities it decides on."""

    @property
    def bundle(self) -> str:
        """The version of the policies it decides by: a hash of schema and policies."""

def _restore(parts: tuple[Any, ...]) -> Decision:
    """A decision that was pickled."""
