//! `bailiwick directory`: the directory's file, its commands and what it shows.

use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use bailiwick::directory::{Actor, Command, Delivery, Directory, DirectoryError, Message, Outcome, Secret, Sender};
use bailiwick::grc::Role;
use bailiwick::store::{Email, Filter, Id, Logged, Name, Period, Plan, Sqlite, StoreError, Target};
use bailiwick::{EntityUid, Timestamp};
use clap::Subcommand;
use serde_json::json;

use crate::inputs::open;
use crate::{text, unusable, Format};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The directory's file
    #[arg(long, global = true)]
    directory: Option<PathBuf>,
    /// Act as this member, such as 'Grc::Member::"…"'
    #[arg(long, global = true, conflicts_with = "operator")]
    actor: Option<EntityUid>,
    /// Act as the operator, outside the policies
    #[arg(long, global = true)]
    operator: bool,
    /// The key of this command: with the same one again nothing is done twice [default: a new one]
    #[arg(long, global = true)]
    key: Option<String>,
    #[arg(long, global = true, value_enum, default_value = "text")]
    format: Format,
    #[command(subcommand)]
    what: What,
}

/// An id, bare or in a uid.
#[derive(Clone, Copy)]
struct Of(Id);

impl FromStr for Of {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = text.parse::<EntityUid>().map_or_else(|_| text.to_owned(), |uid| uid.id().to_owned());
        id.parse().map(Of).map_err(|e: bailiwick::store::IdError| e.to_string())
    }
}

fn role(text: &str) -> Result<Role, String> {
    let known = || Role::ALL.map(Role::id).join(", ");
    Role::from_id(text).ok_or_else(|| format!("expected one of {}", known()))
}

fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "expected a form such as `2026-03-01T09:30:00Z`".into())
}

#[derive(clap::Args)]
struct PlanArgs {
    /// PSA seats that the price includes
    #[arg(long, default_value_t = 0)]
    bundled_seats: u32,
    /// The price of a seat and month, in cents
    #[arg(long, default_value_t = 0)]
    seat_cents: u32,
    /// Contributor seats
    #[arg(long, default_value_t = 0)]
    contributor_seats: u32,
}

impl PlanArgs {
    fn plan(&self) -> Plan {
        let Self { bundled_seats, seat_cents, contributor_seats } = *self;
        Plan { bundled_seats, seat_cents, contributor_seats }
    }
}

#[derive(Subcommand)]
enum What {
    /// Make an empty directory
    Init,
    /// Fill an empty directory with rows, one JSON object on each line
    Import { rows: PathBuf },
    /// Write all rows, for `import`
    Export,
    /// Show an organization's team, or a project's with --project
    Show {
        organization: Option<Of>,
        #[arg(long, conflicts_with = "organization")]
        project: Option<Of>,
    },
    /// Show an organization's seats and what they cost
    Billing { organization: Of },
    /// Show the journal
    Journal {
        #[arg(long)]
        organization: Option<Of>,
        /// Only entries about this uid
        #[arg(long)]
        target: Option<EntityUid>,
        /// Only entries of this uid, or of `operator`
        #[arg(long)]
        by: Option<String>,
        /// Only entries from this instant on
        #[arg(long, value_parser = instant)]
        from: Option<Timestamp>,
        /// Only entries before this instant
        #[arg(long, value_parser = instant)]
        until: Option<Timestamp>,
    },
    /// Check the journal's chain. Exits with 1 if an entry is broken
    Verify,
    /// Make an organization, and invite its first Owner or Admin
    CreateOrganization {
        name: Name,
        #[arg(long)]
        email: Email,
        #[arg(long, value_parser = role, default_value = "OWNER")]
        role: Role,
        #[command(flatten)]
        plan: PlanArgs,
    },
    /// Make a client of an MSP, and invite its first Owner or Admin
    CreateClientOrganization {
        msp: Of,
        name: Name,
        #[arg(long)]
        email: Email,
        #[arg(long, value_parser = role, default_value = "OWNER")]
        role: Role,
    },
    /// Note what an organization has bought
    SetPlan {
        organization: Of,
        #[command(flatten)]
        plan: PlanArgs,
    },
    /// Invite a member
    InviteMember {
        organization: Of,
        email: Email,
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Invite a guest to a project
    InviteGuest { project: Of, email: Email },
    /// Send an invitation again, with a new link
    ResendInvitation { invitation: Of },
    /// Take an invitation back
    CancelInvitation { invitation: Of },
    /// Accept an invitation; the link's token is read from standard input
    AcceptInvitation,
    /// Give a member another role
    ChangeRole {
        member: Of,
        #[arg(value_parser = role)]
        role: Role,
    },
    /// Deactivate a member
    DeactivateMember { member: Of },
    /// Reactivate a member
    ReactivateMember { member: Of },
    /// Remove a member for good
    RemoveMember { member: Of },
    /// Put a member on the compliance team, or with --off take it off
    SetComplianceTeam {
        member: Of,
        #[arg(long)]
        off: bool,
    },
    /// Give a member a contributor seat
    AssignContributorSeat { member: Of },
    /// Take a contributor seat away
    UnassignContributorSeat { member: Of },
    /// Note that a member's two-factor login is locked
    RecordMfaLockout { member: Of },
    /// End a member's two-factor lockout
    ClearMfaLockout { member: Of },
    /// Require a member to set two-factor login up anew
    ResetMfa { member: Of },
    /// Note that a member did
    RecordMfaSetup { member: Of },
    /// Assign an MSP Technician to a client
    AssignTechnician { technician: Of, client: Of },
    /// End that
    UnassignTechnician { technician: Of, client: Of },
    /// Make a project
    CreateProject { organization: Of, name: Name },
    /// Add a member to a project
    AddToProject { project: Of, member: Of },
    /// Take a member off a project
    RemoveFromProject { project: Of, member: Of },
    /// Deactivate a guest
    DeactivateGuest { guest: Of },
    /// Reactivate a guest
    ReactivateGuest { guest: Of },
    /// Remove a guest for good
    RemoveGuest { guest: Of },
    /// Show an organization's auditors, and the log of their invitations
    Auditors { organization: Of },
    /// Invite an external auditor
    InviteAuditor {
        organization: Of,
        name: Name,
        email: Email,
        firm: Name,
        /// From when on neither link nor login works
        #[arg(long, value_parser = instant)]
        expires_at: Timestamp,
        /// The first instant of the audit period
        #[arg(long, value_parser = instant, requires = "period_to")]
        period_from: Option<Timestamp>,
        /// The last instant of the audit period
        #[arg(long, value_parser = instant, requires = "period_from")]
        period_to: Option<Timestamp>,
    },
    /// Make a new link for an auditor
    ResendAuditorInvitation { auditor: Of },
    /// End an auditor's link, login and sessions for good
    RevokeAuditor { auditor: Of },
    /// Set an auditor's password; standard input has the link's token on its first line, the password on the second
    SetPassword,
    /// Begin an auditor's session; the password is read from standard input
    LogIn { auditor: Of },
    /// End an auditor's session; its token is read from standard input
    LogOut,
    /// Put a request to an auditor
    CreateAuditRequest { organization: Of, auditor: Of, title: Name },
    /// Approve an audit request, as the auditor
    ApproveAuditRequest { request: Of },
    /// Flag an audit request, as the auditor
    FlagAuditRequest { request: Of },
    /// Erase the names and addresses beside an entry of the journal, such as 12.0
    EraseTexts { entry: String },
}

/// Hands links to whoever runs the command.
#[derive(Clone, Default)]
struct Printer(Arc<Mutex<Vec<(String, String)>>>);

impl Sender for Printer {
    fn send(&self, message: &Message<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let sent = (message.address.as_str().to_owned(), message.link.expose().to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        Ok(())
    }
}

impl Args {
    fn path(&self) -> Result<&PathBuf, String> {
        self.directory.as_ref().ok_or_else(|| "`--directory FILE` is missing".into())
    }

    fn actor(&self) -> Result<Actor, String> {
        match (&self.actor, self.operator) {
            (None, true) => Ok(Actor::Operator),
            (Some(uid), _) => {
                let id = uid.id().parse().map_err(|e: bailiwick::store::IdError| e.to_string())?;
                match uid.type_name() {
                    "Grc::Member" => Ok(Actor::Member(id)),
                    "Grc::Auditor" => Ok(Actor::Auditor(id)),
                    _ => Err(format!("`{uid}` is no member and no auditor")),
                }
            }
            (None, false) => Err("`--actor UID` or `--operator` is missing".into()),
        }
    }
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> std::io::Result<u8> {
    match carry_out(args, out)? {
        Ok(code) => Ok(code),
        Err(Failed::Input(message)) => Ok(unusable(&message)),
        Err(Failed::Directory(error)) => {
            let refused = matches!(
                error,
                DirectoryError::Denied(_) | DirectoryError::Refused(_) | DirectoryError::Link | DirectoryError::Login
            );
            match (&args.directory, &error) {
                (Some(path), DirectoryError::Store(error)) => unusable(&of_file(path, error)),
                _ => unusable(&error),
            };
            Ok(if refused { 1 } else { 2 })
        }
    }
}

/// An error of the directory's file, named.
pub(crate) fn of_file(path: &Path, error: &StoreError) -> String {
    use StoreError::{Exists, Foreign, Newer, NotFound, Refused};
    match error {
        Exists(_) | Foreign(_) | Newer { .. } | NotFound(_) | Refused(_) => error.to_string(),
        error => format!("`{}`: {error}", path.display()),
    }
}

enum Failed {
    Input(String),
    Directory(DirectoryError),
}

impl From<String> for Failed {
    fn from(message: String) -> Self {
        Failed::Input(message)
    }
}

impl From<DirectoryError> for Failed {
    fn from(error: DirectoryError) -> Self {
        Failed::Directory(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Failed::Directory(error.into())
    }
}

fn carry_out(args: &Args, out: &mut dyn Write) -> std::io::Result<Result<u8, Failed>> {
    macro_rules! ok {
        ($result:expr) => {
            match $result {
                Ok(value) => value,
                Err(error) => return Ok(Err(error.into())),
            }
        };
    }
    let path = ok!(args.path());
    if let What::Init = args.what {
        ok!(Sqlite::create_new(path));
        writeln!(out, "made {}", path.display())?;
        return Ok(Ok(0));
    }
    let printer = Printer::default();
    let store = Arc::new(ok!(Sqlite::open(path)));
    let directory = ok!(Directory::builder().sender(printer.clone()).open(store));
    let json = args.format == Format::Json;
    match &args.what {
        What::Verify => match ok!(directory.verify()) {
            Ok(entries) if json => writeln!(out, "{}", json!({"entries": entries, "broken": null}))?,
            Ok(entries) => writeln!(
                out,
                "{}: the chain is whole",
                text::count(usize::try_from(entries).unwrap_or(usize::MAX), "entry", "entries")
            )?,
            Err(fault) => {
                let (at, message) = (format!("{}.{}", fault.number, fault.place), fault.message);
                match json {
                    true => writeln!(out, "{}", json!({"broken": {"entry": at, "message": message}}))?,
                    false => writeln!(out, "entry {at} is broken: {message}")?,
                }
                return Ok(Ok(1));
            }
        },
        What::Import { rows } => {
            if args.actor().ok() != Some(Actor::Operator) {
                return Ok(Err("an import is for the operator: give `--operator`".to_owned().into()));
            }
            let (count, revision) = ok!(directory.import(BufReader::with_capacity(1 << 20, ok!(open(rows)))));
            writeln!(out, "{}, revision {}", text::count(count, "row", "rows"), revision.number)?;
        }
        What::Export => match ok!(args.actor()) {
            Actor::Operator => ok!(directory.export(out)),
            _ => return Ok(Err("an export is for the operator: give `--operator`".to_owned().into())),
        },
        What::Show { organization: None, project: None } => {
            return Ok(Err("which organization, or with `--project` which project?".to_owned().into()))
        }
        What::Show { project: Some(of), .. } => {
            let team = ok!(directory.project_team(&ok!(args.actor()), of.0));
            if json {
                let whole = json!({"project": team.project, "members": team.members, "guests": team.guests, "invitations": team.invitations});
                writeln!(out, "{whole}")?;
                return Ok(Ok(0));
            }
            writeln!(out, "Project {} ({})", team.project.name.as_str(), team.project.id)?;
            for member in &team.members {
                self::member(out, member)?;
            }
            for guest in &team.guests {
                let away = if guest.active { "" } else { ", deactivated" };
                writeln!(out, "  Guest {} {}{away}", guest.id, guest.email.as_str())?;
            }
            team.invitations.iter().try_for_each(|row| invitation(out, row))?;
        }
        What::Show { organization: Some(of), .. } => {
            let team = ok!(directory.team(&ok!(args.actor()), of.0));
            let seats = team.organization.plan.contributor_seats;
            if json {
                let whole = json!({"organization": team.organization, "members": team.members, "invitations": team.invitations, "contributors": team.contributors});
                writeln!(out, "{whole}")?;
                return Ok(Ok(0));
            }
            writeln!(out, "Organization {} ({})", team.organization.name.as_str(), team.organization.id)?;
            writeln!(out, "{} of {seats} contributors", team.contributors)?;
            team.members.iter().try_for_each(|row| member(out, row))?;
            team.invitations.iter().try_for_each(|row| invitation(out, row))?;
        }
        What::Billing { organization } => {
            let billing = ok!(directory.billing(&ok!(args.actor()), organization.0));
            if json {
                let whole = json!({"used": billing.used, "bundled": billing.bundled, "overage": billing.overage,
                    "monthly_total": billing.monthly_total, "after_update": billing.after_update, "warning": billing.warning()});
                writeln!(out, "{whole}")?;
                return Ok(Ok(0));
            }
            writeln!(out, "{} of {} bundled seats used", billing.used, billing.bundled)?;
            writeln!(out, "Monthly Total {}", money(billing.monthly_total))?;
            if let (Some(warning), Some(after)) = (billing.warning(), billing.after_update) {
                writeln!(out, "{warning} by {}; After update {}", billing.overage, money(after))?;
            }
        }
        What::Auditors { organization } => {
            let found = ok!(directory.auditors(&ok!(args.actor()), organization.0));
            for auditor in &found.auditors {
                match json {
                    true => writeln!(out, "{}", json!({"auditor": auditor}))?,
                    false => {
                        let (name, email, firm) =
                            (auditor.name.as_str(), auditor.email.as_str(), auditor.firm.as_str());
                        let (status, until) = (auditor.status.id(), auditor.expires_at);
                        writeln!(out, "Auditor {} {name} {email}, {firm}, {status}, until {until}", auditor.id)?;
                    }
                }
            }
            found.log.iter().try_for_each(|logged| entry(out, logged, json))?;
        }
        What::LogIn { auditor } => {
            let password = Secret::new(ok!(line()));
            let session = ok!(directory.log_in(auditor.0, &password));
            match json {
                true => writeln!(
                    out,
                    "{}",
                    json!({"token": session.token.expose(), "expires_at": session.expires_at.to_string()})
                )?,
                false => writeln!(out, "session until {}: {}", session.expires_at, session.token.expose())?,
            }
        }
        What::Journal { organization, target, by, from, until } => {
            let filter = Filter {
                organization: organization.map(|of| of.0),
                target: target.as_ref().map(ToString::to_string),
                actor: by.clone(),
                from: *from,
                until: *until,
            };
            for logged in ok!(directory.journal(&ok!(args.actor()), &filter)) {
                entry(out, &logged, json)?;
            }
        }
        what => {
            let command = ok!(command(what));
            let actor = match command {
                Command::AcceptInvitation { .. } | Command::SetPassword { .. } | Command::LogOut { .. } => {
                    Actor::Bearer
                }
                _ => ok!(args.actor()),
            };
            let key = match &args.key {
                Some(key) => key.clone(),
                None => ok!(directory.new_key()),
            };
            let outcome = ok!(directory.run(&actor, &key, &command));
            let sent = printer.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
            told(out, &outcome, sent, json)?;
        }
    }
    Ok(Ok(0))
}

/// A line of standard input.
fn line() -> Result<String, String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|e| format!("standard input cannot be read: {e}"))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn command(what: &What) -> Result<Command, String> {
    Ok(match what {
        What::CreateOrganization { name, email, role, plan } => {
            Command::CreateOrganization { name: name.clone(), plan: plan.plan(), email: email.clone(), role: *role }
        }
        What::CreateClientOrganization { msp, name, email, role } => {
            Command::CreateClientOrganization { msp: msp.0, name: name.clone(), email: email.clone(), role: *role }
        }
        What::SetPlan { organization, plan } => Command::SetPlan { organization: organization.0, plan: plan.plan() },
        What::InviteMember { organization, email, role } => {
            Command::InviteMember { organization: organization.0, email: email.clone(), role: *role }
        }
        What::InviteGuest { project, email } => Command::InviteGuest { project: project.0, email: email.clone() },
        What::ResendInvitation { invitation } => Command::ResendInvitation { invitation: invitation.0 },
        What::CancelInvitation { invitation } => Command::CancelInvitation { invitation: invitation.0 },
        What::AcceptInvitation => Command::AcceptInvitation { link: Secret::new(line()?) },
        What::ChangeRole { member, role } => Command::ChangeRole { member: member.0, role: *role },
        What::DeactivateMember { member } => Command::DeactivateMember { member: member.0 },
        What::ReactivateMember { member } => Command::ReactivateMember { member: member.0 },
        What::RemoveMember { member } => Command::RemoveMember { member: member.0 },
        What::SetComplianceTeam { member, off } => Command::SetComplianceTeam { member: member.0, on: !off },
        What::AssignContributorSeat { member } => Command::AssignContributorSeat { member: member.0 },
        What::UnassignContributorSeat { member } => Command::UnassignContributorSeat { member: member.0 },
        What::RecordMfaLockout { member } => Command::RecordMfaLockout { member: member.0 },
        What::ClearMfaLockout { member } => Command::ClearMfaLockout { member: member.0 },
        What::ResetMfa { member } => Command::ResetMfa { member: member.0 },
        What::RecordMfaSetup { member } => Command::RecordMfaSetup { member: member.0 },
        What::AssignTechnician { technician, client } => {
            Command::AssignTechnician { technician: technician.0, client: client.0 }
        }
        What::UnassignTechnician { technician, client } => {
            Command::UnassignTechnician { technician: technician.0, client: client.0 }
        }
        What::CreateProject { organization, name } => {
            Command::CreateProject { organization: organization.0, name: name.clone() }
        }
        What::AddToProject { project, member } => Command::AddToProject { project: project.0, member: member.0 },
        What::RemoveFromProject { project, member } => {
            Command::RemoveFromProject { project: project.0, member: member.0 }
        }
        What::DeactivateGuest { guest } => Command::DeactivateGuest { guest: guest.0 },
        What::ReactivateGuest { guest } => Command::ReactivateGuest { guest: guest.0 },
        What::RemoveGuest { guest } => Command::RemoveGuest { guest: guest.0 },
        What::InviteAuditor { organization, name, email, firm, expires_at, period_from, period_to } => {
            let period = period_from.zip(*period_to).map(|(from, to)| Period { from, to });
            let (organization, name, firm) = (organization.0, name.clone(), firm.clone());
            Command::InviteAuditor { organization, name, email: email.clone(), firm, period, expires_at: *expires_at }
        }
        What::ResendAuditorInvitation { auditor } => Command::ResendAuditorInvitation { auditor: auditor.0 },
        What::RevokeAuditor { auditor } => Command::RevokeAuditor { auditor: auditor.0 },
        What::SetPassword => Command::SetPassword { link: Secret::new(line()?), password: Secret::new(line()?) },
        What::LogOut => Command::LogOut { session: Secret::new(line()?) },
        What::CreateAuditRequest { organization, auditor, title } => {
            Command::CreateAuditRequest { organization: organization.0, auditor: auditor.0, title: title.clone() }
        }
        What::ApproveAuditRequest { request } => Command::ApproveAuditRequest { request: request.0 },
        What::FlagAuditRequest { request } => Command::FlagAuditRequest { request: request.0 },
        What::EraseTexts { entry } => {
            let parts = entry.split_once('.').and_then(|(n, p)| Some((n.parse().ok()?, p.parse().ok()?)));
            let (number, place) = parts.ok_or("an entry is named as the journal does, such as 12.0")?;
            Command::EraseTexts { number, place }
        }
        _ => return Err("this is no command of the directory".into()),
    })
}

fn told(out: &mut dyn Write, outcome: &Outcome, sent: Option<(String, String)>, json: bool) -> std::io::Result<()> {
    let target = outcome.target().map(|uid| uid.to_string());
    if json {
        let invitation = outcome.invitation().map(|id| id.to_string());
        let link = sent.map(|(address, link)| json!({"address": address, "token": link}));
        let whole = json!({"revision": outcome.revision().number, "target": target, "invitation": invitation,
            "without_seat": outcome.without_seat(), "replayed": outcome.replayed(), "link": link});
        return writeln!(out, "{whole}");
    }
    let before = if outcome.replayed() { "done before" } else { "done" };
    writeln!(out, "{before}, revision {}: {}", outcome.revision().number, target.unwrap_or_default())?;
    if outcome.without_seat() {
        writeln!(out, "no contributor seat is free: the member is back without one")?;
    }
    match (outcome.delivery(), sent) {
        (_, Some((address, link))) => writeln!(out, "send to {address}: {link}"),
        (Delivery::Unknown, None) => writeln!(out, "the link is not told again; `resend-invitation` makes another"),
        _ => Ok(()),
    }
}

fn member(out: &mut dyn Write, member: &bailiwick::store::Member) -> std::io::Result<()> {
    let mut line = format!("  Member {} {} {}", member.id, member.email.as_str(), text::role(member.role.id()));
    for (says, on) in [
        (", deactivated", !member.active),
        (", compliance team", member.compliance_team),
        (", contributor", member.contributor),
        (", two-factor login locked", member.mfa_locked_at.is_some()),
        (", two-factor login to be set up", member.mfa_reset),
    ] {
        line += if on { says } else { "" };
    }
    writeln!(out, "{line}")
}

fn invitation(out: &mut dyn Write, row: &bailiwick::store::Invitation) -> std::io::Result<()> {
    let to = match row.target {
        Target::Role(role) => text::role(role.id()),
        Target::Project(_) => "guest".into(),
    };
    let (email, state, until) = (row.email.as_str(), row.state.id(), row.expires_at);
    writeln!(out, "  Invitation {} {email} {to}, {state}, link until {until}", row.id)
}

fn entry(out: &mut dyn Write, logged: &Logged, json: bool) -> std::io::Result<()> {
    let entry = &logged.entry;
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    if json {
        let texts: serde_json::Map<_, _> =
            entry.private.iter().map(|private| (private.name.clone(), json!(private.text))).collect();
        let whole = json!({"entry": format!("{}.{}", logged.number, logged.place), "at": entry.at.to_string(),
            "actor": entry.actor, "action": entry.action, "organization": entry.organization, "target": entry.target,
            "details": value(&entry.details), "decision": value(&entry.decision), "texts": texts});
        return writeln!(out, "{whole}");
    }
    let target = entry.target.as_deref().unwrap_or_default();
    writeln!(out, "{}.{} {} {} {} {target}", logged.number, logged.place, entry.at, entry.actor, entry.action)?;
    for private in &entry.private {
        let text = private.text.as_deref().unwrap_or("(erased)");
        writeln!(out, "    {}: {text}", private.name)?;
    }
    let details = value(&entry.details);
    match (details.get("from"), details.get("to")) {
        (Some(from), Some(to)) => writeln!(out, "    {from} -> {to}")?,
        _ => writeln!(out, "    {details}")?,
    }
    let policies = value(&entry.decision);
    let ids: Vec<&str> = policies
        .get("policies")
        .and_then(serde_json::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|id| id.as_str())
        .collect();
    match ids.is_empty() {
        true => Ok(()),
        false => writeln!(out, "    by {}", ids.join(", ")),
    }
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
