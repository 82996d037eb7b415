//! Questions to many are what asking one by one gives.

use bailiwick::grc::{self, Action, Role};
use bailiwick::query::Page;
use bailiwick::{Authorizer, Bundle, Changes, Context, EntityUid, Request, Resource, Value};

use crate::judge;
use crate::random::{asked, authorizer, snapshot};

/// Asks one by one; none where a single decision cannot be trusted.
fn one_by_one(authorizer: &Authorizer, requests: Vec<(EntityUid, Request)>) -> Option<Vec<EntityUid>> {
    let mut out = Vec::new();
    for (uid, request) in requests {
        let decision = authorizer.is_authorized(&request);
        if decision.indeterminate() && decision.errors().all(|e| e.code().as_str() != "window") {
            return None;
        }
        out.extend(decision.allowed().then_some(uid));
    }
    out.sort();
    Some(out)
}

#[test]
fn questions_are_answered_as_one_by_one() {
    let bundle = Bundle::builtin();
    let mut rng = fastrand::Rng::with_seed(21);
    let (mut many, mut some, mut undecided) = (0, 0, 0);
    for _ in 0..12 {
        let world = judge::generate::world(&mut rng);
        let authorizer = authorizer(&bundle, &snapshot(&bundle, &world));
        let mut uids: Vec<EntityUid> = authorizer.snapshot().iter().map(|e| e.uid().clone()).collect();
        uids.sort();
        for _ in 0..25 {
            let request = asked(&bundle, &world, &judge::generate::ask(&mut rng, &world)).request;
            if authorizer.is_authorized(&request).indeterminate() {
                continue;
            }
            let context = request.context();
            let (principal, action) = (request.principal(), request.action());
            let resource = request.resource().uid();
            let with = |mut r: Request| {
                for (name, value) in context.iter() {
                    r = r.with(name, value.clone());
                }
                r
            };
            let kinds = ["Grc::Member", "Grc::Guest", "Grc::Auditor"];
            let can_ask = |kind: &str| {
                let first = uids.iter().find(|uid| uid.type_name() == kind).expect("all kinds are there");
                let decision =
                    authorizer.is_authorized(&with(Request::new(first.clone(), action.clone(), resource.clone())));
                let invalid = decision.errors().any(|e| e.code().as_str() == "invalid_request");
                !invalid
            };
            let principals = uids.iter().filter(|uid| kinds.contains(&uid.type_name()) && can_ask(uid.type_name()));
            let each = principals
                .map(|uid| (uid.clone(), with(Request::new(uid.clone(), action.clone(), resource.clone()))))
                .collect();
            let expected = one_by_one(&authorizer, each).expect("all decisions can be trusted");
            let found = authorizer.who_can(action, resource.clone(), context, &Page::all()).expect("an answer");
            assert_eq!(found.uids(), expected, "who can {action} on {resource}");
            assert_eq!(found.total(), expected.len());
            many += expected.len();

            let same_type = uids.iter().filter(|uid| uid.type_name() == resource.type_name());
            let each = same_type
                .map(|uid| (uid.clone(), with(Request::new(principal.clone(), action.clone(), uid.clone()))))
                .collect();
            let expected = one_by_one(&authorizer, each).expect("all decisions can be trusted");
            let found = authorizer.allowed_resources(principal, action, resource.type_name(), context, &Page::all());
            assert_eq!(found.expect("an answer").uids(), expected, "what {principal} can {action}");
            let candidates: Vec<Resource> = expected.iter().map(|uid| uid.clone().into()).collect();
            let among = authorizer.allowed_among(principal, action, &candidates, context).expect("an answer");
            assert_eq!(among.len(), candidates.len());
            some += expected.len();

            let actions = authorizer.allowed_actions(principal, resource.clone(), context).expect("an answer");
            undecided += actions.undecided().len();
            for action in bundle.actions() {
                let decision =
                    authorizer.is_authorized(&with(Request::new(principal.clone(), action.clone(), resource.clone())));
                let invalid = decision.errors().any(|e| e.code().as_str() == "invalid_request");
                if !invalid {
                    assert_eq!(actions.allowed().contains(&action), decision.allowed(), "{action}");
                    assert!(!actions.undecided().contains(&action));
                }
            }
        }
    }
    println!("{many} principals and {some} resources found, {undecided} actions undecided for want of context");
    assert!(many > 500 && some > 500 && undecided > 100);
}

#[test]
fn pages_follow_each_other_without_gaps() {
    let bundle = Bundle::builtin();
    let mut rng = fastrand::Rng::with_seed(22);
    let world = judge::generate::world(&mut rng);
    let authorizer = authorizer(&bundle, &snapshot(&bundle, &world));
    let action = Action::ViewOrganization.uid();
    let organization = grc::organization("o0");
    let ask =
        |page: &Page| authorizer.who_can(&action, organization.clone(), &Context::default(), page).expect("an answer");
    let all = ask(&Page::all());
    assert!(all.total() > 5 && !all.has_more());
    let (mut page, mut seen) = (Page::first(3), Vec::new());
    loop {
        let found = ask(&page);
        assert_eq!(found.total(), all.total());
        seen.extend(found.uids().to_vec());
        match (found.has_more(), found.uids().last()) {
            (true, Some(last)) => page = Page::after(last.clone(), 3),
            _ => break,
        }
    }
    assert_eq!(seen, all.uids());
}

#[test]
fn a_question_about_nobody_or_nothing_is_an_error() {
    let authorizer = Authorizer::builder()
        .entities_json(&br#"[{"uid": {"type": "Grc::Organization", "id": "acme"}, "attrs": {}, "parents": []}]"#[..])
        .expect("valid")
        .build();
    let acme = || grc::organization("acme");
    let code = |e: bailiwick::query::QueryError| e.error().code().as_str();
    let page = Page::all();
    let who = |action: EntityUid, resource: EntityUid| {
        authorizer.who_can(&action, resource, &Context::default(), &page).map_err(code)
    };
    assert_eq!(who(Action::ViewTeam.uid(), grc::organization("nowhere")).expect_err("unknown"), "unknown_resource");
    assert_eq!(
        who(EntityUid::new("Grc::Action", "fly").expect("a uid"), acme()).expect_err("unknown"),
        "invalid_request"
    );
    assert_eq!(who(Action::ViewTeam.uid(), acme()).expect("an answer").total(), 0);
    let nobody = grc::member("nobody");
    assert_eq!(
        authorizer.allowed_actions(&nobody, acme(), &Context::default()).map_err(code).expect_err("unknown"),
        "unknown_principal"
    );
    let what =
        authorizer.allowed_resources(&nobody, &Action::ViewTeam.uid(), "Grc::Organization", &Context::default(), &page);
    assert_eq!(what.map_err(code).expect_err("unknown"), "unknown_principal");
}

#[test]
fn psa_seats_are_counted_by_the_policies() {
    let bundle = Bundle::builtin();
    let mut rng = fastrand::Rng::with_seed(23);
    let mut used = 0;
    for _ in 0..10 {
        let world = judge::generate::world(&mut rng);
        let authorizer = authorizer(&bundle, &snapshot(&bundle, &world));
        for (at, organization) in world.organizations.iter().enumerate() {
            // T: active members with PSA access; in the model those of five roles and the owner.
            let seated = [
                judge::world::Role::Owner,
                judge::world::Role::Admin,
                judge::world::Role::ReadOnly,
                judge::world::Role::MspAdmin,
                judge::world::Role::MspTechnician,
            ];
            let own = world.members.iter().filter(|m| m.organization == at && m.active && seated.contains(&m.role));
            let found = authorizer.psa_seats(&grc::organization(&organization.id)).expect("an answer");
            assert_eq!(found.total(), own.count());
            used += found.total();
        }
    }
    assert!(used > 100);
}

#[test]
fn a_stale_handle_is_never_another_entity() {
    let bundle = Bundle::builtin();
    let mut rng = fastrand::Rng::with_seed(24);
    let world = judge::generate::world(&mut rng);
    let authorizer = authorizer(&bundle, &snapshot(&bundle, &world));
    let organization = grc::organization("o0");
    let member = |id: &str, active: bool| {
        bailiwick::Entity::new(grc::member(id))
            .with("organization", Value::Entity(organization.clone()))
            .with("role", Role::Owner.value())
            .with("active", Value::Bool(active))
            .with("complianceTeam", Value::Bool(false))
            .with("contributor", Value::Bool(false))
            .with("clients", Value::Set([].into()))
    };
    let put = |e| authorizer.apply(&Changes::new().upsert(e)).expect("valid");
    put(member("first", true));
    let handle = authorizer.resolve(&grc::member("first"));
    let resource = authorizer.resolve(&organization);
    let request = || Request::new(handle.clone(), authorizer.resolve(&Action::ViewTeam.uid()), resource.clone());
    assert!(authorizer.is_authorized(&request()).allowed());
    // A changed entity is seen through the handle.
    put(member("first", false));
    assert!(!authorizer.is_authorized(&request()).allowed());
    // Gone, and its slot taken by an owner: still unknown.
    authorizer.apply(&Changes::new().remove(grc::member("first"))).expect("nothing refers to it");
    put(member("second", true));
    let decision = authorizer.is_authorized(&request());
    assert_eq!(decision.errors().map(|e| e.code().as_str()).collect::<Vec<_>>(), ["unknown_principal"]);
    // Back again: found by its uid.
    put(member("first", true));
    assert!(authorizer.is_authorized(&request()).allowed());
    // A handle of one authorizer is of no harm in another.
    let other = Authorizer::builder().snapshot(authorizer.snapshot()).expect("it fits").build();
    other.apply(&Changes::new().remove(grc::member("second"))).expect("nothing refers to it");
    assert!(other.is_authorized(&request()).allowed());
}
