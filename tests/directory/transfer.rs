//! A whole directory moved by export and import.

use std::sync::Arc;

use bailiwick::directory::{Actor, Command, Directory, DirectoryError, Secret};
use bailiwick::grc::Role;
use bailiwick::store::{Auditor, Kind, Memory, Period, Row, Session, Store};
use bailiwick::Timestamp;

use crate::world::{email, name, on_both, own, rows, sqlite, Acme, Folder, World, DAY, EPOCH, START};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis).unwrap()
}

fn invite(acme: &Acme, address: &str) -> bailiwick::store::Id {
    own(&acme.world.ok(
        &acme.admin,
        Command::InviteAuditor {
            organization: acme.organization,
            name: name("Ada"),
            email: email(address),
            firm: name("Firm & Partners"),
            period: Some(Period { from: at(-DAY), to: at(0) }),
            expires_at: at(30 * DAY),
        },
    ))
}

/// A row as it may leave: without links, passwords and what was counted against logins, and no session at all.
fn bare(row: Row) -> Option<Row> {
    match row {
        Row::Auditor(row) => {
            Some(Row::Auditor(Auditor { link: None, password: None, failures: 0, locked_until: None, ..row }))
        }
        Row::Invitation(row) => Some(Row::Invitation(bailiwick::store::Invitation { link: None, ..row })),
        Row::Session(Session { .. }) => None,
        row => Some(row),
    }
}

fn into(store: Arc<dyn Store>, exported: &[u8], acme: &Acme) -> World {
    let world = World::new(store);
    let (count, revision) = world.directory.import(exported).unwrap();
    let expected: Vec<Row> = rows(&*acme.world.store).into_iter().filter_map(bare).collect();
    assert_eq!((count, revision.number), (expected.len(), 1));
    assert_eq!(rows(&*world.store), expected);
    world
}

#[test]
fn auditors_requests_guests_and_clients_are_moved_and_secrets_are_not() {
    on_both(|store| {
        let acme = Acme::new(store);
        let (world, organization) = (&acme.world, acme.organization);
        let password = Secret::new("correct horse battery");
        let [pending, active, revoked] = ["one@f.test", "two@f.test", "three@f.test"].map(|to| invite(&acme, to));
        let set = Command::SetPassword { link: world.outbox.newest(active), password: password.clone() };
        world.ok(&Actor::Bearer, set);
        let session = world.directory.log_in(active, &password).unwrap().token;
        assert!(world.directory.log_in(active, &Secret::new("wrong horse battery")).is_err());
        let title = name("access reviews");
        world.ok(&acme.admin, Command::CreateAuditRequest { organization, auditor: active, title });
        world.ok(&acme.admin, Command::RevokeAuditor { auditor: revoked });
        let guest = Command::InviteGuest { project: acme.project, email: email("greta@x.test") };
        world.accept(world.ok(&acme.owner, guest.clone()).invitation().unwrap());
        world.ok(&acme.owner, Command::InviteGuest { project: acme.project, email: email("gil@x.test") });
        let msp = world.member(organization, "mona@acme.test", Role::MspAdmin);
        let client = Command::CreateClientOrganization {
            msp: organization,
            name: name("Client"),
            email: email("carl@x.test"),
            role: Role::Admin,
        };
        world.ok(&Actor::Member(msp), client);

        let mut exported = Vec::new();
        world.directory.export(&mut exported).unwrap();
        let text = String::from_utf8(exported.clone()).unwrap();
        assert!(!text.contains("argon2") && !text.contains("session") && text.contains("Firm & Partners"));
        for row in rows(&*world.store) {
            if let Row::Auditor(Auditor { link: Some(hash), .. }) = row {
                let hash: String = hash.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                assert!(!text.contains(&hash));
            }
        }

        let folder = Folder::new();
        for moved in [into(Arc::new(Memory::new(EPOCH)), &exported, &acme), into(sqlite(&folder), &exported, &acme)] {
            let mut again = Vec::new();
            moved.directory.export(&mut again).unwrap();
            assert!(again == exported, "what was imported is exported");
            let loaded = Directory::builder().look_every(None).open(Arc::clone(&moved.store)).unwrap();
            let entities = |directory: &Directory| {
                let mut all: Vec<_> = directory.authorizer().snapshot().iter().collect();
                all.sort_by(|a, b| a.uid().cmp(b.uid()));
                all
            };
            assert_eq!(entities(&moved.directory), entities(&world.directory));
            assert_eq!(entities(&loaded), entities(&world.directory));
            // Nothing that was given out before works, until a link is sent again.
            assert!(matches!(moved.directory.session(&session), Err(DirectoryError::Login)));
            assert!(matches!(moved.directory.log_in(active, &password), Err(DirectoryError::Login)));
            assert!(matches!(moved.directory.open_link(&world.outbox.newest(pending)), Err(DirectoryError::Link)));
            moved.ok(&acme.admin, Command::ResendAuditorInvitation { auditor: active });
            let link = moved.outbox.newest(active);
            moved.ok(&Actor::Bearer, Command::SetPassword { link, password: password.clone() });
            assert!(moved.directory.log_in(active, &password).is_ok());
            assert!(moved.run(&acme.admin, Command::ResendAuditorInvitation { auditor: revoked }).is_err());
            assert!(moved.directory.verify().unwrap().is_ok());
        }
        assert!(world.row(Kind::Auditor, pending).is_some());
    });
}
