//! Threads that race: whatever the order, no rule is broken.

use std::sync::{Arc, Barrier};

use bailiwick::directory::{Actor, Command, DirectoryError, Outcome};
use bailiwick::grc::Role;
use bailiwick::store::{InvitationState, Kind, Row};

use crate::world::{email, on_both, Acme};

type Ran = Result<Outcome, DirectoryError>;

/// Runs both at once.
fn race(acme: &Acme, one: (&Actor, Command), two: (&Actor, Command)) -> [Ran; 2] {
    let barrier = Arc::new(Barrier::new(2));
    std::thread::scope(|scope| {
        let threads = [one, two].map(|(actor, command)| {
            let barrier = Arc::clone(&barrier);
            scope.spawn(move || {
                barrier.wait();
                acme.world.run(actor, command)
            })
        });
        threads.map(|thread| thread.join().unwrap())
    })
}

const ROUNDS: usize = 40;

#[test]
fn the_last_seat_is_given_once() {
    on_both(|store| {
        let acme = Acme::new(store);
        acme.world.ok(&acme.owner, Command::AssignContributorSeat { member: acme.owner_id });
        for _ in 0..ROUNDS {
            let assign = |member| (&acme.owner, Command::AssignContributorSeat { member });
            let ran = race(&acme, assign(acme.admin_id), assign(acme.analyst_id));
            assert_eq!(ran.iter().filter(|r| r.is_ok()).count(), 1, "{ran:?}");
            assert_eq!(acme.world.directory.team(&acme.owner, acme.organization).unwrap().contributors, 2);
            for member in [acme.admin_id, acme.analyst_id] {
                let _ = acme.world.run(&acme.owner, Command::UnassignContributorSeat { member });
            }
        }
    });
}

#[test]
fn two_last_owners_do_not_demote_each_other() {
    on_both(|store| {
        let acme = Acme::new(store);
        let (world, second) = (&acme.world, Actor::Member(acme.admin_id));
        for round in 0..ROUNDS {
            for member in [acme.owner_id, acme.admin_id] {
                let _ = world.run(&Actor::Operator, Command::ChangeRole { member, role: Role::Owner });
            }
            let demote = |member| match round % 3 {
                0 => Command::ChangeRole { member, role: Role::Admin },
                1 => Command::DeactivateMember { member },
                _ => Command::ChangeRole { member, role: Role::Viewer },
            };
            let ran = race(&acme, (&acme.owner, demote(acme.admin_id)), (&second, demote(acme.owner_id)));
            assert_eq!(ran.iter().filter(|r| r.is_ok()).count(), 1, "{ran:?}");
            let rows = [acme.owner_id, acme.admin_id].map(|id| world.member_row(id));
            assert_eq!(rows.iter().filter(|m| m.active && m.role == Role::Owner).count(), 1);
            for member in [acme.owner_id, acme.admin_id] {
                let _ = world.run(&Actor::Operator, Command::ReactivateMember { member });
            }
        }
    });
}

#[test]
fn a_link_is_used_once_or_ended_and_never_both() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        for round in 0..ROUNDS {
            let invite = Command::InviteMember {
                organization: acme.organization,
                email: email(&format!("r{round}@x.test")),
                role: Role::Viewer,
            };
            let sent = world.ok(&acme.owner, invite).invitation().unwrap();
            let link = world.outbox.newest(sent);
            let accept = || (&Actor::Bearer, Command::AcceptInvitation { link: link.clone() });
            let (against, ends) = match round % 3 {
                0 => ((&acme.owner, Command::CancelInvitation { invitation: sent }), InvitationState::Cancelled),
                1 => ((&acme.owner, Command::ResendInvitation { invitation: sent }), InvitationState::Pending),
                _ => (accept(), InvitationState::Accepted),
            };
            let ran = race(&acme, accept(), against);
            assert_eq!(ran.iter().filter(|r| r.is_ok()).count(), 1, "round {round}: {ran:?}");
            let Some(Row::Invitation(row)) = world.row(Kind::Invitation, sent) else { panic!() };
            let expected = if ran[0].is_ok() { InvitationState::Accepted } else { ends };
            assert_eq!(row.state, expected, "round {round}: {ran:?}");
            let members = world.directory.team(&acme.owner, acme.organization).unwrap().members;
            let found = members.iter().filter(|m| m.email == email(&format!("r{round}@x.test"))).count();
            assert_eq!(found, usize::from(expected == InvitationState::Accepted), "round {round}");
        }
    });
}

#[test]
fn whoever_is_deactivated_while_an_invitation_is_accepted_is_active_once() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        for round in 0..ROUNDS {
            let address = email(&format!("twice{round}@x.test"));
            let old = world.member(acme.organization, address.as_str(), Role::Viewer);
            world.ok(&acme.owner, Command::DeactivateMember { member: old });
            let invite =
                Command::InviteMember { organization: acme.organization, email: address.clone(), role: Role::Viewer };
            let link = world.outbox.newest(world.ok(&acme.owner, invite).invitation().unwrap());
            let back = (&acme.owner, Command::ReactivateMember { member: old });
            let ran = race(&acme, (&Actor::Bearer, Command::AcceptInvitation { link }), back);
            assert_eq!(ran.iter().filter(|r| r.is_ok()).count(), 1, "{ran:?}");
            let members = world.directory.team(&acme.owner, acme.organization).unwrap().members;
            assert_eq!(members.iter().filter(|m| m.active && m.email == address).count(), 1);
        }
    });
}
