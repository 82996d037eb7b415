//! Writes entities of the built-in model by the million, for measuring the loader.
//!
//! `cargo run --release --example many -- 1000000 20000 > many.json` writes 1,000,000 entities to standard output:
//! 20,000 organizations, members of them for the rest; ids are 36 characters long.

use std::io::{BufWriter, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let &[entities, organizations] = numbers.as_slice() else {
        return Err("expected two numbers: how many entities, and how many of them organizations".into());
    };
    if organizations == 0 || organizations > entities {
        return Err("expected at least one organization, and no more than entities".into());
    }
    let roles = bailiwick::grc::Role::ALL;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for n in 0..entities {
        let comma = if n == 0 { "[" } else { "," };
        if n < organizations {
            writeln!(
                out,
                r#"{comma}{{"uid":{{"type":"Grc::Organization","id":"{}"}},"attrs":{{}},"parents":[]}}"#,
                id(0, n)
            )?;
            continue;
        }
        let role = roles.iter().cycle().nth((n % 12) as usize).map_or("OWNER", |role| role.id());
        let uid = format!(r#"{{"type":"Grc::Member","id":"{}"}}"#, id(1, n));
        let organization = format!(r#"{{"type":"Grc::Organization","id":"{}"}}"#, id(0, n % organizations));
        writeln!(
            out,
            r#"{comma}{{"uid":{uid},"parents":[],"attrs":{{"organization":{organization},"role":{{"type":"Grc::Role","id":"{role}"}},"active":{},"complianceTeam":{},"contributor":{},"clients":[]}}}}"#,
            n % 17 != 0,
            n % 5 == 0,
            n % 7 == 0
        )?;
    }
    writeln!(out, "]")?;
    Ok(out.flush()?)
}

/// An id in the form of a UUID.
fn id(kind: u16, n: u64) -> String {
    format!("01890a5d-{kind:04x}-7000-8000-{n:012x}")
}
