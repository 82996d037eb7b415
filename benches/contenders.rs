//! Who decides the same requests: the library in each of its ways, raw Cedar, and the rules by hand.

// Each binary that includes this module uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::str::FromStr;

use bailiwick::{
    cedar_policy, Authorizer, Bundle, Decision, Entity, EntityUid, ErrorCode, ErrorMode, Request, Source, Sources,
    Value,
};

use crate::fixture::{self, Asked, World};
use crate::rival::{self, BySlot, ByText, Slots, Store, Texts};

/// How many requests make the mixed set.
pub const REQUESTS: usize = 2_000;

/// Somebody who decides the whole set, again and again.
pub struct Contender<'a> {
    pub name: &'static str,
    /// Decisions in one pass.
    pub decisions: usize,
    /// One pass; gives how many requests were allowed.
    pub pass: Box<dyn FnMut() -> usize + 'a>,
}

pub const TEXTS: &str = "bailiwick, string uids";
pub const HANDLES: &str = "bailiwick, resolved handles";
pub const BUILT: &str = "bailiwick, requests built from strings";
pub const BATCH: &str = "bailiwick, one batch";
pub const RAW: &str = "raw cedar-policy, everything prebuilt";
pub const BY_TEXT: &str = "by hand, string ids";
pub const BY_SLOT: &str = "by hand, integer ids";
pub const UNRELATED: &str = "bailiwick, unrelated policies added";

/// A world, held by the library and by hand.
pub struct Field {
    pub world: World,
    pub authorizer: Authorizer,
    by_text: Store<ByText>,
    by_slot: Store<BySlot>,
    slots: Slots,
}

/// A mixed set of requests on it, in every form that a contender needs.
pub struct Set {
    pub asked: Vec<Asked>,
    pub requests: Vec<Request>,
    handles: Vec<Request>,
    parts: Vec<Parts>,
    texts: Vec<rival::Request<String>>,
    slots: Vec<rival::Request<u32>>,
}

impl Field {
    /// The world with this many members.
    pub fn new(members: usize) -> Self {
        let world = World::new(members);
        let mut slots = Slots::default();
        Self {
            authorizer: authorizer(&world),
            by_text: rival::store(&world.entities, &mut Texts).expect("the world fits the model"),
            by_slot: rival::store(&world.entities, &mut slots).expect("the world fits the model"),
            world,
            slots,
        }
    }

    /// The mixed set of `count` requests, decided once by the library and by hand.
    ///
    /// # Panics
    /// When they disagree: what follows would compare different work.
    pub fn set(&mut self, count: usize) -> Set {
        let read = |request: &Request| rival::request(request, &mut Texts).expect("the request fits the model");
        let asked = fixture::mix(&self.world, count, &|request| rival::allows(&self.by_text, &read(request)));
        let requests: Vec<Request> = asked.iter().map(|it| it.request.clone()).collect();
        let set = Set {
            handles: requests.iter().map(|it| resolved(&self.authorizer, it)).collect(),
            parts: requests.iter().map(Parts::new).collect(),
            texts: requests.iter().map(read).collect(),
            slots: requests.iter().map(|it| rival::request(it, &mut self.slots).expect("it fits")).collect(),
            requests,
            asked,
        };
        set.agree(&self.authorizer);
        set
    }

    /// Whether the rules by hand allow a request.
    pub fn allows_by_hand(&self, request: &Request) -> bool {
        rival::allows(&self.by_text, &rival::request(request, &mut Texts).expect("the request fits the model"))
    }

    /// The library and the rules by hand. A further way to decide is one more entry here.
    pub fn contenders<'a>(&'a self, set: &'a Set) -> Vec<Contender<'a>> {
        vec![
            library(TEXTS, &self.authorizer, &set.requests),
            library(HANDLES, &self.authorizer, &set.handles),
            Contender {
                name: BUILT,
                decisions: set.parts.len(),
                pass: Box::new(move || {
                    let mut decision = Decision::default();
                    set.parts.iter().fold(0, |allowed, parts| {
                        self.authorizer.decide_into(&parts.build(), &mut decision);
                        allowed + usize::from(decision.allowed())
                    })
                }),
            },
            Contender {
                name: BATCH,
                decisions: set.requests.len(),
                pass: Box::new(move || {
                    self.authorizer.is_authorized_many(&set.requests).iter().filter(|it| it.allowed()).count()
                }),
            },
            Contender {
                name: BY_TEXT,
                decisions: set.texts.len(),
                pass: Box::new(move || {
                    set.texts.iter().filter(|request| rival::allows(&self.by_text, request)).count()
                }),
            },
            Contender {
                name: BY_SLOT,
                decisions: set.slots.len(),
                pass: Box::new(move || {
                    set.slots.iter().filter(|request| rival::allows(&self.by_slot, request)).count()
                }),
            },
        ]
    }

    /// An authorizer on the same entities with `count` more policies for all actions, each about one resource that no
    /// request is about, and every other one about one member.
    pub fn with_unrelated(&self, count: usize) -> Authorizer {
        let is_member = |uid: &&EntityUid| uid.type_name() == "Grc::Member";
        let members: Vec<&EntityUid> = self.world.entities.iter().map(Entity::uid).filter(is_member).collect();
        let policy = |n: usize| {
            let principal = match n % 2 {
                0 => "principal".to_owned(),
                _ => format!("principal == {}", members[n * 7 % members.len()]),
            };
            let resource = fixture::CONTENT[n / 2 % fixture::CONTENT.len()](&format!("elsewhere-{n}"));
            format!(
                "@id(\"unrelated.{n}\")\n@doc(\"A grant on one resource.\")\n\
                 permit ({principal}, action, resource == {resource});\n"
            )
        };
        let bundle = self.authorizer.bundle();
        let mut sources = bundle.sources().policies().to_vec();
        // Several files, since one has at most 4 MiB.
        let numbers: Vec<usize> = (0..count).collect();
        for (file, numbers) in numbers.chunks(5_000).enumerate() {
            let text: String = numbers.iter().map(|&n| policy(n)).collect();
            sources.push(Source::new(format!("unrelated-{file}.cedar"), text));
        }
        let sources = Sources::new(bundle.sources().schema().cloned(), sources);
        let bundle = Bundle::from_sources(sources, ErrorMode::Strict).expect("the policies are valid");
        Authorizer::builder().bundle(bundle).entities_json(&*self.world.json()).expect("the world fits").build()
    }
}

impl Set {
    /// How many requests are allowed.
    pub fn allowed(&self) -> usize {
        self.asked.iter().filter(|it| it.allowed).count()
    }

    /// Checks that an authorizer decides as the rules by hand do.
    pub fn agree(&self, authorizer: &Authorizer) {
        for Asked { request, allowed } in &self.asked {
            let decision = authorizer.is_authorized(request);
            // An empty window is a denial with an error; nothing else may report one.
            let errors = decision.errors().filter(|error| error.code() != ErrorCode::Window).count();
            assert!(
                decision.allowed() == *allowed && errors == 0,
                "by hand {allowed}, by the policies {} for {request:?}",
                decision.to_json(),
            );
        }
    }

    /// For each policy, how many of the requests it determines.
    ///
    /// # Panics
    /// When a policy determines none: then the set does not show what the policies cost.
    pub fn shares(&self, authorizer: &Authorizer) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for request in &self.requests {
            for id in authorizer.is_authorized(request).determining() {
                *shares.entry(id.to_owned()).or_default() += 1;
            }
        }
        for policy in authorizer.bundle().policies() {
            let determines = policy.redundant().is_some() || shares.contains_key(policy.id());
            assert!(determines, "`{}` determines no request of the set", policy.id());
        }
        shares
    }
}

/// The library deciding `requests` one by one, into one decision.
pub fn library<'a>(name: &'static str, authorizer: &'a Authorizer, requests: &'a [Request]) -> Contender<'a> {
    Contender { name, decisions: requests.len(), pass: Box::new(move || pass(authorizer, requests)) }
}

/// The library with the built-in policies on a world.
pub fn authorizer(world: &World) -> Authorizer {
    Authorizer::builder().entities_json(&*world.json()).expect("the world fits the schema").build()
}

/// Decides all requests one by one into one decision; gives how many are allowed.
#[inline(never)]
pub fn pass(authorizer: &Authorizer, requests: &[Request]) -> usize {
    let mut decision = Decision::default();
    requests.iter().fold(0, |allowed, request| {
        authorizer.decide_into(request, &mut decision);
        allowed + usize::from(decision.allowed())
    })
}

/// The same request, made of handles.
fn resolved(authorizer: &Authorizer, request: &Request) -> Request {
    let [principal, action, resource] =
        [request.principal(), request.action(), request.resource().uid()].map(|uid| authorizer.resolve(uid));
    let of_handles = Request::new(principal, action, resource);
    request.context().iter().fold(of_handles, |request, (name, value)| request.with(name, value.clone()))
}

/// What an application holds before it has a request: type names and ids as texts, and values.
struct Parts {
    uids: [(String, String); 3],
    context: Vec<(String, Value)>,
}

impl Parts {
    fn new(request: &Request) -> Self {
        let texts = |uid: &EntityUid| (uid.type_name().to_owned(), uid.id().to_owned());
        Self {
            uids: [request.principal(), request.action(), request.resource().uid()].map(texts),
            context: request.context().iter().map(|(name, value)| (name.to_owned(), value.clone())).collect(),
        }
    }

    fn build(&self) -> Request {
        let [principal, action, resource] =
            self.uids.each_ref().map(|(type_name, id)| EntityUid::new(type_name, id).expect("a name"));
        let request = Request::new(principal, action, resource);
        self.context.iter().fold(request, |request, (name, value)| request.with(name, value.clone()))
    }
}

/// Cedar as it comes: all policies, all entities, requests built and checked beforehand.
pub struct Raw {
    authorizer: cedar_policy::Authorizer,
    policies: cedar_policy::PolicySet,
    entities: cedar_policy::Entities,
    requests: Vec<cedar_policy::Request>,
}

impl Raw {
    /// The same policies, entities and requests. Windows are cut down beforehand, as the library does for itself.
    pub fn new(field: &Field, set: &Set) -> Self {
        let bundle = field.authorizer.bundle();
        let schema = bundle.sources().schema().expect("the built-in bundle has one").text();
        let (schema, _) = cedar_policy::Schema::from_cedarschema_str(schema).expect("the schema is valid");
        let mut policies = cedar_policy::PolicySet::new();
        for source in bundle.sources().policies() {
            for policy in cedar_policy::PolicySet::from_str(source.text()).expect("the policies are valid").policies() {
                let id = policy.annotation("id").expect("every policy has one");
                policies.add(policy.new_id(cedar_policy::PolicyId::new(id))).expect("ids are unique");
            }
        }
        let entities = cedar_policy::Entities::from_json_str(
            std::str::from_utf8(&field.world.json()).expect("JSON is text"),
            Some(&schema),
        )
        .expect("the entities fit");
        let requests = set.requests.iter().map(|it| request(field, &schema, it)).collect();
        Self { authorizer: cedar_policy::Authorizer::new(), policies, entities, requests }
    }

    /// How many policies it evaluates.
    pub fn policies(&self) -> usize {
        self.policies.num_of_policies()
    }

    /// Cedar as a contender.
    pub fn contender(&self) -> Contender<'_> {
        let allows = move |request: &&cedar_policy::Request| {
            let response = self.authorizer.is_authorized(request, &self.policies, &self.entities);
            response.decision() == cedar_policy::Decision::Allow
        };
        Contender {
            name: RAW,
            decisions: self.requests.len(),
            pass: Box::new(move || self.requests.iter().filter(allows).count()),
        }
    }
}

fn request(field: &Field, schema: &cedar_policy::Schema, request: &Request) -> cedar_policy::Request {
    let uid = |uid: &EntityUid| cedar_policy::EntityUid::from_str(&uid.to_string()).expect("a uid");
    let mut context: BTreeMap<String, Value> =
        request.context().iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    if let Some(window) = field.authorizer.is_authorized(request).window() {
        let ends = [("from", window.from), ("to", window.to)];
        let ends = ends.map(|(name, at)| (name.to_owned(), Value::Datetime(at)));
        context.insert("window".into(), Value::Record(ends.into()));
    }
    let context = cedar_policy::Context::from_json_value(Value::Record(context).to_json(), None).expect("a context");
    let (principal, action, resource) = (request.principal(), request.action(), request.resource().uid());
    cedar_policy::Request::new(uid(principal), uid(action), uid(resource), context, Some(schema)).expect("it fits")
}
