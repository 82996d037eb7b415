//! Races: whatever the order, no rule is broken, and both know what became of their command.

use std::sync::Arc;

use bailiwick::directory::{Actor, Command};
use bailiwick::grc::Role;
use bailiwick::store::{Email, Id, InvitationState, Kind, Member, Memory, Row, Store};

use super::hands::{Answer, Hands, Order, Processes, Threads};
use super::Launch;
use crate::world::{email, rows, sqlite, Acme, Folder, EPOCH};

/// Who races.
#[derive(Clone, Copy)]
pub enum By<'l> {
    ThreadsInMemory,
    ThreadsOnAFile,
    Processes(Launch<'l>),
}

/// A race: runs one round, and says who won, or what is wrong.
pub struct Race {
    pub name: &'static str,
    round: fn(&Acme, usize, &mut dyn Hands) -> Result<Won, String>,
}

/// Whose command was carried out.
#[derive(Clone, Copy)]
pub enum Won {
    First,
    Second,
    Both,
}

/// What some rounds led to.
#[derive(Debug, Default)]
pub struct Tally {
    /// The first alone, the second alone, both.
    pub won: [usize; 3],
    pub violations: Vec<String>,
}

pub const RACES: [Race; 7] = [
    Race { name: "the last contributor seat", round: last_seat },
    Race { name: "one link accepted twice", round: one_link_twice },
    Race { name: "accept against cancel", round: cancel },
    Race { name: "accept against resend", round: resend },
    Race { name: "two last owners demote each other", round: last_owners },
    Race { name: "accept against deactivating the inviter", round: inviter },
    Race { name: "accept against reactivating the same address", round: reactivate },
];

/// How many microseconds later one may begin: about as long as a command takes.
const LATEST: u64 = 300;

/// How many rounds run on one directory: its journal is verified after each.
const ROUNDS_OF_ONE: usize = 50;

pub fn run(race: &Race, rounds: usize, by: By<'_>) -> Tally {
    let mut tally = Tally::default();
    for begin in (0..rounds).step_by(ROUNDS_OF_ONE) {
        let folder = Folder::new();
        let store: Arc<dyn Store> = match by {
            By::ThreadsInMemory => Arc::new(Memory::new(EPOCH)),
            By::ThreadsOnAFile | By::Processes(_) => sqlite(&folder),
        };
        let acme = Acme::new(store);
        let mut hands: Box<dyn Hands + '_> = match by {
            By::Processes(launch) => Box::new(Processes::new(launch, folder.file().to_str().unwrap())),
            _ => Box::new(Threads(&acme.world)),
        };
        for round in begin..rounds.min(begin + ROUNDS_OF_ONE) {
            let won = (race.round)(&acme, round, &mut *hands).and_then(|won| verified(&acme).map(|()| won));
            match won {
                Ok(won) => tally.won[won as usize] += 1,
                Err(what) => tally.violations.push(format!("{}, round {round}: {what}", race.name)),
            }
        }
    }
    tally
}

fn verified(acme: &Acme) -> Result<(), String> {
    match acme.world.directory.verify() {
        Ok(Ok(_)) => Ok(()),
        other => Err(format!("the journal: {other:?}")),
    }
}

fn holds(what: bool, told: impl FnOnce() -> String) -> Result<(), String> {
    if what {
        Ok(())
    } else {
        Err(told())
    }
}

/// Lets both act, in an order that changes from round to round, one a little later than the other. No answer is an error, and every command that was
/// carried out is one revision.
fn raced(
    hands: &mut dyn Hands,
    acme: &Acme,
    round: usize,
    one: (&Actor, Command),
    two: (&Actor, Command),
) -> Result<[Answer; 2], String> {
    let number = || acme.world.store.read().unwrap().head().unwrap().number;
    let before = number();
    let mut random = fastrand::Rng::with_seed(round as u64);
    let mut order = |who: usize, (actor, command): (&Actor, Command)| Order {
        key: format!("race-{round}-{who}"),
        after: random.u64(0..=LATEST),
        actor: actor.clone(),
        command,
    };
    let mut orders = [order(0, one), order(1, two)];
    let swapped = round % 2 == 1;
    if swapped {
        orders.reverse();
    }
    let mut answers = hands.race(orders);
    if swapped {
        answers.reverse();
    }
    let mut done: Vec<u64> = answers.iter().filter_map(|answer| answer.ran.clone().ok()).collect();
    done.sort_unstable();
    let expected: Vec<u64> = (before + 1..=number()).collect();
    holds(done == expected, || format!("revisions {expected:?} of {answers:?}"))?;
    let error = answers.iter().any(|answer| matches!(&answer.ran, Err(rule) if rule.starts_with("error")));
    holds(!error, || format!("{answers:?}"))?;
    Ok(answers)
}

/// Exactly one was carried out, and the other refused by one of these rules.
fn one_of_two(answers: &[Answer; 2], rules: &[&str]) -> Result<Won, String> {
    let refused = |answer: &Answer| answer.ran.as_ref().is_err_and(|rule| rules.contains(&rule.as_str()));
    match answers {
        [one, two] if one.ran.is_ok() && refused(two) => Ok(Won::First),
        [one, two] if refused(one) && two.ran.is_ok() => Ok(Won::Second),
        other => Err(format!("{other:?}")),
    }
}

fn members(acme: &Acme) -> Vec<Member> {
    let member = |row| match row {
        Row::Member(member) => Some(member),
        _ => None,
    };
    rows(&*acme.world.store).into_iter().filter_map(member).collect()
}

fn members_of(acme: &Acme, address: &Email) -> Vec<Member> {
    members(acme).into_iter().filter(|member| member.email == *address).collect()
}

fn invited(acme: &Acme, by: &Actor, round: usize) -> (Id, Email) {
    let address = email(&format!("race{round}@x.test"));
    let organization = acme.organization;
    let invite = Command::InviteMember { organization, email: address.clone(), role: Role::Viewer };
    (acme.world.ok(by, invite).invitation().unwrap(), address)
}

fn accept(acme: &Acme, invitation: Id) -> (&'static Actor, Command) {
    (&Actor::Bearer, Command::AcceptInvitation { link: acme.world.outbox.newest(invitation) })
}

fn state(acme: &Acme, invitation: Id) -> InvitationState {
    match acme.world.row(Kind::Invitation, invitation) {
        Some(Row::Invitation(row)) => row.state,
        other => panic!("{other:?}"),
    }
}

/// The invitation is in this state, and its address has so many members.
fn left(acme: &Acme, invitation: Id, expected: InvitationState, address: &Email, count: usize) -> Result<(), String> {
    let (is, found) = (state(acme, invitation), members_of(acme, address).len());
    holds(is == expected && found == count, || format!("the invitation is {is:?}, {found} members"))
}

fn last_seat(acme: &Acme, round: usize, hands: &mut dyn Hands) -> Result<Won, String> {
    // Of two seats one is taken.
    let _ = acme.world.run(&acme.owner, Command::AssignContributorSeat { member: acme.owner_id });
    let assign = |member| (&acme.owner, Command::AssignContributorSeat { member });
    let answers = raced(hands, acme, round, assign(acme.admin_id), assign(acme.analyst_id))?;
    let held = members(acme).iter().filter(|member| member.active && member.contributor).count();
    holds(held == 2, || format!("{held} of 2 seats are held"))?;
    for member in [acme.admin_id, acme.analyst_id] {
        let _ = acme.world.run(&acme.owner, Command::UnassignContributorSeat { member });
    }
    one_of_two(&answers, &["no_seat"])
}

fn one_link_twice(acme: &Acme, round: usize, hands: &mut dyn Hands) -> Result<Won, String> {
    let (invitation, address) = invited(acme, &acme.owner, round);
    let answers = raced(hands, acme, round, accept(acme, invitation), accept(acme, invitation))?;
    left(acme, invitation, InvitationState::Accepted, &address, 1)?;
    one_of_two(&answers, &["link"])
}

fn cancel(acme: &Acme, round: usize, hands: &mut dyn Hands) -> Result<Won, String> {
    let (invitation, address) = invited(acme, &acme.owner, round);
    let cancel = (&acme.owner, Command::CancelInvitation { invitation });
    let answers = raced(hands, acme, round, accept(acme, invitation), cancel)?;
    let won = one_of_two(&answers, &["link", "state"])?;
    match won {
        Won::First => left(acme, invitation, InvitationState::Accepted, &address, 1)?,
        _ => left(acme, invitation, InvitationState::Cancelled, &address, 0)?,
    }
    Ok(won)
}

fn resend(acme: &Acme, round: usize, hands: &mut dyn Hands) -> Result<Won, String> {
    let (invitation, address) = invited(acme, &acme.owner, round);
    let resend = (&acme.owner, Command::ResendInvitation { invitation });
    let answers = raced(hands, acme, round, accept(acme, invitation), resend)?;
    let won = one_of_two(&answers, &["link", "state"])?;
    if let Won::Second = won {
        left(acme, invitation, InvitationState::Pending, &address, 0)?;
        let link = answers[1].link.clone().ok_or("no link was sent")?;
        acme.world.ok(&Actor::Bearer, Command::AcceptInvitation { link });
    }
    left(acme, invitation, InvitationState::Accepted, &address, 1)?;
    Ok(won)
}

fn last_owners(acme: &Acme, round: usize, hands: &mut dyn Hands) -> Result<Won, String> {
    let both = [acme.owner_id, acme.admin_id];
    for member in both {
        let _ = acme.world.run(&Actor::Operator, Command::ReactivateMember { member });
        let _ = acme.world.run(&Actor::Operator, Command::ChangeRole { member, role: Role::Owner });
    }
    let demote = |member| match round % 3 {
        0 => Command::ChangeRole { member, role: Role::Admin },
        1 => Command::DeactivateMember { member },
        _ => Command::ChangeRole { member, role: Role::Viewer },
    };
    let answers = raced(hands, acme, round, (&acme.owner, demote(both[1])), (&acme.admin, demote(both[0])))?;
    let owners = members(acme).iter().filter(|member| member.active && member.role == Role::Owner).count();
    holds(owners == 1, || format!("{owners} active Owners"))?;
    one_of_two(&answers, &["denied", "last_administrator"])
}

fn inviter(acme: &Acme, round: usize, hands: &mut dyn Hands) -> Result<Won, String> {
    let _ = acme.world.run(&acme.owner, Command::ReactivateMember { member: acme.admin_id });
    let (invitation, address) = invited(acme, &acme.admin, round);
    let deactivate = (&acme.owner, Command::DeactivateMember { member: acme.admin_id });
    let answers = raced(hands, acme, round, accept(acme, invitation), deactivate)?;
    match [&answers[0].ran, &answers[1].ran] {
        // Whoever is deactivated grants nothing afterwards.
        [Ok(accepted), Ok(deactivated)] if accepted < deactivated => {
            left(acme, invitation, InvitationState::Accepted, &address, 1).map(|()| Won::Both)
        }
        [Err(rule), Ok(_)] if rule == "inviter_cannot_grant" => {
            left(acme, invitation, InvitationState::Pending, &address, 0).map(|()| Won::Second)
        }
        _ => Err(format!("{answers:?}")),
    }
}

fn reactivate(acme: &Acme, round: usize, hands: &mut dyn Hands) -> Result<Won, String> {
    let address = email(&format!("race{round}@x.test"));
    let old = acme.world.member(acme.organization, address.as_str(), Role::Viewer);
    acme.world.ok(&acme.owner, Command::DeactivateMember { member: old });
    let (invitation, _) = invited(acme, &acme.owner, round);
    let back = (&acme.owner, Command::ReactivateMember { member: old });
    let answers = raced(hands, acme, round, accept(acme, invitation), back)?;
    let active = members_of(acme, &address).iter().filter(|member| member.active).count();
    holds(active == 1, || format!("{active} active members of one address"))?;
    one_of_two(&answers, &["already_member"])
}
