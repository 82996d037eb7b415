//! Processes that decide all the while as another deactivates members and revokes auditors: how long they go on allowing.

use std::time::{SystemTime, UNIX_EPOCH};

use bailiwick::directory::{Actor, Command, Directory, Secret};
use bailiwick::grc::{self, Action};
use bailiwick::store::Kind;
use bailiwick::{Decision, EntityUid, ErrorCode, Request, Timestamp};

use super::{opened, say, told, Child, Launch};
use crate::world::{email, name, own, sqlite, Acme, Dial, Folder, DAY, START};

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Of each revocation and process: how many microseconds after the command was acknowledged the last decision began
    /// that still allowed. Nothing where none began after it.
    pub delays: Vec<u64>,
    /// How many decisions there were on whoever should be allowed, and how many denied.
    pub decided: u64,
    pub denied: u64,
    /// How many of all were denied as stale.
    pub stale: u64,
}

/// The whole host's clock: two processes compare by it.
fn micros() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn request(principal: &EntityUid, organization: &EntityUid) -> Request {
    let action = match principal.type_name() {
        "Grc::Auditor" => Action::OpenPortal,
        _ => Action::ViewOrganization,
    };
    grc::request(principal.clone(), action, organization.clone())
}

fn is_stale(decision: &Decision) -> bool {
    decision.errors().any(|error| error.code() == ErrorCode::Stale)
}

/// What a process does that decides all the while.
pub fn child(path: &str, organization: &str, owner: &str) {
    let directory = Directory::builder().clock(Dial::new()).open(opened(path)).unwrap();
    let (organization, owner) = (grc::organization(organization), grc::member(owner));
    let should = request(&owner, &organization);
    say("ready");
    for line in told() {
        let asked = request(&line.parse().unwrap(), &organization);
        // Whoever is followed by nobody is denied as stale, so that this ends in any case.
        loop {
            let decision = directory.is_authorized(&asked);
            assert!(!is_stale(&decision), "{decision:?}");
            if decision.allowed() {
                break;
            }
            std::thread::yield_now();
        }
        say("allowed");
        let (mut last, mut decided, mut denied, mut stale) = (0, 0, 0, 0);
        loop {
            let now = micros();
            let decision = directory.is_authorized(&asked);
            let owners = directory.is_authorized(&should);
            decided += 1;
            denied += u64::from(!owners.allowed());
            stale += u64::from(is_stale(&decision)) + u64::from(is_stale(&owners));
            if !decision.allowed() {
                break;
            }
            last = now;
        }
        say(&format!("{last} {decided} {denied} {stale}"));
    }
}

/// Revokes or deactivates so many times against two processes.
pub fn run(launch: Launch<'_>, times: usize) -> Seen {
    let folder = Folder::new();
    let acme = Acme::new(sqlite(&folder));
    let (file, ids) = (folder.file(), [acme.organization, acme.owner_id].map(|id| id.to_string()));
    let mut children = [(); 2].map(|()| Child::begin(launch, &["watch", file.to_str().unwrap(), &ids[0], &ids[1]]));
    for child in &mut children {
        assert_eq!(child.hear().as_deref(), Some("ready"));
    }
    let mut seen = Seen::default();
    for nth in 0..times {
        let (principal, command) = if nth % 4 == 0 { auditor(&acme, nth) } else { member(&acme) };
        for child in &mut children {
            child.tell(&principal.to_string());
        }
        for child in &mut children {
            assert_eq!(child.hear().as_deref(), Some("allowed"));
        }
        acme.world.ok(&acme.owner, command);
        let acknowledged = micros();
        for child in &mut children {
            let said = child.hear().expect("it decides to the end");
            let [last, decided, denied, stale] =
                said.split(' ').map(|number| number.parse().unwrap()).collect::<Vec<u64>>()[..]
            else {
                panic!("{said}");
            };
            seen.delays.push(last.saturating_sub(acknowledged));
            seen.decided += decided;
            seen.denied += denied;
            seen.stale += stale;
        }
    }
    seen
}

/// A member who is active, and what ends that.
fn member(acme: &Acme) -> (EntityUid, Command) {
    let member = acme.analyst_id;
    // Nothing is to be done the first time.
    let _ = acme.world.run(&acme.owner, Command::ReactivateMember { member });
    (Kind::Member.uid(member), Command::DeactivateMember { member })
}

/// An auditor whose portal is open, and what ends that.
fn auditor(acme: &Acme, nth: usize) -> (EntityUid, Command) {
    let invite = Command::InviteAuditor {
        organization: acme.organization,
        name: name("Ada"),
        email: email(&format!("ada{nth}@firm.test")),
        firm: name("Firm"),
        period: None,
        expires_at: Timestamp::from_millis(START + DAY).unwrap(),
    };
    let auditor = own(&acme.world.ok(&acme.owner, invite));
    let (link, password) = (acme.world.outbox.newest(auditor), Secret::new("correct horse battery"));
    acme.world.ok(&Actor::Bearer, Command::SetPassword { link, password });
    (Kind::Auditor.uid(auditor), Command::RevokeAuditor { auditor })
}
