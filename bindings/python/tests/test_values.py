"""What Python objects become, and which are refused."""

from __future__ import annotations

import collections
import enum
import ipaddress
import json
import pickle
import types
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from bailiwick import Authorizer, Entity, EntityError, EntityUid, Request, RequestError

AT = datetime(2026, 3, 1, 9, 0, 0, 250_000, tzinfo=timezone.utc)
THING = {"type": "App::Thing", "id": "t"}


class Number(enum.IntEnum):
    SEVEN = 7


class Text(str):
    """Says that it is another text."""

    def __str__(self) -> str:
        return "other"

    def encode(self, *_: Any, **__: Any) -> bytes:
        return b"other"


Pair = collections.namedtuple("Pair", "one two")


def decide(values: Authorizer, action: str, value: object) -> tuple[bool, bool, list[str]]:
    uid = EntityUid("App::Action", action)
    decision = values.is_authorized('App::User::"u"', uid, 'App::Thing::"t"', {"v": value})
    return decision.allowed, decision.indeterminate, [e.code for e in decision.errors]


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("bool", True),
        ("long", -(2**63)),
        ("long", 7),
        ("long", Number.SEVEN),
        ("string", "é\0"),
        ("string", Text("é\0")),
        ("set", [1, 2, 1]),
        ("set", (2, 1)),
        ("set", {1, 2}),
        ("set", frozenset([1, 2])),
        ("set", Pair(1, 2)),
        ("record", {"a": 1, "b": {"c": "x"}}),
        ("record", collections.OrderedDict(b=collections.defaultdict(str, c="x"), a=1)),
        ("record", {Text("a"): 1, "b": {"c": "x"}}),
        ("entity", EntityUid("App::Thing", "t")),
        ("entity", {"__entity": THING}),
        ("entity", THING),
        ("datetime", AT),
        ("datetime", AT.astimezone(timezone(timedelta(hours=-11, minutes=-30)))),
        ("datetime", "2026-03-01T09:00:00.250Z"),
        ("datetime", {"__extn": {"fn": "datetime", "arg": "2026-03-01T10:00:00.250+0100"}}),
        ("duration", -timedelta(days=1, hours=2, milliseconds=3)),
        ("duration", "-1d2h3ms"),
        ("decimal", Decimal("-12.5")),
        ("decimal", Decimal("-12.500000")),
        ("decimal", Decimal("-125E-1")),
        ("decimal", "-12.50"),
        ("decimal", {"fn": "decimal", "arg": "-12.5000"}),
        ("ip", ipaddress.ip_address("::1")),
        ("ip", ipaddress.ip_interface("10.1.2.3/8")),
        ("ip", "10.1.2.3/8"),
    ],
    ids=repr,
)
def test_a_value_arrives_as_what_it_is(values: Authorizer, action: str, value: object) -> None:
    assert decide(values, action, value) == (True, False, [])


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("bool", False),
        ("long", -7),
        ("long", 2**63 - 1),
        ("string", "other"),
        ("set", [1, 2, 3]),
        ("set", []),
        ("entity", EntityUid("App::Thing", "u")),
        ("datetime", AT + timedelta(milliseconds=1)),
        ("datetime", datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
        ("datetime", datetime.max.replace(microsecond=999_000, tzinfo=timezone.utc)),
        ("duration", timedelta.min),
        ("decimal", Decimal("12.5")),
        ("decimal", Decimal("922337203685477.5807")),
        ("decimal", Decimal("-922337203685477.5808")),
        ("decimal", Decimal("-0")),
        ("decimal", Decimal("0E+999999")),
        ("decimal", Decimal("1E+14")),
        ("ip", ipaddress.ip_network("10.0.0.0/8")),
        ("ip", ipaddress.ip_address("::ffff:10.1.2.3")),
        ("ip", ipaddress.ip_network("fe80::/10")),
    ],
    ids=repr,
)
def test_another_value_of_the_type_is_another_value(values: Authorizer, action: str, value: object) -> None:
    assert decide(values, action, value) == (False, False, [])


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("bool", 1),
        ("bool", "true"),
        ("long", True),
        ("long", "7"),
        ("long", Decimal(7)),
        ("string", 7),
        ("set", [1, "2"]),
        ("set", {"a": 1}),
        ("record", {"a": 1}),
        ("record", {"a": 1, "b": {"c": "x", "d": 1}}),
        ("record", []),
        ("entity", 'App::Thing::"t"'),
        ("entity", EntityUid("App::User", "u")),
        ("datetime", 1),
        ("duration", AT),
        ("decimal", 1),
    ],
    ids=repr,
)
def test_a_value_of_another_type_than_declared_is_an_indeterminate_denial(
    values: Authorizer, action: str, value: object
) -> None:
    assert decide(values, action, value) == (False, True, ["invalid_request"])


class Broken(tzinfo):
    def utcoffset(self, _: datetime | None) -> timedelta:
        raise LookupError("no such\nzone")

    def tzname(self, _: datetime | None) -> str:
        return ""

    def dst(self, _: datetime | None) -> timedelta | None:
        return None


def itself() -> list[Any]:
    items: list[Any] = [1]
    items.append(items)
    return items


def itself_in_a_dict() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    fields["k"] = fields
    return fields


def doubled() -> list[Any]:
    items: list[Any] = []
    for _ in range(60):
        items = [items, items]
    return items


def deep(levels: int) -> list[Any]:
    items: list[Any] = []
    for _ in range(levels):
        items = [items]
    return items


class Two(str):
    """Equal to nothing, so that a dict holds the same text twice."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "`context`: `v`: None is not a value; leave the key out"),
        (1.5, "`context`: `v`: a float is not a value; give an int, or a `Decimal` with up to 4 places"),
        (float("nan"), "a float is not a value"),
        (1j, "`complex` is not a type of value"),
        (Fraction(1, 2), "`Fraction` is not a type of value"),
        (b"bytes", "`bytes` is not a type of value"),
        (range(3), "`range` is not a type of value"),
        (date(2026, 3, 1), "`date` is not a type of value"),
        (AT.time(), "`time` is not a type of value"),
        (types.MappingProxyType({}), "`mappingproxy` is not a type of value"),
        (iter([1]), "`list_iterator` is not a type of value"),
        (object(), "`object` is not a type of value"),
        (int, "`type` is not a type of value"),
        (Entity('App::Thing::"t"'), "an entity is not a value; give its `uid`"),
        (2**63, "`context`: `v`: the integer is beyond 64 bits"),
        (-(2**63) - 1, "the integer is beyond 64 bits"),
        (10**5000, "the integer is beyond 64 bits"),
        ("\ud800", "`context`: `v`: the text has a lone surrogate, which is no character"),
        ({"\ud800": 1}, "the text has a lone surrogate"),
        ({1: 2}, "`context`: `v`: a key is of type `int`; keys are texts"),
        ({None: 2}, "a key is of type `NoneType`"),
        ({Two("a"): 1, Two("a"): 2}, "`context`: `v`: duplicate key `a`"),
        ({"a": {"b": [{"c": None}]}}, "`context`: `v.a.b.c`: None is not a value"),
        (AT.replace(tzinfo=None), "`context`: `v`: the datetime is naive; give it a timezone"),
        (AT.replace(microsecond=1), "the datetime is finer than a millisecond; cut it"),
        (AT.astimezone(timezone(timedelta(microseconds=1))).replace(microsecond=0), "finer than a millisecond"),
        (AT.replace(tzinfo=Broken()), "the datetime's timezone raised `LookupError: no such zone`"),
        (datetime.max.replace(microsecond=0, tzinfo=timezone(-timedelta(hours=1))), "outside the years 0000 to 9999"),
        (timedelta(microseconds=1), "the timedelta is finer than a millisecond; round it"),
        (Decimal("0.00001"), "the Decimal has more than 4 places; round it"),
        (Decimal("922337203685477.5808"), "the Decimal is beyond ±922337203685477.5807"),
        (Decimal("1E+15"), "the Decimal is beyond"),
        (Decimal("1E+999999"), "the Decimal is beyond"),
        (Decimal("1E-999999"), "the Decimal has more than 4 places"),
        (Decimal("1" * 100_000), "the Decimal is beyond"),
        (Decimal("NaN"), "the Decimal is not a finite number"),
        (Decimal("sNaN"), "the Decimal is not a finite number"),
        (Decimal("-Infinity"), "the Decimal is not a finite number"),
        (ipaddress.ip_address("fe80::1%eth0"), "an IP address with a scope is not a value"),
        ({"__extn": {"fn": "datetime", "arg": "2026-03-01T09:00:00.0001Z"}}, "not finer than a millisecond"),
        ({"__extn": {"fn": "now", "arg": ""}}, "unknown extension `now`"),
        ({"__entity": "App"}, "expected `{\"type\", \"id\"}`, found a text"),
        ({"__expr": "1"}, "`__expr` is not supported"),
        (itself(), "nested too deep, or it holds itself"),
        (itself_in_a_dict(), "`context`: `v.k.k.k.k.k.k.k`: nested too deep, or it holds itself"),
        (deep(65), "nested deeper than 64"),
        (deep(5_000), "nested too deep, or it holds itself"),
        (doubled(), "more than 1,000,000 values"),
        (["x" * (10 << 20)] * 7, "more than 64 MiB of text"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 99 and value.isprintable() else "value",
)
def test_an_object_that_is_no_value_is_refused_by_name(values: Authorizer, value: object, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        decide(values, "long", value)
    text = str(caught.value)
    assert message in text and "\n" not in text and len(text) < 700
    assert isinstance(caught.value, ValueError) and caught.value.index is None


def test_what_is_left_out_of_the_context_is_an_indeterminate_denial(values: Authorizer) -> None:
    for context in [None, {}, {"w": 1}]:
        decision = values.is_authorized('App::User::"u"', 'App::Action::"long"', 'App::Thing::"t"', context)
        assert (decision.allowed, decision.indeterminate) == (False, True)


def test_an_entity_brings_typed_values_as_objects_or_as_texts(values: Authorizer) -> None:
    typed = Entity(
        EntityUid("App::Thing", "new"),
        {
            "at": datetime(2026, 3, 1, tzinfo=timezone.utc),
            "price": Decimal("1.5"),
            "wait": timedelta(hours=1),
            "network": ipaddress.ip_network("10.0.0.0/8"),
        },
        tags={"colour": "red"},
    )
    texts = Entity(
        'App::Thing::"new"',
        attrs={"at": "2026-03-01", "price": "1.50", "wait": "60m", "network": "10.0.0.0/8"},
        parents=(),
        tags={"colour": "red"},
    )
    whole = {
        "uid": {"type": "App::Thing", "id": "new"},
        "attrs": {"at": "2026-03-01", "price": "1.50", "wait": "60m", "network": "10.0.0.0/8"},
        "parents": [],
        "tags": {"colour": "red"},
    }
    for resource in (typed, texts, whole):
        decision = values.is_authorized('App::User::"u"', 'App::Action::"inline"', resource)
        assert decision.determining == ("inline",)
        (many,) = values.is_authorized_many([Request('App::User::"u"', 'App::Action::"inline"', resource)])
        assert many == decision
    assert typed != texts and texts == Entity('App::Thing::"new"', texts.attrs, texts.parents, texts.tags)
    assert typed.attrs == {
        "at": datetime(2026, 3, 1, tzinfo=timezone.utc),
        "price": Decimal("1.5"),
        "wait": timedelta(hours=1),
        "network": ipaddress.ip_interface("10.0.0.0/8"),
    }
    assert typed.uid == EntityUid.parse('App::Thing::"new"') and typed.parents == () and typed.tags == {"colour": "red"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"uid": 1}, "`uid`: expected a uid text or an `EntityUid`, found `int`"),
        ({"uid": "App"}, "`uid`: `App` is not an entity uid: expected a form such as"),
        ({"uid": {"type": "App::Thing"}}, "`uid`: expected `{\"type\": …, \"id\": …}` with two texts"),
        ({"attrs": []}, "`attrs`: expected a dict, found `list`"),
        ({"attrs": {"a": 1.5}}, "`attrs`: `a`: a float is not a value"),
        ({"tags": 1}, "`tags`: expected a dict, found `int`"),
        ({"parents": 'App::Thing::"p"'}, "`parents`: expected a list of uids, found `str`"),
        ({"parents": [Entity('App::Thing::"p"')]}, "found `Entity`; give its `uid`"),
    ],
    ids=repr,
)
def test_an_entity_that_cannot_be_one_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(EntityError) as caught:
        Entity(**({"uid": 'App::Thing::"t"'} | arguments))
    assert message in str(caught.value)


def test_uids_are_values() -> None:
    uid = EntityUid("Grc::Member", 'a"b')
    assert str(uid) == 'Grc::Member::"a\\"b"' and repr(uid) == "EntityUid('Grc::Member', 'a\"b')"
    assert (uid.type, uid.id) == ("Grc::Member", 'a"b')
    same = EntityUid.parse(str(uid))
    assert same == uid and hash(same) == hash(uid) and len({uid, same}) == 1
    assert pickle.loads(pickle.dumps(uid)) == uid and eval(repr(uid)) == uid
    assert uid != EntityUid("Grc::Member", "c") and uid < EntityUid("Grc::Member", "c") and uid != str(uid)
    for wrong in ("Grc::Member", "Grc::Member::m", 'Grc Member::"m"', 'in::"m"', 'A::"', 'A::"""', "", "\0"):
        with pytest.raises(RequestError, match="is not an entity uid"):
            EntityUid.parse(wrong)
    with pytest.raises(RequestError, match="the type is not a name"):
        EntityUid("Grc Member", "m")
    with pytest.raises(RequestError, match="`id`: the text has a lone surrogate"):
        EntityUid("Grc::Member", "\udfff")
    with pytest.raises(TypeError):
        EntityUid(1, "m")  # type: ignore[arg-type]


def test_requests_and_entities_are_values() -> None:
    entity = Entity('A::B::"c"', {"x": [1, {"y": EntityUid("A", "b")}]}, ['A::B::"p"', {"type": "A", "id": "q"}])
    request = Request({"type": "A::U", "id": "u"}, "view", entity, {"now": AT})
    assert request.principal == EntityUid("A::U", "u") and request.action == "view"
    assert request.resource == entity and request.context == {"now": AT}
    assert entity.parents == (EntityUid("A::B", "p"), EntityUid("A", "q"))
    for value in (entity, request, Request('A::U::"u"', 'A::Action::"view"', EntityUid("A", "b"))):
        assert pickle.loads(pickle.dumps(value)) == value
        assert type(value).__name__ in repr(value)
        with pytest.raises(TypeError, match="unhashable"):
            hash(value)
        with pytest.raises(AttributeError):
            value.resource = 1  # type: ignore[union-attr,misc]
    # A request as it stands in a file of requests.
    line = json.loads('{"principal": "A::U::\\"u\\"", "action": "view", "resource": {"uid": {"type": "A", "id": "b"}}}')
    resource = Request(**line).resource
    assert isinstance(resource, Entity) and resource.uid == EntityUid("A", "b")
    assert resource.attrs == {} and resource.parents == () and resource.tags == {}
