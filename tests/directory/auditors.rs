//! External auditors: links, passwords, sessions, requests, and that revoking ends all at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use bailiwick::directory::{Actor, Command, Directory, DirectoryError, OpenedSession, Rule, Secret};
use bailiwick::grc::{self, Action};
use bailiwick::store::{Answer, AuditorStatus, Id, Kind, Period, Row};
use bailiwick::Timestamp;

use crate::world::{email, name, on_both, own, Acme, DAY, START};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis).unwrap()
}

const EXPIRY: i64 = 30 * DAY;

fn invite(acme: &Acme, address: &str) -> Command {
    Command::InviteAuditor {
        organization: acme.organization,
        name: name("Aud Itor"),
        email: email(address),
        firm: name("Firm & Partners"),
        period: Some(Period { from: at(-9 * DAY), to: at(0) }),
        expires_at: at(EXPIRY),
    }
}

fn invited(acme: &Acme) -> Id {
    own(&acme.world.ok(&acme.admin, invite(acme, "aud@firm.test")))
}

fn password() -> Secret {
    Secret::new("correct horse battery")
}

fn set_password(acme: &Acme, auditor: Id) -> Result<(), DirectoryError> {
    let link = acme.world.outbox.newest(auditor);
    acme.world.run(&Actor::Bearer, Command::SetPassword { link, password: password() }).map(drop)
}

fn active(acme: &Acme) -> Id {
    let auditor = invited(acme);
    set_password(acme, auditor).unwrap();
    auditor
}

fn log_in(acme: &Acme, auditor: Id, password: &str) -> Result<OpenedSession, DirectoryError> {
    acme.world.directory.log_in(auditor, &Secret::new(password))
}

fn opens_portal(acme: &Acme, auditor: Id) -> bool {
    let (auditor, organization) = (Kind::Auditor.uid(auditor), Kind::Organization.uid(acme.organization));
    acme.world.directory.is_authorized(&grc::request(auditor, Action::OpenPortal, organization)).allowed()
}

fn status(acme: &Acme, auditor: Id) -> AuditorStatus {
    match acme.world.row(Kind::Auditor, auditor) {
        Some(Row::Auditor(row)) => row.status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_link_is_opened_often_and_used_once_to_set_a_password() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        assert_eq!(world.denied(&acme.analyst, invite(&acme, "aud@firm.test")), [""; 0]);
        let auditor = invited(&acme);
        assert_eq!(world.rule(&acme.admin, invite(&acme, "AUD@firm.test")), Rule::AlreadyInvited);
        let link = world.outbox.newest(auditor);
        for _ in 0..3 {
            let opened = world.directory.open_link(&link).unwrap();
            assert_eq!(
                (opened.auditor, opened.firm.as_str(), opened.has_password),
                (auditor, "Firm & Partners", false)
            );
        }
        assert!(!opens_portal(&acme, auditor));
        let set = |password: &str| Command::SetPassword { link: link.clone(), password: Secret::new(password) };
        for unfit in ["", "elevenchars", &"x".repeat(1025)] {
            assert_eq!(world.rule(&Actor::Bearer, set(unfit)), Rule::Password);
        }
        assert_eq!(world.rule(&acme.admin, set("correct horse battery")), Rule::ByLink);
        world.ok(&Actor::Bearer, set("correct horse battery"));
        assert!(opens_portal(&acme, auditor));
        assert!(matches!(world.run(&Actor::Bearer, set("another password")), Err(DirectoryError::Link)));
        assert!(matches!(world.directory.open_link(&link), Err(DirectoryError::Link)));
        assert!(log_in(&acme, auditor, "correct horse battery").is_ok());
        // An auditor uses no seat and is no member.
        assert_eq!(world.directory.billing(&acme.owner, acme.organization).unwrap().used, 2);
        assert!(world.run(&Actor::Auditor(auditor), invite(&acme, "more@firm.test")).is_err());
    });
}

#[test]
fn everything_ends_at_the_expiry_to_the_tick() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let auditor = active(&acme);
        let other = own(&world.ok(&acme.admin, invite(&acme, "two@firm.test")));
        let link = world.outbox.newest(other);
        world.clock.set(START + EXPIRY - 1);
        let session = log_in(&acme, auditor, "correct horse battery").unwrap();
        assert_eq!(session.expires_at, at(EXPIRY), "no session outlives the auditor");
        assert!(opens_portal(&acme, auditor) && world.directory.open_link(&link).is_ok());
        assert_eq!(world.directory.session(&session.token).unwrap(), Actor::Auditor(auditor));
        for after in [0, 1] {
            world.clock.set(START + EXPIRY + after);
            assert!(!opens_portal(&acme, auditor));
            assert!(matches!(log_in(&acme, auditor, "correct horse battery"), Err(DirectoryError::Login)));
            assert!(matches!(world.directory.session(&session.token), Err(DirectoryError::Login)));
            assert!(matches!(world.directory.open_link(&link), Err(DirectoryError::Link)));
            assert!(matches!(set_password(&acme, other), Err(DirectoryError::Link)));
            for auditor in [auditor, other] {
                assert_eq!(world.rule(&acme.admin, Command::ResendAuditorInvitation { auditor }), Rule::State);
            }
        }
        // The address can be invited again, with a later expiry only.
        assert_eq!(world.rule(&acme.admin, invite(&acme, "two@firm.test")), Rule::Period);
        let Command::InviteAuditor { organization, name, email, firm, period, .. } = invite(&acme, "two@firm.test")
        else {
            panic!()
        };
        let expires_at = at(EXPIRY + 2);
        world.ok(&acme.admin, Command::InviteAuditor { organization, name, email, firm, period, expires_at });
        assert_eq!(status(&acme, other), AuditorStatus::Revoked);
    });
}

#[test]
fn a_period_that_ends_before_it_begins_is_refused() {
    on_both(|store| {
        let acme = Acme::new(store);
        for (from, to, rule) in [(1, 0, Some(Rule::Period)), (1, 1, None)] {
            let Command::InviteAuditor { organization, name, email, firm, expires_at, .. } = invite(&acme, "a@b.test")
            else {
                panic!()
            };
            let period = Some(Period { from: at(from), to: at(to) });
            let ran = acme
                .world
                .run(&acme.admin, Command::InviteAuditor { organization, name, email, firm, period, expires_at });
            assert_eq!(ran.err().and_then(|error| error.rule()), rule);
        }
    });
}

#[test]
fn revoking_ends_link_password_and_sessions_and_nothing_revives_them() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let auditor = active(&acme);
        world.ok(&acme.admin, Command::ResendAuditorInvitation { auditor });
        let link = world.outbox.newest(auditor);
        let sessions = [0, 1].map(|_| log_in(&acme, auditor, "correct horse battery").unwrap().token);
        assert!(sessions.iter().all(|token| world.directory.session(token).is_ok()));
        world.ok(&Actor::Bearer, Command::LogOut { session: sessions[0].clone() });
        assert!(matches!(world.directory.session(&sessions[0]), Err(DirectoryError::Login)));
        assert!(world.directory.session(&sessions[1]).is_ok());

        assert_eq!(world.denied(&acme.analyst, Command::RevokeAuditor { auditor }), [""; 0]);
        world.ok(&acme.admin, Command::RevokeAuditor { auditor });
        let nothing_works = || {
            assert!(!opens_portal(&acme, auditor));
            assert!(sessions.iter().all(|token| matches!(world.directory.session(token), Err(DirectoryError::Login))));
            assert!(matches!(world.directory.open_link(&link), Err(DirectoryError::Link)));
            assert!(matches!(set_password(&acme, auditor), Err(DirectoryError::Link)));
            assert!(matches!(log_in(&acme, auditor, "correct horse battery"), Err(DirectoryError::Login)));
        };
        nothing_works();
        assert_eq!(world.rule(&acme.admin, Command::ResendAuditorInvitation { auditor }), Rule::State);
        assert_eq!(world.rule(&acme.admin, Command::RevokeAuditor { auditor }), Rule::AsItIs);
        // The same person comes anew, as another auditor.
        let again = invited(&acme);
        assert!(again != auditor);
        nothing_works();
    });
}

#[test]
fn sending_again_ends_the_old_link_and_keeps_the_password() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let auditor = invited(&acme);
        let old = world.outbox.newest(auditor);
        world.ok(&acme.owner, Command::ResendAuditorInvitation { auditor });
        assert!(matches!(world.directory.open_link(&old), Err(DirectoryError::Link)));
        set_password(&acme, auditor).unwrap();
        world.ok(&acme.owner, Command::ResendAuditorInvitation { auditor });
        assert!(matches!(world.directory.open_link(&old), Err(DirectoryError::Link)));
        let session = log_in(&acme, auditor, "correct horse battery").unwrap().token;
        // A new password by the new link: the old one, and whoever was in by it, is out.
        let link = world.outbox.newest(auditor);
        assert!(world.directory.open_link(&link).unwrap().has_password);
        world.ok(&Actor::Bearer, Command::SetPassword { link, password: Secret::new("another password") });
        assert!(matches!(world.directory.session(&session), Err(DirectoryError::Login)));
        assert!(log_in(&acme, auditor, "correct horse battery").is_err());
        assert!(log_in(&acme, auditor, "another password").is_ok());
    });
}

#[test]
fn five_failures_lock_a_login_for_a_time_that_doubles() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let auditor = active(&acme);
        let right = || log_in(&acme, auditor, "correct horse battery");
        for _ in 0..4 {
            assert!(matches!(log_in(&acme, auditor, "wrong"), Err(DirectoryError::Login)));
        }
        assert!(right().is_ok(), "four are forgiven");
        for _ in 0..5 {
            assert!(log_in(&acme, auditor, "wrong").is_err());
        }
        let mut now = START;
        for lock in [60_000, 120_000, 240_000] {
            assert!(right().is_err(), "locked");
            now += lock - 1;
            world.clock.set(now);
            assert!(right().is_err(), "one tick before the end of {lock}");
            now += 1;
            world.clock.set(now);
            // The lock is over, and the next failure begins one twice as long.
            assert!(log_in(&acme, auditor, "wrong").is_err());
        }
        world.clock.set(now + 480_000);
        let error = log_in(&acme, Id::from_bytes([9; 16]), "wrong").unwrap_err().to_string();
        assert_eq!(error, log_in(&acme, auditor, "").unwrap_err().to_string());
        world.clock.set(now + 480_000 + 960_000);
        assert!(right().is_ok());
        assert!(log_in(&acme, auditor, "wrong").is_err());
        assert!(right().is_ok(), "the count begins anew");
    });
}

#[test]
fn a_session_ends_after_twelve_hours() {
    on_both(|store| {
        let acme = Acme::new(store);
        let auditor = active(&acme);
        let session = log_in(&acme, auditor, "correct horse battery").unwrap();
        for (after, works) in [(12 * 3_600_000 - 1, true), (12 * 3_600_000, false)] {
            acme.world.clock.set(START + after);
            assert_eq!(acme.world.directory.session(&session.token).is_ok(), works);
        }
    });
}

#[test]
fn an_auditor_answers_the_requests_put_to_it_and_is_named_in_the_journal() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let (auditor, other) = (active(&acme), own(&world.ok(&acme.admin, invite(&acme, "two@firm.test"))));
        let organization = acme.organization;
        let put = |auditor| Command::CreateAuditRequest { organization, auditor, title: name("Access reviews") };
        assert_eq!(world.denied(&acme.analyst, put(auditor)), [""; 0]);
        let request = own(&world.ok(&acme.admin, put(auditor)));
        let (approve, flag) = (Command::ApproveAuditRequest { request }, Command::FlagAuditRequest { request });
        assert_eq!(world.rule(&acme.owner, approve.clone()), Rule::AuditorOnly);
        assert_eq!(world.denied(&Actor::Auditor(other), approve.clone()), ["wall.auditor-active"]);
        world.ok(&Actor::Auditor(auditor), approve.clone());
        assert_eq!(world.rule(&Actor::Auditor(auditor), approve), Rule::AsItIs);
        let outcome = world.ok(&Actor::Auditor(auditor), flag);
        let Some(Row::AuditRequest(row)) = world.row(Kind::AuditRequest, request) else { panic!() };
        assert_eq!(row.state, Answer::Flagged);

        let filter =
            bailiwick::store::Filter { actor: Some(Kind::Auditor.uid(auditor).to_string()), ..Default::default() };
        let acts = world.directory.journal(&Actor::Operator, &filter).unwrap();
        let actions: Vec<&str> = acts.iter().map(|l| l.entry.action.as_str()).collect();
        assert_eq!(actions, ["setPassword", "approveAuditRequest", "flagAuditRequest"]);
        let last = acts.last().unwrap();
        assert_eq!(last.number, outcome.revision().number);
        let texts: Vec<&str> = last.entry.private.iter().filter_map(|p| p.text.as_deref()).collect();
        assert_eq!(texts, ["Aud Itor", "aud@firm.test"]);

        world.ok(&acme.admin, Command::RevokeAuditor { auditor });
        assert_eq!(
            world.denied(&Actor::Auditor(auditor), Command::ApproveAuditRequest { request }),
            ["wall.auditor-active"]
        );
        assert_eq!(world.rule(&acme.admin, put(auditor)), Rule::State);
        // The log of invitations: who invited whom, when, and every change of status.
        let log = world.directory.auditors(&acme.admin, organization).unwrap().log;
        let target = Kind::Auditor.uid(auditor).to_string();
        let own: Vec<&str> =
            log.iter().filter(|l| l.entry.target.as_ref() == Some(&target)).map(|l| l.entry.action.as_str()).collect();
        assert_eq!(own, ["inviteAuditor", "setPassword", "revokeAuditor"]);
        assert!(world.directory.auditors(&acme.analyst, organization).is_err());
        let text = format!("{log:?}");
        assert!(!text.contains("argon2") && !text.contains("correct horse"));
        assert!(world.directory.verify().unwrap().is_ok());
    });
}

#[test]
fn a_password_is_compared_with_the_one_that_is_set_when_the_session_begins() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let auditor = active(&acme);
        // Logins against a revocation: none is open afterwards.
        std::thread::scope(|scope| {
            let logins: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| log_in(&acme, auditor, "correct horse battery").map(|s| s.token)))
                .collect();
            world.ok(&acme.admin, Command::RevokeAuditor { auditor });
            for login in logins {
                if let Ok(token) = login.join().unwrap() {
                    assert!(matches!(world.directory.session(&token), Err(DirectoryError::Login)));
                }
            }
        });
        assert!(!opens_portal(&acme, auditor));
    });
}

#[test]
fn logging_out_is_a_revision_and_an_entry_and_done_once() {
    on_both(|store| {
        let acme = Acme::new(store);
        let (auditor, directory) = (active(&acme), &acme.world.directory);
        let session = log_in(&acme, auditor, "correct horse battery").unwrap();
        let out = |token: &Secret| Command::LogOut { session: token.clone() };
        assert_eq!(acme.world.rule(&acme.owner, out(&session.token)), Rule::ByLink);
        let outcome = directory.run(&Actor::Bearer, "out", &out(&session.token)).unwrap();
        assert_eq!(outcome.revision().number, session.revision.number + 1);
        assert_eq!((own(&outcome), outcome.replayed()), (auditor, false));
        let again = directory.run(&Actor::Bearer, "out", &out(&session.token)).unwrap();
        assert_eq!((again.revision(), again.replayed()), (outcome.revision(), true));
        // Another session's token is another command; under another key there is no session any more.
        let other = log_in(&acme, auditor, "correct horse battery").unwrap();
        assert!(matches!(directory.run(&Actor::Bearer, "out", &out(&other.token)), Err(DirectoryError::KeyReused(_))));
        for wrong in [&session.token, &Secret::new("0"), &Secret::new("0".repeat(96))] {
            let error = acme.world.run(&Actor::Bearer, out(wrong)).unwrap_err();
            assert_eq!(error.to_string(), "the login is not valid");
        }
        assert!(directory.session(&other.token).is_ok());
        let log = directory.auditors(&acme.admin, acme.organization).unwrap().log;
        let entry = log.iter().find(|l| l.number == outcome.revision().number).unwrap();
        assert_eq!(
            (entry.entry.action.as_str(), &entry.entry.actor),
            ("logOut", &Kind::Auditor.uid(auditor).to_string())
        );
        assert!(!format!("{log:?} {:?}", out(&session.token)).contains(&session.token.expose()[32..]));
    });
}

/// A directory that does something before it draws a random number, once.
fn interrupted(acme: &Acme, act: impl Fn() + Send + Sync + 'static) -> (Directory, Arc<AtomicUsize>) {
    let drawn = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&drawn);
    let directory = Directory::builder().clock(acme.world.clock.clone()).look_every(None).random(move |bytes| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            act();
        }
        fastrand::Rng::new().fill(bytes);
        Ok(())
    });
    (directory.open(Arc::clone(&acme.world.store)).unwrap(), drawn)
}

/// The password was once hashed inside the transaction, and every other command waited for it.
#[test]
fn others_write_while_a_password_is_hashed_and_a_link_that_is_used_meanwhile_does_not_work() {
    on_both(|store| {
        let acme = Acme::new(Arc::clone(&store));
        let auditor = invited(&acme);
        let link = acme.world.outbox.newest(auditor);
        let set = |password: &str| Command::SetPassword { link: link.clone(), password: Secret::new(password) };
        // The first number that is drawn is the salt of the password.
        let (clock, first) = (acme.world.clock.clone(), set("correct horse battery"));
        let (directory, _) = interrupted(&acme, move || {
            let other = Directory::builder().clock(clock.clone()).look_every(None).open(Arc::clone(&store)).unwrap();
            other.run(&Actor::Bearer, "first", &first).unwrap();
        });
        let error = directory.run(&Actor::Bearer, "second", &set("another password")).unwrap_err();
        assert!(matches!(error, DirectoryError::Link), "{error:?}");
        assert!(log_in(&acme, auditor, "correct horse battery").is_ok());
        assert!(log_in(&acme, auditor, "another password").is_err());
    });
}

#[test]
fn nothing_is_hashed_for_a_link_that_does_not_work_whatever_the_reason() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let link = |address: &str| {
            let auditor = own(&world.ok(&acme.admin, invite(&acme, address)));
            (auditor, world.outbox.newest(auditor))
        };
        let ((revoked, of_revoked), (resent, replaced)) = (link("a@f.test"), link("b@f.test"));
        let (used_by, used) = link("c@f.test");
        let expired = link("d@f.test").1;
        world.ok(&acme.admin, Command::RevokeAuditor { auditor: revoked });
        world.ok(&acme.admin, Command::ResendAuditorInvitation { auditor: resent });
        set_password(&acme, used_by).unwrap();
        let right = link("e@f.test");
        let (directory, drawn) = interrupted(&acme, || ());
        let run = |key: &str, link: &Secret, password: &str| {
            let command = Command::SetPassword { link: link.clone(), password: Secret::new(password) };
            directory.run(&Actor::Bearer, key, &command)
        };
        let unknown = Secret::new("0".repeat(96));
        for (nth, link) in [&of_revoked, &replaced, &used, &unknown, &Secret::new("x")].into_iter().enumerate() {
            let error = run(&format!("wrong-{nth}"), link, "correct horse battery").unwrap_err();
            assert!(matches!(error, DirectoryError::Link), "{nth}: {error:?}");
        }
        assert_eq!(run("short", &right.1, "short").unwrap_err().rule(), Some(Rule::Password));
        assert_eq!(drawn.load(Ordering::SeqCst), 0, "a salt was drawn");
        run("right", &right.1, "correct horse battery").unwrap();
        let after = drawn.load(Ordering::SeqCst);
        assert!(after > 0 && run("right", &right.1, "correct horse battery").unwrap().replayed());
        assert!(log_in(&acme, right.0, "correct horse battery").is_ok());
        world.clock.set(START + EXPIRY);
        assert!(matches!(run("expired", &expired, "correct horse battery"), Err(DirectoryError::Link)));
        assert_eq!(drawn.load(Ordering::SeqCst), after);
    });
}
