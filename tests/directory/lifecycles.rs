//! Each lifecycle as a machine: from every state every command, with the clock one tick before, at and after the
//! boundaries.

use bailiwick::directory::{Actor, Command, DirectoryError, Rule, Secret};
use bailiwick::grc::Role;
use bailiwick::store::{Id, InvitationState, Kind, Row};

use crate::world::{email, on_both, Acme, DAY, START};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Accept,
    AcceptOld,
    Resend,
    Cancel,
    InviteAgain,
}

const STEPS: [Step; 5] = [Step::Accept, Step::AcceptOld, Step::Resend, Step::Cancel, Step::InviteAgain];

/// What should happen, told apart from the directory's own code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Model {
    state: InvitationState,
    expires_at: i64,
    /// Whether the newest link was made before a resend.
    resent: bool,
    /// Whether another invitation of the address is pending, and until when.
    other: Option<i64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Done,
    Link,
    Rule(Rule),
}

impl Model {
    fn step(&mut self, step: Step, now: i64) -> Expected {
        use InvitationState::{Accepted, Cancelled, Expired, Pending};
        let state = if self.state == Pending && now >= self.expires_at { Expired } else { self.state };
        let member = self.state == Accepted;
        match step {
            Step::Accept if state == Pending => {
                self.state = Accepted;
                Expected::Done
            }
            Step::Accept | Step::AcceptOld if step == Step::Accept || self.resent => Expected::Link,
            // There was no resend: the old link is the newest.
            Step::Accept | Step::AcceptOld => self.step(Step::Accept, now),
            Step::Resend if matches!(state, Pending | Expired) => {
                if self.other.is_some() {
                    return Expected::Rule(Rule::AlreadyInvited);
                }
                (self.state, self.expires_at, self.resent) = (Pending, now + 7 * DAY, true);
                Expected::Done
            }
            Step::Resend => Expected::Rule(Rule::State),
            Step::Cancel if state == Pending => {
                self.state = Cancelled;
                Expected::Done
            }
            Step::Cancel => Expected::Rule(Rule::State),
            Step::InviteAgain if member => Expected::Rule(Rule::AlreadyMember),
            Step::InviteAgain if state == Pending => Expected::Rule(Rule::AlreadyInvited),
            Step::InviteAgain if self.other.is_some_and(|until| now < until) => Expected::Rule(Rule::AlreadyInvited),
            Step::InviteAgain => {
                if state == Expired {
                    self.state = Expired;
                }
                self.other = Some(now + 7 * DAY);
                Expected::Done
            }
        }
    }
}

#[test]
fn an_invitation_moves_along_its_arrows_only_at_every_boundary() {
    let offsets = [0, 7 * DAY - 1, 7 * DAY, 7 * DAY + 1];
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let mut case = 0;
        let mut met = std::collections::BTreeSet::new();
        // The clock does not go back: each case begins where the one before ended.
        for first in STEPS {
            for second in STEPS {
                for third in STEPS {
                    let number = case;
                    let offset = |n: u32| offsets[(number / 4_usize.pow(n)) % 4];
                    case += 1;
                    let address = email(&format!("case{case}@acme.test"));
                    let invite =
                        |role| Command::InviteMember { organization: acme.organization, email: address.clone(), role };
                    let mut now = world.clock.forward(1);
                    let sent = world.ok(&acme.owner, invite(Role::Viewer)).invitation().unwrap();
                    let oldest = world.outbox.newest(sent);
                    let mut model = Model {
                        state: InvitationState::Pending,
                        expires_at: now + 7 * DAY,
                        resent: false,
                        other: None,
                    };
                    let mut told = format!("case {case}");
                    for (step, n) in [first, second, third].into_iter().zip(0..) {
                        // At a boundary of the link that is the newest.
                        let boundary = model.expires_at - 7 * DAY + offset(n);
                        if boundary > now {
                            now = world.clock.forward(boundary - now);
                        }
                        let link = |secret: Secret| (Actor::Bearer, Command::AcceptInvitation { link: secret });
                        let (actor, command) = match step {
                            Step::Accept => link(world.outbox.newest(sent)),
                            Step::AcceptOld => link(oldest.clone()),
                            Step::Resend => (acme.owner.clone(), Command::ResendInvitation { invitation: sent }),
                            Step::Cancel => (acme.owner.clone(), Command::CancelInvitation { invitation: sent }),
                            Step::InviteAgain => (acme.owner.clone(), invite(Role::Member)),
                        };
                        told += &format!(", {step:?} at {}", now - START);
                        // Once another is pending it is the address's; what then happens to it is another case's.
                        if model.other.is_some() && matches!(step, Step::Accept | Step::AcceptOld) {
                            break;
                        }
                        let expected = model.step(step, now);
                        let met_now = match world.run(&actor, command) {
                            Ok(_) => Expected::Done,
                            Err(DirectoryError::Link) => Expected::Link,
                            Err(DirectoryError::Refused(refusal)) => Expected::Rule(refusal.rule()),
                            Err(other) => panic!("{told}: {other:?}"),
                        };
                        assert_eq!(met_now, expected, "{told}");
                        met.insert(format!("{step:?} {expected:?}"));
                        let Some(Row::Invitation(row)) = world.row(Kind::Invitation, sent) else { panic!("{told}") };
                        assert_eq!(row.state, model.state, "{told}");
                        assert_eq!(row.expires_at.millis(), model.expires_at, "{told}");
                        assert_eq!(row.link.is_some(), model.state == InvitationState::Pending, "{told}");
                    }
                }
            }
        }
        // Every step was met with every answer it can have.
        let expected = [
            "Accept Done",
            "Accept Link",
            "AcceptOld Done",
            "AcceptOld Link",
            "Cancel Done",
            "Cancel Rule(State)",
            "InviteAgain Done",
            "InviteAgain Rule(AlreadyInvited)",
            "InviteAgain Rule(AlreadyMember)",
            "Resend Done",
            "Resend Rule(AlreadyInvited)",
            "Resend Rule(State)",
        ];
        assert_eq!(met.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    });
}

#[test]
fn a_link_works_until_one_tick_before_seven_days_and_once() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let send = |address: &str| {
            let invite =
                Command::InviteMember { organization: acme.organization, email: email(address), role: Role::Viewer };
            world.ok(&acme.owner, invite).invitation().unwrap()
        };
        let accept =
            |sent: Id| world.run(&Actor::Bearer, Command::AcceptInvitation { link: world.outbox.newest(sent) });
        let (in_time, late) = (send("in-time@acme.test"), send("late@acme.test"));
        world.clock.set(START + 7 * DAY - 1);
        assert!(accept(in_time).is_ok());
        assert!(matches!(accept(in_time), Err(DirectoryError::Link)));
        world.clock.set(START + 7 * DAY);
        assert!(matches!(accept(late), Err(DirectoryError::Link)));
        assert_eq!(
            world.directory.team(&acme.owner, acme.organization).unwrap().invitations[0].state,
            InvitationState::Expired
        );
        world.ok(&acme.owner, Command::ResendInvitation { invitation: late });
        assert_eq!(
            world.directory.team(&acme.owner, acme.organization).unwrap().invitations[0].state,
            InvitationState::Pending
        );
        world.clock.set(START + 14 * DAY - 1);
        assert!(accept(late).is_ok());
    });
}

/// What a member's state answers to each command: done, or the rule.
#[test]
fn a_member_moves_along_its_arrows_only() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let mut random = fastrand::Rng::with_seed(5);
        let member = acme.analyst_id;
        for round in 0..400 {
            let before = world.member_row(member);
            let (command, changes, refused): (Command, bool, Option<Rule>) = match random.usize(0..8) {
                0 => (Command::DeactivateMember { member }, before.active, None),
                1 => (Command::ReactivateMember { member }, !before.active, None),
                2 => (Command::SetComplianceTeam { member, on: true }, !before.compliance_team, None),
                3 => (Command::SetComplianceTeam { member, on: false }, before.compliance_team, None),
                4 if !before.active => (Command::AssignContributorSeat { member }, false, Some(Rule::State)),
                4 => (Command::AssignContributorSeat { member }, !before.contributor, None),
                5 => (Command::UnassignContributorSeat { member }, before.contributor, None),
                6 => (Command::ResetMfa { member }, !before.mfa_reset, None),
                _ => (Command::ChangeRole { member, role: Role::Viewer }, before.role != Role::Viewer, None),
            };
            let expected = if changes { None } else { Some(refused.unwrap_or(Rule::AsItIs)) };
            let met = world.run(&acme.admin, command.clone()).err().map(|error| error.rule().expect("a rule"));
            assert_eq!(met, expected, "round {round}, {command:?} on {before:?}");
            assert_eq!(world.member_row(member) != before, changes, "round {round}, {command:?} on {before:?}");
        }
    });
}
