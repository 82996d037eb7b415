//! A text of many entities, cut into pieces that threads read side by side.

use std::io::{self, Read};
use std::sync::mpsc::{channel, sync_channel, Receiver, SyncSender};
use std::thread::{Builder, Scope};

use super::error::Faults;
use super::load::Load;
use super::plain::{Batch, Plain};
use super::read::{read_entities, Progress};
use crate::bundle::Bundle;

/// Bytes of a piece: many entities, and few enough to stay in the caches from one step to the next.
pub(super) const SIZE: usize = 1 << 19;
/// A piece that does not end within so many bytes is no list of entities worth cutting.
const MOST: usize = 1 << 26;
/// Pieces that each thread may be behind.
const AHEAD: usize = 2;

/// Reads an array of entities into `load`, in pieces of `size` bytes; gives the faults of those that cannot be read.
///
/// What a piece's reader does not understand is read the general way from that piece on, so that every error is the
/// one that reading the whole text that way gives.
pub(super) fn read(
    bundle: &Bundle,
    reader: impl Read,
    size: usize,
    progress: Progress<'_>,
    load: &mut Load<'_>,
) -> Faults {
    let mut text = Text { reader, held: Vec::new(), size, error: None };
    let mut reading = Reading { load, faults: Faults::default(), read: 0, lines: 0, column: 0 };
    let rest = match text.cut() {
        Cut::Last(piece) => match Plain::new(bundle).read(&piece) {
            Some(batch) => {
                reading.take(batch, &piece, progress);
                None
            }
            None => Some(piece),
        },
        Cut::None => Some(std::mem::take(&mut text.held)),
        first => {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            std::thread::scope(|scope| {
                let workers: Vec<Worker> = (0..threads).map_while(|_| Worker::start(scope, bundle)).collect();
                reading.together(first, &mut text, &workers, progress)
            })
        }
    };
    progress(reading.read);
    let Reading { load, mut faults, read, lines, column } = reading;
    if let Some(rest) = rest {
        // As many lines and blanks as there were, so that errors name their places.
        let before = io::repeat(b'\n').take(lines).chain(io::repeat(b' ').take(column));
        let reader = before.chain(&*rest).chain(Failing(text.error)).chain(text.reader);
        let put = &mut |index, entity| load.put(index, &entity);
        faults.absorb(read_entities(bundle, reader, read, progress, put));
    }
    faults
}

/// What was read so far.
struct Reading<'r, 'a> {
    load: &'r mut Load<'a>,
    faults: Faults,
    read: usize,
    /// Where the next piece begins: so many lines on, so many bytes into the line.
    lines: u64,
    column: u64,
}

impl Reading<'_, '_> {
    fn take(&mut self, batch: Batch, piece: &[u8], progress: Progress<'_>) {
        let first = self.read;
        self.read += batch.items.len();
        self.load.put_batch(first, batch, &mut self.faults);
        self.lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        match piece.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => self.column = (piece.len() - at - 1) as u64,
            None => self.column += piece.len() as u64,
        }
        progress(self.read);
    }

    /// Reads pieces on all threads. What it gives is left for the general way.
    fn together(
        &mut self,
        first: Cut,
        text: &mut Text<impl Read>,
        workers: &[Worker],
        progress: Progress<'_>,
    ) -> Option<Vec<u8>> {
        let (mut given, mut taken) = (0, 0);
        let mut next = Some(first);
        let mut rest: Option<Vec<u8>> = None;
        loop {
            let room = rest.is_none() && given - taken < workers.len() * AHEAD;
            let mut turns = workers.iter().cycle();
            match (next.take(), turns.nth(given % workers.len().max(1))) {
                (Some(Cut::Piece(piece)), Some(worker)) if room => {
                    worker.give(piece, false);
                    given += 1;
                    next = Some(text.cut());
                    continue;
                }
                (Some(Cut::Last(piece)), Some(worker)) if room => {
                    worker.give(piece, true);
                    given += 1;
                    continue;
                }
                (waiting, _) => next = waiting,
            }
            if taken == given {
                break;
            }
            let worker = workers.get(taken % workers.len());
            let Some(done) = worker.and_then(|worker| worker.done.recv().ok()) else {
                self.faults.push(None, None, "a thread that read the entities ended too early");
                return None;
            };
            taken += 1;
            match (&mut rest, done.batch) {
                (None, Some(batch)) => self.take(batch, &done.piece, progress),
                (None, None) => rest = Some(done.piece),
                (Some(rest), _) => join(rest, &done.piece),
            }
        }
        match next {
            None if rest.is_none() => None,
            left => {
                let rest = rest.get_or_insert_default();
                if let Some(Cut::Piece(piece) | Cut::Last(piece)) = left {
                    join(rest, &piece);
                }
                join(rest, &std::mem::take(&mut text.held));
                Some(std::mem::take(rest))
            }
        }
    }
}

/// Puts a piece back behind another, with the comma that its beginning stood for.
fn join(text: &mut Vec<u8>, piece: &[u8]) {
    match piece.split_first() {
        Some((_, piece)) if !text.is_empty() => {
            text.push(b',');
            text.extend_from_slice(piece);
        }
        _ => text.extend_from_slice(piece),
    }
}

/// A thread that reads pieces.
struct Worker {
    pieces: SyncSender<(Vec<u8>, bool)>,
    done: Receiver<Done>,
}

struct Done {
    piece: Vec<u8>,
    /// None where it could not be read.
    batch: Option<Batch>,
}

impl Worker {
    /// None where the system gives no thread.
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, bundle: &'scope Bundle) -> Option<Self> {
        let (pieces, mine) = sync_channel::<(Vec<u8>, bool)>(AHEAD);
        let (give, done) = channel();
        let work = move || {
            let mut plain = Plain::new(bundle);
            while let Ok((mut piece, last)) = mine.recv() {
                // All but the last end where the text goes on.
                if !last {
                    piece.push(b']');
                }
                let batch = plain.read(&piece);
                if !last {
                    piece.pop();
                }
                if give.send(Done { piece, batch }).is_err() {
                    break;
                }
            }
        };
        Builder::new().name("bailiwick-read".into()).spawn_scoped(scope, work).ok()?;
        Some(Self { pieces, done })
    }

    fn give(&self, piece: Vec<u8>, last: bool) {
        // It is there as long as this is; a piece that is not taken would be missed when its turn comes.
        let _ = self.pieces.send((piece, last));
    }
}

/// A text that is read from its beginning.
struct Text<R> {
    reader: R,
    /// What was read and not cut off yet.
    held: Vec<u8>,
    size: usize,
    /// Why reading ended.
    error: Option<io::Error>,
}

enum Cut {
    /// The beginning of an array, up to where a comma and the next entity follow. That comma is the `[` that the next
    /// piece begins with.
    Piece(Vec<u8>),
    /// The end of the text.
    Last(Vec<u8>),
    /// There is no place to cut, or reading failed.
    None,
}

impl<R: Read> Text<R> {
    fn cut(&mut self) -> Cut {
        if self.size == 0 {
            return Cut::None;
        }
        while self.held.len() < MOST {
            // Twice as much each time, so that a long search for an end does not begin anew too often.
            let more = self.held.len().max(self.size) as u64;
            match self.reader.by_ref().take(more).read_to_end(&mut self.held) {
                Ok(n) if (n as u64) < more => return Cut::Last(std::mem::take(&mut self.held)),
                Ok(_) => {}
                Err(error) => {
                    self.error = Some(error);
                    return Cut::None;
                }
            }
            if let Some(comma) = last_comma(&self.held) {
                let mut rest = self.held.split_off(comma);
                rest.first_mut().into_iter().for_each(|comma| *comma = b'[');
                return Cut::Piece(std::mem::replace(&mut self.held, rest));
            }
        }
        Cut::None
    }
}

/// The last comma that seems to be between two entities. Where it is not, the piece before it cannot be read.
fn last_comma(text: &[u8]) -> Option<usize> {
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    text.iter().enumerate().rev().filter(|(_, byte)| **byte == b',').map(|(at, _)| at).find(|at| {
        let Some((before, after)) = text.split_at_checked(*at) else { return false };
        let after = after.get(1..).unwrap_or_default().trim_ascii_start();
        let key = after.strip_prefix(b"{").unwrap_or_default().trim_ascii_start();
        before.iter().rev().find(|byte| !blank(byte)) == Some(&b'}')
            && ["\"uid\"", "\"attrs\"", "\"parents\"", "\"tags\""].iter().any(|k| key.starts_with(k.as_bytes()))
    })
}

/// A reader that fails once, as the one before it did.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
