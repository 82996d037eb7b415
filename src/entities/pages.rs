//! Persistent pages of values.
//!
//! It names no type of the crate: the model checker's tests read this file too.

use std::sync::Arc;

const FANOUT: usize = 32;
const BITS: u32 = 5;
const TRUNK: usize = 64;

/// Begins at a line of the cache.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Page<T>([T; FANOUT]);

type Branch<T> = [Option<Arc<Page<T>>>; FANOUT];
type Trunk<T> = [Option<Arc<Branch<T>>>; TRUNK];

/// Values by number. A clone shares everything; a change copies only the path to what it changes, and not even that while
/// nothing else holds it.
#[derive(Debug, Clone)]
pub(super) struct Pages<T>(Arc<[Option<Arc<Trunk<T>>>]>);

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

fn path(at: u32) -> (usize, usize, usize, usize) {
    let at = at as usize;
    let mask = FANOUT - 1;
    (at >> (BITS + BITS + 6), (at >> (BITS + BITS)) & (TRUNK - 1), (at >> BITS) & mask, at & mask)
}

impl<T: Clone + Default> Pages<T> {
    /// All these at once, numbered in their order.
    pub(super) fn of(all: Vec<T>) -> Self {
        let mut all = all.into_iter();
        let mut root = Vec::new();
        while all.len() > 0 {
            root.push(Some(Arc::new(Trunk::from(std::array::from_fn(|_| {
                (all.len() > 0).then(|| {
                    Arc::new(std::array::from_fn(|_| {
                        (all.len() > 0).then(|| Arc::new(Page(std::array::from_fn(|_| all.next().unwrap_or_default()))))
                    }))
                })
            })))));
        }
        Self(root.into())
    }

    /// The value with this number, if there ever was one.
    #[inline]
    pub(super) fn get(&self, at: u32) -> Option<&T> {
        let (trunk, branch, page, at) = path(at);
        self.0.get(trunk)?.as_ref()?.get(branch)?.as_ref()?.get(page)?.as_ref()?.0.get(at)
    }

    /// The value with this number, to be changed; it and the path to it are made.
    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        let (trunk, branch, page, at) = path(at);
        if trunk >= self.0.len() {
            let more = std::iter::repeat_with(|| None).take(trunk + 1 - self.0.len());
            self.0 = self.0.iter().cloned().chain(more).collect();
        }
        let trunk = Arc::make_mut(&mut self.0).get_mut(trunk)?;
        let trunk = Arc::make_mut(trunk.get_or_insert_with(|| Arc::new([const { None }; TRUNK])));
        let branch = trunk.get_mut(branch)?;
        let branch = Arc::make_mut(branch.get_or_insert_with(|| Arc::new([const { None }; FANOUT])));
        let page = branch.get_mut(page)?;
        let page = page.get_or_insert_with(|| Arc::new(Page(std::array::from_fn(|_| T::default()))));
        Arc::make_mut(page).0.get_mut(at)
    }

    /// All values, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let trunks = self.0.iter().enumerate().filter_map(|(i, t)| Some((i, t.as_ref()?)));
        let branches =
            trunks.flat_map(|(i, t)| t.iter().enumerate().filter_map(move |(j, b)| Some((i * TRUNK + j, b.as_ref()?))));
        let pages = branches
            .flat_map(|(i, b)| b.iter().enumerate().filter_map(move |(j, p)| Some((i * FANOUT + j, p.as_ref()?))));
        pages.flat_map(|(i, p)| {
            let numbered = p.0.iter().enumerate();
            numbered.map(move |(j, one)| (u32::try_from(i * FANOUT + j).unwrap_or(u32::MAX), one))
        })
    }
}
