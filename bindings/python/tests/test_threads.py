"""Deciding goes on while entities and policies are replaced."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bailiwick import Authorizer, Decision, Entity, EntityUid, Request, Revision

from conftest import NOW, WORLD

ACME = EntityUid("Grc::Organization", "acme")
OTTO = EntityUid("Grc::Member", "otto")


def world(active: bool) -> list[Entity]:
    attrs = {
        "organization": ACME,
        "role": EntityUid("Grc::Role", "OWNER"),
        "active": active,
        "complianceTeam": False,
        "contributor": False,
        "clients": [],
    }
    return [Entity(ACME), Entity(OTTO, attrs)]


def together(*works: Callable[[], None]) -> None:
    """Runs all at once; what one raises is raised here."""
    errors: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error


def test_each_decision_is_of_one_state_while_another_thread_replaces_it() -> None:
    authorizer = Authorizer(entities=world(True), clock=NOW)
    states = {authorizer.revision: True}
    seen: list[Decision] = []
    revisions: set[Revision] = set()
    done = threading.Event()

    def replace() -> None:
        try:
            # Until the others have seen some states: who runs when is for the machine to say.
            for round in range(200_000):
                if len(revisions) >= 30:
                    break
                active = round % 2 == 1
                if round % 3:
                    states[authorizer.replace_entities(world(active))] = active
                else:
                    states[authorizer.apply(upsert=world(active)[1:])] = active
                if round % 50 == 0:
                    authorizer.replace_bundle(None)
        finally:
            done.set()

    def decide() -> None:
        request = Request(OTTO, "manageBilling", ACME)
        while not done.is_set():
            seen.append(authorizer.is_authorized(OTTO, "manageBilling", ACME))
            batch = authorizer.is_authorized_many([request] * 20)
            assert len({d.revision for d in batch}) == 1
            seen.extend(batch)
            revisions.add(batch[0].revision)

    together(replace, decide, decide, decide)
    assert len(revisions) >= 30 and {d.allowed for d in seen} == {True, False}
    for decision in seen:
        assert decision.allowed == states[decision.revision] and not decision.indeterminate


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_python_goes_on_while_a_file_is_read(tmp_path: Path) -> None:
    # The loader waits for the pipe's other end, which this very process writes: it would wait for ever if it kept
    # the interpreter to itself.
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    made: list[Authorizer] = []
    together(
        lambda: made.append(Authorizer(entities=pipe, clock=NOW)),
        lambda: print(pipe.write_bytes(WORLD.read_bytes())),
    )
    assert made[0].is_authorized('Grc::Member::"owner"', "manageBilling", ACME)


def test_deep_values_are_decided_on_a_small_stack(values: Authorizer) -> None:
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    decisions: list[Decision] = []
    before = threading.stack_size(2 << 20)
    try:
        together(
            lambda: decisions.append(
                values.is_authorized('App::User::"u"', 'App::Action::"set"', 'App::Thing::"t"', {"v": deep})
            )
        )
    finally:
        threading.stack_size(before)
    assert decisions[0].indeterminate and sys.getrecursionlimit() >= 1000
