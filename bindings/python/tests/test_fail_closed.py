"""Whatever goes wrong while deciding is a denial that says so."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from bailiwick import Authorizer, Decision, Entity, EntityUid, Forbidden, Request, RequestError

from conftest import NOW, WORLD

OWNER = 'Grc::Member::"owner"'
ACME = EntityUid("Grc::Organization", "acme")


def codes(decision: Decision) -> list[str]:
    assert not decision.allowed and not decision and decision.indeterminate
    assert [error.policy for error in decision.errors] == [None]
    return [error.code for error in decision.errors]


def ask(authorizer: Authorizer) -> Decision:
    return authorizer.is_authorized(OWNER, "manageBilling", ACME)


def test_unknown_principals_and_resources_are_denied(authorizer: Authorizer) -> None:
    nobody, nowhere = EntityUid("Grc::Member", "nobody"), EntityUid("Grc::Organization", "nowhere")
    assert codes(authorizer.is_authorized(nobody, "manageBilling", ACME)) == ["unknown_principal"]
    assert codes(authorizer.is_authorized(OWNER, "manageBilling", nowhere)) == ["unknown_resource"]
    assert codes(authorizer.is_authorized(OWNER, EntityUid("Grc::Action", "fly"), ACME)) == ["invalid_request"]
    assert codes(authorizer.is_authorized(OWNER, "openPortal", ACME)) == ["invalid_request"]


def test_require_raises_for_an_indeterminate_denial_too(authorizer: Authorizer) -> None:
    with pytest.raises(Forbidden) as caught:
        authorizer.require('Grc::Member::"nobody"', "manageBilling", ACME)
    assert codes(caught.value.decision) == ["unknown_principal"]
    assert str(caught.value).endswith(': principal `Grc::Member::"nobody"` is not stored')
    assert str(caught.value).startswith("denied, indeterminate: ")
    with pytest.raises(Forbidden) as caught:
        authorizer.require(EntityUid("Grc::Member", "x" * (10 << 20)), "manageBilling", ACME)
    assert len(str(caught.value)) < 2_000


def test_an_inline_resource_that_is_also_stored_is_denied(authorizer: Authorizer) -> None:
    control = {"organization": ACME, "activeFrom": NOW - timedelta(days=1)}
    fresh = Entity('Grc::Control::"fresh"', control)
    assert authorizer.is_authorized(OWNER, "manageControl", fresh)
    stored = Entity('Grc::Control::"access-review"', control)
    assert codes(authorizer.is_authorized(OWNER, "manageControl", stored)) == ["inline_conflict"]
    authorizer.apply(upsert=[fresh])
    assert codes(authorizer.is_authorized(OWNER, "manageControl", fresh)) == ["inline_conflict"]


@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"organization": ACME},
        {"organization": ACME, "activeFrom": 1},
        {"organization": EntityUid("Grc::Organization", "nowhere"), "activeFrom": NOW},
        {"organization": ACME, "activeFrom": NOW, "activeUntil": NOW},
        {"organization": ACME, "activeFrom": NOW, "project": EntityUid("Grc::Project", "merger")},
    ],
    ids=repr,
)
def test_an_inline_resource_that_breaks_a_rule_is_denied(authorizer: Authorizer, attrs: dict[str, object]) -> None:
    resource = Entity('Grc::Control::"fresh"', attrs)
    assert codes(authorizer.is_authorized(OWNER, "manageControl", resource)) == ["invalid_request"]


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now: object = NOW
        self.read = 0

    def __call__(self) -> datetime:
        self.read += 1
        if isinstance(self.now, BaseException):
            raise self.now
        return self.now  # type: ignore[return-value]


def test_a_clock_that_goes_back_denies_until_it_catches_up_or_is_reset() -> None:
    clock = Hand()
    authorizer = Authorizer(entities=WORLD, clock=clock)
    assert ask(authorizer)
    clock.now = NOW - timedelta(seconds=2)
    assert ask(authorizer)
    clock.now = NOW - timedelta(seconds=2, milliseconds=1)
    decision = ask(authorizer)
    assert codes(decision) == ["clock"]
    assert decision.errors[0].message == (
        "the clock went back: it shows 2026-03-01T08:59:57.999Z, and has shown 2026-03-01T09:00:00.000Z"
    )
    assert authorizer.is_authorized(OWNER, "manageBilling", ACME, {"now": NOW})
    authorizer.reset_clock()
    assert ask(authorizer)
    clock.now = NOW + timedelta(days=1)
    assert ask(authorizer)


class Naughty(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (ValueError("no battery"), "the clock cannot be read: it raised `ValueError: no battery`"),
        (Naughty(), "the clock cannot be read: it raised `Naughty`"),
        (RecursionError("deep"), "it raised `RecursionError: deep`"),
        (None, "it gave `NoneType`, not an aware datetime"),
        (1_772_355_600, "it gave `int`, not an aware datetime"),
        ("2026-03-01T09:00:00Z", "it gave `str`, not an aware datetime"),
        (NOW.replace(tzinfo=None), "the datetime is naive; give it a timezone"),
        (datetime.max.replace(tzinfo=timezone(-timedelta(hours=14))), "outside the years 0000 to 9999"),
    ],
    ids=repr,
)
def test_a_clock_that_raises_or_gives_nonsense_denies(now: object, message: str) -> None:
    clock = Hand()
    clock.now = now
    authorizer = Authorizer(entities=WORLD, clock=clock)
    decision = ask(authorizer)
    assert codes(decision) == ["clock"] and message in decision.errors[0].message
    several = authorizer.is_authorized_many([Request(OWNER, "manageBilling", ACME)] * 3)
    assert several == [decision] * 3
    with pytest.raises(Forbidden, match="denied, indeterminate: "):
        authorizer.require(OWNER, "manageBilling", ACME)
    assert authorizer.is_authorized(OWNER, "manageBilling", ACME, {"now": NOW})
    clock.now = NOW
    assert ask(authorizer).errors == ()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_an_interrupt_in_the_clock_is_passed_on(error: BaseException) -> None:
    clock = Hand()
    clock.now = error
    authorizer = Authorizer(entities=WORLD, clock=clock)
    with pytest.raises(type(error)):
        ask(authorizer)
    with pytest.raises(type(error)):
        authorizer.is_authorized_many([Request(OWNER, "manageBilling", ACME)])
    clock.now = NOW
    assert ask(authorizer)


def test_the_clock_is_rounded_down_and_read_once_for_a_batch() -> None:
    clock = Hand()
    authorizer = Authorizer(entities=WORLD, clock=clock)
    clock.now = NOW.replace(microsecond=999)
    assert ask(authorizer) and clock.read == 1
    assert all(authorizer.is_authorized_many([Request(OWNER, "manageBilling", ACME)] * 50)) and clock.read == 2
    authorizer.is_authorized(OWNER, "manageBilling", ACME, {"now": NOW})
    assert clock.read == 2
    assert ask(Authorizer(entities=WORLD, clock=NOW.replace(microsecond=999)))
    assert ask(Authorizer(entities=WORLD))


def test_a_clock_that_asks_the_authorizer_is_denied_and_not_followed_for_ever() -> None:
    inner: list[Decision] = []

    def clock() -> datetime:
        inner.append(ask(authorizer))
        return NOW

    authorizer = Authorizer(entities=WORLD, clock=clock)
    assert ask(authorizer)
    assert len(inner) == 1 and codes(inner[0]) == ["clock"]
    assert inner[0].errors[0].message == "the clock cannot be read: it asks for a decision itself"


def test_nothing_of_a_batch_is_decided_where_one_request_is_malformed() -> None:
    clock = Hand()
    authorizer = Authorizer(entities=WORLD, clock=clock)
    good = Request(OWNER, "manageBilling", ACME)
    with pytest.raises(RequestError) as caught:
        authorizer.is_authorized_many([good, Request(OWNER, "fly", ACME)])
    assert caught.value.index == 1 and clock.read == 0
