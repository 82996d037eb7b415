//! Commands about external auditors, and theirs.

use super::command::{Actor, Done};
use super::error::{DirectoryError, Rule};
use super::secret::{self, Secret, Token};
use super::work::{refusal, refuse, Sending, Step, Work};
use crate::loader;
use crate::model::grc::Action;
use crate::model::{Resource, Timestamp};
use crate::store::{
    Answer, AuditRequest, Auditor, AuditorStatus, Email, Id, Kind, Name, Period, Reading, Row, Session,
};

/// What is said of a new auditor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Invited<'c> {
    pub(super) name: &'c Name,
    pub(super) email: &'c Email,
    pub(super) firm: &'c Name,
    pub(super) period: Option<Period>,
    pub(super) expires_at: Timestamp,
}

impl Work<'_> {
    pub(super) fn auditor(&mut self, id: Id) -> Step<Auditor> {
        match self.tx.get(Kind::Auditor, id)? {
            Some(Row::Auditor(row)) => Ok(row),
            _ => refuse(Rule::Unknown, format!("there is no auditor `{id}`")),
        }
    }

    pub(super) fn invite_auditor(&mut self, organization: Id, invited: Invited<'_>) -> Step<Done> {
        self.permit(Action::InviteAuditor, Kind::Organization.uid(organization))?;
        self.organization(organization)?;
        let Invited { name, email, firm, period, expires_at } = invited;
        if period.is_some_and(|period| period.from > period.to) {
            return refuse(Rule::Period, "the audit period ends before it begins");
        }
        if expires_at <= self.now {
            return refuse(Rule::Period, format!("the invitation would have expired at {expires_at}"));
        }
        // One that has expired is in nobody's way.
        if let Some(old) = self.pending_auditor(organization, email)? {
            if old.expires_at <= self.now {
                let new = Auditor { status: AuditorStatus::Revoked, link: None, password: None, ..old.clone() };
                self.change("expireAuditor", Some(&Row::Auditor(old)), Some(&Row::Auditor(new)))?;
            }
        }
        let id = self.new_id()?;
        let token = self.token(id)?;
        let row = Auditor {
            id,
            organization,
            name: name.clone(),
            email: email.clone(),
            firm: firm.clone(),
            period,
            expires_at,
            status: AuditorStatus::Pending,
            link: Some(token.hash()),
            password: None,
            failures: 0,
            locked_until: None,
        };
        self.send_to_auditor(&row, &token);
        self.change("inviteAuditor", None, Some(&Row::Auditor(row)))?;
        Ok(Done { invitation: Some(id), ..self.done(Kind::Auditor, id) })
    }

    fn pending_auditor(&mut self, organization: Id, email: &Email) -> Step<Option<Auditor>> {
        let mut found = None;
        self.tx.scan(Kind::Auditor, Some(organization), &mut |row| {
            match row {
                Row::Auditor(row) if row.status == AuditorStatus::Pending && row.email == *email => found = Some(row),
                _ => {}
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn send_to_auditor(&mut self, row: &Auditor, token: &Token) {
        self.sending = Some(Sending {
            address: row.email.clone(),
            link: token.secret(),
            organization: row.organization,
            invitation: row.id,
            expires_at: row.expires_at,
        });
    }

    pub(super) fn resend_auditor(&mut self, id: Id) -> Step<Done> {
        self.permit(Action::ResendAuditorInvitation, Kind::Auditor.uid(id))?;
        let old = self.auditor(id)?;
        if old.status == AuditorStatus::Revoked || old.expires_at <= self.now {
            return refuse(Rule::State, format!("auditor `{id}` is revoked or expired, and gets no link"));
        }
        let token = self.token(id)?;
        let new = Auditor { link: Some(token.hash()), ..old.clone() };
        self.send_to_auditor(&new, &token);
        self.change("resendAuditorInvitation", Some(&Row::Auditor(old)), Some(&Row::Auditor(new)))?;
        Ok(Done { invitation: Some(id), ..self.done(Kind::Auditor, id) })
    }

    pub(super) fn revoke_auditor(&mut self, id: Id) -> Step<Done> {
        self.permit(Action::RevokeAuditor, Kind::Auditor.uid(id))?;
        let old = self.auditor(id)?;
        let organization = old.organization;
        let new = Auditor { status: AuditorStatus::Revoked, link: None, password: None, ..old.clone() };
        self.change("revokeAuditor", Some(&Row::Auditor(old)), Some(&Row::Auditor(new)))?;
        self.end_sessions(organization, id)?;
        Ok(self.done(Kind::Auditor, id))
    }

    /// Ends every session of an auditor.
    fn end_sessions(&mut self, organization: Id, auditor: Id) -> Step<()> {
        let mut own = Vec::new();
        self.tx.scan(Kind::Session, Some(organization), &mut |row| {
            if matches!(&row, Row::Session(session) if session.auditor == auditor) {
                own.push(row);
            }
            Ok(())
        })?;
        for session in own {
            self.tx.remove(&session)?.map_err(|obstacle| refusal(obstacle, &session))?;
        }
        Ok(())
    }

    pub(super) fn log_out(&mut self, session: &Secret) -> Step<Done> {
        if *self.actor != Actor::Bearer {
            return refuse(Rule::ByLink, "a session is ended by whoever has its token");
        }
        let row = session_of(&mut *self.tx, session)?;
        let auditor = self.auditor(row.auditor)?;
        let row = Row::Session(row);
        self.tx.remove(&row)?.map_err(|obstacle| refusal(obstacle, &row))?;
        self.act_as(&auditor);
        let id = auditor.id;
        let auditor = Row::Auditor(auditor);
        self.change_or_log("logOut", &auditor, &auditor)?;
        Ok(self.done(Kind::Auditor, id))
    }

    /// The one use of a link: the auditor sets a password, at the first visit or after the link was sent again.
    pub(super) fn set_password(&mut self, link: &Secret, password: &Secret) -> Step<Done> {
        if *self.actor != Actor::Bearer {
            return refuse(Rule::ByLink, "a password is set by whoever has the link");
        }
        let old = auditor_by_link(&mut *self.tx, link, self.now)?;
        if !secret::is_acceptable(password) {
            return refuse(Rule::Password, "a password has at least 12 characters, and at most 1,024 bytes");
        }
        // None where the link did not work yet when it was looked at.
        let hash = self.hashed.take().ok_or(DirectoryError::Link)?;
        let new = Auditor {
            status: AuditorStatus::Active,
            link: None,
            password: Some(hash),
            failures: 0,
            locked_until: None,
            ..old.clone()
        };
        let (id, organization) = (old.id, old.organization);
        self.act_as(&old);
        self.change("setPassword", Some(&Row::Auditor(old)), Some(&Row::Auditor(new)))?;
        // Whoever had the old password is out.
        self.end_sessions(organization, id)?;
        Ok(self.done(Kind::Auditor, id))
    }

    pub(super) fn request_audit(&mut self, organization: Id, auditor: Id, title: &Name) -> Step<Done> {
        let id = self.new_id()?;
        let row =
            Row::AuditRequest(AuditRequest { id, organization, auditor, title: title.clone(), state: Answer::Open });
        let resource = loader::entity(&row).map_or_else(|| Kind::AuditRequest.uid(id).into(), Resource::from);
        self.permit(Action::ManageAuditRequest, resource)?;
        self.organization(organization)?;
        let auditor = self.auditor(auditor)?;
        if auditor.organization != organization {
            return refuse(Rule::Unknown, format!("there is no auditor `{}`", auditor.id));
        }
        if auditor.status == AuditorStatus::Revoked || auditor.expires_at <= self.now {
            return refuse(Rule::State, format!("auditor `{}` is revoked or expired", auditor.id));
        }
        self.change("createAuditRequest", None, Some(&row))?;
        Ok(self.done(Kind::AuditRequest, id))
    }

    pub(super) fn answer(&mut self, id: Id, action: Action, state: Answer) -> Step<Done> {
        let Actor::Auditor(auditor) = *self.actor else {
            return refuse(Rule::AuditorOnly, format!("`{}` is for the auditor it is put to", action.id()));
        };
        self.permit(action, Kind::AuditRequest.uid(id))?;
        let Some(Row::AuditRequest(old)) = self.tx.get(Kind::AuditRequest, id)? else {
            return refuse(Rule::Unknown, format!("there is no audit request `{id}`"));
        };
        let by = self.auditor(auditor)?;
        self.act_as(&by);
        let new = AuditRequest { state, ..old.clone() };
        self.change(action.id(), Some(&Row::AuditRequest(old)), Some(&Row::AuditRequest(new)))?;
        Ok(self.done(Kind::AuditRequest, id))
    }
}

/// The auditor whose link this is, if it works. Why it does not is not told.
pub(super) fn auditor_by_link<R: Reading + ?Sized>(tx: &mut R, link: &Secret, now: Timestamp) -> Step<Auditor> {
    let token = Token::read(link).ok_or(DirectoryError::Link)?;
    let row = match tx.get(Kind::Auditor, token.id())? {
        Some(Row::Auditor(row)) => Some(row),
        _ => None,
    };
    let right = token.is(row.as_ref().and_then(|row| row.link.as_ref()));
    let usable = |row: &Auditor| right && row.status != AuditorStatus::Revoked && now < row.expires_at;
    row.filter(usable).ok_or(DirectoryError::Link)
}

/// The session whose token this is. Why there is none is not told.
pub(super) fn session_of<R: Reading + ?Sized>(tx: &mut R, token: &Secret) -> Step<Session> {
    let token = Token::read(token).ok_or(DirectoryError::Login)?;
    let session = match tx.get(Kind::Session, token.id())? {
        Some(Row::Session(session)) => Some(session),
        _ => None,
    };
    let right = token.is(session.as_ref().map(|session| &session.token));
    session.filter(|_| right).ok_or(DirectoryError::Login)
}
