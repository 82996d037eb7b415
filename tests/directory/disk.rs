//! Disks that cannot be written to: a typed error that names the file, nothing lost, and nothing of a command there that
//! was not carried out.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use bailiwick::directory::{Actor, Command as Act, Directory, DirectoryError};
use bailiwick::grc::{self, Action};
use bailiwick::store::{Kind, Sqlite, StoreError};

use crate::campaigns::{opened, say, told, Child};
use crate::races::with_processes;
use crate::world::{rows, sqlite, Acme, Dial, Folder, World};

const PROGRAM: &str = env!("CARGO_BIN_EXE_bailiwick");

/// A folder that every user can get to, with the program in it.
struct Open(PathBuf);

impl Open {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("bailiwick-read-only-{}", std::process::id()));
        fs::create_dir_all(path.join("kept")).unwrap();
        fs::copy(PROGRAM, path.join("bailiwick")).unwrap();
        let open = Self(path);
        open.set(0o755, 0o644);
        open
    }

    fn kept(&self) -> PathBuf {
        self.0.join("kept")
    }

    fn file(&self) -> PathBuf {
        self.kept().join("directory.db")
    }

    /// Sets the modes of the folder and of all that is in it.
    fn set(&self, folder: u32, files: u32) {
        fs::set_permissions(&self.0, Permissions::from_mode(0o755)).unwrap();
        for entry in fs::read_dir(self.kept()).unwrap() {
            fs::set_permissions(entry.unwrap().path(), Permissions::from_mode(files)).unwrap();
        }
        fs::set_permissions(self.kept(), Permissions::from_mode(folder)).unwrap();
    }

    /// Runs the program as a user to whom modes mean something.
    fn run(&self, args: &[&str], input: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new(self.0.join("bailiwick"));
        command.arg("directory").args(args).current_dir(&self.0);
        // Whoever made the folder runs the tests.
        if fs::metadata(&self.0).unwrap().uid() == 0 {
            command.uid(65_534).gid(65_534);
        }
        finish(command, input)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = fs::set_permissions(self.kept(), Permissions::from_mode(0o755));
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn finish(mut command: Command, input: &str) -> (Option<i32>, String, String) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    // A program that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_read_only_file_or_folder_is_named_and_stays_as_it_is() {
    let open = Open::new();
    let acme = Acme::new(Arc::new(Sqlite::create(&open.file(), 1).unwrap()));
    let (organization, file) = (acme.organization.to_string(), open.file().to_str().unwrap().to_owned());
    drop(acme);
    open.set(0o777, 0o666);
    let with = ["--operator", "--directory", &file];
    let invited = |args: &[&str]| {
        let (_, out, _) = open.run(&[args, &with[..]].concat(), "");
        out.lines().last().and_then(|line| line.split_once(".test: ")).unwrap().1.to_owned()
    };
    let link = invited(&["invite-member", &organization, "ida@acme.test", "VIEWER"]);
    let until = ["--expires-at", "2100-01-01T00:00:00Z"];
    let audit = ["invite-auditor", &organization, "Ada", "ada@firm.test", "Firm", until[0], until[1]];
    let password = format!("{}\ncorrect horse battery\n", invited(&audit));
    let before = rows(&*opened(&file));
    let bytes = fs::read(open.file()).unwrap();
    let create = ["create-organization", "Two", "--email", "tom@two.test", "--operator", "--directory", &file];
    let accept = ["accept-invitation", "--directory", &file];
    let set = ["set-password", "--directory", &file];
    let told = format!(
        "bailiwick: `{file}`: the directory cannot be written to: its file and its folder must both be writable\n"
    );
    for (folder, files) in [(0o555, 0o444), (0o777, 0o444), (0o555, 0o666)] {
        open.set(folder, files);
        for (args, input) in [(&create[..], ""), (&accept[..], &link), (&set[..], &password)] {
            let ran = open.run(args, input);
            assert_eq!(ran, (Some(2), String::new(), told.clone()), "{folder:o} {files:o} {args:?}");
        }
        // What cannot be made is not half made either.
        let new = open.kept().join("new.db");
        if folder == 0o555 {
            let ran = open.run(&["init", "--directory", new.to_str().unwrap()], "");
            assert_eq!(ran, (Some(2), String::new(), told.replace(&file, new.to_str().unwrap())));
            assert!(!new.exists());
        }
        open.set(0o777, 0o666);
        assert!(fs::read(open.file()).unwrap() == bytes, "{folder:o} {files:o}: the file was changed");
        let (code, out, _) = open.run(&["verify", "--directory", &file], "");
        assert_eq!((code, out.as_str()), (Some(0), "13 entries: the chain is whole\n"));
    }
    assert!(rows(&*opened(&file)) == before);
    // Once it can be written to, all goes on.
    let (code, _, err) = open.run(&accept, &link);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let shown = open.run(&["show", &organization, "--operator", "--directory", &file], "").1;
    assert!(shown.contains("ida@acme.test Viewer"), "{shown}");
}

/// Whoever opens this program under a limit on how long files get: SQLite is told so by the operating system, as late as
/// when it writes what is to be committed.
fn limited(program: &Path, blocks: u32) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]).arg(program);
    command
}

#[test]
fn a_command_that_the_disk_refuses_is_not_there_and_is_carried_out_later_under_its_key() {
    let folder = Folder::new();
    drop(Acme::new(sqlite(&folder)));
    let file = folder.file();
    let create = ["directory", "create-organization", "Two", "--email", "tom@two.test", "--operator", "--key", "two"];
    let head = || opened(file.to_str().unwrap()).read().unwrap().head().unwrap();
    let before = head();
    // Too little for what stands beside the file, for a part of the command, for nearly all of it.
    for blocks in [0, 8, 24, 40] {
        let mut command = limited(Path::new(PROGRAM), blocks);
        command.args(create).arg("--directory").arg(&file);
        let (code, out, err) = finish(command, "");
        let told = format!("bailiwick: `{}`: the disk fails the directory", file.display());
        assert!(code == Some(2) && out.is_empty() && err.starts_with(&told), "{blocks}: {code:?} {out}{err}");
        assert_eq!(head(), before, "{blocks}");
        assert!(Directory::builder().open(opened(file.to_str().unwrap())).unwrap().verify().unwrap().is_ok());
    }
    let mut command = Command::new(PROGRAM);
    command.args(create).arg("--directory").arg(&file);
    let (code, out, _) = finish(command, "");
    assert_eq!((code, out.lines().next().unwrap().contains("done before")), (Some(0), false), "{out}");
    assert_eq!(head().number, before.number + 1);
    // A file that cannot be made whole is not left there in parts.
    let new = file.with_file_name("new.db");
    let mut command = limited(Path::new(PROGRAM), 8);
    command.args(["directory", "init", "--directory"]).arg(&new);
    assert_eq!(finish(command, "").0, Some(2));
    assert!(!new.exists());
}

/// A process whose files cannot grow: deactivates a member and undoes it, and says after each command what it led to, what
/// is decided and on which revision.
pub fn child(path: &str, owner: &str, member: &str, organization: &str) {
    let store = opened(path);
    let directory = Directory::builder().clock(Dial::new()).open(store).unwrap();
    let (actor, member) = (Actor::Member(owner.parse().unwrap()), member.parse().unwrap());
    let view = grc::request(Kind::Member.uid(member), Action::ViewOrganization, grc::organization(organization));
    say("ready");
    for key in told() {
        let command = match directory.is_authorized(&view).allowed() {
            true => Act::DeactivateMember { member },
            false => Act::ReactivateMember { member },
        };
        let ran = match directory.run(&actor, &key, &command) {
            Ok(outcome) if !outcome.replayed() => "done",
            Ok(_) => "replayed",
            Err(DirectoryError::Store(StoreError::Disk(_))) => "disk",
            Err(DirectoryError::Store(StoreError::Full)) => "full",
            Err(error) => panic!("{error:?}"),
        };
        let revision = directory.authorizer().snapshot().revision().number;
        let allowed = directory.is_authorized(&view).allowed();
        say(&format!("{ran} {allowed} {revision}"));
    }
}

#[test]
fn a_process_whose_commit_fails_decides_as_the_store_says_and_goes_on_once_there_is_room() {
    with_processes(
        "disk::a_process_whose_commit_fails_decides_as_the_store_says_and_goes_on_once_there_is_room",
        |launch| {
            let folder = Folder::new();
            let acme = Acme::new(sqlite(&folder));
            let ids = [acme.owner_id, acme.analyst_id, acme.organization].map(|id| id.to_string());
            let file = folder.file();
            let view = grc::request(
                Kind::Member.uid(acme.analyst_id),
                Action::ViewOrganization,
                Kind::Organization.uid(acme.organization),
            );
            let under = || {
                let own = launch();
                let mut command = limited(Path::new(own.get_program()), 1_000);
                command.args(own.get_args());
                command
            };
            let mut child = Child::begin(&under, &["disk", file.to_str().unwrap(), &ids[0], &ids[1], &ids[2]]);
            assert_eq!(child.hear().as_deref(), Some("ready"));
            let (mut failed, mut key) = (0, 0);
            while failed < 10 {
                child.tell(&format!("disk-{key}"));
                let said = child.hear().expect("it goes on");
                // What another process of the host reads is what that process decides by.
                let revision = acme.world.directory.refresh().unwrap().number;
                let allowed = acme.world.directory.is_authorized(&view).allowed();
                match said.split(' ').next() {
                    Some("done") => {
                        key += 1;
                        assert_eq!(said, format!("done {allowed} {revision}"));
                    }
                    said_first => {
                        failed += 1;
                        // A write that is cut short is told as a full disk, the next one as a failure.
                        assert!(matches!(said_first, Some("disk" | "full")), "{said}");
                        assert!(said.ends_with(&format!(" {allowed} {revision}")), "{said}: {allowed} {revision}");
                        assert!(acme.world.directory.verify().unwrap().is_ok());
                        assert!(World::new(opened(file.to_str().unwrap())).directory.verify().unwrap().is_ok());
                        if failed % 2 == 0 {
                            // What was committed goes into the file proper, which leaves room in the log beside it.
                            let connection = rusqlite::Connection::open(&file).unwrap();
                            let emptied = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
                            assert_eq!(
                                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], emptied).unwrap(),
                                0
                            );
                        }
                    }
                }
            }
            assert!(key > 20, "only {key} were carried out");
        },
    );
}
