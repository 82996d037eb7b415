"""Making an authorizer, replacing what it holds, asking it one by one and in batches."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import bailiwick
from bailiwick import (
    Authorizer,
    BailiwickError,
    BundleError,
    Decision,
    DecisionError,
    Entity,
    EntityError,
    EntityUid,
    Forbidden,
    Request,
    RequestError,
    Revision,
)

from conftest import NOW, ROOT, WORLD

OWNER = 'Grc::Member::"owner"'
ACME = EntityUid("Grc::Organization", "acme")


def member(uid: str, **attrs: object) -> Entity:
    usual = {
        "organization": ACME,
        "role": EntityUid("Grc::Role", "MEMBER"),
        "active": True,
        "complianceTeam": False,
        "contributor": False,
        "clients": [],
    }
    return Entity(EntityUid("Grc::Member", uid), usual | attrs)


def test_a_decision_tells_what_and_why(authorizer: Authorizer) -> None:
    decision = authorizer.is_authorized(OWNER, "manageBilling", ACME)
    assert decision and decision.allowed and not decision.indeterminate
    assert decision.determining == ("roles.manage-organization",) and decision.errors == () and decision.window is None
    assert decision.revision == authorizer.revision and decision.bundle == authorizer.bundle
    assert len(decision.bundle) == 64 and decision.revision.number == 0
    assert repr(decision) == (
        "<Decision allowed=True indeterminate=False determining=('roles.manage-organization',) errors=()>"
    )
    denied = authorizer.is_authorized(EntityUid("Grc::Member", "nobody"), "manageBilling", ACME)
    assert not denied and denied.indeterminate and denied.determining == ()
    assert denied.errors == (
        DecisionError(None, "unknown_principal", 'principal `Grc::Member::"nobody"` is not stored'),
    )
    assert repr(denied.errors[0]).startswith("DecisionError(None, 'unknown_principal', ")
    for action in ("manageBilling", 'Grc::Action::"manageBilling"', EntityUid("Grc::Action", "manageBilling")):
        assert authorizer.is_authorized(principal=OWNER, action=action, resource=ACME, context={}) == decision
    with pytest.raises(TypeError, match="No constructor|cannot create"):
        Decision()


def test_decisions_are_values(authorizer: Authorizer) -> None:
    one = authorizer.is_authorized(OWNER, "manageBilling", ACME)
    other = authorizer.is_authorized(OWNER, "beAssigned", ACME)
    assert one == authorizer.is_authorized(OWNER, "manageBilling", ACME) and one != other
    assert len({one, other, one}) == 2
    window = {"window": {"from": "2025-06-01", "to": "2027-01-01"}}
    clamped = authorizer.is_authorized('Grc::Auditor::"period-auditor"', "downloadAuditPackage", ACME, window)
    for decision in (one, other, clamped):
        for again in (pickle.loads(pickle.dumps(decision)), copy.copy(decision), copy.deepcopy(decision)):
            assert again == decision and again.errors == decision.errors and again.window == decision.window
    restore = one.__reduce__()[0]
    forged: tuple[Any, ...]
    for forged in ((True, True, ["x"], [], (0, 0), "", None), (True, False, [], [], (0, 0), "", None)):
        with pytest.raises(ValueError, match="no decision looks like this"):
            restore(forged)
    revision = Revision(3, 4)
    assert pickle.loads(pickle.dumps(revision)) == revision and revision < Revision(3, 5) and hash(revision)
    assert repr(revision) == "Revision(3, 4)" and (revision.epoch, revision.number) == (3, 4)
    error = other.errors[0] if other.errors else DecisionError("p", "evaluation", "m")
    assert pickle.loads(pickle.dumps(error)) == error


def test_the_window_of_an_audit_download_is_clamped(authorizer: Authorizer) -> None:
    asked = {"window": {"from": NOW.replace(year=1990), "to": NOW.replace(year=2090)}}
    decision = authorizer.is_authorized('Grc::Auditor::"period-auditor"', "downloadAuditPackage", ACME, asked)
    assert decision.allowed
    assert decision.window == (datetime(2026, 1, 1, tzinfo=timezone.utc), datetime(2026, 3, 31, tzinfo=timezone.utc))
    asked = {"window": {"from": NOW, "to": NOW - timedelta(milliseconds=1)}}
    decision = authorizer.is_authorized('Grc::Auditor::"period-auditor"', "downloadAuditPackage", ACME, asked)
    assert decision.indeterminate and [e.code for e in decision.errors] == ["window"] and decision.window is None


def test_require_gives_the_decision_or_raises(authorizer: Authorizer) -> None:
    assert authorizer.require(OWNER, "manageBilling", ACME).allowed
    with pytest.raises(Forbidden) as caught:
        authorizer.require('Grc::Member::"viewer"', "manageBilling", ACME)
    assert isinstance(caught.value, PermissionError) and not isinstance(caught.value, BailiwickError)
    assert str(caught.value) == (
        'denied: `Grc::Member::"viewer"` `Grc::Action::"manageBilling"` `Grc::Organization::"acme"`: '
        "no policy permits it"
    )
    assert caught.value.decision == authorizer.is_authorized('Grc::Member::"viewer"', "manageBilling", ACME)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.decision == caught.value.decision
    with pytest.raises(Forbidden, match="denied: .*: by wall.tenant-organization"):
        authorizer.require(OWNER, "manageBilling", 'Grc::Organization::"globex"')
    with pytest.raises(RequestError):
        authorizer.require(OWNER, "manageBilling", None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, "viewTeam", ACME), "`principal`: expected a uid text or an `EntityUid`, found `int`"),
        ((None, "viewTeam", ACME), "`principal`: expected a uid text or an `EntityUid`, found `NoneType`"),
        ((b"x", "viewTeam", ACME), "found `bytes`"),
        ((Entity(OWNER), "viewTeam", ACME), "`principal`: expected a uid text or an `EntityUid`, found `Entity`; give its"),
        ((OWNER, Entity(OWNER), ACME), "`action`: expected a uid text"),
        ((OWNER, "viewTeam", 1), "`resource`: expected a uid text, an `EntityUid` or an `Entity`, found `int`"),
        (("owner", "viewTeam", ACME), "`principal`: `owner` is not an entity uid: expected a form such as"),
        (("x" * (10 << 20), "viewTeam", ACME), "`principal`: `xxx"),
        (("\ud800", "viewTeam", ACME), "`principal`: the text has a lone surrogate"),
        (({"type": "Grc::Member"}, "viewTeam", ACME), "`principal`: expected `{\"type\": …, \"id\": …}`"),
        (({"type": "Grc::Member", "id": 1.5}, "viewTeam", ACME), "`principal`: `id`: a float is not a value"),
        (({"type": "Grc::Member", "id": "m", "x": 1}, "viewTeam", ACME), "the uid has the unknown key `x`"),
        ((OWNER, "viewTheTeam", ACME), "`action`: unknown action `viewTheTeam`; the actions are "),
        ((OWNER, "view team", ACME), "`action`: `view team` is not an entity uid"),
        ((OWNER, "viewTeam", {"uid": "x"}), "`resource`: `uid`: "),
        ((OWNER, "viewTeam", {"uid": {"type": "A", "id": "b"}, "attributes": {}}), "unknown key `attributes`"),
        ((OWNER, "viewTeam", ACME, []), "`context`: expected a dict, found `list`"),
        ((OWNER, "viewTeam", ACME, "x"), "`context`: expected a dict, found `str`"),
        ((OWNER, "viewTeam", ACME, {"now": "yesterday"}), "`context`: `now`: `yesterday` is no datetime"),
    ],
)
def test_a_request_that_cannot_be_read_raises(authorizer: Authorizer, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        authorizer.is_authorized(*arguments)
    text = str(caught.value)
    assert message in text and "\n" not in text and len(text) < 700 and caught.value.index is None
    # In a batch it is the same error, with its place, from `Request` or from deciding.
    good = Request(OWNER, "viewTeam", ACME)
    try:
        bad = Request(*arguments)
    except RequestError as error:
        assert message in str(error) or "`uid`" in message
        return
    with pytest.raises(RequestError) as caught:
        authorizer.is_authorized_many([good, good, bad, good])
    assert caught.value.index == 2 and str(caught.value).startswith("request 2: ") and message in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.index) == (str(caught.value), 2)


def test_a_batch_decides_as_one_by_one(authorizer: Authorizer) -> None:
    requests = [
        Request(OWNER, action, ACME) for action in ("viewTeam", "manageBilling", "receiveNotification", "openPortal")
    ]
    expected = [authorizer.is_authorized(OWNER, r.action, ACME) for r in requests]
    assert authorizer.is_authorized_many(requests) == expected
    assert authorizer.is_authorized_many(tuple(requests)) == authorizer.is_authorized_many(r for r in requests)
    assert [d.allowed for d in expected] == [True, True, False, False] and authorizer.is_authorized_many([]) == []
    for wrong, message in [
        (7, "expected a list of `Request`, found `int`"),
        ("x", "expected a list of `Request`, found `str`"),
        (None, "expected a list of `Request`, found `NoneType`"),
        ([requests[0], "x"], "request 1: expected a `Request`, found `str`"),
        ({"a": 1}, "found `dict`"),
    ]:
        with pytest.raises(RequestError) as caught:
            authorizer.is_authorized_many(wrong)  # type: ignore[arg-type]
        assert message in str(caught.value) and caught.value.index == (1 if "request 1" in message else None)

    def breaks() -> Any:
        yield requests[0]
        raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        authorizer.is_authorized_many(breaks())


def test_entities_come_from_a_file_or_a_list(tmp_path: Path) -> None:
    dicts = json.loads(WORLD.read_text(encoding="utf-8"))
    for entities in (str(WORLD), WORLD, dicts, tuple(dicts), (d for d in dicts)):
        authorizer = Authorizer(entities=entities, clock=NOW)
        assert authorizer.is_authorized(OWNER, "manageBilling", ACME)
        assert f"entities={len(dicts)} " in repr(authorizer)
    assert "entities=0 " in repr(Authorizer(entities=[]))
    assert not Authorizer().is_authorized(OWNER, "manageBilling", ACME)
    for wrong, message in [
        (tmp_path / "none.json", "none.json` cannot be read: No such file"),
        ("\0", "cannot be read: "),
        (7, "`entities`: expected a list of entities, or a path, found `int`"),
        ({"uid": 1}, "`entities`: expected a list of entities, or a path, found `dict`"),
        ([7], "entity 0: expected an `Entity` or a dict, found `int`"),
        ([{"uid": {"type": "Grc::Project", "id": "p"}, "attrs": {"x": 0.5}}], "entity 0: `attrs.x`: a float is not a value"),
    ]:
        with pytest.raises(EntityError) as caught:
            Authorizer(entities=wrong)  # type: ignore[arg-type]
        assert message in str(caught.value)


def test_all_bad_entities_are_reported_together_and_nothing_changes(authorizer: Authorizer) -> None:
    before = authorizer.revision
    bad: list[Any] = [
        {"uid": {"type": "Grc::Organization", "id": "acme"}, "attrs": {}, "parents": []},
        member("a", role=EntityUid("Grc::Role", "BOSS")),
        member("b", active="yes"),
        member("c", contributer=True),
    ]
    with pytest.raises(EntityError) as caught:
        authorizer.replace_entities(bad)
    faults = caught.value.faults
    assert [(f.index, f.uid and f.uid.id) for f in faults] == [(1, "a"), (2, "b"), (3, "c")] and caught.value.more == 0
    assert "unknown Role `BOSS`" in faults[0].message and "expected Bool, found String" in faults[1].message
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.faults == faults and str(again) == str(caught.value)
    with pytest.raises(EntityError) as caught:
        authorizer.replace_entities([{"uid": 1}, {}, member("a"), {"uid": {"type": "A", "id": "b"}, "attrs": {"a": None}}])
    assert [f.index for f in caught.value.faults] == [0, 1, 3]
    with pytest.raises(EntityError, match="requirements-test.txt`: "):
        authorizer.replace_entities(Path(__file__).parents[1] / "requirements-test.txt")
    assert authorizer.revision == before and authorizer.is_authorized(OWNER, "manageBilling", ACME)
    after = authorizer.replace_entities([])
    assert after.epoch != before.epoch and authorizer.revision == after
    assert not authorizer.is_authorized(OWNER, "manageBilling", ACME)


def test_single_entities_are_put_in_and_taken_out(authorizer: Authorizer) -> None:
    before = authorizer.revision
    new = member("new", role=EntityUid("Grc::Role", "ADMIN"))
    assert authorizer.apply(upsert=[new]) == Revision(before.epoch, before.number + 1) == authorizer.revision
    assert authorizer.is_authorized(new.uid, "viewTeam", ACME)
    authorizer.apply(upsert=[member("new")])
    assert not authorizer.is_authorized(new.uid, "viewTeam", ACME)
    authorizer.apply(remove=[new.uid], upsert=[member("newer")])
    decision = authorizer.is_authorized(new.uid, "viewTeam", ACME)
    assert decision.indeterminate and decision.errors[0].code == "unknown_principal"
    authorizer.apply(remove=['Grc::Member::"newer"'])
    here = authorizer.apply()
    for arguments, message in [
        ({"remove": [ACME]}, "cannot be taken out: "),
        ({"remove": ['Grc::Member::"nobody"']}, "is not stored, so it cannot be taken out"),
        ({"remove": [7]}, "`remove`: expected a uid text or an `EntityUid`, found `int`"),
        ({"remove": OWNER}, "`remove`: expected a list of uids, found `str`"),
        ({"upsert": new}, "`upsert`: expected a list of entities, found `Entity`"),
        ({"upsert": [member("x"), member("x")]}, "duplicate uid"),
        ({"upsert": [member("x", organization=EntityUid("Grc::Organization", "none"))]}, "is not stored"),
    ]:
        with pytest.raises(EntityError) as caught:
            authorizer.apply(**arguments)  # type: ignore[arg-type]
        assert message in str(caught.value)
    assert authorizer.revision == here


def test_policies_come_from_folders_and_files(tmp_path: Path) -> None:
    folder = ROOT / "policies"
    builtin = Authorizer(entities=WORLD, clock=NOW)
    files = sorted(folder.glob("*.cedar"))
    ways: list[tuple[Any, Path | None]] = [(folder, None), (str(folder), None), ([folder], None), (files, folder / "schema.cedarschema")]
    for policies, schema in ways:
        authorizer = Authorizer(policies=policies, schema=schema, entities=WORLD, clock=NOW)
        assert authorizer.is_authorized(OWNER, "manageBilling", ACME)
    (tmp_path / "schema.cedarschema").write_text((folder / "schema.cedarschema").read_text())
    (tmp_path / "p.cedar").write_text(
        '@id("all")\npermit (principal, action, resource);\n@id("bad")\npermit (principal, action, resource)\n'
        "when { resource.colour == 1 };\n"
    )
    with pytest.raises(BundleError) as caught:
        Authorizer(policies=tmp_path)
    (finding, *_) = caught.value.findings
    assert (finding.policy, finding.file, finding.line) == ("bad", str(tmp_path / "p.cedar"), 5)
    assert "colour" in finding.message and f"p.cedar:5:{finding.column}: " in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.findings == caught.value.findings and str(again) == str(caught.value)
    before = builtin.bundle
    with pytest.raises(BundleError):
        builtin.replace_bundle(tmp_path)
    assert builtin.bundle == before
    (tmp_path / "p.cedar").write_text('@id("all")\npermit (principal, action, resource);\n')
    builtin.replace_bundle(tmp_path)
    assert builtin.bundle != before
    assert builtin.is_authorized('Grc::Member::"viewer"', "manageBilling", ACME).determining == ("all",)
    # The stored entities do not fit this one.
    with pytest.raises(EntityError, match="unknown entity type"):
        builtin.replace_bundle(Path(__file__).parent / "values")
    builtin.replace_bundle(None)
    assert builtin.bundle == before and not builtin.is_authorized('Grc::Member::"viewer"', "manageBilling", ACME)
    with pytest.raises(BundleError, match="none` cannot be read: ") as caught:
        Authorizer(policies=tmp_path / "none")
    assert caught.value.findings[0].file is None and caught.value.findings[0].line is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"errors": "lenient"}, ValueError, "`errors`: expected `strict` or `cedar`, found `lenient`"),
        ({"errors": 1}, TypeError, ""),
        ({"policies": 7}, TypeError, "`policies`: expected a path or a list of paths, found `int`"),
        ({"policies": [7]}, TypeError, "`policies`: expected a path or a list of paths, found `int`"),
        ({"policies": "policies", "schema": 7}, TypeError, "`schema`: expected a path, found `int`"),
        ({"schema": "x.cedarschema"}, ValueError, "`schema` goes with `policies`; give both"),
        ({"clock": 7}, TypeError, "`clock`: expected an aware datetime or a callable, found `int`"),
        ({"clock": NOW.replace(tzinfo=None)}, ValueError, "`clock`: the datetime is naive"),
        ({"directory": 7}, TypeError, "`directory`: expected a path, found `int`"),
            ({"folder": "x"}, TypeError, ""),
    ],
    ids=repr,
)
def test_an_authorizer_is_not_made_from_what_makes_no_sense(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        Authorizer(**arguments)
    assert message in str(caught.value) and type(caught.value) is error
    with pytest.raises(TypeError):
        Authorizer("policies")  # type: ignore[call-arg]


def test_cedars_own_answers_fill_nothing_in() -> None:
    cedar = Authorizer(entities=WORLD, errors="cedar", clock=NOW)
    decision = cedar.is_authorized(OWNER, "manageBilling", ACME)
    assert decision.allowed and not decision.indeterminate
    # Strict mode denies, since the principal is not stored; Cedar's own answer says nothing of that.
    nobody = cedar.is_authorized('Grc::Member::"nobody"', "manageBilling", ACME)
    assert not nobody.allowed and not nobody.indeterminate


def test_all_names_are_there() -> None:
    assert sorted(bailiwick.__all__) == [name for name in sorted(bailiwick.__all__) if hasattr(bailiwick, name)]
    for name in ("Authorizer", "Decision", "DecisionError", "Entity", "EntityUid", "Request", "Revision"):
        cls = getattr(bailiwick, name)
        assert cls.__module__ == "bailiwick" and cls.__doc__
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Sub", (cls,), {})
