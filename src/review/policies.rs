//! What an edit did to the policies themselves, told by their ids and by what they say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::bundle::{Bundle, Policy};

/// One policy that an edit touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChange {
    /// Its id, in the new policies where it is there.
    pub id: String,
    /// What happened to it.
    pub edit: Edit,
    /// Whether it is a `forbid`: in the old policies where it was there.
    pub forbid: bool,
    /// File and line in the old policies.
    pub old_place: Option<(String, usize)>,
    /// File and line in the new policies.
    pub new_place: Option<(String, usize)>,
}

/// What happened to a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// It was not there.
    Added,
    /// It is gone.
    Removed,
    /// A `permit` became a `forbid`, or the other way round.
    Turned,
    /// It says something else.
    Edited,
    /// It says the same under another id; this is the old one.
    Renamed(String),
    /// It says the same; its annotations or its layout differ.
    Reworded,
}

impl Edit {
    /// The word for it: `added`, `removed`, `turned`, `edited`, `renamed`, `reworded`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Edit::Added => "added",
            Edit::Removed => "removed",
            Edit::Turned => "turned",
            Edit::Edited => "edited",
            Edit::Renamed(_) => "renamed",
            Edit::Reworded => "reworded",
        }
    }
}

/// The policies of two bundles side by side.
#[derive(Debug)]
pub(super) struct SideBySide {
    /// Those that differ: in the order of the old files, then the added ones in the order of the new.
    pub(super) changes: Vec<PolicyChange>,
    /// New ids by old ids, for renamed policies.
    renamed: HashMap<String, String>,
    old_rules: HashMap<Arc<str>, String>,
    new_rules: HashMap<Arc<str>, String>,
}

impl SideBySide {
    pub(super) fn of(old: &Bundle, new: &Bundle) -> Self {
        let (old_rules, new_rules) = (old.rules(), new.rules());
        let mut changes = Vec::new();
        let mut renamed = HashMap::new();
        let mut added: Vec<&Policy> = new.policies().iter().filter(|p| old.policy(p.id()).is_none()).collect();
        for was in old.policies() {
            let rule = old_rules.get(was.id());
            let (is, edit) = match new.policy(was.id()) {
                Some(is) if is.is_forbid() != was.is_forbid() => (Some(is), Edit::Turned),
                Some(is) if new_rules.get(is.id()) != rule => (Some(is), Edit::Edited),
                Some(is) if is.text() != was.text() => (Some(is), Edit::Reworded),
                Some(_) => continue,
                None => match added.iter().position(|p| new_rules.get(p.id()) == rule) {
                    Some(at) => {
                        let is = added.remove(at);
                        renamed.insert(was.id().to_owned(), is.id().to_owned());
                        (Some(is), Edit::Renamed(was.id().to_owned()))
                    }
                    None => (None, Edit::Removed),
                },
            };
            changes.push(change(Some(was), is, edit));
        }
        changes.extend(added.into_iter().map(|is| change(None, Some(is), Edit::Added)));
        Self { changes, renamed, old_rules, new_rules }
    }

    /// The id that an old policy has in the new policies, if it is there.
    pub(super) fn renamed<'a>(&'a self, id: &'a str) -> &'a str {
        self.renamed.get(id).map_or(id, String::as_str)
    }

    /// Whether two sets of policies, one of each bundle, say the same under the same names (renamed ones apart).
    pub(super) fn say_the_same(&self, old: &[Arc<str>], new: &[Arc<str>]) -> bool {
        let old: BTreeMap<_, _> = old.iter().map(|id| (self.renamed(id), self.old_rules.get(id))).collect();
        let new: BTreeMap<_, _> = new.iter().map(|id| (&**id, self.new_rules.get(id))).collect();
        old == new && old.values().all(Option::is_some)
    }

    /// What happened to the old policy `id`.
    pub(super) fn edit_of(&self, id: &str) -> Option<&Edit> {
        let is = |change: &&PolicyChange| match &change.edit {
            Edit::Added => false,
            Edit::Renamed(was) => was == id,
            _ => change.id == id,
        };
        self.changes.iter().find(is).map(|change| &change.edit)
    }
}

fn change(was: Option<&Policy>, is: Option<&Policy>, edit: Edit) -> PolicyChange {
    let place = |p: &Policy| {
        let (file, line) = p.place();
        (file.to_owned(), line)
    };
    PolicyChange {
        id: is.or(was).map_or_else(String::new, |p| p.id().to_owned()),
        edit,
        forbid: was.or(is).is_some_and(Policy::is_forbid),
        old_place: was.map(place),
        new_place: is.map(place),
    }
}
