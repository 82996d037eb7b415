//! What commands do, are denied and refuse, and what the next decision sees.

use bailiwick::directory::{Actor, Command, Delivery, DirectoryError, Rule};
use bailiwick::grc::{self, Action, Role};
use bailiwick::store::{Id, InvitationState, Kind, Plan, Row};
use bailiwick::EntityUid;

use crate::world::{email, id, name, on_both, own, Acme, World, PLAN};

fn allowed(world: &World, principal: &EntityUid, action: Action, resource: EntityUid) -> bool {
    world.directory.is_authorized(&grc::request(principal.clone(), action, resource)).allowed()
}

fn invite(acme: &Acme, address: &str, role: Role) -> Command {
    Command::InviteMember { organization: acme.organization, email: email(address), role }
}

#[test]
fn what_a_command_changes_the_next_decision_sees() {
    on_both(|store| {
        let acme = Acme::new(store);
        let (world, eli) = (&acme.world, Kind::Member.uid(acme.analyst_id));
        let organization = Kind::Organization.uid(acme.organization);
        let project = Kind::Project.uid(acme.project);
        let may = |action, resource: &EntityUid| allowed(world, &eli, action, resource.clone());
        assert!(may(Action::ViewOrganization, &organization) && !may(Action::ViewTeam, &organization));
        world.ok(&acme.owner, Command::ChangeRole { member: acme.analyst_id, role: Role::Admin });
        assert!(may(Action::ViewTeam, &organization));
        world.ok(&acme.owner, Command::ChangeRole { member: acme.analyst_id, role: Role::Viewer });
        assert!(!may(Action::ViewProject, &project));
        world.ok(&acme.admin, Command::AddToProject { project: acme.project, member: acme.analyst_id });
        assert!(may(Action::ViewProject, &project) && !may(Action::RunGapAnalysis, &project));
        world.ok(&acme.admin, Command::AssignContributorSeat { member: acme.analyst_id });
        assert!(may(Action::RunGapAnalysis, &project));
        world.ok(&acme.admin, Command::RemoveFromProject { project: acme.project, member: acme.analyst_id });
        assert!(!may(Action::RunGapAnalysis, &project));
        world.ok(&acme.admin, Command::SetComplianceTeam { member: acme.analyst_id, on: true });
        assert!(may(Action::ReceiveNotification, &organization));
        world.ok(&acme.admin, Command::DeactivateMember { member: acme.analyst_id });
        assert!(!may(Action::ViewOrganization, &organization));
        world.ok(&acme.admin, Command::ReactivateMember { member: acme.analyst_id });
        assert!(may(Action::ReceiveNotification, &organization));
        let outcome = world.ok(&acme.admin, Command::RemoveMember { member: acme.analyst_id });
        assert!(!may(Action::ViewOrganization, &organization));
        assert_eq!(world.directory.authorizer().snapshot().revision(), outcome.revision());
        assert_eq!(world.row(Kind::Member, acme.analyst_id), None);
    });
}

#[test]
fn a_denied_command_changes_nothing_and_brings_the_decision() {
    on_both(|store| {
        let acme = Acme::new(store);
        let before = acme.world.store.read().unwrap().head().unwrap();
        let world = &acme.world;
        assert_eq!(world.denied(&acme.analyst, invite(&acme, "x@acme.test", Role::Viewer)), [""; 0]);
        assert_eq!(world.denied(&acme.admin, invite(&acme, "x@acme.test", Role::Owner)), ["team.owner-role"]);
        let (member, role) = (acme.owner_id, Role::Viewer);
        assert_eq!(world.denied(&acme.admin, Command::ChangeRole { member, role }), ["team.owner-access"]);
        assert_eq!(world.denied(&acme.admin, Command::DeactivateMember { member }), ["team.owner-access"]);
        assert_eq!(world.denied(&acme.owner, Command::ChangeRole { member, role }), ["team.not-oneself"]);
        let stranger = Command::ChangeRole { member: id(9), role };
        match world.run(&acme.owner, stranger) {
            Err(error @ DirectoryError::Denied(_)) => assert!(error.decision().unwrap().indeterminate()),
            other => panic!("{other:?}"),
        }
        // Whoever was deactivated or is nobody commands nothing.
        for actor in [Actor::Member(id(9)), Actor::Bearer] {
            assert!(world.run(&actor, invite(&acme, "x@acme.test", Role::Viewer)).is_err());
        }
        assert_eq!(world.store.read().unwrap().head().unwrap(), before);
        assert_eq!(world.outbox.len(), 3);
    });
}

#[test]
fn organizations_are_walled_off_from_each_other() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let (other, first) = world.organization(PLAN);
        let stranger = Actor::Member(world.accept(first));
        let wall = ["wall.tenant-content"];
        assert_eq!(world.denied(&stranger, Command::DeactivateMember { member: acme.analyst_id }), wall);
        assert_eq!(world.denied(&stranger, Command::AssignContributorSeat { member: acme.analyst_id }), wall);
        assert_eq!(world.denied(&stranger, invite(&acme, "x@x.test", Role::Viewer)), ["wall.tenant-organization"]);
        let theirs = own(&world.ok(&stranger, Command::CreateProject { organization: other, name: name("Theirs") }));
        assert_eq!(
            world.rule(&stranger, Command::AddToProject { project: theirs, member: acme.analyst_id }),
            Rule::Unknown
        );
        assert!(world.directory.team(&stranger, acme.organization).is_err());
        assert!(world.directory.team(&acme.analyst, acme.organization).is_err());
        assert_eq!(world.directory.team(&acme.admin, acme.organization).unwrap().members.len(), 3);
    });
}

#[test]
fn the_operator_alone_makes_organizations_and_plans_and_is_named_so() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let make = |role| Command::CreateOrganization { name: name("New"), plan: PLAN, email: email("a@b.test"), role };
        assert_eq!(world.rule(&acme.owner, make(Role::Owner)), Rule::OperatorOnly);
        assert_eq!(world.rule(&Actor::Operator, make(Role::Viewer)), Rule::FirstRole);
        world.ok(&Actor::Operator, make(Role::Admin));
        let plan = Plan { contributor_seats: 1, ..PLAN };
        let set = Command::SetPlan { organization: acme.organization, plan };
        assert_eq!(world.rule(&acme.owner, set.clone()), Rule::OperatorOnly);
        world.ok(&Actor::Operator, set.clone());
        assert_eq!(world.rule(&Actor::Operator, set), Rule::AsItIs);
        for command in
            [Command::RecordMfaLockout { member: acme.analyst_id }, Command::RecordMfaSetup { member: acme.analyst_id }]
        {
            assert_eq!(world.rule(&acme.owner, command), Rule::OperatorOnly);
        }
    });
}

#[test]
fn an_msp_admin_makes_clients_and_assigns_technicians() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let msp_admin = Actor::Member(world.member(acme.organization, "mia@acme.test", Role::MspAdmin));
        let technician = world.member(acme.organization, "tom@acme.test", Role::MspTechnician);
        let make = |msp, role| Command::CreateClientOrganization {
            msp,
            name: name("Client"),
            email: email("c@client.test"),
            role,
        };
        assert_eq!(world.denied(&acme.owner, make(acme.organization, Role::Owner)), [""; 0]);
        assert_eq!(world.rule(&msp_admin, make(acme.organization, Role::Employee)), Rule::FirstRole);
        let outcome = world.ok(&msp_admin, make(acme.organization, Role::Admin));
        let client = own(&outcome);
        let first = world.accept(outcome.invitation().unwrap());
        assert_eq!(world.member_row(first).organization, client);
        assert_eq!(world.member_row(first).role, Role::Admin);

        let tom = Kind::Member.uid(technician);
        assert!(!allowed(world, &tom, Action::AccessPsa, Kind::Organization.uid(client)));
        let assign = |technician| Command::AssignTechnician { technician, client };
        let unassign = |technician| Command::UnassignTechnician { technician, client };
        assert_eq!(world.denied(&Actor::Member(first), assign(technician)), [""; 0]);
        assert_eq!(world.denied(&msp_admin, assign(acme.analyst_id)), [""; 0]);
        assert_eq!(world.rule(&Actor::Operator, assign(acme.analyst_id)), Rule::NotTechnician);
        world.ok(&msp_admin, assign(technician));
        assert!(allowed(world, &tom, Action::AccessPsa, Kind::Organization.uid(client)));
        assert_eq!(world.rule(&msp_admin, assign(technician)), Rule::AsItIs);
        // Somebody whose role has changed can still be unassigned.
        world.ok(&acme.owner, Command::ChangeRole { member: technician, role: Role::Employee });
        world.ok(&msp_admin, unassign(technician));
        assert_eq!(world.rule(&msp_admin, unassign(technician)), Rule::AsItIs);

        // A client has no clients, and another organization's client is none of the MSP's.
        let of_client =
            Command::InviteMember { organization: client, email: email("m@client.test"), role: Role::MspAdmin };
        let invited = world.ok(&Actor::Member(first), of_client).invitation().unwrap();
        let theirs = Actor::Member(world.accept(invited));
        assert_eq!(world.rule(&theirs, make(client, Role::Owner)), Rule::Misplaced);
        let (other, _) = world.organization(PLAN);
        world.ok(&acme.owner, Command::ChangeRole { member: technician, role: Role::MspTechnician });
        let far = Command::AssignTechnician { technician, client: other };
        assert_eq!(world.denied(&msp_admin, far.clone()), ["wall.tenant-organization"]);
        assert_eq!(world.rule(&Actor::Operator, far), Rule::Misplaced);
    });
}

#[test]
fn contributor_seats_are_never_more_than_the_plan_has() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let assign = |member| Command::AssignContributorSeat { member };
        let seats = || world.directory.team(&acme.owner, acme.organization).unwrap().contributors;
        world.ok(&acme.owner, assign(acme.owner_id));
        world.ok(&acme.admin, assign(acme.analyst_id));
        assert_eq!((seats(), world.rule(&acme.admin, assign(acme.admin_id))), (2, Rule::NoSeat));
        world.ok(&acme.admin, Command::DeactivateMember { member: acme.analyst_id });
        assert_eq!(seats(), 1);
        world.ok(&acme.admin, assign(acme.admin_id));
        let outcome = world.ok(&acme.admin, Command::ReactivateMember { member: acme.analyst_id });
        assert!(outcome.without_seat());
        assert!(!world.member_row(acme.analyst_id).contributor);
        assert_eq!(seats(), 2);
        world.ok(&acme.admin, Command::UnassignContributorSeat { member: acme.admin_id });
        world.ok(&acme.admin, assign(acme.analyst_id));
        world.ok(&acme.admin, Command::DeactivateMember { member: acme.analyst_id });
        assert_eq!(world.rule(&acme.admin, assign(acme.analyst_id)), Rule::State);
        let outcome = world.ok(&acme.admin, Command::ReactivateMember { member: acme.analyst_id });
        assert!(!outcome.without_seat() && world.member_row(acme.analyst_id).contributor);
        world.ok(&acme.admin, Command::RemoveMember { member: acme.analyst_id });
        assert_eq!(seats(), 1);
        let set = |contributor_seats| {
            let plan = Plan { contributor_seats, ..PLAN };
            Command::SetPlan { organization: acme.organization, plan }
        };
        assert_eq!(world.rule(&Actor::Operator, set(0)), Rule::NoSeat);
        world.ok(&Actor::Operator, set(1));
    });
}

#[test]
fn deactivation_loses_nothing() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        world.ok(&acme.owner, Command::AddToProject { project: acme.project, member: acme.analyst_id });
        world.ok(&acme.owner, Command::SetComplianceTeam { member: acme.analyst_id, on: true });
        world.ok(&acme.owner, Command::AssignContributorSeat { member: acme.analyst_id });
        world.ok(&Actor::Operator, Command::RecordMfaLockout { member: acme.analyst_id });
        let before = world.member_row(acme.analyst_id);
        world.ok(&acme.owner, Command::DeactivateMember { member: acme.analyst_id });
        assert_eq!(world.rule(&acme.owner, Command::DeactivateMember { member: acme.analyst_id }), Rule::AsItIs);
        world.ok(&acme.owner, Command::ReactivateMember { member: acme.analyst_id });
        assert_eq!(world.member_row(acme.analyst_id), before);
    });
}

#[test]
fn two_factor_states_are_recorded_cleared_and_required() {
    on_both(|store| {
        let acme = Acme::new(store);
        let (world, member) = (&acme.world, acme.admin_id);
        let state = || (world.member_row(member).mfa_locked_at.is_some(), world.member_row(member).mfa_reset);
        assert_eq!(world.rule(&acme.owner, Command::ClearMfaLockout { member }), Rule::AsItIs);
        world.ok(&Actor::Operator, Command::RecordMfaLockout { member });
        assert_eq!(state(), (true, false));
        assert_eq!(world.denied(&acme.admin, Command::ClearMfaLockout { member }), ["team.not-oneself"]);
        world.ok(&acme.owner, Command::ClearMfaLockout { member });
        world.ok(&acme.owner, Command::ResetMfa { member });
        assert_eq!(state(), (false, true));
        world.ok(&Actor::Operator, Command::RecordMfaSetup { member });
        assert_eq!(state(), (false, false));
        assert_eq!(world.denied(&acme.admin, Command::ResetMfa { member: acme.owner_id }), ["team.owner-access"]);
        world.ok(&Actor::Operator, Command::RecordMfaLockout { member: acme.owner_id });
        // An Owner's lockout an Admin may clear.
        world.ok(&acme.admin, Command::ClearMfaLockout { member: acme.owner_id });
    });
}

#[test]
fn a_guest_sees_one_project_and_is_managed_by_those_who_manage_it() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let other = own(
            &world.ok(&acme.owner, Command::CreateProject { organization: acme.organization, name: name("Other") })
        );
        let invite = Command::InviteGuest { project: acme.project, email: email("gus@else.test") };
        assert_eq!(world.denied(&acme.analyst, invite.clone()), ["wall.project-member"]);
        let sent = world.ok(&acme.admin, invite.clone()).invitation().unwrap();
        assert_eq!(world.rule(&acme.admin, invite.clone()), Rule::AlreadyInvited);
        let page = world.directory.project_team(&acme.admin, acme.project).unwrap();
        assert_eq!((page.invitations.len(), page.guests.len()), (1, 0));
        let guest = world.accept(sent);
        let gus = Kind::Guest.uid(guest);
        let sees = |project| allowed(world, &gus, Action::ViewProject, Kind::Project.uid(project));
        assert!(sees(acme.project) && !sees(other));
        assert_eq!(world.denied(&acme.analyst, Command::DeactivateGuest { guest }), ["wall.project-member"]);
        world.ok(&acme.admin, Command::DeactivateGuest { guest });
        assert!(!sees(acme.project));
        // Meanwhile the same address came again: one active guest of an address.
        let again = world.accept(world.ok(&acme.admin, invite).invitation().unwrap());
        assert_eq!(world.rule(&acme.admin, Command::ReactivateGuest { guest }), Rule::AlreadyMember);
        world.ok(&acme.admin, Command::RemoveGuest { guest: again });
        world.ok(&acme.admin, Command::ReactivateGuest { guest });
        assert!(sees(acme.project));
        assert_eq!(world.directory.project_team(&acme.admin, acme.project).unwrap().guests.len(), 1);
        // A guest uses no seat, and is no member.
        assert_eq!(world.directory.team(&acme.admin, acme.organization).unwrap().members.len(), 3);
    });
}

#[test]
fn billing_counts_who_may_enter_psa_and_blocks_nobody() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let billing = || world.directory.billing(&acme.owner, acme.organization).unwrap();
        let row = |b: bailiwick::directory::Billing| {
            (b.used, b.bundled, b.overage, b.monthly_total, b.after_update, b.warning())
        };
        // Owner and Admin; the Analyst does not enter PSA.
        assert_eq!(row(billing()), (2, 2, 0, 9800, None, None));
        let rita = world.member(acme.organization, "rita@acme.test", Role::ReadOnly);
        world.member(acme.organization, "vera@acme.test", Role::Viewer);
        assert_eq!(row(billing()), (3, 2, 1, 9800, Some(14_700), Some("Over plan limit")));
        world.ok(&acme.admin, Command::DeactivateMember { member: rita });
        assert_eq!(row(billing()), (2, 2, 0, 9800, None, None));
        assert!(world.directory.billing(&acme.analyst, acme.organization).is_err());
    });
}

#[test]
fn a_key_acts_once_and_tells_what_it_led_to() {
    on_both(|store| {
        let acme = Acme::new(store);
        let (world, sent) = (&acme.world, acme.world.outbox.len());
        let command = invite(&acme, "new@acme.test", Role::Viewer);
        let first = world.directory.run(&acme.admin, "k", &command).unwrap();
        assert_eq!((first.replayed(), first.delivery()), (false, &Delivery::Sent));
        let again = world.directory.run(&acme.admin, "k", &command).unwrap();
        assert_eq!((again.replayed(), again.delivery()), (true, &Delivery::Unknown));
        assert_eq!(
            (again.revision(), again.target(), again.invitation()),
            (first.revision(), first.target(), first.invitation())
        );
        assert_eq!(world.outbox.len(), sent + 1);
        let reused = |actor: &Actor, command: &Command| world.directory.run(actor, "k", command);
        assert!(matches!(reused(&acme.owner, &command), Err(DirectoryError::KeyReused(_))));
        let other = invite(&acme, "other@acme.test", Role::Viewer);
        assert!(matches!(reused(&acme.admin, &other), Err(DirectoryError::KeyReused(_))));
        // What was denied or refused is decided again.
        let assign = Command::AssignContributorSeat { member: acme.analyst_id };
        assert!(world.directory.run(&acme.analyst, "d", &assign).is_err());
        world.ok(&acme.owner, Command::ChangeRole { member: acme.analyst_id, role: Role::Admin });
        assert!(world.directory.run(&acme.analyst, "d", &assign).is_ok());
        // A link is part of what a key stands for.
        let link = world.outbox.newest(first.invitation().unwrap());
        let accept = |link| Command::AcceptInvitation { link };
        let made = world.directory.run(&Actor::Bearer, "a", &accept(link.clone())).unwrap();
        assert_eq!(world.directory.run(&Actor::Bearer, "a", &accept(link)).unwrap().target(), made.target());
        let wrong = bailiwick::directory::Secret::new("0".repeat(96));
        assert!(matches!(world.directory.run(&Actor::Bearer, "a", &accept(wrong)), Err(DirectoryError::KeyReused(_))));
    });
}

#[test]
fn an_invitation_is_accepted_only_while_its_inviter_could_send_it() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        let by_admin = world.ok(&acme.admin, invite(&acme, "one@acme.test", Role::Admin)).invitation().unwrap();
        world.ok(&acme.owner, Command::ChangeRole { member: acme.admin_id, role: Role::Viewer });
        let accept = |sent: Id| Command::AcceptInvitation { link: world.outbox.newest(sent) };
        assert_eq!(world.rule(&Actor::Bearer, accept(by_admin)), Rule::InviterCannotGrant);
        // Another one sends it again, and is from then on the inviter.
        world.ok(&acme.owner, Command::ResendInvitation { invitation: by_admin });
        let one = world.accept(by_admin);
        assert_eq!(world.member_row(one).role, Role::Admin);

        let owner = world.ok(&acme.owner, invite(&acme, "two@acme.test", Role::Owner)).invitation().unwrap();
        assert_eq!(
            world.denied(&Actor::Member(one), Command::ResendInvitation { invitation: owner }),
            ["team.owner-invitation"]
        );
        assert_eq!(
            world.denied(&Actor::Member(one), Command::CancelInvitation { invitation: owner }),
            ["team.owner-invitation"]
        );
        let second = world.accept(owner);
        let third =
            world.ok(&Actor::Member(second), invite(&acme, "three@acme.test", Role::Owner)).invitation().unwrap();
        world.ok(&acme.owner, Command::RemoveMember { member: second });
        assert_eq!(world.rule(&Actor::Bearer, accept(third)), Rule::InviterCannotGrant);
    });
}

#[test]
fn whoever_is_a_member_is_not_invited_and_accepts_no_second_membership() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        assert_eq!(world.rule(&acme.owner, invite(&acme, "ELI@acme.test", Role::Viewer)), Rule::AlreadyMember);
        world.ok(&acme.owner, Command::DeactivateMember { member: acme.analyst_id });
        let sent = world.ok(&acme.owner, invite(&acme, "ELI@acme.test", Role::Viewer)).invitation().unwrap();
        assert_eq!(world.rule(&acme.owner, invite(&acme, "eli@ACME.test", Role::Admin)), Rule::AlreadyInvited);
        world.ok(&acme.owner, Command::ReactivateMember { member: acme.analyst_id });
        let accept = Command::AcceptInvitation { link: world.outbox.newest(sent) };
        assert_eq!(world.rule(&Actor::Bearer, accept.clone()), Rule::AlreadyMember);
        world.ok(&acme.owner, Command::DeactivateMember { member: acme.analyst_id });
        world.ok(&Actor::Bearer, accept);
        assert_eq!(world.rule(&acme.owner, Command::ReactivateMember { member: acme.analyst_id }), Rule::AlreadyMember);
        match world.row(Kind::Invitation, sent) {
            Some(Row::Invitation(row)) => assert_eq!((row.state, row.link), (InvitationState::Accepted, None)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_directory_is_exported_and_imported_without_secrets() {
    on_both(|store| {
        let acme = Acme::new(store);
        let world = &acme.world;
        world.ok(&acme.owner, Command::AddToProject { project: acme.project, member: acme.analyst_id });
        world.ok(&acme.owner, Command::AssignContributorSeat { member: acme.analyst_id });
        let sent = world.ok(&acme.owner, Command::InviteGuest { project: acme.project, email: email("g@else.test") });
        let mut text = Vec::new();
        world.directory.export(&mut text).unwrap();
        let link = world.outbox.newest(sent.invitation().unwrap());
        assert!(!String::from_utf8(text.clone()).unwrap().contains(&link.expose()[32..]));
        on_both(|store| {
            let copy = World::new(store);
            let (count, revision) = copy.directory.import(&text[..]).unwrap();
            assert_eq!((count, revision.number), (text.split(|b| *b == b'\n').count() - 1, 1));
            let mut again = Vec::new();
            copy.directory.export(&mut again).unwrap();
            assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8(text.clone()).unwrap());
            assert!(copy.directory.team(&acme.admin, acme.organization).is_ok());
            // The link does not work there, and is sent again.
            let accept = Command::AcceptInvitation { link: link.clone() };
            assert!(matches!(copy.run(&Actor::Bearer, accept), Err(DirectoryError::Link)));
            copy.ok(&acme.owner, Command::ResendInvitation { invitation: sent.invitation().unwrap() });
            copy.accept(sent.invitation().unwrap());
            assert_eq!(copy.directory.import(&text[..]).unwrap_err().rule(), Some(Rule::State));
        });
        // All or nothing, with the line.
        on_both(|store| {
            let copy = World::new(store);
            let mut bad = text.clone();
            bad.extend_from_slice(&text);
            let error = copy.directory.import(&bad[..]).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("line {}: organization", text.split(|b| *b == b'\n').count())),
                "{error}"
            );
            assert_eq!(copy.store.read().unwrap().head().unwrap().number, 0);
            copy.directory.import(&text[..]).unwrap();
        });
    });
}
