//! Two that act at once: threads of one process on one directory, or two processes on one file.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use bailiwick::directory::{Actor, Command, DirectoryError, Secret};
use bailiwick::grc::Role;

use super::{opened, say, told, Child, Launch};
use crate::world::World;

/// A command for one of the two.
pub struct Order {
    pub key: String,
    /// How many microseconds later than the other's it may begin.
    pub after: u64,
    pub actor: Actor,
    pub command: Command,
}

/// What became of it.
#[derive(Debug)]
pub struct Answer {
    /// The revision, or the rule that refused it.
    pub ran: Result<u64, String>,
    /// The link that was sent.
    pub link: Option<Secret>,
}

pub trait Hands {
    /// Lets both act at once.
    fn race(&mut self, orders: [Order; 2]) -> [Answer; 2];
}

/// Threads of one process.
pub struct Threads<'w>(pub &'w World);

impl Hands for Threads<'_> {
    fn race(&mut self, orders: [Order; 2]) -> [Answer; 2] {
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            let threads = orders.map(|order| {
                let (barrier, world) = (&barrier, self.0);
                scope.spawn(move || {
                    barrier.wait();
                    carry_out(world, &order)
                })
            });
            threads.map(|thread| thread.join().unwrap())
        })
    }
}

/// Two processes, each with a directory of its own on the same file.
pub struct Processes([Child; 2]);

impl Processes {
    pub fn new(launch: Launch<'_>, path: &str) -> Self {
        let mut children = [(); 2].map(|()| Child::begin(launch, &["hand", path]));
        for child in &mut children {
            assert_eq!(child.hear().as_deref(), Some("ready"));
        }
        Self(children)
    }
}

impl Hands for Processes {
    fn race(&mut self, orders: [Order; 2]) -> [Answer; 2] {
        let Self([one, two]) = self;
        let [first, second] = orders.map(|order| written(&order));
        one.tell(&first);
        two.tell(&second);
        [one, two].map(|child| answered(&child.hear().expect("a process of the race has ended")))
    }
}

/// What a process of a race does.
pub fn child(path: &str) {
    // Other ids than any other process draws.
    let world = World::seeded(opened(path), u64::from(std::process::id()) << 32);
    say("ready");
    for line in told() {
        let Answer { ran, link } = carry_out(&world, &read(&line));
        let link = link.as_ref().map_or("-", |link| link.expose());
        match ran {
            Ok(number) => say(&format!("ok {number} {link}")),
            Err(rule) => say(&format!("no {rule}")),
        }
    }
}

fn carry_out(world: &World, order: &Order) -> Answer {
    // A sleeping thread wakes up too late for such times.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_micros(order.after) {
        std::hint::spin_loop();
    }
    match world.directory.run(&order.actor, &order.key, &order.command) {
        Ok(outcome) => {
            let link = outcome.invitation().map(|id| world.outbox.newest(id));
            Answer { ran: Ok(outcome.revision().number), link }
        }
        Err(error) => Answer { ran: Err(told_as(&error)), link: None },
    }
}

fn told_as(error: &DirectoryError) -> String {
    match error {
        DirectoryError::Denied(_) => "denied".into(),
        DirectoryError::Link => "link".into(),
        error => error.rule().map_or(format!("error: {error}"), |rule| rule.as_str().into()),
    }
}

// ------------------------------------------------------------ as lines

fn written(order: &Order) -> String {
    let actor = match order.actor {
        Actor::Bearer => "bearer".into(),
        Actor::Member(id) => id.to_string(),
        ref other => panic!("{other:?} is in no race"),
    };
    let rest = match &order.command {
        Command::AssignContributorSeat { member } | Command::DeactivateMember { member } => member.to_string(),
        Command::ReactivateMember { member } => member.to_string(),
        Command::CancelInvitation { invitation } | Command::ResendInvitation { invitation } => invitation.to_string(),
        Command::AcceptInvitation { link } => link.expose().to_owned(),
        Command::ChangeRole { member, role } => format!("{member} {}", role.id()),
        other => panic!("{other:?} is in no race"),
    };
    format!("{} {} {actor} {} {rest}", order.key, order.after, order.command.name())
}

fn read(line: &str) -> Order {
    let words: Vec<&str> = line.split(' ').collect();
    let id = |text: &str| text.parse().unwrap();
    let command = match words[3..] {
        ["assignContributorSeat", member] => Command::AssignContributorSeat { member: id(member) },
        ["deactivateMember", member] => Command::DeactivateMember { member: id(member) },
        ["reactivateMember", member] => Command::ReactivateMember { member: id(member) },
        ["cancelInvitation", invitation] => Command::CancelInvitation { invitation: id(invitation) },
        ["resendInvitation", invitation] => Command::ResendInvitation { invitation: id(invitation) },
        ["acceptInvitation", link] => Command::AcceptInvitation { link: Secret::new(link) },
        ["changeRole", member, role] => Command::ChangeRole { member: id(member), role: Role::from_id(role).unwrap() },
        _ => panic!("`{line}` is no command of a race"),
    };
    let actor = match words[2] {
        "bearer" => Actor::Bearer,
        member => Actor::Member(id(member)),
    };
    Order { key: words[0].to_owned(), after: words[1].parse().unwrap(), actor, command }
}

fn answered(line: &str) -> Answer {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["ok", number, link] => {
            let link = (link != "-").then(|| Secret::new(link));
            Answer { ran: Ok(number.parse().unwrap()), link }
        }
        _ => Answer { ran: Err(line.trim_start_matches("no ").to_owned()), link: None },
    }
}
