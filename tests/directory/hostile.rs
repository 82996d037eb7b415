//! Input that means harm, and files that are not what they should be: a typed error, nothing lost.

use std::sync::Arc;

use bailiwick::directory::{Actor, Command, Directory, DirectoryError, Rule, Secret};
use bailiwick::grc::Role;
use bailiwick::store::{Email, Name, Sqlite, StoreError};

use crate::world::{on_both, sqlite, Acme, Folder, World, EPOCH, PLAN};

#[test]
fn addresses_and_names_that_deceive_are_refused_without_showing_them() {
    let huge = "x".repeat(1 << 20);
    let addresses = [
        "",
        "a",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        "a\n@b",
        "a\0@b",
        "\u{202e}a@b",
        "a@b\u{200b}",
        "a\u{2066}@b",
        &huge,
    ];
    for text in addresses {
        let error = text.parse::<Email>().unwrap_err().to_string();
        assert!(error.len() < 400 && !error.chars().any(|c| c.is_control() || c == '\u{202e}'), "{error:?}");
    }
    for text in ["", " ", "a\nb", "a\u{202e}b", "\u{7}", &huge] {
        assert!(text.parse::<Name>().is_err(), "{text:?}");
    }
    for text in ["olga@acme.test", "ö@bücher.example", "a+b@c", "\"x\"@y"] {
        assert_eq!(text.parse::<Email>().unwrap().as_str(), text);
    }
    assert!("Müller & Söhne, 株式会社".parse::<Name>().is_ok());
}

#[test]
fn malformed_tokens_are_told_like_wrong_ones() {
    on_both(|store| {
        let acme = Acme::new(store);
        let huge = "0".repeat(1 << 20);
        let (organization, role) = (acme.organization, Role::Viewer);
        let invite = Command::InviteMember { organization, email: "n@x.test".parse().unwrap(), role };
        let sent = acme.world.ok(&acme.owner, invite).invitation().unwrap();
        let right = acme.world.outbox.newest(sent);
        let mut one_off = right.expose().to_owned();
        let last = if one_off.pop() == Some('0') { '1' } else { '0' };
        one_off.push(last);
        let cut = &right.expose()[..95];
        let upper = right.expose().to_uppercase();
        for text in ["", "x", "é", &huge, &"g".repeat(96), &"é".repeat(48), &"0".repeat(96), &one_off, cut, &upper] {
            let error =
                acme.world.run(&Actor::Bearer, Command::AcceptInvitation { link: Secret::new(text) }).unwrap_err();
            assert!(matches!(error, DirectoryError::Link), "{error:?}");
            assert_eq!(error.to_string(), "the link is not valid");
        }
        acme.world.ok(&Actor::Bearer, Command::AcceptInvitation { link: right });
    });
}

#[test]
fn keys_of_no_length_or_of_a_megabyte_are_refused() {
    on_both(|store| {
        let acme = Acme::new(store);
        let command = Command::DeactivateMember { member: acme.analyst_id };
        for key in ["", &"k".repeat(201), &"k".repeat(1 << 20)] {
            let error = acme.world.directory.run(&acme.owner, key, &command).unwrap_err();
            assert_eq!(error.rule(), Some(Rule::Key), "{error}");
        }
        acme.world.directory.run(&acme.owner, &"k".repeat(200), &command).unwrap();
    });
}

#[test]
fn files_that_are_no_directory_are_typed_errors_and_stay_as_they_are() {
    let folder = Folder::new();
    let path = folder.file();
    assert!(matches!(Sqlite::open(&path), Err(StoreError::NotFound(_))));
    for bytes in [&b"no database at all, but long enough to look like one, perhaps ................................................"[..], b"x", b""] {
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Sqlite::open(&path), Err(StoreError::Foreign(_))), "{:?}", Sqlite::open(&path));
        assert!(matches!(Sqlite::create(&path, EPOCH), Err(StoreError::Exists(_))));
    }
    std::fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE members (id INTEGER); INSERT INTO members VALUES (1)").unwrap();
    drop(other);
    assert!(matches!(Sqlite::open(&path), Err(StoreError::Foreign(_))));
    let other = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(other.query_row("SELECT id FROM members", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
}

#[test]
fn a_later_version_and_a_truncated_file_are_typed_errors() {
    let folder = Folder::new();
    drop(Acme::new(sqlite(&folder)));
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    assert!(matches!(Sqlite::open(&folder.file()), Err(StoreError::Newer { version: 99, .. })));
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    assert!(Sqlite::open(&folder.file()).is_ok());

    let whole = std::fs::read(folder.file()).unwrap();
    for part in [whole.len() / 2, 4096, 200] {
        std::fs::write(folder.file(), &whole[..part]).unwrap();
        let opened = Sqlite::open(&folder.file()).map_err(DirectoryError::from);
        let loaded = opened.and_then(|store| Directory::builder().open(Arc::new(store)));
        match loaded {
            Err(DirectoryError::Store(StoreError::Damaged(_) | StoreError::Foreign(_))) => {}
            other => panic!("{part} of {}: {other:?}", whole.len()),
        }
    }
}

/// Verifying once read the journal alone: a file with a damaged page elsewhere was said to be whole. A file that has lost
/// its end is not even opened.
#[test]
fn no_page_is_lost_or_damaged_unnoticed() {
    let folder = Folder::new();
    drop(Acme::new(sqlite(&folder)));
    let whole = std::fs::read(folder.file()).unwrap();
    let pages = whole.len() / 4096;
    let checked = |bytes: &[u8]| {
        std::fs::write(folder.file(), bytes).unwrap();
        let store = Sqlite::open(&folder.file())?;
        match Directory::builder().look_every(None).open(Arc::new(store)) {
            Ok(directory) => directory.verify().map(Some),
            Err(DirectoryError::Store(error)) => Err(error),
            Err(error) => panic!("{error:?}"),
        }
    };
    for page in 0..pages {
        let lost = checked(&whole[..page * 4096]);
        assert!(matches!(lost, Err(StoreError::Damaged(_) | StoreError::Foreign(_))), "{page} of {pages}: {lost:?}");
        let mut damaged = whole.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0x5a);
        let found = checked(&damaged);
        assert!(matches!(found, Err(StoreError::Damaged(_) | StoreError::Foreign(_))), "page {page}: {found:?}");
    }
    assert!(checked(&whole).unwrap().unwrap().is_ok());
}

#[test]
fn verifying_finds_a_row_that_refers_to_nothing() {
    let folder = Folder::new();
    let acme = Acme::new(sqlite(&folder));
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    let edit = "PRAGMA foreign_keys = OFF; UPDATE members SET organization = zeroblob(16)";
    connection.execute_batch(edit).unwrap();
    let error = acme.world.directory.verify().unwrap_err();
    assert_eq!(error.to_string(), "the directory is damaged: a row refers to one that is not there");
}

#[test]
fn a_file_that_is_opened_again_holds_what_was_acknowledged() {
    let folder = Folder::new();
    let acme = Acme::new(sqlite(&folder));
    let (organization, owner) = (acme.organization, acme.owner.clone());
    let before = acme.world.directory.team(&owner, organization).unwrap();
    drop(acme);
    let again = World::new(Arc::new(Sqlite::open(&folder.file()).unwrap()));
    assert_eq!(again.directory.team(&owner, organization).unwrap(), before);
    assert_eq!(again.directory.authorizer().snapshot().revision().epoch, EPOCH);
    again.organization(PLAN);
}

/// The reader once waited for ever for a revision that had been taken back, as when an older file is put in place.
#[test]
fn a_store_that_went_back_is_loaded_again() {
    let folder = Folder::new();
    let acme = Acme::new(sqlite(&folder));
    let before = acme.world.directory.refresh().unwrap();
    acme.world.ok(&acme.owner, Command::DeactivateMember { member: acme.analyst_id });
    let connection = rusqlite::Connection::open(folder.file()).unwrap();
    let back = "BEGIN; UPDATE head SET number = number - 1; UPDATE members SET active = 1; COMMIT";
    connection.execute_batch(back).unwrap();
    assert_eq!(acme.world.directory.refresh().unwrap(), before);
    let eli = bailiwick::store::Kind::Member.uid(acme.analyst_id);
    let active = acme.world.directory.authorizer().snapshot().get(&eli).unwrap();
    assert_eq!(active.attribute("active"), Some(&bailiwick::Value::Bool(true)));
}

#[test]
fn another_process_follows_by_changes() {
    let folder = Folder::new();
    let acme = Acme::new(sqlite(&folder));
    let other = World::new(Arc::new(Sqlite::open(&folder.file()).unwrap()));
    acme.world.ok(&acme.owner, Command::RemoveMember { member: acme.analyst_id });
    let outcome = acme.world.ok(&acme.owner, Command::DeactivateMember { member: acme.admin_id });
    assert_eq!(other.directory.refresh().unwrap(), outcome.revision());
    // What its own commands read is the newest state anyway.
    let denied = other.denied(&acme.admin, Command::ResetMfa { member: acme.owner_id });
    assert!(denied.contains(&"wall.deactivated-member".to_owned()), "{denied:?}");
    let entities = |a: &bailiwick::Authorizer| {
        let mut all: Vec<_> = a.snapshot().iter().collect();
        all.sort_by(|a, b| a.uid().cmp(b.uid()));
        all
    };
    assert_eq!(entities(other.directory.authorizer()), entities(acme.world.directory.authorizer()));
}
