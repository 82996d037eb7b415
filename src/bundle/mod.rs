//! Schema and policy files as one validated, versioned bundle.

mod check;
pub(crate) mod clauses;
mod compile;
mod expansion;
pub(crate) mod layout;
mod limits;
mod links;
mod load;
mod lower;
pub(crate) mod plan;
pub(crate) mod program;
mod source;
pub(crate) mod types;

pub use links::Link;
pub(crate) use load::on_big_stack;
pub use source::{BundleError, Finding, Severity, Source, Sources};

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use cedar_policy::{Effect, PolicySet, Schema};

use crate::model::{EntityUid, Names};
use layout::Layout;
use program::Program;
use types::Types;

/// How errors while deciding are treated, and how strictly a bundle is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ErrorMode {
    /// An allow stands only if nothing casts doubt on it; policies must pass strict validation and have an `@id`.
    #[default]
    Strict,
    /// Exactly Cedar's own answers: nothing is filled in, clamped or refused for not fitting the schema.
    Cedar,
}

/// A validated set of policies with its schema. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) schema: Option<Schema>,
    pub(crate) types: Option<Arc<Types>>,
    pub(crate) mode: ErrorMode,
    pub(crate) actions: HashMap<EntityUid, cedar_policy::Entity>,
    sources: Sources,
    policies: Vec<Policy>,
    warnings: Vec<Finding>,
    pub(crate) names: Arc<Names>,
    layout: Arc<Layout>,
    /// By policy id: where in `policies`.
    by_id: HashMap<Arc<str>, usize>,
    sets: load::OnBigStack<Sets>,
}

/// The policies as Cedar holds them, and compiled.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    pub(crate) all: Arc<Slice>,
    pub(crate) program: Program,
}

/// Some of the policies, and the entities their texts name.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    pub(crate) policies: PolicySet,
    pub(crate) literals: Vec<EntityUid>,
}

impl Inner {
    /// The place of a policy id among all in their order.
    pub(crate) fn rank(&self, id: &str) -> Option<u32> {
        let at = self.names.policies.binary_search_by(|own| (**own).cmp(id)).ok()?;
        u32::try_from(at).ok()
    }

    pub(crate) fn program(&self) -> &Program {
        &self.sets.get().program
    }

    pub(crate) fn all(&self) -> &Slice {
        &self.sets.get().all
    }
}

/// What people want to know of a policy.
#[derive(Debug, Clone)]
pub struct Policy {
    id: Arc<str>,
    effect: Effect,
    doc: Option<String>,
    source: Option<String>,
    redundant: Option<String>,
    text: String,
    file: Arc<str>,
    line: usize,
    template: Option<Arc<str>>,
    /// Who stands in the template's slots.
    slots: Slots,
}

/// The uids in a link's slots, as texts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    pub(crate) principal: Option<Arc<str>>,
    pub(crate) resource: Option<Arc<str>>,
}

impl Policy {
    /// Its `@id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it is a `forbid`.
    pub fn is_forbid(&self) -> bool {
        self.effect == Effect::Forbid
    }

    /// Its `@doc`: one sentence for a reviewer.
    pub fn doc(&self) -> Option<&str> {
        self.doc.as_deref()
    }

    /// Its `@source`: the document and section it comes from.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Its `@redundant`: why it is there although it never decides.
    pub fn redundant(&self) -> Option<&str> {
        self.redundant.as_deref()
    }

    /// The template it was linked from; its text and place are the template's.
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref()
    }

    /// Its text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file and the line, from 1, where it begins.
    pub fn place(&self) -> (&str, usize) {
        (&self.file, self.line)
    }
}

/// A policy text as Cedar's formatter writes it.
///
/// # Errors
/// When the text cannot be parsed, or formatting would change more than white space.
#[cfg(feature = "cli")]
pub fn format(source: &Source) -> Result<String, Finding> {
    load::format(source)
}

/// The built-in policies, by file name.
const BUILTIN: &[(&str, &str)] = &include!("builtin.in");
const BUILTIN_SCHEMA: &str = include_str!("../../policies/schema.cedarschema");

impl Bundle {
    /// The policies that come with the library, for the model in `policies/MODEL.md`.
    #[allow(clippy::expect_used)] // the text is compiled in, and every test loads it
    pub fn builtin() -> Self {
        static BUNDLE: OnceLock<Bundle> = OnceLock::new();
        BUNDLE
            .get_or_init(|| {
                let name = |file: &str| format!("policies/{file}");
                let policies = BUILTIN.iter().map(|(file, text)| Source::new(name(file), *text)).collect();
                let schema = Source::new(name("schema.cedarschema"), BUILTIN_SCHEMA);
                Self::from_sources(Sources::new(Some(schema), policies), ErrorMode::Strict)
                    .expect("the built-in policies are valid")
            })
            .clone()
    }

    /// Reads folders and files of policies; see [`Sources::read`].
    ///
    /// ```no_run
    /// use bailiwick::Bundle;
    /// let bundle = Bundle::from_paths(&["policies"])?;
    /// # Ok::<(), bailiwick::BundleError>(())
    /// ```
    ///
    /// # Errors
    /// When a path cannot be read, or schema or policies are not strictly valid: all findings at once.
    pub fn from_paths<P: AsRef<Path>>(paths: &[P]) -> Result<Self, BundleError> {
        Self::from_sources(Sources::read(paths, None)?, ErrorMode::Strict)
    }

    /// Reads texts. With [`ErrorMode::Cedar`] validation findings are warnings and a policy without `@id` is named
    /// `policyN`, counted over the texts in order, and a template that nothing links is allowed.
    ///
    /// # Errors
    /// When schema or policies cannot be parsed, or (strictly) are not valid: all findings at once.
    pub fn from_sources(sources: Sources, mode: ErrorMode) -> Result<Self, BundleError> {
        load::load(sources, mode).map(|inner| Self { inner: Arc::new(inner) })
    }

    /// Its version: the SHA-256 of schema, policies and links, in hexadecimal.
    pub fn version(&self) -> &str {
        &self.inner.names.version
    }

    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.inner.layout
    }

    /// The types that entities are checked against: none where they are not.
    pub(crate) fn checked_types(&self) -> Option<Arc<Types>> {
        self.inner.types.clone().filter(|_| self.mode() == ErrorMode::Strict)
    }

    /// How many policies are compiled, linked ones too, of all; the others are evaluated by Cedar.
    pub fn coverage(&self) -> (usize, usize) {
        (self.inner.program().covered, self.policies().len())
    }

    /// Its policies, in the order of the files, then those that links make of templates.
    pub fn policies(&self) -> &[Policy] {
        &self.inner.policies
    }

    /// The policy with this id.
    pub fn policy(&self, id: &str) -> Option<&Policy> {
        self.inner.by_id.get(id).and_then(|at| self.inner.policies.get(*at))
    }

    /// The texts it was made from.
    pub fn sources(&self) -> &Sources {
        &self.inner.sources
    }

    /// How it was read.
    pub fn mode(&self) -> ErrorMode {
        self.inner.mode
    }

    /// What a reviewer should look at although the bundle can be used: Cedar's warnings, missing `@doc`s,
    /// and forbids that are not written fail-closed.
    pub fn review(&self) -> Vec<Finding> {
        let mut findings = self.inner.warnings.clone();
        findings.extend(check::check(self));
        findings
    }

    /// The bundle without the policy `id`, for seeing what the policy does.
    pub fn without(&self, id: &str) -> Option<Self> {
        self.policy(id)?;
        load::without(&self.inner, id).map(|inner| Self { inner: Arc::new(inner) })
    }

    /// The same policies, deciding in another mode; none where no thread can be had.
    pub(crate) fn in_mode(&self, mode: ErrorMode) -> Option<Self> {
        load::in_mode(&self.inner, mode).map(|inner| Self { inner: Arc::new(inner) })
    }

    /// What each policy says, by id, without annotations and layout: where this is equal, policies decide alike.
    pub(crate) fn rules(&self) -> HashMap<Arc<str>, String> {
        load::rules(&self.inner)
    }

    /// The ids of the actions it declares, sorted; none without a schema.
    pub fn actions(&self) -> Vec<EntityUid> {
        self.inner.types.iter().flat_map(|t| t.actions.keys().cloned()).collect()
    }

    /// Whether it is about the built-in model: its schema declares the namespace `Grc`.
    pub(crate) fn is_grc(&self) -> bool {
        self.inner.types.as_ref().is_some_and(|t| t.namespaces.contains("Grc"))
    }

    /// The ids of the policies that can decide a request of these types, in no particular order; all of them where the
    /// schema does not foresee it.
    pub(crate) fn deciding(&self, request: &crate::Request) -> Vec<Arc<str>> {
        let types = (request.principal().type_name(), request.resource().uid().type_name());
        load::deciding(&self.inner, request.action(), types)
    }
}
