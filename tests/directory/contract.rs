//! The contract of a store, as its traits state it. A further database passes the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use bailiwick::grc::Role;
use bailiwick::store::{
    Answer, AuditRequest, Auditor, AuditorStatus, Changed, Entry, Filter, Guest, Hash, Id, Invitation, InvitationState,
    Inviter, Kind, Member, Obstacle, Organization, PasswordHash, Period, Plan, Private, Project, Recorded, Row,
    Session, Store, Target, Writing, Written,
};
use bailiwick::Timestamp;

use crate::world::{email, id, name, on_both, EPOCH, START};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis).unwrap()
}

fn organization(n: u128, parent: Option<Id>, contributor_seats: u32) -> Organization {
    let plan = Plan { bundled_seats: 3, seat_cents: 100, contributor_seats };
    Organization { id: id(n), parent, name: name("Acme"), plan }
}

fn project(n: u128, organization: u128) -> Project {
    Project { id: id(n), organization: id(organization), name: name("Merger") }
}

fn member(n: u128, organization: u128, role: Role) -> Member {
    Member {
        id: id(n),
        organization: id(organization),
        email: email(&format!("m{n}@acme.test")),
        role,
        active: true,
        compliance_team: false,
        contributor: false,
        mfa_locked_at: None,
        mfa_reset: false,
        projects: BTreeSet::new(),
        clients: BTreeSet::new(),
    }
}

fn guest(n: u128, organization: u128, project: u128) -> Guest {
    let (organization, project) = (id(organization), id(project));
    Guest { id: id(n), organization, project, email: email("guest@else.test"), active: true }
}

fn invitation(n: u128, organization: u128, target: Target) -> Invitation {
    Invitation {
        id: id(n),
        organization: id(organization),
        target,
        email: email("new@acme.test"),
        inviter: Inviter::Operator,
        state: InvitationState::Pending,
        expires_at: at(0),
        link: Some(Hash::from_bytes([n as u8; 32])),
    }
}

/// Two organizations with a project each, a client of the first, and an Owner, an Admin and a Viewer in the first.
fn filled(store: &dyn Store) {
    let mut tx = store.write().unwrap();
    let rows = [
        Row::Organization(organization(1, None, 2)),
        Row::Organization(organization(2, None, 2)),
        Row::Organization(organization(3, Some(id(1)), 2)),
        Row::Project(project(11, 1)),
        Row::Project(project(12, 2)),
        Row::Member(member(21, 1, Role::Owner)),
        Row::Member(member(22, 1, Role::Admin)),
        Row::Member(member(23, 1, Role::Viewer)),
    ];
    for row in rows {
        assert_eq!(tx.insert(&row).unwrap(), Ok(()), "{row:?}");
    }
    tx.append(&[], Changed::Everything).unwrap();
    tx.commit().unwrap();
}

fn stored(tx: &mut dyn Writing, kind: Kind, n: u128) -> Row {
    tx.get(kind, id(n)).unwrap().unwrap()
}

fn stored_member(tx: &mut dyn Writing, n: u128) -> Member {
    match stored(tx, Kind::Member, n) {
        Row::Member(member) => member,
        other => panic!("{other:?}"),
    }
}

/// Changes a member as it is stored.
fn edit(tx: &mut dyn Writing, n: u128, change: impl FnOnce(&mut Member)) -> Written {
    let old = stored_member(tx, n);
    let mut new = old.clone();
    change(&mut new);
    tx.replace(&Row::Member(old), &Row::Member(new)).unwrap()
}

#[test]
fn rows_come_back_as_they_were_put_in_and_in_the_order_of_their_ids() {
    on_both(|store| {
        filled(&*store);
        let mut whole = member(31, 1, Role::MspTechnician);
        whole.compliance_team = true;
        whole.contributor = true;
        whole.mfa_locked_at = Some(at(5));
        whole.mfa_reset = true;
        whole.projects = [id(11)].into();
        whole.clients = [id(3)].into();
        let away = Member { active: false, ..member(30, 1, Role::ReadOnly) };
        let rows = [
            Row::Member(whole.clone()),
            Row::Member(away.clone()),
            Row::Guest(guest(41, 1, 11)),
            Row::Invitation(invitation(51, 1, Target::Project(id(11)))),
            Row::Invitation(Invitation {
                inviter: Inviter::Creator(id(21)),
                link: None,
                state: InvitationState::Cancelled,
                ..invitation(52, 2, Target::Role(Role::Owner))
            }),
        ];
        let mut tx = store.write().unwrap();
        for row in &rows {
            assert_eq!(tx.insert(row).unwrap(), Ok(()), "{row:?}");
        }
        tx.commit().unwrap();
        let mut tx = store.read().unwrap();
        for row in &rows {
            assert_eq!(tx.get(row.kind(), row.id()).unwrap().as_ref(), Some(row));
        }
        let mut all = |organization| {
            let mut members = Vec::new();
            let visit = &mut |row: Row| {
                members.push(row);
                Ok(())
            };
            tx.scan(Kind::Member, organization, visit).unwrap();
            members
        };
        let expected =
            [21, 22, 23].map(|n| Row::Member(member(n, 1, [Role::Owner, Role::Admin, Role::Viewer][n as usize - 21])));
        let expected: Vec<Row> = expected.into_iter().chain([Row::Member(away), Row::Member(whole)]).collect();
        assert_eq!(all(None), expected);
        assert_eq!(all(Some(id(1))), expected);
        assert_eq!(all(Some(id(2))), []);
    });
}

#[test]
fn a_transaction_that_is_dropped_leaves_nothing_behind() {
    on_both(|store| {
        filled(&*store);
        let before = store.read().unwrap().head().unwrap();
        let mut tx = store.write().unwrap();
        tx.insert(&Row::Member(member(31, 1, Role::Viewer))).unwrap().unwrap();
        edit(&mut *tx, 23, |m| m.role = Role::Member).unwrap();
        let old = stored(&mut *tx, Kind::Member, 22);
        tx.remove(&old).unwrap().unwrap();
        let recorded = Recorded { salt: [1; 16], command: Hash::from_bytes([2; 32]), outcome: "{}".into() };
        tx.record("key", &recorded).unwrap().unwrap();
        tx.append(&[entry(1)], Changed::Rows(&[(Kind::Member, id(31))].into())).unwrap();
        // Its own changes it sees.
        assert!(tx.get(Kind::Member, id(31)).unwrap().is_some() && tx.get(Kind::Member, id(22)).unwrap().is_none());
        drop(tx);
        let mut tx = store.read().unwrap();
        assert_eq!(tx.head().unwrap(), before);
        assert_eq!(tx.get(Kind::Member, id(31)).unwrap(), None);
        assert_eq!(tx.get(Kind::Member, id(23)).unwrap(), Some(Row::Member(member(23, 1, Role::Viewer))));
        assert_eq!(tx.get(Kind::Member, id(22)).unwrap(), Some(Row::Member(member(22, 1, Role::Admin))));
        assert_eq!(tx.outcome("key").unwrap(), None);
        drop(tx);
        assert_eq!(entries(&*store, &Filter::default()).len(), 0);
    });
}

#[test]
fn a_row_is_replaced_and_removed_only_as_it_was_read() {
    on_both(|store| {
        filled(&*store);
        let mut tx = store.write().unwrap();
        let old = stored_member(&mut *tx, 23);
        edit(&mut *tx, 23, |m| m.compliance_team = true).unwrap();
        let new = Member { role: Role::Member, ..old.clone() };
        assert_eq!(tx.replace(&Row::Member(old.clone()), &Row::Member(new)).unwrap(), Err(Obstacle::Changed));
        assert_eq!(tx.remove(&Row::Member(old)).unwrap(), Err(Obstacle::Changed));

        let sent = invitation(51, 1, Target::Role(Role::Viewer));
        tx.insert(&Row::Invitation(sent.clone())).unwrap().unwrap();
        let resent = Invitation { link: Some(Hash::from_bytes([9; 32])), ..sent.clone() };
        tx.replace(&Row::Invitation(sent.clone()), &Row::Invitation(resent)).unwrap().unwrap();
        let accepted = Invitation { state: InvitationState::Accepted, link: None, ..sent.clone() };
        // The link that was read is not the newest any more.
        assert_eq!(tx.replace(&Row::Invitation(sent), &Row::Invitation(accepted)).unwrap(), Err(Obstacle::Changed));

        let old = guest(41, 1, 11);
        tx.insert(&Row::Guest(old.clone())).unwrap().unwrap();
        let away = Guest { active: false, ..old.clone() };
        tx.replace(&Row::Guest(old.clone()), &Row::Guest(away.clone())).unwrap().unwrap();
        assert_eq!(tx.replace(&Row::Guest(old.clone()), &Row::Guest(away)).unwrap(), Err(Obstacle::Changed));
        assert_eq!(tx.remove(&Row::Guest(old)).unwrap(), Err(Obstacle::Changed));

        let old = organization(1, None, 2);
        let new = organization(1, None, 7);
        tx.replace(&Row::Organization(old.clone()), &Row::Organization(new.clone())).unwrap().unwrap();
        assert_eq!(tx.replace(&Row::Organization(old), &Row::Organization(new)).unwrap(), Err(Obstacle::Changed));
    });
}

#[test]
fn the_last_owner_stays_and_where_there_is_none_the_last_admin() {
    on_both(|store| {
        filled(&*store);
        let mut tx = store.write().unwrap();
        let tx = &mut *tx;
        let last = Err(Obstacle::LastAdministrator);
        for n in [21, 22] {
            assert_eq!(edit(tx, n, |m| m.active = false), if n == 21 { last } else { Ok(()) });
            edit(tx, 22, |m| m.active = true).ok();
            assert_eq!(edit(tx, 21, |m| m.role = Role::Admin), last);
            let owner = stored(tx, Kind::Member, 21);
            assert_eq!(tx.remove(&owner).unwrap(), last);
        }
        // With a second one the first may go; a deactivated one does not count.
        edit(tx, 22, |m| m.role = Role::Owner).unwrap();
        edit(tx, 22, |m| m.active = false).unwrap();
        assert_eq!(edit(tx, 21, |m| m.role = Role::Viewer), last);
        edit(tx, 22, |m| m.active = true).unwrap();
        edit(tx, 21, |m| m.role = Role::Viewer).unwrap();
        assert_eq!(edit(tx, 22, |m| m.role = Role::Admin), last);

        // An organization without Owner.
        tx.insert(&Row::Member(member(31, 2, Role::Admin))).unwrap().unwrap();
        assert_eq!(edit(tx, 31, |m| m.active = false), last);
        assert_eq!(edit(tx, 31, |m| m.role = Role::Member), last);
        assert_eq!(edit(tx, 31, |m| m.role = Role::Owner), Ok(()));
        assert_eq!(edit(tx, 31, |m| m.role = Role::Admin), last);
        // Another organization's Owner is of no help.
        let owner = stored(tx, Kind::Member, 31);
        assert_eq!(tx.remove(&owner).unwrap(), last);
        tx.insert(&Row::Member(member(32, 2, Role::Owner))).unwrap().unwrap();
        assert_eq!(tx.remove(&owner).unwrap(), Ok(()));
    });
}

#[test]
fn no_more_contributor_seats_are_held_than_the_plan_has() {
    on_both(|store| {
        filled(&*store);
        let mut tx = store.write().unwrap();
        let tx = &mut *tx;
        edit(tx, 21, |m| m.contributor = true).unwrap();
        edit(tx, 22, |m| m.contributor = true).unwrap();
        assert_eq!(tx.seats_held(id(1)).unwrap(), 2);
        assert_eq!(edit(tx, 23, |m| m.contributor = true), Err(Obstacle::NoSeat));
        let held = Member { contributor: true, ..member(24, 1, Role::Viewer) };
        assert_eq!(tx.insert(&Row::Member(held)).unwrap(), Err(Obstacle::NoSeat));
        // Whoever is deactivated frees the seat, and comes back to none.
        edit(tx, 22, |m| m.active = false).unwrap();
        edit(tx, 23, |m| m.contributor = true).unwrap();
        assert_eq!(edit(tx, 22, |m| m.active = true), Err(Obstacle::NoSeat));
        edit(tx, 22, |m| (m.active, m.contributor) = (true, false)).unwrap();
        assert_eq!(tx.seats_held(id(1)).unwrap(), 2);

        let old = stored(tx, Kind::Organization, 1);
        let with = |seats| Row::Organization(organization(1, None, seats));
        assert_eq!(tx.replace(&old, &with(1)).unwrap(), Err(Obstacle::NoSeat));
        assert_eq!(tx.replace(&old, &with(3)).unwrap(), Ok(()));
        assert_eq!(edit(tx, 22, |m| m.contributor = true), Ok(()));
    });
}

#[test]
fn an_address_is_taken_once_in_each_place_whatever_its_case() {
    on_both(|store| {
        filled(&*store);
        let mut tx = store.write().unwrap();
        let tx = &mut *tx;
        let taken = Err(Obstacle::Taken);
        let same = |n, organization| Member { email: email("M23@ACME.test"), ..member(n, organization, Role::Viewer) };
        assert_eq!(tx.insert(&Row::Member(same(31, 1))).unwrap(), taken);
        assert_eq!(tx.insert(&Row::Member(same(31, 2))).unwrap(), Ok(()), "another organization");
        let away = Member { active: false, ..same(32, 1) };
        assert_eq!(tx.insert(&Row::Member(away)).unwrap(), Ok(()), "a deactivated one");
        assert_eq!(edit(tx, 32, |m| m.active = true), taken);
        assert_eq!(tx.active_member(id(1), &email("m23@acme.TEST")).unwrap(), Some(id(23)));
        edit(tx, 23, |m| m.active = false).unwrap();
        assert_eq!(tx.active_member(id(1), &email("m23@acme.TEST")).unwrap(), None);
        assert_eq!(edit(tx, 32, |m| m.active = true), Ok(()));
        assert_eq!(tx.insert(&Row::Member(member(21, 1, Role::Viewer))).unwrap(), taken, "the id");

        tx.insert(&Row::Project(project(13, 1))).unwrap().unwrap();
        tx.insert(&Row::Guest(guest(41, 1, 11))).unwrap().unwrap();
        assert_eq!(tx.insert(&Row::Guest(guest(42, 1, 11))).unwrap(), taken);
        assert_eq!(tx.insert(&Row::Guest(guest(42, 1, 13))).unwrap(), Ok(()), "another project");

        let to_role = |n, role| Row::Invitation(invitation(n, 1, Target::Role(role)));
        let to_project = |n, p| Row::Invitation(invitation(n, 1, Target::Project(id(p))));
        assert_eq!(tx.insert(&to_role(51, Role::Viewer)).unwrap(), Ok(()));
        assert_eq!(tx.insert(&to_role(52, Role::Owner)).unwrap(), taken, "whatever the role");
        assert_eq!(tx.insert(&to_project(53, 11)).unwrap(), Ok(()));
        assert_eq!(tx.insert(&to_project(54, 11)).unwrap(), taken);
        assert_eq!(tx.insert(&to_project(55, 13)).unwrap(), Ok(()));
        let found = tx.pending(id(1), Some(id(13)), &email("NEW@acme.test")).unwrap();
        assert_eq!(found.map(|i| i.id), Some(id(55)));
        assert_eq!(tx.pending(id(2), None, &email("new@acme.test")).unwrap(), None);
        let old = stored(tx, Kind::Invitation, 51);
        let Row::Invitation(sent) = old.clone() else { panic!() };
        let expired = Row::Invitation(Invitation { state: InvitationState::Expired, link: None, ..sent.clone() });
        tx.replace(&old, &expired).unwrap().unwrap();
        assert_eq!(tx.pending(id(1), None, &email("new@acme.test")).unwrap(), None);
        assert_eq!(tx.insert(&to_role(52, Role::Owner)).unwrap(), Ok(()));
        assert_eq!(tx.replace(&expired, &Row::Invitation(sent)).unwrap(), taken);
    });
}

#[test]
fn nothing_refers_to_another_organizations_or_to_nothing() {
    on_both(|store| {
        filled(&*store);
        let mut tx = store.write().unwrap();
        let tx = &mut *tx;
        let misplaced = Err(Obstacle::Misplaced);
        let rows = [
            Row::Organization(organization(4, Some(id(3)), 0)),
            Row::Organization(organization(4, Some(id(99)), 0)),
            Row::Project(project(14, 99)),
            Row::Member(member(31, 99, Role::Viewer)),
            Row::Guest(guest(41, 1, 12)),
            Row::Guest(guest(41, 1, 99)),
            Row::Invitation(invitation(51, 1, Target::Project(id(12)))),
            Row::Invitation(invitation(51, 99, Target::Role(Role::Viewer))),
        ];
        for row in rows {
            assert_eq!(tx.insert(&row).unwrap(), misplaced, "{row:?}");
        }
    });
    // What a member refers to is written after the member: the transaction is given up then.
    for (projects, clients, expected) in [
        (vec![11], vec![3], Ok(())),
        (vec![12], vec![], Err(Obstacle::Misplaced)),
        (vec![99], vec![], Err(Obstacle::Misplaced)),
        (vec![], vec![2], Err(Obstacle::Misplaced)),
        (vec![], vec![1], Err(Obstacle::Misplaced)),
    ] {
        on_both(|store| {
            filled(&*store);
            let links = |m: &mut Member| {
                m.projects = projects.iter().map(|n| id(*n)).collect();
                m.clients = clients.iter().map(|n| id(*n)).collect();
            };
            let mut new = member(31, 1, Role::MspTechnician);
            links(&mut new);
            assert_eq!(store.write().unwrap().insert(&Row::Member(new)).unwrap(), expected);
            assert_eq!(edit(&mut *store.write().unwrap(), 23, links), expected);
        });
    }
}

#[test]
fn auditors_requests_and_sessions_keep_to_their_organization() {
    on_both(|store| {
        filled(&*store);
        let mut tx = store.write().unwrap();
        let tx = &mut *tx;
        let auditor = |n: u128, organization: u128| Auditor {
            id: id(n),
            organization: id(organization),
            name: name("Aud Itor"),
            email: email("aud@firm.test"),
            firm: name("Firm"),
            period: Some(Period { from: at(1), to: at(2) }),
            expires_at: at(9),
            status: AuditorStatus::Pending,
            link: Some(Hash::from_bytes([3; 32])),
            password: None,
            failures: 0,
            locked_until: None,
        };
        let first = auditor(61, 1);
        tx.insert(&Row::Auditor(first.clone())).unwrap().unwrap();
        assert_eq!(tx.insert(&Row::Auditor(auditor(62, 1))).unwrap(), Err(Obstacle::Taken));
        assert_eq!(tx.insert(&Row::Auditor(auditor(62, 2))).unwrap(), Ok(()));
        assert_eq!(tx.insert(&Row::Auditor(auditor(63, 99))).unwrap(), Err(Obstacle::Misplaced));
        let active = Auditor {
            status: AuditorStatus::Active,
            link: None,
            password: Some(PasswordHash::new("$argon2id$")),
            failures: 3,
            locked_until: Some(at(4)),
            ..first.clone()
        };
        let (old, new) = (Row::Auditor(first), Row::Auditor(active));
        tx.replace(&old, &new).unwrap().unwrap();
        assert_eq!(tx.replace(&old, &new).unwrap(), Err(Obstacle::Changed));
        assert_eq!(stored(tx, Kind::Auditor, 61), new);
        // One that is active is in nobody's way.
        assert_eq!(tx.insert(&Row::Auditor(auditor(64, 1))).unwrap(), Ok(()));

        let request = |organization: u128, state| {
            let (id, organization, auditor) = (id(71), id(organization), id(61));
            Row::AuditRequest(AuditRequest { id, organization, auditor, title: name("Title"), state })
        };
        assert_eq!(tx.insert(&request(2, Answer::Open)).unwrap(), Err(Obstacle::Misplaced));
        tx.insert(&request(1, Answer::Open)).unwrap().unwrap();
        let (open, approved) = (request(1, Answer::Open), request(1, Answer::Approved));
        tx.replace(&open, &approved).unwrap().unwrap();
        assert_eq!(tx.replace(&open, &approved).unwrap(), Err(Obstacle::Changed));
        assert_eq!(stored(tx, Kind::AuditRequest, 71), approved);

        let session = |organization: u128| {
            let (id, organization, auditor) = (id(81), id(organization), id(61));
            Row::Session(Session { id, organization, auditor, token: Hash::from_bytes([5; 32]), expires_at: at(7) })
        };
        assert_eq!(tx.insert(&session(2)).unwrap(), Err(Obstacle::Misplaced));
        tx.insert(&session(1)).unwrap().unwrap();
        assert_eq!(stored(tx, Kind::Session, 81), session(1));
        tx.remove(&session(1)).unwrap().unwrap();
        assert_eq!(tx.remove(&session(1)).unwrap(), Err(Obstacle::Changed));
    });
}

#[test]
fn a_key_is_recorded_once() {
    on_both(|store| {
        let mut tx = store.write().unwrap();
        let recorded = Recorded { salt: [1; 16], command: Hash::from_bytes([2; 32]), outcome: "{\"a\":1}".into() };
        assert_eq!(tx.record("key", &recorded).unwrap(), Ok(()));
        assert_eq!(tx.record("key", &Recorded { salt: [3; 16], ..recorded.clone() }).unwrap(), Err(Obstacle::Taken));
        tx.commit().unwrap();
        let mut tx = store.read().unwrap();
        assert_eq!(tx.outcome("key").unwrap(), Some(recorded));
        assert_eq!(tx.outcome("Key").unwrap(), None);
    });
}

fn entry(n: u8) -> Entry {
    Entry {
        at: at(n.into()),
        actor: if n.is_multiple_of(2) { "operator".into() } else { "Grc::Member::\"a\"".into() },
        action: "changeRole".into(),
        organization: (n < 4).then(|| id(u128::from(n % 2))),
        target: (n > 1).then(|| format!("Grc::Member::\"{}\"", n % 3)),
        details: format!("{{\"n\":{n}}}"),
        decision: "{}".into(),
        private: vec![Private::new("email", &format!("m{n}@acme.test"), [n; 16]); usize::from(n % 3)],
    }
}

fn entries(store: &dyn Store, filter: &Filter) -> Vec<(u64, u32, Entry)> {
    let mut found = Vec::new();
    let visit = &mut |logged: bailiwick::store::Logged| {
        found.push((logged.number, logged.place, logged.entry));
        Ok(())
    };
    store.read().unwrap().journal(filter, visit).unwrap();
    found
}

#[test]
fn revisions_have_no_gap_and_the_journal_is_read_by_every_filter() {
    on_both(|store| {
        let numbers = (0..6).map(|n| {
            let mut tx = store.write().unwrap();
            let head = tx.append(&[entry(n), entry(n + 1)], Changed::Rows(&BTreeSet::new())).unwrap();
            // Every other one is given up, and leaves no gap.
            if n % 2 == 0 {
                tx.commit().unwrap();
            }
            (head.epoch, head.number)
        });
        let expected = [1, 2, 2, 3, 3, 4].map(|number| (EPOCH, number));
        assert_eq!(numbers.collect::<Vec<_>>(), expected);
        let all: Vec<(u64, u32, Entry)> =
            [0, 2, 4].iter().zip(1..).flat_map(|(n, r)| [(r, 0, entry(*n)), (r, 1, entry(n + 1))]).collect();
        assert_eq!(entries(&*store, &Filter::default()), all);
        let filters = [
            Filter { organization: Some(id(1)), ..Filter::default() },
            Filter { target: Some("Grc::Member::\"2\"".into()), ..Filter::default() },
            Filter { actor: Some("operator".into()), ..Filter::default() },
            Filter { from: Some(at(2)), until: Some(at(4)), ..Filter::default() },
            Filter {
                organization: Some(id(0)),
                actor: Some("operator".into()),
                until: Some(at(2)),
                ..Filter::default()
            },
            Filter { target: Some("nobody".into()), ..Filter::default() },
        ];
        for (filter, count) in filters.into_iter().zip([2, 2, 3, 2, 1, 0]) {
            let expected: Vec<_> = all.iter().filter(|(_, _, e)| filter.passes(e)).cloned().collect();
            assert_eq!(entries(&*store, &filter), expected, "{filter:?}");
            assert_eq!(expected.len(), count, "{filter:?}");
        }
    });
}

#[test]
fn the_entries_of_a_revision_are_told_in_their_order() {
    on_both(|store| {
        let mut heads = Vec::new();
        for of in [&[entry(1)][..], &[entry(2), entry(3)], &[], &[entry(4)]] {
            let mut tx = store.write().unwrap();
            heads.push(tx.append(of, Changed::Rows(&BTreeSet::new())).unwrap());
            tx.commit().unwrap();
        }
        let mut tx = store.read().unwrap();
        let mut found = |number| tx.entries(number).unwrap();
        let two: Vec<_> = found(2).into_iter().map(|l| (l.number, l.place, l.entry)).collect();
        assert_eq!(two, [(2, 0, entry(2)), (2, 1, entry(3))]);
        // The last hash of a revision is the chain's.
        for number in [1, 2, 4] {
            assert_eq!(found(number).last().unwrap().hash, heads[number as usize - 1].chain);
        }
        for number in [0, 3, 5, u64::MAX] {
            assert_eq!(found(number), []);
        }
    });
}

#[test]
fn what_changed_is_told_by_revision() {
    on_both(|store| {
        let commit = |rows: &[(Kind, u128)]| {
            let mut tx = store.write().unwrap();
            let rows: BTreeSet<(Kind, Id)> = rows.iter().map(|(kind, n)| (*kind, id(*n))).collect();
            tx.append(&[], Changed::Rows(&rows)).unwrap();
            tx.commit().unwrap();
        };
        let since = |number| store.read().unwrap().changes_since(number).unwrap();
        commit(&[(Kind::Member, 1), (Kind::Guest, 1)]);
        commit(&[(Kind::Member, 2)]);
        commit(&[(Kind::Member, 2), (Kind::Project, 5)]);
        let set = |rows: &[(Kind, u128)]| Some(rows.iter().map(|(kind, n)| (*kind, id(*n))).collect::<BTreeSet<_>>());
        assert_eq!(since(3), set(&[]));
        assert_eq!(since(2), set(&[(Kind::Member, 2), (Kind::Project, 5)]));
        assert_eq!(since(0), set(&[(Kind::Member, 1), (Kind::Guest, 1), (Kind::Member, 2), (Kind::Project, 5)]));
        // From the future: not of this store, or of one that was set back.
        assert_eq!(since(4), None);
        let mut tx = store.write().unwrap();
        tx.append(&[], Changed::Everything).unwrap();
        tx.commit().unwrap();
        assert_eq!((since(3), since(4)), (None, set(&[])));
    });
}

#[test]
fn texts_are_erased_and_the_entry_stays() {
    on_both(|store| {
        let recorded = |number: u64| Recorded {
            salt: [7; 16],
            command: Hash::from_bytes([number as u8; 32]),
            outcome: format!("{{\"number\":{number}}}"),
        };
        let mut tx = store.write().unwrap();
        tx.append(&[entry(2), entry(5)], Changed::Rows(&BTreeSet::new())).unwrap();
        tx.record("one", &recorded(1)).unwrap().unwrap();
        tx.record("two", &recorded(2)).unwrap().unwrap();
        tx.record("text", &Recorded { outcome: "no JSON".into(), ..recorded(1) }).unwrap().unwrap();
        tx.commit().unwrap();
        // Not committed, not erased.
        let mut tx = store.write().unwrap();
        assert_eq!(tx.erase(1, 0).unwrap(), 2);
        drop(tx);
        let outcome = |key: &str| store.read().unwrap().outcome(key).unwrap().unwrap();
        assert_eq!(outcome("one"), recorded(1));
        assert!(entries(&*store, &Filter::default())[0].2.private.iter().all(|private| private.text.is_some()));
        let mut tx = store.write().unwrap();
        assert_eq!(tx.erase(1, 0).unwrap(), 2);
        assert_eq!(tx.erase(1, 0).unwrap(), 0);
        assert_eq!(tx.erase(2, 0).unwrap(), 0);
        tx.commit().unwrap();
        // Nor can they be guessed from the hash of what led to them.
        assert_eq!(outcome("one"), Recorded { command: Hash::from_bytes([0; 32]), ..recorded(1) });
        assert_eq!((outcome("two"), outcome("text").command), (recorded(2), recorded(1).command));
        let found = entries(&*store, &Filter::default());
        let blank = |private: &Private| Private { salt: None, text: None, ..private.clone() };
        let erased = Entry { private: entry(2).private.iter().map(blank).collect(), ..entry(2) };
        assert_eq!(found, [(1, 0, erased), (1, 1, entry(5))]);
    });
}

#[test]
fn one_writes_at_a_time_and_readers_see_one_revision() {
    on_both(|store| {
        let total = 4 * 25;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let store = Arc::clone(&store);
                scope.spawn(move || {
                    for _ in 0..25 {
                        let mut tx = store.write().unwrap();
                        let number = tx.head().unwrap().number;
                        let n = u128::from(number);
                        tx.insert(&Row::Organization(organization(1000 + n, None, 0))).unwrap().unwrap();
                        assert_eq!(tx.append(&[], Changed::Everything).unwrap().number, number + 1);
                        tx.commit().unwrap();
                    }
                });
            }
            let store = Arc::clone(&store);
            scope.spawn(move || loop {
                let mut tx = store.read().unwrap();
                let number = tx.head().unwrap().number;
                let mut rows = 0;
                let count = &mut |_| {
                    rows += 1;
                    Ok(())
                };
                tx.scan(Kind::Organization, None, count).unwrap();
                assert_eq!((rows, tx.head().unwrap().number), (number, number));
                if number == total {
                    break;
                }
            });
        });
        assert_eq!(store.read().unwrap().head().unwrap().number, total);
    });
}
