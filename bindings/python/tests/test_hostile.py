"""Hostile objects in every place: an error of the package's own or a decision, never a crash, never a doubtful allow."""

from __future__ import annotations

import collections
import random
import types
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any, NoReturn

from bailiwick import (
    Authorizer,
    Decision,
    Entity,
    EntityError,
    EntityUid,
    Forbidden,
    Request,
    RequestError,
)

from conftest import NOW, WORLD

ROUNDS = 6_000
SEED = 11


class Boom(Exception):
    def __str__(self) -> str:
        raise self


def boom(*_: Any, **__: Any) -> NoReturn:
    raise Boom


def endless(*_: Any) -> Iterator[int]:
    while True:
        yield 1


# Everything that Python lets a class say of itself, said wrongly.
METHODS = (
    "__str__ __repr__ __hash__ __eq__ __lt__ __len__ __bool__ __iter__ __getitem__ __contains__ __int__ __index__ "
    "__float__ __call__ __getattr__ __format__ __bytes__ __reversed__ __neg__ __sub__ __add__ __pos__ keys items values "
    "get encode copy utcoffset as_tuple __reduce_ex__ __sizeof__ __dir__"
).split()


def lying(base: type) -> type:
    body: dict[str, Any] = dict.fromkeys(METHODS, boom)
    if base in (list, tuple, set, frozenset, dict):
        body["__iter__"] = endless
    return type("Lying", (base,), body)


class Disguised:
    """Claims to be of another class."""

    def __init__(self, cls: type) -> None:
        self.cls = cls

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return self.cls


class Shy:
    @property  # type: ignore[misc]
    def __class__(self) -> NoReturn:  # type: ignore[override]
        raise Boom

    def __getattribute__(self, _: str) -> NoReturn:
        raise Boom


# A class that answers nothing about itself, its name included.
Meta: Any = type("Meta", (type,), {"__instancecheck__": boom, "__subclasscheck__": boom, "__name__": property(boom)})


class Zone(tzinfo):
    """A timezone whose code does what it likes while the object around it is read."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act

    def utcoffset(self, _: datetime | None) -> Any:
        return self.act()

    def tzname(self, _: datetime | None) -> NoReturn:
        raise Boom

    def dst(self, _: datetime | None) -> NoReturn:
        raise Boom


STR, INT, DICT, LIST = lying(str), lying(int), lying(dict), lying(list)
TUPLE, SET, FROZENSET, DECIMAL = lying(tuple), lying(set), lying(frozenset), lying(Decimal)
DATETIME, TIMEDELTA, ADDRESS, PATH = lying(datetime), lying(timedelta), lying(IPv4Address), lying(object)
# A generator of the caller's is asked until it ends, and what it raises is the caller's.
ENDLESS = (types.GeneratorType, map)
BIG = "x" * (10 << 20)
PathLike = type("PathLike", (), {"__fspath__": boom})


def changes_what_is_read() -> Any:
    fields: dict[str, Any] = {}

    def act() -> timedelta:
        for n in range(50):
            fields[f"k{n}"] = n
        fields.pop("b", None)
        return timedelta(0)

    fields |= {"a": datetime(2026, 1, 1, tzinfo=Zone(act)), "b": 1, "c": [1]}
    return fields


def grows_while_it_is_read() -> Any:
    items: list[Any] = []

    def act() -> timedelta:
        items.append(items[0])
        return timedelta(0)

    items.append(datetime(2026, 1, 1, tzinfo=Zone(act)))
    return items


def set_that_changes() -> Any:
    items: set[Any] = {datetime(2025, 1, 1, tzinfo=timezone.utc)}
    zone = Zone(lambda: timedelta(0))
    items.add(datetime(2026, 1, 1, tzinfo=zone))

    def act() -> timedelta:
        items.clear()
        return timedelta(0)

    zone.act = act
    return items


def holding_itself(kind: int) -> Any:
    items: list[Any] = [1]
    fields: dict[str, Any] = {"a": items}
    items.append(fields if kind % 2 else items)
    return fields if kind % 3 else items


def nested(levels: int, wide: int = 1) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value] * wide if levels % 2 else {"k": value}
    return value


def leaf(rng: random.Random) -> Any:
    big = rng.random() < 0.002
    choices: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.choice([True, False]),
        lambda: rng.choice([0, -1, 2**63, -(2**63) - 1, 10**400, 2**64]),
        lambda: rng.choice([0.0, float("nan"), float("inf"), -1e308, 1j]),
        lambda: rng.choice(["", "\0", "\ud800", "\udfff\ud800", "é" * 50, "a\nb", "😀", 'A::"b"', "__entity", "{}"]),
        lambda: BIG if big else "y" * rng.randrange(2_000),
        lambda: rng.choice([b"", bytearray(b"x"), memoryview(b"x"), range(3), slice(1), ..., NotImplemented]),
        lambda: rng.choice([int, type, types, len, boom, Meta, Boom(), lambda: 1]),
        lambda: rng.choice([endless(), iter([]), (n for n in [1]), map(boom, [1]), zip()]),
        lambda: STR(rng.choice(["", "now", "\ud800", 'Grc::Member::"owner"', "viewTeam"])),
        lambda: INT(rng.choice([0, 2**70])),
        lambda: rng.choice([DICT(a=1), DICT(uid={"type": "Grc::Member", "id": "x"}), DICT()]),
        lambda: rng.choice([LIST([1]), TUPLE([1]), SET([1]), FROZENSET([1])]),
        lambda: rng.choice([DECIMAL("1.5"), Decimal("NaN"), Decimal("sNaN"), Decimal("1E+999999"), Decimal("-1.23456")]),
        lambda: DATETIME(2026, 1, 1, tzinfo=rng.choice([timezone.utc, None, Zone(boom)])),
        lambda: datetime(2026, 1, 1, tzinfo=Zone(rng.choice([boom, lambda: None, lambda: 7, lambda: timedelta(9)]))),
        lambda: rng.choice([datetime.max, datetime.min.replace(tzinfo=timezone(timedelta(hours=23))), NOW.date()]),
        lambda: rng.choice([TIMEDELTA(1), timedelta.max, timedelta.min, timedelta.resolution]),
        lambda: rng.choice([ADDRESS("10.0.0.1"), broken_address()]),
        lambda: Disguised(rng.choice([str, int, dict, list, datetime, Decimal, EntityUid, Entity, Request, bool, set])),
        lambda: rng.choice([Shy(), Meta("M", (), {})(), type("x" * 500, (), {})(), type("a`\n\u202e", (), {})(), PATH()]),
        lambda: rng.choice([changes_what_is_read, grows_while_it_is_read, set_that_changes])(),
        lambda: holding_itself(rng.randrange(6)),
        lambda: nested(rng.choice([3, 4, 63, 64, 65, 66, 69, 70, 71, 72, 900, 20_000])),
        lambda: nested(rng.choice([41, 61]), 2) if big else nested(5, 3),
        lambda: rng.choice([EntityUid("Grc::Member", "owner"), Entity('Grc::Member::"new"'), PathLike()]),
        lambda: rng.choice([collections.UserDict(), types.MappingProxyType({}), collections.ChainMap({}), deque()]),
        lambda: rng.choice([{"__entity": 1}, {"__extn": {"fn": 1}}, {"__extn": {"fn": "ip", "arg": "\0"}}, {"__expr": ""}]),
    ]
    return rng.choice(choices)()


def deque() -> Any:
    return collections.deque([1])


def broken_address() -> Any:
    address = IPv4Address("10.0.0.1")
    address._ip = "no"  # type: ignore[attr-defined]
    return address


def value(rng: random.Random, depth: int = 0) -> Any:
    if depth > 3 or rng.random() < 0.5:
        return leaf(rng)
    items = [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    shape = rng.randrange(4)
    if shape == 0:
        return items
    if shape == 1:
        return tuple(items)
    if shape == 2:
        return hashable(items, rng)
    keys: list[Any] = [rng.choice(["now", "role", "window", "from", "to", "uid", "attrs", "type", "id", 1, None])]
    return {rng.choice(keys + ["a", "b", "\0", "\ud800"]): item for item in items}


def hashable(items: list[Any], rng: random.Random) -> Any:
    kept = set()
    for item in items:
        try:
            kept.add(item)
        except Exception:
            continue
    return kept if rng.random() < 0.5 else frozenset(kept)


OWNER = 'Grc::Member::"owner"'
ACME = {"type": "Grc::Organization", "id": "acme"}
MEMBER: dict[str, Any] = {
    "uid": {"type": "Grc::Member", "id": "new"},
    "attrs": {
        "organization": ACME,
        "role": {"type": "Grc::Role", "id": "MEMBER"},
        "active": True,
        "complianceTeam": False,
        "contributor": False,
        "clients": [ACME],
    },
    "parents": [],
}


def request(rng: random.Random) -> dict[str, Any]:
    """A good request with something bad in it."""
    good: dict[str, Any] = {
        "principal": rng.choice([OWNER, EntityUid("Grc::Member", "owner"), {"type": "Grc::Member", "id": "owner"}]),
        "action": rng.choice(["viewTeam", "inviteMember", 'Grc::Action::"manageBilling"', "downloadAuditPackage"]),
        "resource": rng.choice([EntityUid("Grc::Organization", "acme"), dict(MEMBER), Entity('Grc::Organization::"x"')]),
        "context": {
            "now": NOW,
            "role": {"type": "Grc::Role", "id": "MEMBER"},
            "window": {"from": "2026-01-01", "to": NOW},
        },
    }
    return spoil(rng, good)


def spoil(rng: random.Random, good: dict[str, Any]) -> dict[str, Any]:
    for _ in range(rng.randrange(1, 3)):
        fields = good
        while True:
            key = rng.choice(list(fields))
            inner = fields[key]
            if type(inner) is not dict or not inner or rng.random() < 0.4:
                fields[key] = value(rng)
                break
            fields[key] = fields = dict(inner)
    return good


def outcome(work: Callable[[], Any], *, expected: type[Exception]) -> str:
    """What happened; anything but a decision or the expected error fails the test."""
    try:
        result = work()
    except (expected, Forbidden) as error:
        text = str(error)
        assert 0 < len(text) < 20_000, f"{len(text)} characters"
        if isinstance(error, Forbidden):
            assert not error.decision.allowed
            return "forbidden"
        return "error"
    for decision in result if isinstance(result, list) else [result]:
        if isinstance(decision, Decision):
            assert not (decision.allowed and (decision.indeterminate or not decision.determining))
            repr(decision)
    return "answer"


def test_hostile_objects_give_a_typed_error_or_a_decision() -> None:
    rng = random.Random(SEED)
    counts: collections.Counter[str] = collections.Counter()
    authorizers = [Authorizer(entities=WORLD, clock=NOW), Authorizer(entities=WORLD, clock=NOW, errors="cedar")]
    good = Request(OWNER, "viewTeam", 'Grc::Organization::"acme"')
    for _ in range(ROUNDS):
        authorizer = rng.choice(authorizers)
        arguments = request(rng)
        how = rng.randrange(4)
        if how == 0:
            said = outcome(lambda: authorizer.is_authorized(**arguments), expected=RequestError)
        elif how == 1:
            said = outcome(lambda: authorizer.require(**arguments), expected=RequestError)
        elif how == 2:
            said = outcome(lambda: authorizer.is_authorized_many([good, Request(**arguments)]), expected=RequestError)
        else:
            odd = value(rng)
            odd = [odd] if type(odd) in ENDLESS else odd
            said = outcome(lambda: authorizer.is_authorized_many(odd), expected=RequestError)
        counts[f"request {said}"] += 1
        before = authorizer.revision
        entity = spoil(rng, dict(MEMBER))
        entities: Any = [entity] if rng.random() < 0.7 else [Entity('Grc::Organization::"x"'), value(rng)]
        if rng.random() < 0.1:
            entities = value(rng)
            entities = [entities] if type(entities) in ENDLESS else entities
        if rng.random() < 0.5:
            said = outcome(lambda: authorizer.apply(upsert=entities), expected=EntityError)
        elif rng.random() < 0.5:
            said = outcome(lambda: authorizer.apply(remove=entities), expected=EntityError)
        else:
            parents = [] if type(entity["parents"]) in ENDLESS else entity["parents"]
            said = outcome(lambda: Entity(entity["uid"], entity["attrs"], parents), expected=EntityError)
        counts[f"entities {said}"] += 1
        if said == "error":
            assert authorizer.revision == before
        if said == "answer" and authorizer.revision != before:
            authorizer.replace_entities(WORLD)
    print(dict(sorted(counts.items())))
    assert counts["request error"] > ROUNDS / 3 and counts["request answer"] > 200 and counts["request forbidden"] > 30
    assert counts["entities error"] > ROUNDS / 3 and counts["entities answer"] > 200


def test_the_authorizer_still_answers_after_endless_and_broken_input() -> None:
    authorizer = Authorizer(entities=WORLD, clock=NOW)
    for odd in (LIST([Request(OWNER, "viewTeam", ACME)]), TUPLE([Request(OWNER, "viewTeam", ACME)])):
        (decision,) = authorizer.is_authorized_many(odd)
        assert decision.allowed and decision.determining
    assert authorizer.is_authorized(STR(OWNER), STR("viewTeam"), DICT(ACME), DICT(now=NOW))
    assert authorizer.apply(upsert=LIST([DICT(MEMBER)])).number == 1
