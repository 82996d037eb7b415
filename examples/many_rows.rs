//! Writes a directory's rows by the million, for measuring import and loading.
//!
//! `cargo run --release --example many_rows -- 1000000 20000 > rows.jsonl` writes 20,000 organizations and 1,000,000
//! members of them, for `bailiwick directory import`.

use std::io::{BufWriter, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let &[members, organizations] = numbers.as_slice() else {
        return Err("expected two numbers: how many members, and how many organizations".into());
    };
    if organizations == 0 {
        return Err("expected at least one organization".into());
    }
    write(&mut BufWriter::new(std::io::stdout().lock()), members, organizations)
}

/// Writes so many members, in as many organizations.
pub fn write(out: &mut dyn Write, members: u64, organizations: u64) -> Result<(), Box<dyn std::error::Error>> {
    let roles = bailiwick::grc::Role::ALL;
    for n in 0..organizations {
        let plan = r#"{"bundled_seats":20,"seat_cents":4900,"contributor_seats":50}"#;
        writeln!(out, r#"{{"organization":{{"id":"{}","name":"Organization {n}","plan":{plan}}}}}"#, id(0, n))?;
    }
    for n in 0..members {
        // The first of each is its Owner.
        let role = if n < organizations { roles.first() } else { roles.iter().cycle().nth((n % 12) as usize) };
        let role = role.map_or("OWNER", |role| role.id());
        writeln!(
            out,
            r#"{{"member":{{"id":"{}","organization":"{}","email":"member-{n}@example.test","role":"{role}","active":{},"contributor":{}}}}}"#,
            id(1, n),
            id(0, n % organizations),
            n < organizations || n % 17 != 0,
            n % 7 == 0
        )?;
    }
    Ok(out.flush()?)
}

/// An id in the form of a UUID.
fn id(kind: u16, n: u64) -> String {
    format!("01890a5d-{kind:04x}-7000-8000-{n:012x}")
}
