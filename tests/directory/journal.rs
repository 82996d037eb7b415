//! What the journal says, that it cannot be changed unnoticed, and that no secret is in it.

use std::sync::Arc;

use bailiwick::directory::{Actor, Command, Rule, Secret};
use bailiwick::grc::Role;
use bailiwick::store::{Filter, InvitationState, Kind, Logged, Memory, Row, Store};
use bailiwick::Timestamp;

use crate::world::{email, name, on_both, own, rows, sqlite, Acme, Folder, World, DAY, EPOCH, START};

fn all(acme: &Acme) -> Vec<bailiwick::store::Logged> {
    acme.world.directory.journal(&Actor::Operator, &Filter::default()).unwrap()
}

#[test]
fn every_command_is_an_entry_with_states_and_policies() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let outcome = world.ok(&acme.owner, Command::ChangeRole { member: acme.analyst_id, role: Role::Viewer });
        let target = Kind::Member.uid(acme.analyst_id).to_string();
        let filter =
            Filter { target: Some(target.clone()), organization: Some(acme.organization), ..Filter::default() };
        let found = world.directory.journal(&acme.admin, &filter).unwrap();
        let actions: Vec<&str> = found.iter().map(|l| l.entry.action.as_str()).collect();
        assert_eq!(actions, ["acceptInvitation", "changeRole"]);
        // Whoever accepts is named by what the link made of them.
        assert_eq!(found[0].entry.actor, target);
        assert_eq!(found[0].entry.private[0].text.as_deref(), Some("eli@acme.test"));
        let last = &found[1];
        assert_eq!(last.number, outcome.revision().number);
        assert_eq!(last.entry.actor, Kind::Member.uid(acme.owner_id).to_string());
        assert_eq!(last.entry.details, r#"{"from":{"role":"EMPLOYEE"},"to":{"role":"VIEWER"}}"#);
        let decision: serde_json::Value = serde_json::from_str(&last.entry.decision).unwrap();
        assert_eq!(decision["policies"], serde_json::json!(["team.manage"]));
        assert_eq!(decision["bundle"], world.directory.authorizer().bundle().version());
        let operators = all(&acme).into_iter().filter(|l| l.entry.actor == "operator").count();
        assert_eq!(operators, 4, "an organization with its invitation, and two invitations");
        // To those alone who may see it, of their own organization alone.
        assert!(world.directory.journal(&acme.analyst, &filter).is_err());
        assert!(world.directory.journal(&acme.owner, &Filter::default()).is_err());
        assert_eq!(world.directory.verify().unwrap(), Ok(all(&acme).len() as u64));
    });
}

#[test]
fn removal_leaves_the_journal_whole_and_erasure_is_an_entry() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let before = all(&acme);
        world.ok(&acme.owner, Command::RemoveMember { member: acme.analyst_id });
        assert_eq!(all(&acme)[..before.len()], before);
        let target = Kind::Member.uid(acme.analyst_id).to_string();
        let made = before.iter().find(|l| l.entry.target.as_ref() == Some(&target)).unwrap();
        let erase = Command::EraseTexts { number: made.number, place: made.place };
        assert!(world.run(&acme.owner, erase.clone()).is_err());
        world.ok(&Actor::Operator, erase.clone());
        assert!(world.run(&Actor::Operator, erase).is_err());
        let after = all(&acme);
        let entry = after.iter().find(|l| (l.number, l.place) == (made.number, made.place)).unwrap();
        assert_eq!(entry.hash, made.hash);
        assert_eq!((&entry.entry.private[0].text, &entry.entry.private[0].salt), (&None, &None));
        assert_eq!(after.last().unwrap().entry.action, "eraseTexts");
        assert_eq!(world.directory.verify().unwrap(), Ok(after.len() as u64));
    });
}

#[test]
fn no_secret_is_in_the_journal_the_errors_or_what_is_printed() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let invite =
            Command::InviteMember { organization: acme.organization, email: email("s@acme.test"), role: Role::Viewer };
        let sent = world.ok(&acme.owner, invite).invitation().unwrap();
        let link = world.outbox.newest(sent);
        let secret = &link.expose()[32..];
        let Some(Row::Invitation(row)) = world.row(Kind::Invitation, sent) else { panic!() };
        let hash: String = row.link.unwrap().bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(hash != secret, "a hash is kept, not the secret");
        let accept = Command::AcceptInvitation { link: link.clone() };
        assert!(!format!("{accept:?} {link:?}").contains(secret));
        let error = world.run(&acme.owner, accept.clone()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(secret));
        world.ok(&Actor::Bearer, accept.clone());
        let error = world.run(&Actor::Bearer, accept).unwrap_err();
        assert_eq!(error.to_string(), "the link is not valid");
        for logged in all(&acme) {
            let text = format!("{logged:?}");
            assert!(!text.contains(secret) && !text.contains(&hash), "{text}");
        }
    });
}

#[test]
fn the_verifier_names_the_first_broken_entry() {
    let edits = [
        ("UPDATE journal SET actor = 'operator' WHERE number = 4", 4),
        ("UPDATE journal SET details = '{}' WHERE number = 3", 3),
        ("UPDATE journal SET at = at + 1 WHERE number = 2 AND place = 1", 2),
        ("UPDATE journal SET hash = zeroblob(32) WHERE number = 5", 5),
        ("UPDATE journal_texts SET text = 'else@x.test' WHERE number = 3", 3),
        ("UPDATE journal_texts SET commitment = zeroblob(32) WHERE number = 3", 3),
        ("DELETE FROM journal_texts WHERE number = 5; DELETE FROM journal WHERE number = 5", 6),
        ("DELETE FROM journal_texts WHERE number = 7; DELETE FROM journal WHERE number = 7", 6),
        ("UPDATE head SET number = number - 1", 7),
        ("UPDATE head SET chain = zeroblob(32)", 7),
    ];
    for (sql, number) in edits {
        let folder = Folder::new();
        let acme = Acme::new(sqlite(&folder));
        acme.world.ok(&acme.owner, Command::DeactivateMember { member: acme.analyst_id });
        let head = acme.world.store.read().unwrap().head().unwrap().number;
        assert_eq!(head, 8);
        let connection = rusqlite::Connection::open(folder.file()).unwrap();
        // As it is, nothing in the journal is changed or deleted.
        if sql.contains("journal") {
            assert!(connection.execute_batch(sql).is_err(), "{sql}");
        }
        let unlock = "DROP TRIGGER journal_stays; DROP TRIGGER journal_keeps; DROP TRIGGER journal_texts_stay; DROP TRIGGER journal_texts_keep";
        connection.execute_batch(unlock).unwrap();
        connection.execute_batch(&sql.replace("number = 7", "number = 8")).unwrap();
        let fault = acme.world.directory.verify().unwrap().unwrap_err();
        let expected = match number {
            6 if sql.contains("number = 7") => 7,
            7 => 8,
            number => number,
        };
        assert_eq!(fault.number, expected, "{sql}: {}", fault.message);
    }
}

/// Every entry that says `text` is erased by the operator; gives how many there were.
fn erased(acme: &Acme, text: &str) -> usize {
    let says = |l: &Logged| l.entry.private.iter().any(|p| p.text.as_ref().is_some_and(|own| own.contains(text)));
    let found: Vec<Logged> = all(acme).into_iter().filter(says).collect();
    for Logged { number, place, .. } in &found {
        acme.world.ok(&Actor::Operator, Command::EraseTexts { number: *number, place: *place });
    }
    found.len()
}

fn whole(acme: &Acme) -> String {
    format!("{:?} {:?}", rows(&*acme.world.store), all(acme))
}

/// The address in the row of an invitation that was over once stayed, and so did a revoked auditor's name.
#[test]
fn erasing_leaves_no_text_of_whoever_is_gone_and_none_of_what_is_in_use() {
    let folder = Folder::new();
    for (store, file) in
        [(Arc::new(Memory::new(EPOCH)) as Arc<dyn Store>, None), (sqlite(&folder), Some(folder.file()))]
    {
        let acme = Acme::new(store);
        let world = &acme.world;
        let organization = acme.organization;
        let invite = |to: &str| Command::InviteMember { organization, email: email(to), role: Role::Viewer };
        let send = |to: &str| world.ok(&acme.owner, invite(to)).invitation().unwrap();
        // Pia accepts and is removed, then is invited anew in vain; so is she as a guest, and as an auditor of hers.
        let pia = world.member(organization, "pia@gone.test", Role::Viewer);
        world.ok(&acme.owner, Command::RemoveMember { member: pia });
        let cancelled = send("Pia@Gone.test");
        world.ok(&acme.owner, Command::CancelInvitation { invitation: cancelled });
        let guest = Command::InviteGuest { project: acme.project, email: email("pia@gone.test") };
        let guest = world.accept(world.ok(&acme.owner, guest).invitation().unwrap());
        world.ok(&acme.owner, Command::RemoveGuest { guest });
        let audit = |to: &str| Command::InviteAuditor {
            organization,
            name: name("Pia Gone"),
            email: email(to),
            firm: name("Gone & Partners"),
            period: None,
            expires_at: Timestamp::from_millis(START + 90 * DAY).unwrap(),
        };
        let auditor = own(&world.ok(&acme.owner, audit("pia@gone.test")));
        let (link, password) = (world.outbox.newest(auditor), Secret::new("correct horse battery"));
        world.ok(&Actor::Bearer, Command::SetPassword { link, password: password.clone() });
        world.directory.log_in(auditor, &password).unwrap();
        let expired = send("pia@gone.test");
        world.clock.forward(7 * DAY);
        // In use: the auditor, and an invitation that is pending.
        let (number, place) =
            all(&acme).iter().find(|l| l.entry.action == "inviteAuditor").map(|l| (l.number, l.place)).unwrap();
        let erase = Command::EraseTexts { number, place };
        world.ok(&Actor::Operator, erase.clone());
        let kept = |auditor| match world.row(Kind::Auditor, auditor) {
            Some(Row::Auditor(row)) => row.email == email("pia@gone.test") && row.name == name("Pia Gone"),
            other => panic!("{other:?}"),
        };
        assert!(kept(auditor), "an active auditor");
        assert_eq!(world.rule(&Actor::Operator, erase.clone()), Rule::Unknown);
        world.ok(&acme.owner, Command::RevokeAuditor { auditor });
        world.ok(&Actor::Operator, erase);
        let pending = send("eve@here.test");
        assert_eq!(erased(&acme, "eve@here.test"), 1);
        let Some(Row::Invitation(row)) = world.row(Kind::Invitation, pending) else { panic!() };
        assert_eq!((row.email, row.link.is_some()), (email("eve@here.test"), true), "a pending invitation");

        assert!(erased(&acme, "one@") == 0 && erased(&acme, "pia@gone.test") + erased(&acme, "Pia@Gone.test") >= 8);
        let left = whole(&acme).to_lowercase();
        assert!(!left.contains("pia") && !left.contains("gone &"), "{left}");
        let Some(Row::Invitation(row)) = world.row(Kind::Invitation, expired) else { panic!() };
        assert_eq!(row.state, InvitationState::Cancelled);
        assert_eq!(world.rule(&acme.owner, Command::ResendInvitation { invitation: expired }), Rule::State);
        // Nothing is in the way of whoever comes anew, twice over.
        for _ in 0..2 {
            let sent = send("pia@gone.test");
            world.ok(&acme.owner, Command::CancelInvitation { invitation: sent });
            let auditor = own(&world.ok(&acme.owner, audit("pia@gone.test")));
            world.ok(&acme.owner, Command::RevokeAuditor { auditor });
            assert!(erased(&acme, "pia@gone.test") + erased(&acme, "Pia Gone") >= 2);
        }
        assert!(!whole(&acme).to_lowercase().contains("pia"));
        assert_eq!(world.directory.verify().unwrap(), Ok(all(&acme).len() as u64));
        let mut exported = Vec::new();
        world.directory.export(&mut exported).unwrap();
        let moved = World::new(Arc::new(Memory::new(EPOCH)));
        moved.directory.import(&exported[..]).unwrap();
        let mut again = Vec::new();
        moved.directory.export(&mut again).unwrap();
        assert!(again == exported, "what was erased is moved as it is");
        // Nor is anything in what SQLite does not use any more.
        drop(acme);
        for end in file.iter().flat_map(|_| ["", "-wal"]) {
            let bytes = std::fs::read(format!("{}{end}", folder.file().display())).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            assert!(!text.contains("pia@") && !text.contains("gone &"), "in the file{end}");
            assert!(!end.is_empty() || text.contains("erased@invalid"));
        }
    }
}
