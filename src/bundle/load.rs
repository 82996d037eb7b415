//! Texts → [`Inner`]: parsed, named by `@id`, validated, indexed, hashed. All on a thread with a large stack.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, PolicyId, PolicySet, PrincipalConstraint, ResourceConstraint, Schema, Template, ValidationMode,
    Validator,
};
use sha2::{Digest, Sha256};

use super::compile::compile;
use super::layout::Layout;
use super::links::{self, Templates};
use super::types::Types;
use super::{expansion, limits, BundleError, ErrorMode, Finding, Inner, Policy, Sets, Slice, Source, Sources};
use crate::model::{EntityUid, Names};

/// Cedar's parser, validator and drops recurse; within [`limits`] this is stack enough in a debug build.
const STACK: usize = 512 << 20;

/// Runs `f` on a thread with a large stack.
pub(crate) fn on_big_stack<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T, BundleError> {
    let failed = |why: &str| BundleError::new(vec![Finding::bare(format!("the policies cannot be loaded: {why}"))]);
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("bailiwick-load".into())
            .stack_size(STACK)
            .spawn_scoped(scope, f)
            .map_err(|e| failed(&e.to_string()))?
            .join()
            .map_err(|_| failed("the loader stopped"))
    })
}

/// A value that is dropped on a thread with a large stack, since dropping a long chain recurses.
#[derive(Debug)]
pub(super) struct OnBigStack<T: Send + Default + 'static>(T);

impl<T: Send + Default> OnBigStack<T> {
    pub(super) fn get(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Default + 'static> Drop for OnBigStack<T> {
    fn drop(&mut self) {
        let value = std::mem::ManuallyDrop::new(std::mem::take(&mut self.0));
        // Where no thread can be had the value is leaked, which is better than an abort.
        let _ = std::thread::Builder::new()
            .name("bailiwick-drop".into())
            .stack_size(STACK)
            .spawn(move || drop(std::mem::ManuallyDrop::into_inner(value)));
    }
}

pub(super) fn load(sources: Sources, mode: ErrorMode) -> Result<Inner, BundleError> {
    on_big_stack(move || build(sources, mode))?
}

/// The same bundle without one of its policies.
pub(super) fn without(inner: &Inner, id: &str) -> Option<Inner> {
    kept(inner, &format!("{} without {id}", inner.names.version), |kept| kept != id)
}

/// The same bundle, deciding in another mode.
pub(super) fn in_mode(inner: &Inner, mode: ErrorMode) -> Option<Inner> {
    let mut out = kept(inner, &inner.names.version, |_| true)?;
    out.mode = mode;
    Some(out)
}

fn kept(inner: &Inner, version: &str, keep: impl Fn(&str) -> bool + Sync) -> Option<Inner> {
    on_big_stack(|| {
        let all = &inner.sets.get().all.policies;
        let kept: Vec<_> = all.policies().filter(|p| keep(p.id().as_ref())).cloned().collect();
        let policies: Vec<Policy> = inner.policies.iter().filter(|p| keep(&p.id)).cloned().collect();
        let names = names(&policies, version.into());
        Inner {
            schema: inner.schema.clone(),
            types: inner.types.clone(),
            mode: inner.mode,
            actions: inner.actions.clone(),
            sources: inner.sources.clone(),
            by_id: index_ids(&policies),
            policies,
            warnings: Vec::new(),
            sets: OnBigStack(sets(&kept, &|id| all.template(id), inner.types.as_deref(), &inner.layout, &names)),
            names,
            layout: Arc::clone(&inner.layout),
        }
    })
    .ok()
}

/// What each policy says, without its annotations and layout: policies of which this is equal decide alike.
pub(super) fn rules(inner: &Inner) -> HashMap<Arc<str>, String> {
    let rule = |policy: &cedar_policy::Policy| match policy.to_json() {
        Ok(mut json) => {
            json.as_object_mut().and_then(|fields| fields.remove("annotations"));
            json.to_string()
        }
        // As written: then an edit of the annotations counts as one of the rule.
        Err(_) => policy.to_cedar().unwrap_or_default(),
    };
    let all = || {
        let policies = inner.sets.get().all.policies.policies();
        policies
            .filter_map(|p| Some((Arc::clone(inner.by_id.get_key_value(p.id().as_ref() as &str)?.0), rule(p))))
            .collect()
    };
    let written = |_| inner.policies.iter().map(|p| (Arc::clone(&p.id), p.text.clone())).collect();
    on_big_stack(all).unwrap_or_else(written)
}

fn index_ids(policies: &[Policy]) -> HashMap<Arc<str>, usize> {
    policies.iter().enumerate().map(|(at, p)| (Arc::clone(&p.id), at)).collect()
}

fn build(sources: Sources, mode: ErrorMode) -> Result<Inner, BundleError> {
    let mut findings = Vec::new();
    let mut warnings = Vec::new();
    let schema = match &sources.schema {
        Some(source) => read_schema(source, &mut warnings).map_err(|f| findings.push(f)).ok(),
        None if mode == ErrorMode::Strict => {
            findings.push(Finding::bare("there is no schema: strict policies need a `schema.cedarschema`"));
            None
        }
        None => None,
    };
    let mut parsed = Parsed::default();
    let mut count = 0;
    for source in &sources.policies {
        match read_policies(source, mode, &mut count) {
            Ok(statements) => parsed.add(source, statements, &mut findings),
            Err(errors) => findings.extend(errors),
        }
    }
    // What a link names may stand in a text that could not be read.
    if findings.is_empty() {
        parsed.link(&sources, schema.as_ref().map(|(_, types)| types), mode, &mut findings);
    }
    if findings.is_empty() {
        match parsed.set() {
            Ok(set) => {
                if let Some((schema, _)) = &schema {
                    validate(schema, &set, &parsed, &sources, mode, &mut findings, &mut warnings);
                }
            }
            Err(message) => findings.push(Finding::bare(message)),
        }
    }
    in_order(&sources, &mut findings);
    in_order(&sources, &mut warnings);
    if !findings.is_empty() {
        return Err(BundleError::new(findings));
    }
    let (schema, types) = match schema {
        Some((schema, types)) => (Some(schema), Some(Arc::new(types))),
        None => (None, None),
    };
    let mut actions = HashMap::new();
    if let Some(schema) = &schema {
        let entities = schema.action_entities().map_err(|e| BundleError::new(vec![Finding::bare(e.to_string())]))?;
        actions.extend(entities.iter().map(|e| (EntityUid::from_cedar(&e.uid()), e.clone())));
    }
    let by_id: HashMap<&PolicyId, &Template> = parsed.templates.values().map(|(t, _)| (t.id(), t)).collect();
    let (cedar, policies): (Vec<_>, Vec<_>) = parsed.policies.into_iter().unzip();
    let names = names(&policies, version(&sources).into());
    let layout = Arc::new(types.as_deref().map(Layout::new).unwrap_or_default());
    Ok(Inner {
        schema,
        sets: OnBigStack(sets(&cedar, &|id| by_id.get(id).copied(), types.as_deref(), &layout, &names)),
        names,
        layout,
        types,
        mode,
        actions,
        sources,
        by_id: index_ids(&policies),
        policies,
        warnings,
    })
}

fn version(sources: &Sources) -> String {
    let mut hash = Sha256::new();
    for text in sources.schema.iter().chain(&sources.policies) {
        hash.update((text.text().len() as u64).to_le_bytes());
        hash.update(text.text());
    }
    // Without a schema the first policy text must not stand for one.
    hash.update([u8::from(sources.schema.is_some())]);
    if !sources.links.is_empty() {
        // No text has this length: links must not stand for policies.
        hash.update(u64::MAX.to_le_bytes());
    }
    for text in &sources.links {
        hash.update((text.text().len() as u64).to_le_bytes());
        hash.update(text.text());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_schema(source: &Source, warnings: &mut Vec<Finding>) -> Result<(Schema, Types), Finding> {
    limits::check(source, true)?;
    let failed = |e: cedar_policy::CedarSchemaError| Finding::from_cedar(source, &e, 0);
    let (json, _) = cedar_policy::schema_str_to_json_with_resolved_types(source.text()).map_err(failed)?;
    expansion::check(&json).map_err(|(name, message)| {
        let declared = |word: &str| source.text().find(&format!("{word} {name}"));
        let at = ["type", "entity", "action"].into_iter().find_map(declared).unwrap_or(0);
        source.finding(at, 0, format!("`{name}`: {message}"))
    })?;
    let (schema, notes) = Schema::from_cedarschema_str(source.text()).map_err(failed)?;
    for note in notes {
        warnings.push(Finding::from_cedar(source, &note, 0).warning());
    }
    let types = Types::read(&json).map_err(|e| source.finding(0, 0, e))?;
    Ok((schema, types))
}

/// A policy or template of a text.
enum Statement {
    Policy(cedar_policy::Policy),
    Template(Template),
}

impl Statement {
    fn id(&self) -> &PolicyId {
        match self {
            Statement::Policy(policy) => policy.id(),
            Statement::Template(template) => template.id(),
        }
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        match self {
            Statement::Policy(policy) => policy.annotation(key),
            Statement::Template(template) => template.annotation(key),
        }
    }
}

/// The statements of all texts.
#[derive(Default)]
struct Parsed {
    policies: Vec<(cedar_policy::Policy, Policy)>,
    templates: Templates,
    /// Whose each id is: file and line.
    taken: HashMap<Arc<str>, (Arc<str>, usize)>,
    /// Where the links stand, by the ids of the policies they make.
    places: HashMap<Arc<str>, Finding>,
}

impl Parsed {
    fn add(&mut self, source: &Source, statements: Vec<Read>, findings: &mut Vec<Finding>) {
        for (statement, info, finding) in statements {
            let place = (Arc::clone(&info.file), info.line);
            if let Some((file, line)) = self.taken.insert(Arc::clone(&info.id), place) {
                let message = format!("`@id(\"{}\")` is also the id of {file}:{line}", info.id);
                findings.push(finding_at(source, &info, message).in_policy(&info.id));
            }
            findings.extend(finding);
            match statement {
                Statement::Policy(policy) => self.policies.push((policy, info)),
                Statement::Template(template) => drop(self.templates.insert(Arc::clone(&info.id), (template, info))),
            }
        }
    }

    /// Adds the policies that links make of templates.
    fn link(&mut self, sources: &Sources, types: Option<&Types>, mode: ErrorMode, findings: &mut Vec<Finding>) {
        let made = links::link(&sources.links, &self.templates, (types, mode), &mut self.taken, findings);
        let used: HashSet<&str> = made.iter().filter_map(|made| made.info.template()).collect();
        // A link that is wrong may have been meant for any of them.
        if mode == ErrorMode::Strict && findings.is_empty() {
            let unused = self.templates.values().filter(|(_, info)| !used.contains(&*info.id));
            findings.extend(unused.map(|(_, info)| {
                finding_of(sources, info, format!("the template `{}` has no effect: no link uses it", info.id))
                    .with_help(
                        "link it in `links.json`, beside the policies: [{\"template_id\": \"…\", \"link_id\": \"…\", \
                     \"args\": {\"?principal\": \"…\"}}]",
                    )
            }));
        }
        for made in made {
            self.places.insert(Arc::clone(&made.info.id), made.place);
            self.policies.push((made.policy, made.info));
        }
    }

    /// All policies, and all templates whether linked or not.
    fn set(&self) -> Result<PolicySet, String> {
        let by_id: HashMap<&PolicyId, &Template> = self.templates.values().map(|(t, _)| (t.id(), t)).collect();
        let mut set = links::set(self.policies.iter().map(|(p, _)| p), |id| by_id.get(id).copied())?;
        for (template, _) in self.templates.values() {
            if set.template(template.id()).is_none() {
                set.add_template(template.clone()).map_err(|e| e.to_string())?;
            }
        }
        Ok(set)
    }
}

type Read = (Statement, Policy, Option<Finding>);

/// The policies and templates of one text in the order they stand, each with a finding if its id will not do.
fn read_policies(source: &Source, mode: ErrorMode, count: &mut usize) -> Result<Vec<Read>, Vec<Finding>> {
    limits::check(source, false).map_err(|f| vec![f])?;
    let set: PolicySet = source.text().parse().map_err(|errors: cedar_policy::ParseErrors| {
        errors.iter().map(|e| Finding::from_cedar(source, e, 0)).collect::<Vec<_>>()
    })?;
    let policies = set.policies().cloned().map(Statement::Policy);
    let mut statements: Vec<Statement> = policies.chain(set.templates().cloned().map(Statement::Template)).collect();
    statements.sort_by_key(|s| number(s.id()));
    let base = *count;
    *count += statements.len();
    let mut from = 0;
    let mut out = Vec::with_capacity(statements.len());
    for policy in statements {
        let (effect, text) = match &policy {
            Statement::Policy(policy) => (policy.effect(), policy.to_cedar().unwrap_or_default()),
            Statement::Template(template) => (template.effect(), template.to_cedar()),
        };
        let at = source.text().get(from..).and_then(|rest| rest.find(&text)).map_or(from, |at| from + at);
        from = at + text.len();
        let annotation = |key: &str| policy.annotation(key).map(str::to_owned);
        let id: Arc<str> = match policy.annotation("id") {
            Some(id) => id.into(),
            None => format!("policy{}", base + number(policy.id())).into(),
        };
        let mut info = Policy {
            id,
            effect,
            doc: annotation("doc"),
            source: annotation("source"),
            redundant: annotation("redundant"),
            text,
            file: source.name.clone(),
            line: source.place(at).0,
            template: None,
            slots: super::Slots::default(),
        };
        let mut finding = None;
        if mode == ErrorMode::Strict && annotation("id").is_none_or(|id| id.is_empty()) {
            finding = Some(
                finding_at(source, &info, "the policy has no `@id`")
                    .with_help("begin it with `@id(\"area.rule\")`, unique over all files"),
            );
            // Keep the name free, so that nothing else seems to repeat it.
            info.id = format!("{}:{}", info.file, info.line).into();
        }
        let id = PolicyId::new(&*info.id);
        let policy = match policy {
            Statement::Policy(policy) => Statement::Policy(policy.new_id(id)),
            Statement::Template(template) => Statement::Template(template.new_id(id)),
        };
        out.push((policy, info, finding));
    }
    Ok(out)
}

fn number(id: &PolicyId) -> usize {
    let id: &str = id.as_ref();
    id.strip_prefix("policy").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX)
}

/// A finding that points at the first line of a policy.
fn finding_at(source: &Source, policy: &Policy, message: impl Into<String>) -> Finding {
    let start = source.line_start(policy.line);
    let length = source.text().get(start..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
    source.finding(start, length, message)
}

pub(super) fn finding_of(sources: &Sources, policy: &Policy, message: impl Into<String>) -> Finding {
    match sources.policies.iter().find(|s| s.name == policy.file) {
        Some(source) => finding_at(source, policy, message),
        None => Finding::bare(message),
    }
    .in_policy(&policy.id)
}

fn validate(
    schema: &Schema,
    set: &PolicySet,
    parsed: &Parsed,
    sources: &Sources,
    mode: ErrorMode,
    findings: &mut Vec<Finding>,
    warnings: &mut Vec<Finding>,
) {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    let templates = parsed.templates.values().map(|(_, info)| info);
    let infos = parsed.policies.iter().map(|(_, info)| info).chain(templates);
    let infos: HashMap<&str, &Policy> = infos.map(|info| (info.id(), info)).collect();
    let files: HashMap<&str, &Source> = sources.policies.iter().map(|s| (s.name(), s)).collect();
    let place = |id: &PolicyId, error: &dyn miette::Diagnostic| {
        let Some(policy) = infos.get(id.as_ref() as &str) else {
            return Finding::bare(error.to_string());
        };
        let Some(source) = files.get(&*policy.file) else {
            return Finding::bare(error.to_string());
        };
        let finding = Finding::from_cedar(source, error, source.line_start(policy.line)).in_policy(&policy.id);
        match parsed.places.get(&policy.id) {
            Some(link) => Finding { message: finding.message, help: finding.help, ..link.clone() },
            None => finding,
        }
    };
    for error in result.validation_errors() {
        let finding = place(error.policy_id(), error);
        match mode {
            ErrorMode::Strict => findings.push(finding),
            ErrorMode::Cedar => warnings.push(finding.warning()),
        }
    }
    for warning in result.validation_warnings() {
        let excused = matches!(warning, cedar_policy::ValidationWarning::ImpossiblePolicy(_))
            && infos.get(warning.policy_id().as_ref() as &str).is_some_and(|info| info.redundant.is_some());
        if !excused {
            warnings.push(place(warning.policy_id(), warning).warning());
        }
    }
}

/// Puts findings in the order of the files: schema, policies, links.
fn in_order(sources: &Sources, findings: &mut [Finding]) {
    let files = sources.policies.iter().chain(&sources.links);
    let files: HashMap<&str, usize> = files.enumerate().map(|(at, source)| (source.name(), at)).collect();
    findings.sort_by_key(|f| (f.source.as_ref().and_then(|s| files.get(s.name()).copied()), f.offset));
}

fn names(policies: &[Policy], version: Arc<str>) -> Arc<Names> {
    let mut policies: Vec<Arc<str>> = policies.iter().map(|p| Arc::clone(&p.id)).collect();
    policies.sort();
    Arc::new(Names { version, policies })
}

/// The policies as Cedar's set, and compiled.
fn sets<'a>(
    policies: &'a [cedar_policy::Policy],
    template: &dyn Fn(&PolicyId) -> Option<&'a Template>,
    types: Option<&Types>,
    layout: &Layout,
    names: &Names,
) -> Sets {
    let rank = |p: &cedar_policy::Policy| names.policies.binary_search_by(|own| (**own).cmp(p.id().as_ref())).ok();
    let ranked = policies.iter().filter_map(|p| Some((u32::try_from(rank(p)?).ok()?, p)));
    let ranked: Vec<(u32, &cedar_policy::Policy)> = ranked.collect();
    let shared = std::cell::RefCell::new(HashMap::<Vec<usize>, Arc<Slice>>::new());
    let some = |places: &[usize]| {
        let make = || slice(places.iter().filter_map(|at| policies.get(*at)), template);
        Arc::clone(shared.borrow_mut().entry(places.to_vec()).or_insert_with(make))
    };
    Sets { program: compile(types, layout, &ranked, &some), all: slice(policies.iter(), template) }
}

fn slice<'a>(
    policies: impl Iterator<Item = &'a cedar_policy::Policy> + Clone,
    template: &dyn Fn(&PolicyId) -> Option<&'a Template>,
) -> Arc<Slice> {
    // What stands in slots Cedar does not count.
    let linked = policies.clone().filter_map(|p| p.template_links()).flat_map(HashMap::into_values);
    let named = policies.clone().flat_map(|p| p.entity_literals()).chain(linked);
    let mut literals: Vec<EntityUid> = named.map(|uid| EntityUid::from_cedar(&uid)).collect();
    literals.sort();
    literals.dedup();
    // INVARIANT: all of them together make a set, or the bundle was refused.
    Arc::new(Slice { policies: links::set(policies, template).unwrap_or_default(), literals })
}

/// The ids of the policies whose scope allows a request's action and types; all where the schema does not foresee it.
pub(super) fn deciding(inner: &Inner, action: &EntityUid, (principal, resource): (&str, &str)) -> Vec<Arc<str>> {
    let types = inner.types.as_deref().and_then(|t| t.actions.get(action));
    let declared = types.filter(|a| {
        let has = |names: &[String], name: &str| names.iter().any(|n| n == name);
        has(&a.principals, principal) && has(&a.resources, resource)
    });
    let groups = declared.map(|a| {
        let mut groups = a.ancestors.clone();
        groups.insert(action.clone());
        groups
    });
    let can = |p: &cedar_policy::Policy| groups.as_ref().is_none_or(|g| scope_can_match(p, principal, g, resource));
    let all = inner.sets.get().all.policies.policies();
    all.filter(|p| can(p)).map(|p| AsRef::<str>::as_ref(p.id()).into()).collect()
}

/// Whether a policy's scope allows an action, given with its groups, and these types.
pub(super) fn scope_can_match(
    policy: &cedar_policy::Policy,
    principal: &str,
    groups: &BTreeSet<EntityUid>,
    resource: &str,
) -> bool {
    let in_groups = |uid: &cedar_policy::EntityUid| groups.contains(&EntityUid::from_cedar(uid));
    let action = match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => in_groups(&uid),
        ActionConstraint::In(uids) => uids.iter().any(in_groups),
    };
    action && types_can_match(policy, principal, resource)
}

/// Whether the types in a policy's scope allow these types of principal and resource.
fn types_can_match(policy: &cedar_policy::Policy, principal: &str, resource: &str) -> bool {
    let principal_can = match policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::In(_) => true,
        PrincipalConstraint::Eq(uid) => uid.type_name().to_string() == principal,
        PrincipalConstraint::Is(name) | PrincipalConstraint::IsIn(name, _) => name.to_string() == principal,
    };
    let resource_can = match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::In(_) => true,
        ResourceConstraint::Eq(uid) => uid.type_name().to_string() == resource,
        ResourceConstraint::Is(name) | ResourceConstraint::IsIn(name, _) => name.to_string() == resource,
    };
    principal_can && resource_can
}

/// Formats a policy text as Cedar's formatter does, two columns a step, 80 wide.
#[cfg(feature = "cli")]
pub(super) fn format(source: &Source) -> Result<String, Finding> {
    limits::check(source, false)?;
    if source.text().trim().is_empty() {
        return Ok(source.text().to_owned());
    }
    let formatted = on_big_stack(|| {
        read_policies(source, ErrorMode::Cedar, &mut 0).map(drop).map_err(|mut findings| {
            if findings.is_empty() {
                Finding::bare("the policies cannot be parsed")
            } else {
                findings.swap_remove(0)
            }
        })?;
        let config = cedar_policy_formatter::Config::default();
        let text = cedar_policy_formatter::policies_str_to_pretty(source.text(), &config)
            .map_err(|e| source.finding(0, 0, format!("cannot be formatted: {e}")))?;
        // A formatter that loses a comment or a policy must not reach the file.
        let words = |text: &str| text.chars().filter(|c| !c.is_whitespace() && *c != ',').collect::<String>();
        if words(&text) == words(source.text()) {
            Ok(text)
        } else {
            Err(source.finding(0, 0, "formatting would change more than white space; the file was left as it is"))
        }
    });
    formatted.unwrap_or_else(|e| Err(Finding::bare(e.to_string())))
}
