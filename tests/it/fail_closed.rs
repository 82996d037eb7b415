//! No path turns an error into an allow.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::Arc;

use bailiwick::entities::{entity_from_json, request_from_json};
use bailiwick::grc::{self, Action, Role};
use bailiwick::{
    Authorizer, Bundle, Changes, Clock, Decision, Entity, EntityUid, ErrorMode, Request, Snapshot, Source, Sources,
    Timestamp, Value,
};

use crate::judge;
use crate::random::{asked, authorizer, snapshot};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("an instant")
}

fn organization(id: &str) -> Entity {
    Entity::new(grc::organization(id))
}

fn member(id: &str, role: Role) -> Entity {
    Entity::new(grc::member(id))
        .with("organization", Value::Entity(grc::organization("acme")))
        .with("role", role.value())
        .with("active", Value::Bool(true))
        .with("complianceTeam", Value::Bool(false))
        .with("contributor", Value::Bool(false))
        .with("clients", Value::Set([].into()))
}

fn auditor(period: Option<(&str, &str)>) -> Entity {
    let auditor = Entity::new(grc::auditor("ada"))
        .with("organization", Value::Entity(grc::organization("acme")))
        .with("status", Value::Entity(r#"Grc::AuditorStatus::"ACTIVE""#.parse().expect("a uid")))
        .with("expiresAt", Value::Datetime(at("2027-01-01")));
    match period {
        None => auditor,
        Some((from, to)) => auditor.with(
            "period",
            Value::Record([("from".into(), Value::Datetime(at(from))), ("to".into(), Value::Datetime(at(to)))].into()),
        ),
    }
}

fn acme(more: Vec<Entity>) -> Authorizer {
    let bundle = Bundle::builtin();
    let mut entities = vec![organization("acme"), member("olga", Role::Owner)];
    entities.extend(more);
    let snapshot = Snapshot::from_entities(&bundle, entities).expect("valid");
    Authorizer::builder().snapshot(snapshot).expect("it fits").clock(at("2026-03-01")).build()
}

fn codes(decision: &Decision) -> Vec<&'static str> {
    decision.errors().map(|e| e.code().as_str()).collect()
}

fn refused(decision: &Decision, code: &str) {
    assert!(!decision.allowed() && decision.indeterminate(), "{decision:?}");
    assert_eq!(codes(decision), [code], "{decision:?}");
    assert_eq!(decision.determining().len(), 0);
}

#[test]
fn a_missing_principal_or_resource_is_denied_and_named() {
    let authorizer = acme(vec![]);
    let ask = |p: &str, o: &str| {
        authorizer.is_authorized(&grc::request(grc::member(p), Action::ManageBilling, grc::organization(o)))
    };
    assert!(ask("olga", "acme").allowed());
    refused(&ask("nobody", "acme"), "unknown_principal");
    refused(&ask("olga", "nowhere"), "unknown_resource");
}

#[test]
fn whom_a_policy_names_is_unknown_all_the_same_while_nothing_is_stored() {
    let schema = Source::new("s", "entity User; entity Door; action go appliesTo { principal: User, resource: Door };");
    let policies = r#"@id("but.one") permit (principal, action, resource)
        unless { principal == User::"ann" && resource == Door::"d" };"#;
    let bundle = Bundle::from_sources(Sources::new(Some(schema), vec![Source::new("p", policies)]), ErrorMode::Strict);
    let bundle = bundle.expect("valid");
    let uid = |text: &str| text.parse::<EntityUid>().expect("a uid");
    let ask = |stored: [&str; 2], principal: &str, resource: &str| {
        let entities = stored.map(|text| Entity::new(uid(text))).to_vec();
        let snapshot = Snapshot::from_entities(&bundle, entities).expect("valid");
        let authorizer = Authorizer::builder().bundle(bundle.clone()).snapshot(snapshot).expect("it fits").build();
        // By uids, and by handles.
        let plain = Request::new(uid(principal), uid(r#"Action::"go""#), uid(resource));
        let [one, what, on] = [principal, r#"Action::"go""#, resource].map(|text| authorizer.resolve(&uid(text)));
        [authorizer.is_authorized(&plain), authorizer.is_authorized(&Request::new(one, what, on))]
    };
    let (ann, ben, front, back) = (r#"User::"ann""#, r#"User::"ben""#, r#"Door::"d""#, r#"Door::"e""#);
    assert!(ask([ann, back], ann, back).iter().all(Decision::allowed));
    assert!(ask([ben, front], ben, front).iter().all(Decision::allowed));
    ask([ben, back], ann, back).iter().for_each(|decision| refused(decision, "unknown_principal"));
    ask([ben, back], ben, front).iter().for_each(|decision| refused(decision, "unknown_resource"));
}

#[test]
fn a_request_that_does_not_fit_the_schema_is_denied() {
    let authorizer = acme(vec![]);
    let olga = || grc::member("olga");
    let wrong_type = grc::request(olga(), Action::ManageBilling, olga());
    let missing_role = grc::request(olga(), Action::InviteMember, grc::organization("acme"));
    let extra = grc::request(olga(), Action::ViewTeam, grc::organization("acme")).with("more", Value::Bool(true));
    let unknown_action =
        Request::new(olga(), r#"Grc::Action::"fly""#.parse::<EntityUid>().expect("a uid"), grc::organization("acme"));
    for request in [wrong_type, missing_role, extra, unknown_action] {
        refused(&authorizer.is_authorized(&request), "invalid_request");
    }
}

#[test]
fn an_inline_resource_wins_over_nothing_and_passes_the_same_checks() {
    let bundle = Bundle::builtin();
    let json = |organization: &str| {
        serde_json::json!({"uid": {"type": "Grc::Control", "id": "c"}, "parents": [], "attrs": {
            "organization": {"type": "Grc::Organization", "id": organization}, "activeFrom": "2026-01-01"}})
    };
    let control = |o: &str| entity_from_json(&bundle, &json(o)).expect("an entity");
    let ask = |a: &Authorizer, e: Entity| a.is_authorized(&grc::request(grc::member("olga"), Action::Approve, e));
    let authorizer = acme(vec![]);
    assert!(ask(&authorizer, control("acme")).allowed());
    refused(&ask(&authorizer, control("nowhere")), "invalid_request");
    refused(&ask(&authorizer, control("acme").without("organization")), "invalid_request");
    let reversed = control("acme").with("activeUntil", Value::Datetime(at("2026-01-01")));
    refused(&ask(&authorizer, reversed), "invalid_request");
    let stored = acme(vec![control("acme")]);
    refused(&ask(&stored, control("acme")), "inline_conflict");
}

#[test]
fn the_window_is_clamped_to_the_period_before_deciding() {
    let authorizer = acme(vec![auditor(Some(("2026-01-01", "2026-06-30")))]);
    let ask = |from: &str, to: &str| {
        let request = grc::request(grc::auditor("ada"), Action::DownloadAuditPackage, grc::organization("acme"));
        authorizer.is_authorized(&grc::with_window(request, at(from), at(to)))
    };
    let wide = ask("2025-01-01", "2027-01-01");
    assert!(wide.allowed());
    let window = wide.window().expect("it was clamped");
    assert_eq!((window.from, window.to), (at("2026-01-01"), at("2026-06-30")));
    assert!(ask("2026-06-30", "2026-06-30").allowed(), "one instant, the last of the period");
    refused(&ask("2026-06-30T00:00:00.001Z", "2026-07-30"), "window");
    refused(&ask("2026-03-02", "2026-03-01"), "window");
    let free = acme(vec![auditor(None)]);
    let request = grc::request(grc::auditor("ada"), Action::ExportSection, grc::organization("acme"));
    let request = grc::with_window(request, at("2020-01-01"), at("2030-01-01"));
    let export = |section: &str| free.is_authorized(&request.clone().with("section", Value::String(section.into())));
    assert!(export("controls").allowed());
    assert!(!export("members").allowed());
}

#[derive(Clone)]
struct Hand(Arc<AtomicI64>);

impl Clock for Hand {
    fn now(&self) -> Option<Timestamp> {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn a_clock_that_goes_back_denies_until_it_catches_up_or_is_reset() {
    let hand = Hand(Arc::new(AtomicI64::new(at("2026-03-01").millis())));
    let bundle = Bundle::builtin();
    let entities = vec![organization("acme"), auditor(None)];
    let snapshot = Snapshot::from_entities(&bundle, entities).expect("valid");
    let authorizer = Authorizer::builder().snapshot(snapshot).expect("it fits").clock(hand.clone()).build();
    let request = grc::request(grc::auditor("ada"), Action::OpenPortal, grc::organization("acme"));
    let set = |text: &str| hand.0.store(at(text).millis(), Ordering::SeqCst);
    assert!(authorizer.is_authorized(&request).allowed());
    set("2027-01-01");
    assert!(!authorizer.is_authorized(&request).allowed(), "expired at this very instant");
    set("2026-12-31T23:59:58Z");
    let decision = authorizer.is_authorized(&request);
    assert!(!decision.allowed() && !decision.indeterminate(), "2 s behind counts as the latest instant");
    set("2026-12-31T23:59:57.999Z");
    refused(&authorizer.is_authorized(&request), "clock");
    assert!(!authorizer.health().clock_ok);
    authorizer.reset_clock();
    assert!(authorizer.is_authorized(&request).allowed());
    hand.0.store(i64::MAX, Ordering::SeqCst);
    refused(&authorizer.is_authorized(&request), "clock");
}

/// Two policies for a small schema: a permit, and a forbid that errors where an optional attribute is missing.
fn erring(mode: ErrorMode) -> Bundle {
    let schema =
        "entity User = { level?: Long }; entity Doc; action view appliesTo { principal: User, resource: Doc };";
    let policies = "@id(\"open\") @doc(\"d\") permit (principal, action, resource);\n\
         @id(\"overflow\") @doc(\"d\") forbid (principal, action, resource)\n\
         unless { principal has level && principal.level + 9223372036854775807 > 0 };";
    let source = |name: &str, text: &str| Source::new(name, text);
    let sources = Sources::new(Some(source("s.cedarschema", schema)), vec![source("p.cedar", policies)]);
    Bundle::from_sources(sources, mode).expect("valid")
}

#[test]
fn a_forbid_that_errors_denies_in_strict_mode_and_is_skipped_in_cedar_mode() {
    let entities = br#"[{"uid": {"type": "User", "id": "u"}, "attrs": {"level": 1}, "parents": []},
        {"uid": {"type": "Doc", "id": "d"}, "attrs": {}, "parents": []}]"#;
    let request = r#"{"principal": "User::\"u\"", "action": "Action::\"view\"", "resource": "Doc::\"d\""}"#;
    let decide = |mode: ErrorMode| {
        let bundle = erring(mode);
        let request = request_from_json(&bundle, request).expect("a request");
        let builder = Authorizer::builder().bundle(bundle).entities_json(&entities[..]).expect("entities");
        builder.build().is_authorized(&request)
    };
    let strict = decide(ErrorMode::Strict);
    refused(&strict, "evaluation");
    assert_eq!(strict.errors().next().and_then(|e| e.policy()), Some("overflow"));
    let cedar = decide(ErrorMode::Cedar);
    assert!(cedar.allowed() && !cedar.indeterminate());
    assert_eq!(codes(&cedar), ["evaluation"]);
}

/// The attributes whose absence has a meaning of its own.
const OPTIONAL: [&str; 4] = ["project", "period", "activeUntil", "role"];

#[test]
fn damage_to_the_entities_never_turns_a_deny_into_an_allow() {
    let bundle = Bundle::builtin();
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut damaged, mut lost) = (0, 0);
    for _ in 0..40 {
        let world = judge::generate::world(&mut rng);
        let whole = snapshot(&bundle, &world);
        let before = authorizer(&bundle, &whole);
        let mut uids: Vec<_> = whole.iter().map(|e| e.uid().clone()).collect();
        uids.sort();
        let cases: Vec<_> = (0..60).map(|_| asked(&bundle, &world, &judge::generate::ask(&mut rng, &world))).collect();
        for case in &cases {
            let was = before.is_authorized(&case.request).allowed();
            // Mostly what the request itself names: that is where it hurts.
            for _ in 0..6 {
                let near = [case.request.principal(), case.request.resource().uid()];
                let uid = if rng.bool() { near[rng.usize(..2)].clone() } else { uids[rng.usize(..uids.len())].clone() };
                let Some(entity) = whole.get(&uid) else { continue };
                let mut names: Vec<_> = entity
                    .attributes()
                    .keys()
                    .filter(|n| {
                        !OPTIONAL.contains(&n.as_str()) || (n.as_str() == "role" && uid.type_name() == "Grc::Member")
                    })
                    .collect();
                names.sort();
                let name = (!names.is_empty() && rng.bool()).then(|| names[rng.usize(..names.len())].as_str());
                let mut decision = Decision::default();
                // Below every check: the engine alone decides on the damaged entities.
                let hurt = whole.damaged(&uid, name);
                bailiwick::decide_on(&bundle, &hurt, &case.request, &mut decision);
                assert!(was || !decision.allowed(), "without {name:?} of {uid} this is allowed\n{}", case.text);
                damaged += 1;
                lost += u64::from(was && !decision.allowed());
            }
        }
    }
    assert!(damaged > 5_000 && lost > 200, "{damaged} damaged, {lost} lost access: too few to mean anything");
}

#[test]
fn a_batch_is_decided_as_one_by_one_and_on_one_state() {
    let bundle = Bundle::builtin();
    let mut rng = fastrand::Rng::with_seed(3);
    let world = judge::generate::world(&mut rng);
    let authorizer = authorizer(&bundle, &snapshot(&bundle, &world));
    let requests: Vec<Request> =
        (0..500).map(|_| asked(&bundle, &world, &judge::generate::ask(&mut rng, &world)).request).collect();
    let single: Vec<Decision> = requests.iter().map(|r| authorizer.is_authorized(r)).collect();
    assert_eq!(authorizer.is_authorized_many(&requests), single);
}

#[test]
fn entities_and_bundle_are_swapped_while_other_threads_decide() {
    let authorizer = acme(vec![member("eve", Role::Admin)]);
    let request = grc::request(grc::member("eve"), Action::ManageBilling, grc::organization("acme"));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    // A decision names the revision it was made on; odd revisions are those with eve deactivated.
                    for _ in 0..2_000 {
                        let decision = authorizer.is_authorized(&request);
                        assert_eq!(decision.allowed(), decision.revision().number.is_multiple_of(2));
                        assert!(!decision.indeterminate());
                    }
                })
            })
            .collect();
        for round in 0..500 {
            let eve = member("eve", Role::Admin).with("active", Value::Bool(round % 2 == 1));
            authorizer.apply(&Changes::new().upsert(eve)).expect("valid");
            if round % 100 == 0 {
                authorizer.replace_bundle(&Bundle::builtin()).expect("the same bundle fits");
            }
        }
        readers.into_iter().for_each(|r| r.join().expect("no reader fails"));
    });
}
