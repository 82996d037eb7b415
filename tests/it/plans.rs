//! Bundles with more rules, conditions and attributes than one plan or record has room for: Cedar decides them too.

use std::fmt::Write;

use bailiwick::{Authorizer, Bundle, Changes, Decision, Entity, EntityUid, ErrorMode, Request, Source, Sources};

fn bundle(schema: &str, policies: &str) -> Bundle {
    bundle_in(ErrorMode::Strict, schema, policies)
}

fn bundle_in(mode: ErrorMode, schema: &str, policies: &str) -> Bundle {
    let sources = Sources::new(Some(Source::new("s", schema)), vec![Source::new("p", policies)]);
    Bundle::from_sources(sources, mode).unwrap_or_else(|error| panic!("{error}"))
}

fn uid(text: &str) -> EntityUid {
    text.parse().expect("a uid")
}

/// Decides by ourselves and by Cedar.
fn compared(bundle: &Bundle, entities: &str) -> Authorizer {
    Authorizer::builder()
        .bundle(bundle.clone())
        .entities_json(entities.as_bytes())
        .unwrap_or_else(|error| panic!("{error}"))
        .shadow(1, |request, ours, cedars| panic!("{request:?}\nours: {ours:?}\nCedar's: {cedars:?}"))
        .build()
}

/// Whether the principal may go through the front door, by ourselves and by Cedar.
fn decide(bundle: &Bundle, entities: &str, principal: &str) -> Decision {
    let request = Request::new(uid(principal), uid(r#"Action::"go""#), uid(r#"Door::"front""#));
    compared(bundle, entities).is_authorized(&request)
}

const ACTION: &str = "entity Door; action go appliesTo { principal: [User], resource: [Door] };";

#[test]
fn a_type_may_have_more_attributes_than_are_numbered() {
    let names: Vec<String> = (0..70).map(|n| format!("a{n:02}")).collect();
    let declared: Vec<String> = names.iter().map(|name| format!("{name}?: Long")).collect();
    let schema = format!("entity User = {{ {} }}; {ACTION}", declared.join(", "));
    let bundle = bundle(
        &schema,
        r#"@id("last") permit (principal, action, resource)
           when { principal has a69 && principal.a69 == 69 && principal has a63 && principal.a63 == 63 };
           @id("beyond") forbid (principal, action, resource) when { principal has a64 && principal.a64 == 0 };"#,
    );
    let user = |attributes: &str| {
        format!(
            r#"[{{"uid": {{"type": "User", "id": "u"}}, "parents": [], "attrs": {{{attributes}}}}},
                {{"uid": {{"type": "Door", "id": "front"}}, "parents": [], "attrs": {{}}}}]"#
        )
    };
    let allowed = |attributes: &str| decide(&bundle, &user(attributes), r#"User::"u""#).allowed();
    assert!(allowed(r#""a63": 63, "a64": 64, "a69": 69"#));
    assert!(allowed(r#""a63": 63, "a69": 69"#));
    assert!(!allowed(r#""a63": 63, "a64": 0, "a69": 69"#));
    assert!(!allowed(r#""a63": 63, "a64": 64"#));
    assert!(!allowed(r#""a64": 64, "a69": 69"#));
}

#[test]
fn rules_and_conditions_beyond_those_of_a_plan_are_decided_too() {
    let schema = format!("entity User = {{ n: Long }}; {ACTION}");
    let mut policies = String::new();
    for n in 0..200 {
        writeln!(policies, r#"@id("p{n:03}") permit (principal, action, resource) when {{ principal.n == {n} }};"#)
            .expect("a text");
    }
    // The last in the order of ids, and so far behind the plan's end.
    policies
        .push_str(r#"@id("z") forbid (principal, action, resource) when { principal.n == 7 || principal.n == 170 };"#);
    let bundle = bundle(&schema, &policies);
    for (n, expected) in [
        (0, vec!["p000"]),
        (7, vec!["z"]),
        (63, vec!["p063"]),
        (64, vec!["p064"]),
        (170, vec!["z"]),
        (199, vec!["p199"]),
        (200, vec![]),
    ] {
        let entities = format!(
            r#"[{{"uid": {{"type": "User", "id": "u"}}, "parents": [], "attrs": {{"n": {n}}}}},
                {{"uid": {{"type": "Door", "id": "front"}}, "parents": [], "attrs": {{}}}}]"#
        );
        let decision = decide(&bundle, &entities, r#"User::"u""#);
        assert_eq!(decision.determining().collect::<Vec<_>>(), expected, "n is {n}");
        assert_eq!(decision.allowed(), expected.first().is_some_and(|id| *id != "z"), "n is {n}");
    }
}

#[test]
fn a_rule_without_a_plan_does_not_take_the_answers_of_other_plans() {
    let flags: Vec<String> = (0..6).map(|n| format!("f{n}: Bool")).collect();
    let mut schema = format!("entity User = {{ n: Long, {} }}; {ACTION}", flags.join(", "));
    // More questions than a plan has room for.
    let questions: Vec<String> = (0..70).map(|n| format!("principal.n == {n}")).collect();
    let mut policies = format!(
        r#"@id("long") permit (principal, action == Action::"go", resource) when {{ {} }};"#,
        questions.join(" || ")
    );
    // Plans with 64 answers each, behind it.
    for action in 0..6 {
        write!(schema, "action x{action} appliesTo {{ principal: [User], resource: [Door] }};").expect("a text");
        for flag in 0..6 {
            writeln!(
                policies,
                r#"@id("x{action}.{flag}")
                   permit (principal, action == Action::"x{action}", resource) when {{ principal.f{flag} }};"#
            )
            .expect("a text");
        }
    }
    let bundle = bundle(&schema, &policies);
    for (n, expected) in [(0, true), (69, true), (70, false)] {
        let flags: Vec<String> = (0..6).map(|n| format!(r#""f{n}": true"#)).collect();
        let entities = format!(
            r#"[{{"uid": {{"type": "User", "id": "u"}}, "parents": [], "attrs": {{"n": {n}, {}}}}},
                {{"uid": {{"type": "Door", "id": "front"}}, "parents": [], "attrs": {{}}}}]"#,
            flags.join(", ")
        );
        let decision = decide(&bundle, &entities, r#"User::"u""#);
        assert_eq!(
            decision.determining().collect::<Vec<_>>(),
            if expected { vec!["long"] } else { vec![] },
            "n is {n}"
        );
    }
}

#[test]
fn a_policy_that_names_two_entities_is_found_by_either_order() {
    let schema = format!("entity User; {ACTION}");
    let mut policies =
        String::from(r#"@id("both") forbid (principal == User::"a", action, resource == Door::"front");"#);
    // So that one name is rarer than the other, each way round.
    for n in 0..3 {
        write!(policies, r#"@id("user{n}") permit (principal == User::"a", action, resource == Door::"d{n}");"#)
            .expect("a text");
        write!(policies, r#"@id("door{n}") permit (principal == User::"u{n}", action, resource == Door::"front");"#)
            .expect("a text");
    }
    let bundle = bundle(&schema, &policies);
    let entities = r#"[{"uid": {"type": "User", "id": "a"}, "parents": [], "attrs": {}},
        {"uid": {"type": "User", "id": "u1"}, "parents": [], "attrs": {}},
        {"uid": {"type": "Door", "id": "front"}, "parents": [], "attrs": {}}]"#;
    for (principal, expected) in [(r#"User::"a""#, "both"), (r#"User::"u1""#, "door1")] {
        let decision = decide(&bundle, entities, principal);
        assert_eq!(decision.determining().collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn a_policy_that_names_somebody_goes_on_doing_so_whatever_is_changed() {
    let schema = format!("entity Team; entity User in [Team] = {{ n?: Long }}; {ACTION}");
    let permit = r#"@id("all") permit (principal, action, resource);"#;
    let user = bundle(&schema, &format!(r#"{permit} @id("no") forbid (principal == User::"a", action, resource);"#));
    let team = bundle(&schema, &format!(r#"{permit} @id("no") forbid (principal in Team::"t", action, resource);"#));
    let (a, t, front) = (uid(r#"User::"a""#), uid(r#"Team::"t""#), uid(r#"Door::"front""#));
    let request = Request::new(a.clone(), uid(r#"Action::"go""#), front.clone());
    // Neither is stored yet when the bundle names it.
    let authorizer = Authorizer::builder()
        .bundle(user.clone())
        .shadow(1, |request, ours, cedars| panic!("{request:?}\nours: {ours:?}\nCedar's: {cedars:?}"))
        .build();
    let put = |entity: Entity| authorizer.apply(&Changes::new().upsert(entity)).expect("it fits");
    let out = |uid: &EntityUid| authorizer.apply(&Changes::new().remove(uid.clone())).expect("nothing refers to it");
    let by = || authorizer.is_authorized(&request).determining().map(str::to_owned).collect::<Vec<_>>();
    put(Entity::new(front));
    put(Entity::new(a.clone()));
    assert_eq!(by(), ["no"], "put in after the bundle");
    put(Entity::new(a.clone()).with("n", bailiwick::Value::Long(1)));
    assert_eq!(by(), ["no"], "changed");
    out(&a);
    put(Entity::new(a.clone()));
    assert_eq!(by(), ["no"], "taken out and put in again");
    authorizer.replace_bundle(&team).expect("it fits");
    assert_eq!(by(), ["all"], "the other bundle names a team");
    put(Entity::new(t.clone()));
    put(Entity::new(a.clone()).with_parent(t.clone()));
    assert_eq!(by(), ["no"], "in the team");
    put(Entity::new(a.clone()));
    out(&t);
    assert_eq!(by(), ["all"], "the team has gone");
    put(Entity::new(t.clone()));
    put(Entity::new(a.clone()).with_parent(t));
    assert_eq!(by(), ["no"], "the team is there again");
    authorizer.replace_bundle(&user).expect("it fits");
    assert_eq!(by(), ["no"], "the first bundle again");
}

/// Asks in Cedar's mode about a team that comes with the request, and by ourselves and by Cedar.
fn with_team(principal: &str, entities: &str, policies: &str) -> Decision {
    let schema = "entity Team in [Team] = { on?: Bool }; action go appliesTo { principal: [Team], resource: [Team] };";
    let authorizer = compared(&bundle_in(ErrorMode::Cedar, schema, policies), entities);
    let team = Entity::new(uid(r#"Team::"t""#)).with("on", bailiwick::Value::Bool(true));
    authorizer.is_authorized(&Request::new(uid(principal), uid(r#"Action::"go""#), team))
}

#[test]
fn a_principal_that_comes_with_the_request_as_its_resource_has_attributes() {
    // They were looked for in the snapshot only, where it is missing.
    let policies = "permit (principal, action, resource) when { principal.on };";
    assert!(with_team(r#"Team::"t""#, "[]", policies).allowed());
    let other = with_team(r#"Team::"other""#, "[]", policies);
    assert!(!other.allowed() && other.errors().len() == 1, "{other:?}");
}

/// Whether a resource that comes with the request, and has the attribute `last` beside others, is allowed by a policy
/// that asks for it; Cedar says the same.
fn has_last(schema: &str, mode: ErrorMode, entities: &str) -> bool {
    let policies =
        r#"@id("last") permit (principal, action, resource) when { resource has last && resource.last == 1 };"#;
    let authorizer = compared(&bundle_in(mode, schema, policies), entities);
    let (principal, action) = (uid(r#"User::"u""#), uid(r#"Action::"go""#));
    let came = Entity::new(uid(r#"Door::"came""#)).with("last", bailiwick::Value::Long(1));
    let [stored, came] = [uid(r#"Door::"front""#).into(), bailiwick::Resource::from(came)]
        .map(|resource| authorizer.is_authorized(&Request::new(principal.clone(), action.clone(), resource)).allowed());
    assert_eq!(stored, entities.contains("last"), "the stored one");
    came
}

#[test]
fn an_attribute_without_a_number_is_not_taken_for_absent() {
    let (user, go) = (r#"{"uid": {"type": "User", "id": "u"}, "parents": [], "attrs": {}}"#, "action go appliesTo");
    let door = |attributes: &str| {
        format!(r#"[{user}, {{"uid": {{"type": "Door", "id": "front"}}, "parents": [], "attrs": {{{attributes}}}}}]"#)
    };
    // Declared, but one of more than are numbered.
    let many: Vec<String> = (0..70).map(|n| format!("a{n:02}?: Long")).collect();
    let schema = format!(
        "entity User; entity Door = {{ {}, last?: Long }}; {go} {{ principal: [User], resource: [Door] }};",
        many.join(", ")
    );
    for mode in [ErrorMode::Strict, ErrorMode::Cedar] {
        assert!(has_last(&schema, mode, &door(r#""last": 1"#)) && has_last(&schema, mode, &door("")));
    }
    // Not declared, which Cedar's mode allows; another resource type of the action has it.
    let schema = format!(
        "entity User; entity Door; entity Gate = {{ last?: Long }}; {go} {{ principal: [User], resource: [Door, Gate] }};"
    );
    assert!(
        has_last(&schema, ErrorMode::Cedar, &door(r#""last": 1"#)) && has_last(&schema, ErrorMode::Cedar, &door(""))
    );
}

#[test]
fn a_number_is_compared_the_same_wherever_it_stands() {
    // The first is in the record itself, the last is not; a resource that comes with the request has no record.
    let all: Vec<String> = (0..9).map(|n| format!("a{n}")).collect();
    let declared = all.iter().map(|name| format!("{name}: Long")).collect::<Vec<_>>().join(", ");
    let schema = format!(
        "entity User = {{ {declared} }}; entity Door = {{ {declared} }};
         action go appliesTo {{ principal: [User], resource: [Door] }};"
    );
    type Test = (&'static str, fn(i64) -> bool);
    let tests: [Test; 6] = [
        ("OF < 5", |n| n < 5),
        ("5 < OF", |n| 5 < n),
        ("OF <= 5", |n| n <= 5),
        ("5 <= OF", |n| 5 <= n),
        ("OF == 5", |n| n == 5),
        ("5 == OF", |n| n == 5),
    ];
    let of = ["principal.a0", "principal.a8", "resource.a0", "resource.a8"];
    let places = || of.iter().flat_map(|of| tests.iter().map(move |test| (of, test)));
    let policies: String = places()
        .map(|(of, (test, _))| {
            let condition = test.replace("OF", of);
            format!("@id(\"{condition}\") permit (principal, action, resource) when {{ {condition} }};\n")
        })
        .collect();
    let bundle = bundle(&schema, &policies);
    // Beyond 59 bits a number is not in its eight bytes.
    for n in [4, 5, 6, -1, 1 << 57, 1 << 58, -(1 << 58), -(1 << 58) - 1, i64::MAX, i64::MIN] {
        let attributes = all.iter().map(|name| format!("\"{name}\": {n}")).collect::<Vec<_>>().join(", ");
        let entity = |of: &str, id: &str| {
            format!(r#"{{"uid": {{"type": "{of}", "id": "{id}"}}, "parents": [], "attrs": {{{attributes}}}}}"#)
        };
        let authorizer = compared(&bundle, &format!("[{}, {}]", entity("User", "u"), entity("Door", "front")));
        let came = all.iter().fold(Entity::new(uid(r#"Door::"came""#)), |door, name| {
            door.with(name.as_str(), bailiwick::Value::Long(n))
        });
        let mut wanted: Vec<String> =
            places().filter(|(_, (_, holds))| holds(n)).map(|(of, (test, _))| test.replace("OF", of)).collect();
        wanted.sort();
        for resource in [uid(r#"Door::"front""#).into(), bailiwick::Resource::from(came)] {
            let request = Request::new(uid(r#"User::"u""#), uid(r#"Action::"go""#), resource);
            let decision = authorizer.is_authorized(&request);
            assert_eq!(decision.determining().collect::<Vec<_>>(), wanted, "{n}, {:?}", request.resource());
        }
    }
}

/// Which of two policies, `in` and `not-in`, determines what a user may do whose role this is and where there are `more`
/// entities, in Cedar's mode, which takes what no schema allows.
fn in_roles(names: &str, role: &str, more: &str) -> String {
    let schema = r#"entity Role enum ["A", "B", "C"]; entity Team; entity User = { role: Role }; entity Door;
        action go appliesTo { principal: [User], resource: [Door] };"#;
    let policies = format!(
        r#"@id("in") permit (principal, action, resource) when {{ principal.role in [{names}] }};
           @id("not-in") permit (principal, action, resource) unless {{ principal.role in [{names}] }};"#
    );
    let entities = format!(
        r#"[{{"uid": {{"type": "Door", "id": "front"}}, "parents": [], "attrs": {{}}}}, {more}
            {{"uid": {{"type": "User", "id": "u"}}, "parents": [], "attrs": {{"role": {role}}}}}]"#
    );
    let decision = decide(&bundle_in(ErrorMode::Cedar, schema, &policies), &entities, r#"User::"u""#);
    let [only] = decision.determining().collect::<Vec<_>>()[..] else { panic!("{decision:?}") };
    only.to_owned()
}

fn role(id: &str) -> String {
    format!(r#"{{"type": "Role", "id": "{id}"}}"#)
}

#[test]
fn nobody_is_in_no_role() {
    assert_eq!(["A", "B"].map(|id| in_roles("", &role(id), "")), ["not-in"; 2]);
}

#[test]
fn what_belongs_to_a_role_is_in_it_whatever_it_is() {
    let names = r#"Role::"A", Role::"C""#;
    assert_eq!(["A", "B"].map(|id| in_roles(names, &role(id), "")), ["in", "not-in"]);
    let team = r#"{"type": "Team", "id": "t"}"#;
    let below = |id| in_roles(names, team, &format!(r#"{{"uid": {team}, "parents": [{}], "attrs": {{}}}},"#, role(id)));
    assert_eq!(["C", "B"].map(below), ["in", "not-in"]);
}

#[test]
fn a_role_may_belong_to_another() {
    let parents = |parents: &str| {
        let own = format!(r#"{{"uid": {}, "parents": [{parents}], "attrs": {{}}}},"#, role("A"));
        in_roles(r#"Role::"B", Role::"C""#, &role("A"), &own)
    };
    assert_eq!([parents(""), parents(&role("B"))], ["not-in", "in"]);
}

#[test]
fn what_comes_with_a_request_and_is_stored_too_is_refused_in_every_mode() {
    // What is stored below it went on belonging to what it was stored in, though it came without.
    let entities = r#"[{"uid": {"type": "Team", "id": "below"}, "attrs": {}, "parents": [{"type": "Team", "id": "t"}]},
        {"uid": {"type": "Team", "id": "t"}, "attrs": {}, "parents": [{"type": "Team", "id": "top"}]}]"#;
    let policies = r#"permit (principal in Team::"top", action, resource);"#;
    let decision = with_team(r#"Team::"below""#, entities, policies);
    let codes: Vec<&str> = decision.errors().map(|e| e.code().as_str()).collect();
    assert_eq!((decision.allowed(), decision.indeterminate(), codes), (false, true, vec!["inline_conflict"]));
}
