//! A full disk. SQLite is told how many pages the file may have, which only its own connections can be.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use super::Sqlite;
use crate::directory::{Actor, Command, Directory, DirectoryError};
use crate::loader;
use crate::model::grc::Role;
use crate::store::{Filter, Head, Logged, Row, Store, StoreError};
use crate::{Entity, Snapshot};

/// Lets the file have so many pages more than it has.
fn room(store: &Sqlite, more: i64) {
    for connection in store.own().unwrap().idle().iter() {
        let pages = super::pragma(connection, "page_count").unwrap();
        connection.pragma_update_and_check(None, "max_page_count", pages + more, |_| Ok(())).unwrap();
    }
}

/// All that a store holds.
fn held(store: &dyn Store) -> (Head, Vec<Row>, Vec<Logged>) {
    let (mut tx, mut rows, mut journal) = (store.read().unwrap(), Vec::new(), Vec::new());
    for kind in crate::store::Kind::ALL {
        let visit = &mut |row| {
            rows.push(row);
            Ok(())
        };
        tx.scan(kind, None, visit).unwrap();
    }
    let visit = &mut |logged| {
        journal.push(logged);
        Ok(())
    };
    tx.journal(&Filter::default(), visit).unwrap();
    (tx.head().unwrap(), rows, journal)
}

fn entities(snapshot: &Snapshot) -> Vec<Entity> {
    let mut all: Vec<Entity> = snapshot.iter().collect();
    all.sort_by(|a, b| a.uid().cmp(b.uid()));
    all
}

#[test]
fn a_full_disk_leaves_no_half_of_a_command_and_none_of_it_is_decided_on() {
    let folder = std::env::temp_dir().join(format!("bailiwick-full-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("directory.db");
    let store = Arc::new(Sqlite::create(&path, 1).unwrap());
    let directory = Directory::builder().look_every(None).open(store.clone()).unwrap();
    let run = |key: usize| {
        let (name, email) = (format!("Organization {key}").parse().unwrap(), format!("p{key}@x.test").parse().unwrap());
        let command = Command::CreateOrganization { name, plan: Default::default(), email, role: Role::Owner };
        directory.run(&Actor::Operator, &key.to_string(), &command)
    };
    run(0).unwrap();
    // A page more each time: the command fails at another of its writes.
    let (mut key, mut full) = (1, 0);
    while full < 60 {
        room(&store, 0);
        let before = held(&*store);
        match run(key) {
            Ok(_) => key += 1,
            Err(DirectoryError::Store(error @ StoreError::Full)) => {
                assert!(error.is_unavailable() && error.to_string().contains("make room"), "{error}");
                full += 1;
                assert!(held(&*store) == before, "something of command {key} is there");
                let snapshot = directory.authorizer().snapshot();
                assert_eq!(snapshot.revision(), before.0.revision());
                let whole = loader::snapshot(&directory.authorizer().bundle(), &*store).unwrap();
                assert_eq!(entities(&snapshot), entities(&whole));
                assert!(directory.verify().unwrap().is_ok());
                let again = Sqlite::open(&path).unwrap();
                assert!(held(&again) == before, "something of command {key} is there once it is opened again");
                room(&store, 1);
                // With a page it may go on, or fail at the next write.
                if let Ok(outcome) = run(key) {
                    assert!(!outcome.replayed(), "the key was used by a command that was not carried out");
                    assert_eq!(outcome.revision().number, before.0.number + 1);
                    key += 1;
                }
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    room(&store, 1_000);
    assert!(!run(key).unwrap().replayed());
    assert_eq!(directory.refresh().unwrap(), held(&*store).0.revision());
    assert!(directory.verify().unwrap().is_ok());
    drop(directory);
    std::fs::remove_dir_all(folder).unwrap();
}
