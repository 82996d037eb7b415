"""What the tests share: the organizations of the policy tests, and an authorizer on them."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from bailiwick import Authorizer

ROOT = Path(__file__).resolve().parents[3]
CASES = ROOT / "policies" / "tests"
WORLD = CASES / "world.entities.json"
NOW = datetime(2026, 3, 1, 9, tzinfo=timezone.utc)


@pytest.fixture
def authorizer() -> Authorizer:
    """The built-in policies on the world of the policy tests, on the first of March 2026."""
    return Authorizer(entities=WORLD, clock=NOW)


@pytest.fixture(scope="session")
def values() -> Authorizer:
    """An action for each type, allowed where `context.v` is the one value that its policy names."""
    folder = Path(__file__).parent / "values"
    entities = [{"uid": {"type": "App::User", "id": "u"}}, {"uid": {"type": "App::Thing", "id": "t"}}]
    return Authorizer(policies=folder, entities=entities)
