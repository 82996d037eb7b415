//! Links: which templates of the policy files become policies, and for whom.
//!
//! The text is that of the template-links file of Cedar's own command.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy::{PolicyId, PolicySet, SlotId, Template};

use super::types::{EntityType, Types};
use super::{limits, ErrorMode, Finding, Policy, Slots, Source};
use crate::model::json::Json;
use crate::model::{shorten, EntityUid};

/// One policy made from a template: the template's id, the new policy's id, and who stands in the slots.
///
/// ```
/// use bailiwick::{Bundle, ErrorMode, Link, Source, Sources};
/// let schema = "entity User; entity Doc; action view appliesTo { principal: User, resource: Doc };";
/// let template = r#"@id("reader") permit (principal == ?principal, action, resource == ?resource);"#;
/// let link = Link::new("reader", "reader.olga").principal(r#"User::"olga""#.parse()?).resource(r#"Doc::"plan""#.parse()?);
/// let sources = Sources::new(Some(Source::new("schema", schema)), vec![Source::new("policies", template)]);
/// let bundle = Bundle::from_sources(sources.with_links(&[link]), ErrorMode::Strict)?;
/// assert_eq!(bundle.policies()[0].id(), "reader.olga");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    template: String,
    id: String,
    principal: Option<EntityUid>,
    resource: Option<EntityUid>,
}

impl Link {
    /// The policy `id`, made from the template `template`, with nobody in its slots yet.
    pub fn new(template: impl Into<String>, id: impl Into<String>) -> Self {
        Self { template: template.into(), id: id.into(), principal: None, resource: None }
    }

    /// Puts `uid` in the slot `?principal`.
    #[must_use]
    pub fn principal(self, uid: EntityUid) -> Self {
        Self { principal: Some(uid), ..self }
    }

    /// Puts `uid` in the slot `?resource`.
    #[must_use]
    pub fn resource(self, uid: EntityUid) -> Self {
        Self { resource: Some(uid), ..self }
    }
}

/// The links as the text of a `links.json`, one on a line.
pub(super) fn text(links: &[Link]) -> String {
    let line = |link: &Link| {
        let slots = [("?principal", &link.principal), ("?resource", &link.resource)];
        let args: BTreeMap<&str, String> =
            slots.into_iter().filter_map(|(slot, uid)| Some((slot, uid.as_ref()?.to_string()))).collect();
        serde_json::json!({"template_id": link.template, "link_id": link.id, "args": args}).to_string()
    };
    format!("[\n{}\n]\n", links.iter().map(line).collect::<Vec<_>>().join(",\n"))
}

/// A link as it is written.
#[derive(Debug, Default)]
struct Written {
    template_id: String,
    link_id: String,
    principal: Option<String>,
    resource: Option<String>,
}

impl Written {
    /// `Err` says what is wrong, after the word it is about.
    fn read(json: &Json) -> Result<Self, (&'static str, String)> {
        const KEYS: [&str; 3] = ["template_id", "link_id", "args"];
        json.fields("the link", &KEYS).map_err(|message| ("", message))?;
        let member = |key: &str| json.get(key).ok_or_else(|| ("", format!("the link has no `{key}`")));
        let args = member("args")?;
        args.fields("`args`", &["?principal", "?resource"]).map_err(|message| ("\"args\"", message))?;
        let text = |key: &str, value: &Json| match value {
            Json::String(text) => Ok(text.clone()),
            other => Err(format!("`{key}` is {}, expected a text", other.kind())),
        };
        let uid = |word, key| args.get(key).map(|v| text(key, v)).transpose().map_err(|message| (word, message));
        Ok(Self {
            template_id: text("template_id", member("template_id")?).map_err(|message| ("\"template_id\"", message))?,
            link_id: text("link_id", member("link_id")?).map_err(|message| ("\"link_id\"", message))?,
            principal: uid("\"?principal\"", "?principal")?,
            resource: uid("\"?resource\"", "?resource")?,
        })
    }
}

/// A link, and where its text begins and ends.
struct Placed<'a> {
    source: &'a Source,
    link: Written,
    from: usize,
    to: usize,
}

impl Placed<'_> {
    /// A finding at the word of the link that it is about, or at the whole where the word is not found.
    fn finding(&self, word: &str, message: impl Into<String>) -> Finding {
        let text = self.source.text().get(self.from..self.to).unwrap_or_default();
        let at = text.find(word).unwrap_or(0);
        let line = text.get(at..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let finding = self.source.finding(self.from + at, line.len(), message);
        match self.link.link_id.as_str() {
            "" => finding,
            id => finding.in_policy(&id.into()),
        }
    }
}

/// Reads the links of one text, up to where it is no JSON.
fn read<'a>(source: &'a Source, findings: &mut Vec<Finding>) -> Vec<Placed<'a>> {
    let mut found = Vec::new();
    if let Err(finding) = limits::check_size(source).and_then(|()| scan(source, &mut found, findings)) {
        findings.push(finding);
    }
    found
}

fn scan<'a>(source: &'a Source, found: &mut Vec<Placed<'a>>, findings: &mut Vec<Finding>) -> Result<(), Finding> {
    let text = source.text();
    let skip = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        at + (rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len())
    };
    let next = |at: usize| text.get(at..).and_then(|rest| rest.chars().next());
    let expected = |at: usize, what: &str| Err(source.finding(at, 1, format!("expected {what}")));
    let mut at = skip(0);
    if next(at) != Some('[') {
        return expected(at, "an array of links");
    }
    at = skip(at + 1);
    // An empty array has no link, and after a comma there must be one.
    let mut more = next(at) != Some(']');
    while more {
        let rest = text.get(at..).unwrap_or_default();
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Json>();
        let link = match stream.next() {
            Some(Ok(link)) => link,
            Some(Err(e)) => {
                // The place that the reader counts begins with this link.
                let lines = rest.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum::<usize>();
                let message = e.to_string();
                let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
                return Err(source.finding(at + lines + e.column().saturating_sub(1), 1, message));
            }
            None => return expected(at, "a link or `]`"),
        };
        let from = at;
        at += stream.byte_offset();
        let placed = |link| Placed { source, link, from, to: at };
        match Written::read(&link) {
            Ok(link) => found.push(placed(link)),
            Err((word, message)) => findings.push(placed(Written::default()).finding(word, message)),
        }
        at = skip(at);
        match next(at) {
            Some(',') => at = skip(at + 1),
            Some(']') => more = false,
            _ => return expected(at, "`,` or `]`"),
        }
    }
    match skip(at + 1) {
        end if end < text.len() => expected(end, "nothing after the array"),
        _ => Ok(()),
    }
}

/// A policy that a link makes, what people want to know of it, and where the link stands.
pub(super) struct Made {
    pub(super) policy: cedar_policy::Policy,
    pub(super) info: Policy,
    pub(super) place: Finding,
}

/// The template's id, itself, and what people want to know of it.
pub(super) type Templates = BTreeMap<Arc<str>, (Template, Policy)>;

/// Makes the policies that the texts' links ask for. `taken` says whose an id is already.
pub(super) fn link(
    sources: &[Source],
    templates: &Templates,
    (types, mode): (Option<&Types>, ErrorMode),
    taken: &mut HashMap<Arc<str>, (Arc<str>, usize)>,
    findings: &mut Vec<Finding>,
) -> Vec<Made> {
    let mut made = Vec::new();
    let mut set = PolicySet::new();
    for (template, _) in templates.values() {
        // Two templates of one id are a finding already.
        let _ = set.add_template(template.clone());
    }
    let all: Vec<Placed<'_>> = sources.iter().flat_map(|source| read(source, findings)).collect();
    for placed in all {
        let Written { template_id, link_id, .. } = &placed.link;
        let before = findings.len();
        let (line, _) = placed.source.place(placed.from);
        let id: Arc<str> = link_id.as_str().into();
        if id.is_empty() {
            findings.push(placed.finding("\"link_id\"", "`link_id` is empty: the policy would have no name"));
        } else if let Some((file, line)) = taken.get(&id) {
            let message = format!("`{}` is also the id of {file}:{line}", shorten(link_id));
            findings.push(placed.finding("\"link_id\"", message));
        } else {
            taken.insert(Arc::clone(&id), (Arc::clone(&placed.source.name), line));
        }
        let Some((template, about)) = templates.get(template_id.as_str()) else {
            findings.push(unknown(&placed, templates));
            continue;
        };
        let values = values(&placed, template, types.filter(|_| mode == ErrorMode::Strict), findings);
        if findings.len() > before {
            continue;
        }
        let linked = set.link(template.id().clone(), PolicyId::new(&*id), values);
        match (linked, set.policy(&PolicyId::new(&*id))) {
            (Ok(()), Some(policy)) => made.push(Made {
                policy: policy.clone(),
                info: Policy { id, template: Some(Arc::clone(&about.id)), slots: slots(&placed.link), ..about.clone() },
                place: placed.finding("", ""),
            }),
            (Err(e), _) => findings.push(placed.finding("", e.to_string())),
            (Ok(()), None) => findings.push(placed.finding("", "the template cannot be linked")),
        }
    }
    made
}

fn unknown(placed: &Placed<'_>, templates: &Templates) -> Finding {
    const SHOWN: usize = 5;
    let ids: Vec<String> = templates.keys().take(SHOWN).map(|id| format!("`{id}`")).collect();
    let help = match (ids.is_empty(), templates.len() > SHOWN) {
        (true, _) => "there is no template: a policy with `?principal` or `?resource` in its scope is one".into(),
        (false, true) => format!("the templates are {} and {} more", ids.join(", "), templates.len() - SHOWN),
        (false, false) => format!("the templates are {}", ids.join(", ")),
    };
    let message = format!("there is no template `{}`", shorten(&placed.link.template_id));
    placed.finding("\"template_id\"", message).with_help(help)
}

/// What the link puts in the template's slots.
fn values(
    placed: &Placed<'_>,
    template: &Template,
    types: Option<&Types>,
    findings: &mut Vec<Finding>,
) -> HashMap<SlotId, cedar_policy::EntityUid> {
    let link = &placed.link;
    let mut values = HashMap::new();
    for (slot, text) in [(SlotId::principal(), &link.principal), (SlotId::resource(), &link.resource)] {
        let word = format!("\"{slot}\"");
        let Some(text) = text else {
            if template.slots().any(|s| *s == slot) {
                findings.push(placed.finding("\"args\"", format!("`args` has no `{slot}`, which the template has")));
            }
            continue;
        };
        if !template.slots().any(|s| *s == slot) {
            findings.push(placed.finding(&word, format!("the template has no slot `{slot}`")));
        }
        let uid = match text.parse::<EntityUid>() {
            Ok(uid) => uid,
            Err(e) => {
                findings.push(placed.finding(&word, format!("`{slot}`: {e}")));
                continue;
            }
        };
        if let Some(message) = types.and_then(|types| misfit(&uid, types)) {
            findings.push(placed.finding(&word, format!("`{slot}`: {message}")));
        }
        match uid.to_cedar() {
            Ok(uid) => drop(values.insert(slot, uid)),
            Err(e) => findings.push(placed.finding(&word, format!("`{slot}`: {e}"))),
        }
    }
    values
}

fn slots(link: &Written) -> Slots {
    // As Cedar writes a uid, whatever the link's own way.
    let uid = |text: &Option<String>| Some(text.as_ref()?.parse::<EntityUid>().ok()?.to_string().into());
    Slots { principal: uid(&link.principal), resource: uid(&link.resource) }
}

/// Why the schema does not know a uid.
fn misfit(uid: &EntityUid, types: &Types) -> Option<String> {
    match types.entities.get(uid.type_name()) {
        Some(EntityType::Stored { .. }) => None,
        Some(EntityType::Enum(ids)) if ids.iter().any(|id| id == uid.id()) => None,
        Some(EntityType::Enum(_)) => Some(format!("the schema does not list `{}`", shorten(&uid.to_string()))),
        None => Some(format!("the schema has no entity type `{}`", shorten(uid.type_name()))),
    }
}

/// The policies as Cedar's set, with the templates that some of them are linked from.
pub(super) fn set<'a>(
    policies: impl Iterator<Item = &'a cedar_policy::Policy>,
    template: impl Fn(&PolicyId) -> Option<&'a Template>,
) -> Result<PolicySet, String> {
    let mut set = PolicySet::new();
    for policy in policies {
        match (policy.template_id(), policy.template_links()) {
            (Some(id), Some(values)) => {
                if let (None, Some(template)) = (set.template(id), template(id)) {
                    set.add_template(template.clone()).map_err(|e| e.to_string())?;
                }
                set.link(id.clone(), policy.id().clone(), values).map_err(|e| e.to_string())?;
            }
            _ => set.add(policy.clone()).map_err(|e| e.to_string())?,
        }
    }
    Ok(set)
}
