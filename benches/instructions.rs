//! A small program to count instructions with: decides the mixed set once more after the first time, or as many times as
//! a second argument says, for a profiler that samples. `benches/README.md` says how.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a wrong answer stops it

mod contenders;
mod fixture;
mod rival;

use contenders::{Field, Raw, RAW, REQUESTS};

/// What is counted: `--toggle-collect='*counted*'` sees nothing else.
#[inline(never)]
fn counted(contender: &mut contenders::Contender<'_>) -> usize {
    (contender.pass)()
}

fn main() {
    let name = std::env::args().nth(1).unwrap_or_default();
    let members = fixture::sizes().into_iter().max().expect("there is a size");
    let mut field = Field::new(members);
    let set = field.set(REQUESTS);
    let raw = (name == RAW).then(|| Raw::new(&field, &set));
    let mut contenders = field.contenders(&set);
    let names: Vec<&str> = contenders.iter().map(|it| it.name).chain([RAW]).collect();
    contenders.extend(raw.as_ref().map(Raw::contender));
    let Some(at) = names.iter().position(|it| *it == name) else {
        eprintln!("`{name}` decides nothing here; expected one of `{}`", names.join("`, `"));
        std::process::exit(2);
    };
    let contender = &mut contenders[at];
    assert_eq!((contender.pass)(), set.allowed(), "the first pass fills what is made on first use");
    let passes = std::env::args().nth(2).map_or(1, |text| text.parse().expect("the second argument is a number"));
    let begin = std::time::Instant::now();
    for _ in 0..passes {
        assert_eq!(counted(contender), set.allowed());
    }
    let each = begin.elapsed().as_nanos() / (passes * contender.decisions) as u128;
    println!("{each} ns each; {name}: {} decisions counted, {members} members", contender.decisions);
}
