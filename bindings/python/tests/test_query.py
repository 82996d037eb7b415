"""Questions beyond yes and no: why, who can, what can."""

from __future__ import annotations

import pytest

from bailiwick import Authorizer, EntityUid, QueryError, RequestError

ACME = EntityUid("Grc::Organization", "acme")
OWNER = EntityUid("Grc::Member", "owner")
ANALYST = 'Grc::Member::"analyst"'


def test_a_denial_is_explained_by_the_clause_that_was_false(authorizer: Authorizer) -> None:
    told = authorizer.explain(ANALYST, "manageBilling", ACME)
    assert told["decision"]["decision"] == "deny" and told["in_scope"] == len(told["nearest"]) == 1
    policy = told["nearest"][0]
    assert policy["policy"] == "roles.manage-organization" and policy["file"] == "policies/roles.cedar"
    [clause] = policy["clauses"]
    assert clause["text"] == 'principal.role in [Grc::Role::"OWNER", Grc::Role::"ADMIN"]' and clause["value"] is False
    role = {"__entity": {"type": "Grc::Role", "id": "EMPLOYEE"}}
    assert clause["seen"] == [{"of": "principal.role", "value": role}]

    allowed = authorizer.explain(OWNER, "manageBilling", ACME)
    assert [policy["policy"] for policy in allowed["determining"]] == ["roles.manage-organization"]
    unknown = authorizer.explain('Grc::Member::"nobody"', "manageBilling", ACME)
    assert unknown["decision"]["errors"][0]["code"] == "unknown_principal" and unknown["nearest"] == []
    with pytest.raises(RequestError, match="unknown action `fly`"):
        authorizer.explain(OWNER, "fly", ACME)


def test_who_can_gives_everyone_by_pages(authorizer: Authorizer) -> None:
    everyone = authorizer.who_can("viewOrganization", ACME)
    assert everyone.total == len(everyone.uids) > 5 and not everyone.more and OWNER in everyone.uids
    assert all(authorizer.is_authorized(uid, "viewOrganization", ACME) for uid in everyone.uids)
    first = authorizer.who_can("viewOrganization", ACME, limit=3)
    rest = authorizer.who_can("viewOrganization", ACME, after=first.uids[-1])
    assert first.more and first.total == everyone.total and first.uids + rest.uids == everyone.uids
    with pytest.raises(QueryError, match="neither stored nor in the request") as raised:
        authorizer.who_can("viewOrganization", 'Grc::Organization::"nowhere"')
    assert raised.value.code == "unknown_resource" and raised.value.on is None
    with pytest.raises(RequestError, match="`after`"):
        authorizer.who_can("viewOrganization", ACME, after="x")


def test_allowed_actions_lists_apart_what_needs_more_context(authorizer: Authorizer) -> None:
    invite = EntityUid("Grc::Action", "inviteMember")
    found = authorizer.allowed_actions(OWNER, ACME)
    assert EntityUid("Grc::Action", "manageBilling") in found.allowed and invite in found.undecided
    # As in a request, a role may be given in Cedar's JSON.
    role = {"type": "Grc::Role", "id": "ADMIN"}
    assert invite in authorizer.allowed_actions(OWNER, ACME, {"role": role, "now": "2026-03-01"}).allowed
    with pytest.raises(QueryError) as raised:
        authorizer.allowed_actions(OWNER, ACME, {"role": 1})
    assert raised.value.code == "invalid_request"


def test_allowed_resources_are_those_that_are_allowed(authorizer: Authorizer) -> None:
    found = authorizer.allowed_resources(OWNER, "viewCompliance", "Grc::Control")
    assert found.total > 0 and all(authorizer.is_authorized(OWNER, "viewCompliance", uid) for uid in found.uids)
    with pytest.raises(QueryError, match="is not an entity type"):
        authorizer.allowed_resources(OWNER, "viewCompliance", "Control")
