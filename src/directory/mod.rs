//! The directory: members, invitations, seats, projects, guests, auditors and the journal, kept in a store, and an authorizer that
//! follows it.
//!
//! A command is decided by the policies on the newest state, inside the transaction that carries it out. What it changed
//! the next decision of this process sees.

mod auditors;
mod command;
mod error;
mod follow;
mod perform;
mod portal;
mod secret;
mod transfer;
mod views;
mod work;

pub use command::{Actor, Command, Delivery, Outcome};
pub use error::{Denial, DirectoryError, Refusal, Rule};
pub use portal::{OpenedLink, OpenedSession};
pub use secret::Secret;
pub use views::{Auditors, Billing, ProjectTeam, Team};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use command::Done;
use follow::{Fresh, Shared, Ticks};
use work::{Sending, Work};

use crate::authorizer::{Authorizer, Clock, SystemClock};
use crate::bundle::Bundle;
use crate::engine::Linked;
use crate::entities::{EntityError, Snapshot};
use crate::loader;
use crate::model::{Decision, Request, Revision, Timestamp};
use crate::store::{
    sha256, verify, Changed, Email, Fault, Hash, Head, Id, PasswordHash, Reading, Recorded, Store, StoreError,
};

/// A link that is to be sent.
#[derive(Debug)]
pub struct Message<'m> {
    /// To whom.
    pub address: &'m Email,
    /// The token that the link carries.
    pub link: &'m Secret,
    /// Into which organization it invites.
    pub organization: Id,
    /// The invitation; for an auditor the auditor's own id.
    pub invitation: Id,
    /// From when on it does not work.
    pub expires_at: Timestamp,
}

/// What sends links out: the application's mail, say. It is called after the command was committed, so that a link that
/// arrives works.
pub trait Sender: Send + Sync {
    /// Sends a link.
    ///
    /// # Errors
    /// When it was not sent, or may not have been. The invitation stays, and can be sent again.
    fn send(&self, message: &Message<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Sends nothing: every delivery fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSender;

impl Sender for NoSender {
    fn send(&self, _: &Message<'_>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Err("there is no sender".into())
    }
}

type Random = dyn Fn(&mut [u8]) -> Result<(), String> + Send + Sync;

/// Members, invitations, seats, projects, guests, auditors and the journal. `Send + Sync`: one is shared by all threads.
pub struct Directory {
    shared: Arc<Shared>,
    sender: Box<dyn Sender>,
    random: Box<Random>,
    invitation_life: Duration,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("store", &self.shared.store)
            .field("authorizer", &self.shared.authorizer)
            .finish()
    }
}

/// Makes a [`Directory`]: by default with the built-in policies, the system's clock, invitations of 7 days, and nothing
/// that sends links.
pub struct Builder {
    bundle: Bundle,
    clock: Box<dyn Clock>,
    sender: Box<dyn Sender>,
    random: Box<Random>,
    invitation_life: Duration,
    ticks: Box<Ticks>,
    max_staleness: Duration,
    look_every: Option<Duration>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("bundle", &self.bundle.version()).finish_non_exhaustive()
    }
}

impl Builder {
    /// Decides by `bundle`, which is to have the built-in schema.
    #[must_use]
    pub fn bundle(mut self, bundle: Bundle) -> Self {
        self.bundle = bundle;
        self
    }

    /// Takes the present instant from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Hands links to `sender`.
    #[must_use]
    pub fn sender(mut self, sender: impl Sender + 'static) -> Self {
        self.sender = Box::new(sender);
        self
    }

    /// Lets links of invitations work for so long.
    #[must_use]
    pub fn invitation_life(mut self, life: Duration) -> Self {
        self.invitation_life = life;
        self
    }

    /// Denies everything, as `stale`, once the newest state was known longer ago than this: 2 s unless said otherwise.
    #[must_use]
    pub fn max_staleness(mut self, most: Duration) -> Self {
        self.max_staleness = most;
        self
    }

    /// How often a thread of this process looks for what other processes have committed: every 10 ms unless said
    /// otherwise. With `None` there is no thread, and [`Directory::refresh`] is to be called often enough.
    #[must_use]
    pub fn look_every(mut self, every: impl Into<Option<Duration>>) -> Self {
        self.look_every = every.into();
        self
    }

    /// Takes the time that has passed from `ticks`: for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn ticks(mut self, ticks: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.ticks = Box::new(ticks);
        self
    }

    /// Takes what must be random from `fill`: for tests, that two directories draw the same ids.
    #[doc(hidden)]
    #[must_use]
    pub fn random(mut self, fill: impl Fn(&mut [u8]) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.random = Box::new(fill);
        self
    }

    /// Opens the directory in `store`, and loads it.
    ///
    /// # Errors
    /// When the store cannot be read, or what it holds breaks a rule of the entities.
    pub fn open(self, store: Arc<dyn Store>) -> Result<Directory, DirectoryError> {
        let (snapshot, head) = {
            let mut tx = store.read()?;
            (loader::load(&self.bundle, &mut *tx)?, tx.head()?)
        };
        let fresh = Arc::new(Fresh::new(self.ticks, self.max_staleness, self.look_every));
        let builder = Authorizer::builder().bundle(self.bundle).clock(self.clock).freshness(fresh.clone());
        let (sender, random, invitation_life) = (self.sender, self.random, self.invitation_life);
        let shared = Shared::new(store, builder.snapshot(snapshot)?.build(), head, fresh);
        // Loading took its time.
        shared.look()?;
        Ok(Directory { shared, sender, random, invitation_life })
    }
}

impl Directory {
    /// Begins to make one.
    pub fn builder() -> Builder {
        Builder {
            bundle: Bundle::builtin(),
            clock: Box::new(SystemClock),
            sender: Box::new(NoSender),
            random: Box::new(|bytes| getrandom::fill(bytes).map_err(|e| e.to_string())),
            invitation_life: Duration::from_secs(7 * 24 * 60 * 60),
            ticks: Box::new(follow::ticks),
            max_staleness: Duration::from_secs(2),
            look_every: Some(Duration::from_millis(10)),
        }
    }

    /// The authorizer that follows the directory, for decisions and questions. Its entities are the directory's:
    /// it refuses others.
    pub fn authorizer(&self) -> &Authorizer {
        &self.shared.authorizer
    }

    /// Decides a request on the state this process knows: its own commands', and others' as of the last
    /// [`Directory::refresh`] or command.
    pub fn is_authorized(&self, request: &Request) -> Decision {
        self.shared.authorizer.is_authorized(request)
    }

    /// Follows what other processes have committed, at once.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn refresh(&self) -> Result<Revision, DirectoryError> {
        self.shared.ready();
        self.shared.look()
    }

    /// Carries out a command, once for each key: the same command with the same key again gives what it led to before.
    ///
    /// # Errors
    /// When the policies deny it, a rule of the directory refuses it, or the store cannot be used. Nothing was changed
    /// then, unless the store's commit failed: whether it was changed then, the same command with the same key tells.
    pub fn run(&self, actor: &Actor, key: &str, command: &Command) -> Result<Outcome, DirectoryError> {
        if key.is_empty() || key.len() > 200 {
            return Err(Refusal::new(Rule::Key, "a command's key has 1 to 200 bytes").into());
        }
        let now = self.shared.authorizer.now().map_err(DirectoryError::Clock)?;
        self.shared.ready();
        let hashed = self.hashed(key, command, now)?;
        let began = self.shared.fresh().begin();
        let carried_out = self.shared.writing.take(|| self.carry_out(actor, key, command, hashed, now));
        let (mut outcome, sending) = carried_out?;
        self.shared.fresh().confirm(began);
        if let Some(sending) = sending {
            outcome.delivery = self.send(&sending);
        }
        Ok(outcome)
    }

    fn carry_out(
        &self,
        actor: &Actor,
        key: &str,
        command: &Command,
        hashed: Option<PasswordHash>,
        now: Timestamp,
    ) -> Result<(Outcome, Option<Sending>), DirectoryError> {
        let mut tx = self.shared.store.write()?;
        let state = self.shared.follow(&mut *tx)?;
        if let Some(recorded) = tx.outcome(key)? {
            return Ok((replay(tx.head()?.epoch, actor, key, command, &recorded)?, None));
        }
        let mut work = Work::new(self, tx, &state, actor, command, now);
        work.hashed = hashed;
        let mut done = work.perform(command)?;
        let Work { mut tx, changed, entries, sending, .. } = work;
        let head = tx.append(&entries, Changed::Rows(&changed))?;
        done.number = head.number;
        tx.record(key, &self.recorded(actor, command, &done)?)?.map_err(|_| StoreError::Busy)?;
        // Before the commit: rows that break a rule of the entities are refused with everything else.
        let snapshot = loader::apply(&state, &mut *tx, &changed)?.at(head.revision());
        tx.commit()?;
        self.publish(&state, snapshot, head);
        let (revision, delivery) = (head.revision(), Delivery::None);
        Ok((Outcome { revision, done, delivery, replayed: false }, sending))
    }

    fn publish(&self, state: &Linked, snapshot: Snapshot, head: Head) {
        let published = self.shared.authorizer.replace_state(|now| {
            let own = now.snapshot().revision();
            let next = if own == state.snapshot().revision() && now.bundle().version() == state.bundle().version() {
                now.with_changed(snapshot)
            } else if own >= snapshot.revision() {
                // A reader was faster.
                return Ok(now.clone());
            } else {
                Linked::new(now.bundle().clone(), snapshot)?
            };
            self.shared.known.store(Arc::new(head));
            Ok::<_, EntityError>(next)
        });
        // Only entities that do not fit a bundle that came in between; the next command or refresh says so.
        drop(published);
    }

    fn send(&self, sending: &Sending) -> Delivery {
        let message = Message {
            address: &sending.address,
            link: &sending.link,
            organization: sending.organization,
            invitation: sending.invitation,
            expires_at: sending.expires_at,
        };
        match self.sender.send(&message) {
            Ok(()) => Delivery::Sent,
            Err(error) => Delivery::Failed(crate::model::clip(error.to_string())),
        }
    }

    fn draw<const N: usize>(&self) -> Result<[u8; N], DirectoryError> {
        let mut bytes = [0; N];
        (self.random)(&mut bytes).map_err(DirectoryError::Random)?;
        Ok(bytes)
    }

    fn recorded(&self, actor: &Actor, command: &Command, done: &Done) -> Result<Recorded, DirectoryError> {
        let salt = self.draw()?;
        let outcome = serde_json::to_string(done).map_err(|e| StoreError::Other(Box::new(e)))?;
        Ok(Recorded { salt, command: hash_of(&salt, actor, command)?, outcome })
    }

    /// A new key, for a command that is not tried again.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new_key(&self) -> Result<String, DirectoryError> {
        Ok(crate::store::hex(&self.draw::<16>()?))
    }

    /// Begins to read, with the state of exactly the revision that is read.
    fn reading(&self) -> Result<(Box<dyn Reading + '_>, Arc<Linked>), DirectoryError> {
        self.shared.ready();
        let began = self.shared.fresh().begin();
        let read = self.shared.reading()?;
        self.shared.fresh().confirm(began);
        Ok(read)
    }

    /// Checks that the store is whole, and the journal: every hash, every text beside its commitment, no revision missing.
    /// Gives how many entries there are, or the first that is broken.
    ///
    /// # Errors
    /// When the store cannot be read, or is damaged.
    pub fn verify(&self) -> Result<Result<u64, Fault>, StoreError> {
        let mut tx = self.shared.store.read()?;
        tx.check()?;
        verify(&mut *tx)
    }
}

fn hash_of(salt: &[u8; 16], actor: &Actor, command: &Command) -> Result<Hash, StoreError> {
    let text = serde_json::to_vec(command).map_err(|e| StoreError::Other(Box::new(e)))?;
    let link = match command {
        Command::AcceptInvitation { link } | Command::SetPassword { link, .. } => link.expose(),
        Command::LogOut { session } => session.expose(),
        _ => "",
    };
    let actor = match actor {
        Actor::Operator => "operator".to_owned(),
        Actor::Bearer => "bearer".to_owned(),
        Actor::Member(id) | Actor::Auditor(id) => id.to_string(),
    };
    Ok(sha256(&[salt, actor.as_bytes(), &text, link.as_bytes()]))
}

/// What a key's first command led to, if this is the same.
fn replay(
    epoch: u64,
    actor: &Actor,
    key: &str,
    command: &Command,
    recorded: &Recorded,
) -> Result<Outcome, DirectoryError> {
    if hash_of(&recorded.salt, actor, command)? != recorded.command {
        return Err(DirectoryError::KeyReused(crate::model::shorten(key)));
    }
    let damaged = |_| StoreError::Damaged("an outcome is not what it should be".into());
    let done: Done = serde_json::from_str(&recorded.outcome).map_err(damaged)?;
    let delivery = done.invitation.map_or(Delivery::None, |_| Delivery::Unknown);
    Ok(Outcome { revision: Revision { epoch, number: done.number }, done, delivery, replayed: true })
}
