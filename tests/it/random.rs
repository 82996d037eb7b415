//! Random worlds of the judge, loaded, with requests and the judge's answers.

use bailiwick::entities::request_from_json;
use bailiwick::{Authorizer, Bundle, Request, Snapshot};

use crate::judge::{self, Ask, Principal, World};

/// A request with the judge's answer.
pub struct Asked {
    pub request: Request,
    pub allowed: bool,
    pub text: String,
}

pub fn snapshot(bundle: &Bundle, world: &World) -> Snapshot {
    let entities = judge::entities_json(world).to_string();
    Snapshot::from_json(bundle, entities.as_bytes()).expect("the generator keeps the model's rules")
}

pub fn authorizer(bundle: &Bundle, snapshot: &Snapshot) -> Authorizer {
    let one_in = u32::try_from(number("BAILIWICK_SHADOW", 1)).expect("a number of 32 bits");
    Authorizer::builder()
        .bundle(bundle.clone())
        .snapshot(snapshot.clone())
        .expect("it fits")
        // Whatever a test decides, Cedar's own evaluator decides too, unless a campaign leaves it out.
        .shadow(one_in, |request, ours, cedars| panic!("{request:?}\nours: {ours:?}\nCedar's: {cedars:?}"))
        .build()
}

pub fn asked(bundle: &Bundle, world: &World, ask: &Ask) -> Asked {
    let text = judge::request_json(world, ask).to_string();
    let request = request_from_json(bundle, &text).expect("the generator writes readable requests");
    Asked { request, allowed: expected(world, ask), text }
}

/// The judge decides the window as it is given; the library clamps it to the auditor's period first.
fn expected(world: &World, ask: &Ask) -> bool {
    let (Principal::Auditor(auditor), true) = (ask.principal, ask.action.takes_window()) else {
        return judge::allowed(world, ask);
    };
    let mut clamped = ask.clone();
    if let (Some((from, to)), Some(window)) = (world.auditors[auditor].period, ask.context.window) {
        if window.0 > window.1 {
            return false;
        }
        clamped.context.window = Some((window.0.max(from), window.1.min(to)));
    }
    judge::allowed(world, &clamped)
}

/// A number from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("`{name}` is `{text}`, no number")),
        Err(_) => default,
    }
}
