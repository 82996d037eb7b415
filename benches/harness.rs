//! Ratios between contenders that take turns: what disturbs the machine disturbs all of them. Measured in processor
//! time, since on a busy machine the wall clock favours whoever is done before being interrupted.

// Each binary that includes this module uses a part of it.
#![allow(dead_code)]

use std::time::Duration;

use cpu_time::ThreadTime;

use crate::contenders::Contender;

/// What a turn should take at least, so that the clock and the caches left by the last one weigh little.
const TURN: Duration = Duration::from_millis(8);

/// Nanoseconds of processor time for each decision, by round.
pub struct Timing {
    pub name: &'static str,
    pub rounds: Vec<f64>,
}

/// The middle of some figures, and the ends.
#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of one figure or more.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            panic!("there are no figures");
        };
        Self { median: (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0, min, max }
    }
}

impl Timing {
    /// Its nanoseconds.
    pub fn spread(&self) -> Spread {
        Spread::of(self.rounds.iter().copied())
    }

    /// How many times what `other` takes, round by round.
    pub fn over(&self, other: &Timing) -> Spread {
        assert_eq!(self.rounds.len(), other.rounds.len(), "they did not take turns");
        Spread::of(self.rounds.iter().zip(&other.rounds).map(|(a, b)| a / b))
    }
}

/// Lets the contenders take turns for some rounds, in another order each time. Each must allow `allowed` requests in
/// each pass.
pub fn interleave(mut contenders: Vec<Contender<'_>>, allowed: usize, rounds: usize) -> Vec<Timing> {
    let passes: Vec<u32> = contenders
        .iter_mut()
        .map(|it| {
            let begin = ThreadTime::now();
            check(it, allowed);
            let pass = begin.elapsed().max(Duration::from_nanos(1));
            u32::try_from(TURN.as_nanos().div_ceil(pass.as_nanos())).unwrap_or(u32::MAX)
        })
        .collect();
    let mut timings: Vec<Timing> =
        contenders.iter().map(|it| Timing { name: it.name, rounds: Vec::with_capacity(rounds) }).collect();
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            let contender = &mut contenders[at];
            if passes[at] > 1 {
                // The last one's entities are in the caches: one pass to get one's own back.
                check(contender, allowed);
            }
            let begin = ThreadTime::now();
            (0..passes[at]).for_each(|_| check(contender, allowed));
            let decisions = f64::from(passes[at]) * contender.decisions as f64;
            timings[at].rounds.push(begin.elapsed().as_nanos() as f64 / decisions);
        }
    }
    timings
}

fn check(contender: &mut Contender<'_>, allowed: usize) {
    let found = (contender.pass)();
    assert_eq!(found, allowed, "{} allows {found} requests, not {allowed}", contender.name);
}

/// The figures of a run, printed as one table.
#[derive(Default)]
pub struct Report {
    rows: Vec<[String; 4]>,
}

impl Report {
    /// `left` as a multiple of `right`.
    pub fn ratio(&mut self, property: impl Into<String>, left: &Timing, right: &Timing) {
        let times = left.over(right);
        let figures = format!("{} ÷ {}", nanos(left.spread().median), nanos(right.spread().median));
        self.rows.push([property.into(), number(times.median), range(times), figures]);
    }

    /// A figure that is no ratio.
    pub fn figure(&mut self, property: impl Into<String>, spread: Spread, unit: &str) {
        let figure = format!("{} {unit}", number(spread.median)).trim_end().to_owned();
        let range = if spread.min < spread.max { range(spread) } else { String::new() };
        self.rows.push([property.into(), figure, range, String::new()]);
    }

    /// Says what the last row's figure is made of.
    pub fn note(&mut self, note: impl Into<String>) {
        if let Some(row) = self.rows.last_mut() {
            row[3] = note.into();
        }
    }

    /// Prints the table.
    pub fn print(&self) {
        let head = ["property", "median", "range", "made of"].map(str::to_owned);
        let rule = std::array::from_fn(|_| "---".to_owned());
        for row in [&head, &rule].into_iter().chain(&self.rows) {
            println!("| {} |", row.join(" | "));
        }
    }
}

fn range(spread: Spread) -> String {
    format!("{}–{}", number(spread.min), number(spread.max))
}

/// A number with three digits that matter.
pub fn number(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

/// Nanoseconds in a unit that suits them.
pub fn nanos(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{} ms", number(v / 1e6)),
        v if v >= 1e3 => format!("{} µs", number(v / 1e3)),
        v => format!("{} ns", number(v)),
    }
}
