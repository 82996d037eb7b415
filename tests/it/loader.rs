//! What the loader refuses, and that a refusal leaves everything as it was.

use bailiwick::entities::entity_from_json;
use bailiwick::{
    grc, Authorizer, Bundle, Changes, Entity, EntityUid, ErrorMode, Request, Snapshot, Source, Sources, Value,
};
use serde_json::{json, Value as Json};

/// One valid entity of each type that the rules speak of; tests break one of them.
fn valid() -> Vec<Json> {
    let organization = json!({"type": "Grc::Organization", "id": "acme"});
    let entity = |kind: &str, id: &str, attrs: Json, parents: Json| json!({"uid": {"type": format!("Grc::{kind}"), "id": id}, "attrs": attrs, "parents": parents});
    let member = json!({"organization": organization, "role": {"type": "Grc::Role", "id": "OWNER"}, "active": true,
        "complianceTeam": false, "contributor": false, "clients": []});
    let project = json!([{"type": "Grc::Project", "id": "p"}]);
    vec![
        entity("Organization", "msp", json!({}), json!([])),
        entity("Organization", "acme", json!({}), json!([{"type": "Grc::Organization", "id": "msp"}])),
        entity("Organization", "globex", json!({}), json!([])),
        entity("Project", "p", json!({"organization": organization}), json!([])),
        entity("Project", "q", json!({"organization": {"type": "Grc::Organization", "id": "globex"}}), json!([])),
        entity("Member", "m", member, json!([])),
        entity("Guest", "g", json!({"organization": organization, "active": true}), project),
        entity(
            "Invitation",
            "i",
            json!({"organization": organization, "role": {"type": "Grc::Role", "id": "ADMIN"}}),
            json!([]),
        ),
        entity(
            "Auditor",
            "a",
            json!({"organization": organization, "status": {"type": "Grc::AuditorStatus", "id": "ACTIVE"},
            "expiresAt": "2026-06-30T12:00:00Z", "period": {"from": "2026-01-01", "to": "2026-01-01"}}),
            json!([]),
        ),
        entity(
            "Control",
            "c",
            json!({"organization": organization, "activeFrom": "2026-01-01",
            "activeUntil": "2026-01-01T00:00:00.001Z"}),
            json!([]),
        ),
    ]
}

fn load(entities: &[Json]) -> Result<Snapshot, String> {
    let text = Json::Array(entities.to_vec()).to_string();
    Snapshot::from_json(&Bundle::builtin(), text.as_bytes()).map_err(|e| e.to_string())
}

/// The message for the valid entities after `break_it`.
fn broken(index: usize, break_it: impl FnOnce(&mut Json)) -> String {
    let mut entities = valid();
    break_it(&mut entities[index]);
    load(&entities).expect_err("it must be refused")
}

#[test]
fn the_valid_entities_are_loaded() {
    assert_eq!(load(&valid()).expect("valid").len(), valid().len());
}

#[test]
fn each_bad_entity_is_refused_with_its_place() {
    let set = |path: &'static str, value: Json| move |e: &mut Json| *e.pointer_mut(path).expect("a path") = value;
    let project = |id: &str| json!({"type": "Grc::Project", "id": id});
    let organization = |id: &str| json!({"type": "Grc::Organization", "id": id});
    let cases: Vec<(String, &str)> = vec![
        (
            broken(5, set("/attrs/active", json!("yes"))),
            "entity 5, `Grc::Member::\"m\"`: `active`: expected Bool, found String",
        ),
        (broken(5, set("/attrs/role/id", json!("BOSS"))), "`role`: unknown Role `BOSS`; expected one of `OWNER`"),
        (
            broken(5, |e| drop(e["attrs"].as_object_mut().expect("attrs").remove("contributor"))),
            "`contributor`: required attribute is missing",
        ),
        (broken(5, |e| e["attrs"]["contributer"] = json!(true)), "`contributer`: unknown attribute; expected `active`"),
        (
            broken(5, set("/attrs/clients", json!([organization("nowhere")]))),
            "`clients`: `Grc::Organization::\"nowhere\"` is not stored",
        ),
        (
            broken(6, set("/parents", json!([project("nowhere")]))),
            "`parents`: `Grc::Project::\"nowhere\"` is not stored",
        ),
        (broken(6, set("/parents", json!([]))), "a guest is in exactly one project, this one in 0"),
        (broken(6, set("/parents", json!([project("q")]))), "`Grc::Project::\"q\"` belongs to another organization"),
        (broken(5, set("/parents", json!([project("q")]))), "`Grc::Project::\"q\"` belongs to another organization"),
        (
            broken(9, |e| e["attrs"]["project"] = project("q")),
            "`project`: `Grc::Project::\"q\"` belongs to another organization",
        ),
        (broken(0, set("/parents", json!([organization("globex")]))), "a client has no clients"),
        (broken(1, set("/parents", json!([organization("msp"), organization("globex")]))), "at most one parent"),
        (broken(0, set("/parents", json!([organization("acme")]))), "a cycle through"),
        (broken(7, |e| e["attrs"]["project"] = project("p")), "a role or a project, not both"),
        (broken(7, |e| drop(e["attrs"].as_object_mut().expect("attrs").remove("role"))), "this one neither"),
        (
            broken(8, set("/attrs/period/from", json!("2026-01-02"))),
            "`period`: begins at 2026-01-02T00:00:00.000Z, after its end",
        ),
        (broken(9, set("/attrs/activeUntil", json!("2026-01-01"))), "is not after `activeFrom`"),
        (broken(9, set("/attrs/activeFrom", json!("2026-01-01T00:00:00.0001Z"))), "not finer than a millisecond"),
        (broken(0, set("/uid/type", json!("Grc::Planet"))), "unknown entity type"),
        (broken(4, set("/uid", json!({"type": "Grc::Role", "id": "OWNER"}))), "listed in the schema and not stored"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "expected `{expected}` in\n{message}");
    }
}

#[test]
fn all_bad_entities_are_reported_together() {
    let mut entities = valid();
    entities[5]["attrs"]["role"]["id"] = json!("BOSS");
    entities[9]["attrs"]["activeFrom"] = json!(17);
    entities.push(entities[3].clone());
    let message = load(&entities).expect_err("three are bad");
    // Shape first, then the rest: a value that cannot be read hides what only the whole would show.
    assert!(message.contains("BOSS") && message.contains("`activeFrom`: expected datetime, found Long"), "{message}");
    assert!(message.contains("entity 10, `Grc::Project::\"p\"`: duplicate uid; entity 3 has it too"), "{message}");
}

#[test]
fn text_that_is_no_array_of_entities_names_its_line() {
    let bundle = Bundle::builtin();
    for (text, expected) in [
        ("", "EOF while parsing"),
        ("{}", "expected an array of entities"),
        ("[{\"uid\": 1, \"uid\": 2}]", "duplicate key `uid`"),
        ("[]\n[]", "line 2"),
        ("[{\"uid\": {\"type\": \"A\", \"id\": \"\u{0}\"}}]", "control character"),
        ("[{\"uid\": {\"type\": \"Grc::Project\", \"id\": \"p\"}, \"attrs\": {\"n\": 9223372036854775808}}]", "64-bit"),
        ("[{\"uid\": {\"type\": \"Grc::Project\", \"id\": \"p\"}, \"attrs\": {\"n\": 1.5}}]", "fraction"),
        ("[{\"uid\": {\"type\": \"Grc::Project\", \"id\": \"p\"}, \"extra\": 1}]", "unknown key `extra`"),
    ] {
        let message = Snapshot::from_json(&bundle, text.as_bytes()).expect_err(text).to_string();
        assert!(message.contains(expected), "expected `{expected}` in `{message}`");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Snapshot::from_json(&bundle, deep.as_bytes()).is_err());
    assert!(Snapshot::from_json(&bundle, &b"[\xff]"[..]).is_err());
}

#[test]
fn single_changes_pass_the_same_checks_and_a_refusal_changes_nothing() {
    let text = Json::Array(valid()).to_string();
    let authorizer = Authorizer::builder().entities_json(text.as_bytes()).expect("valid").build();
    let before = authorizer.snapshot();
    let acme = || Value::Entity(grc::organization("acme"));
    let refused: Vec<(Changes, &str)> = vec![
        (Changes::new().remove(grc::project("p")), "references to it remain"),
        (Changes::new().remove(grc::project("nowhere")), "is not stored"),
        (Changes::new().upsert(Entity::new(grc::project("new"))), "`organization`: required attribute is missing"),
        (
            Changes::new().upsert(Entity::new(grc::organization("msp")).with_parent(grc::organization("globex"))),
            "has clients",
        ),
        (
            Changes::new().upsert(
                Entity::new(grc::project("p")).with("organization", Value::Entity(grc::organization("globex"))),
            ),
            "still name this project",
        ),
        (
            Changes::new()
                .upsert(Entity::new(grc::project("new")).with("organization", acme()))
                .remove(grc::organization("acme")),
            "is not stored",
        ),
    ];
    for (changes, expected) in refused {
        let message = authorizer.apply(&changes).expect_err(expected).to_string();
        assert!(message.contains(expected), "expected `{expected}` in `{message}`");
        assert_eq!(authorizer.snapshot().revision(), before.revision());
        assert_eq!(authorizer.snapshot().len(), before.len());
    }
    let changes = Changes::new().remove(grc::guest("g")).remove(grc::project("p"));
    let revision = authorizer.apply(&changes).expect("nothing names the project any more");
    assert_eq!((revision.epoch, revision.number), (before.revision().epoch, before.revision().number + 1));
    assert_eq!(authorizer.snapshot().len(), before.len() - 2);
    assert!(authorizer.replace_entities(&b"[nonsense"[..]).is_err());
    assert_eq!(authorizer.snapshot().len(), before.len() - 2);
}

#[test]
fn uids_and_instants_are_read_as_cedar_writes_them() {
    for id in ["m-1", "a\"b", "tab\t", "\u{202e}", "\\", "", "\0", "é", "'"] {
        let uid = EntityUid::new("Grc::Member", id).expect("a name");
        assert_eq!(uid.to_string().parse::<EntityUid>().as_ref(), Ok(&uid));
        let cedar: bailiwick::cedar_policy::EntityUid = uid.to_string().parse().expect("Cedar reads it too");
        assert_eq!(cedar.id().unescaped(), id);
    }
    for text in
        ["", "m", "Grc::Member", "Grc::Member::\"", "Grc::Member::\"a\"b\"", "::\"a\"", "G c::\"a\"", "if::\"a\""]
    {
        assert!(text.parse::<EntityUid>().is_err(), "{text}");
    }
    let parse = bailiwick::Timestamp::parse;
    for (text, millis) in [
        ("1970-01-01", Some(0)),
        ("1969-12-31T23:59:59.999Z", Some(-1)),
        ("2024-02-29T00:00:00+0100", Some(1_709_161_200_000)),
        ("2023-02-29", None),
        ("2026-01-01T24:00:00Z", None),
        ("2026-01-01T00:00:00", None),
        ("10000-01-01", None),
        ("0000-01-01T00:00:00+0001", None),
    ] {
        assert_eq!(parse(text).map(bailiwick::Timestamp::millis), millis, "{text}");
        if let Some(at) = parse(text) {
            assert_eq!(parse(&at.to_string()), Some(at));
        }
    }
}

#[test]
fn an_ip_address_with_an_ipv4_tail_is_written_as_it_can_be_read() {
    // Rust writes `::ffff:10.1.2.3`, which Cedar does not read: every request with it was indeterminate.
    let schema = "entity U; entity T { ip?: ipaddr }; action a appliesTo { principal: [U], resource: [T] };";
    let policy = "@id(\"p\") permit (principal, action, resource) when { resource has ip && resource.ip.isIpv6() };";
    let sources = Sources::new(Some(Source::new("s", schema)), vec![Source::new("p", policy)]);
    let bundle = Bundle::from_sources(sources, ErrorMode::Strict).expect("a bundle");
    let uid = |kind: &str| EntityUid::new(kind, "x").expect("a uid");
    for text in ["::ffff:a01:203", "::a01:203/96", "::1", "2001:db8::1"] {
        let json = json!({"uid": {"type": "T", "id": "x"}, "attrs": {"ip": text}});
        let entity = entity_from_json(&bundle, &json).expect("an entity");
        assert_eq!(entity_from_json(&bundle, &entity.to_json()).expect("what was written"), entity);
        let user = Snapshot::from_entities(&bundle, vec![Entity::new(uid("U"))]).expect("a user");
        let authorizer = Authorizer::builder().bundle(bundle.clone()).snapshot(user).expect("it fits").build();
        let asked = Request::new(uid("U"), EntityUid::new("Action", "a").expect("a uid"), entity);
        assert!(authorizer.is_authorized(&asked).allowed(), "{text}");
    }
}
