//! What commands that decide are given: policies, entities, and the parts of requests.

use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use bailiwick::entities::{request_from_parts, Part};
use bailiwick::model::Json;
use bailiwick::query::context_from_tree;
use bailiwick::store::Sqlite;
use bailiwick::{Authorizer, Bundle, Context, EntityError, EntityUid, Request, Snapshot};

use crate::{bundle, refused, unusable, Errors};

#[derive(clap::Args)]
pub(crate) struct Inputs {
    /// Entities, as Cedar entity JSON
    #[arg(long, required_unless_present = "directory")]
    entities: Option<PathBuf>,
    /// Entities of a directory: its file
    #[arg(long, conflicts_with = "entities")]
    directory: Option<PathBuf>,
    /// Policy folders or files [default: the built-in policies]
    #[arg(long, num_args = 1..)]
    policies: Vec<PathBuf>,
    /// The schema, where the policy folder holds none
    #[arg(long)]
    schema: Option<PathBuf>,
    /// How errors while deciding are treated
    #[arg(long, value_enum, default_value = "strict")]
    errors: Errors,
}

impl Inputs {
    /// The bundle and an authorizer with the entities; where there is none, the exit status, and it has been said why.
    pub(crate) fn load(&self) -> Result<(Bundle, Authorizer), u8> {
        let bundle = bundle(&self.policies, self.schema.as_deref(), self.errors);
        let bundle = bundle.map_err(|error| refused("the policies", &error))?;
        let authorizer = self.authorizer(&bundle).map_err(|message| unusable(&message))?;
        Ok((bundle, authorizer))
    }

    fn authorizer(&self, bundle: &Bundle) -> Result<Authorizer, String> {
        let builder = Authorizer::builder().bundle(bundle.clone());
        let fit = |snapshot| Ok(builder.snapshot(snapshot).map_err(|e: EntityError| e.to_string())?.build());
        let Some(path) = &self.entities else {
            let path = self.directory.as_deref().unwrap_or(Path::new(""));
            let snapshot = Sqlite::open(path).map_err(|e| crate::directory::of_file(path, &e)).and_then(|store| {
                bailiwick::loader::snapshot(bundle, &store).map_err(|e| format!("`{}`: {e}", path.display()))
            });
            return fit(snapshot?);
        };
        let file = open(path)?;
        let path = path.display();
        let bar = std::io::stderr().is_terminal().then(indicatif::ProgressBar::new_spinner);
        let mut progress = |read: usize| {
            if let Some(bar) = &bar {
                bar.set_message(format!("{read} entities read"));
                bar.tick();
            }
        };
        let snapshot = Snapshot::from_json_with_progress(bundle, file, &mut progress);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let snapshot = snapshot.map_err(|e| format!("`{path}` is refused; nothing was loaded\n{e}"))?;
        fit(snapshot)
    }
}

/// Opens a file to read.
pub(crate) fn open(path: &Path) -> Result<File, String> {
    let failed = |e: &dyn std::fmt::Display| format!("`{}` cannot be read: {e}", path.display());
    let file = File::open(path).map_err(|e| failed(&e))?;
    match file.metadata() {
        Ok(about) if about.is_dir() => Err(failed(&"it is a folder, expected a file")),
        _ => Ok(file),
    }
}

/// The parts of a request, as they are written on a command line.
pub(crate) struct Asked<'a> {
    pub(crate) principal: Option<&'a str>,
    pub(crate) action: &'a str,
    pub(crate) resource: Option<&'a str>,
    pub(crate) context: Option<&'a str>,
}

impl Asked<'_> {
    /// The request. Parts that are asked for stand in it as a uid that nothing has.
    pub(crate) fn read(&self, bundle: &Bundle) -> Result<Request, String> {
        let nothing = EntityUid::new("Nothing", "").map_err(|e| e.to_string())?;
        let whole = |text: &str| text.trim_start().starts_with('{').then(|| json("the resource", text)).transpose();
        let entity = self.resource.map(whole).transpose()?.flatten();
        let resource = match (&entity, self.resource) {
            (Some(entity), _) => Part::Json(entity),
            (None, Some(text)) => Part::Text(text),
            (None, None) => Part::Uid(&nothing),
        };
        let principal = self.principal.map_or(Part::Uid(&nothing), Part::Text);
        let context = self.context.map(|text| json("`--context`", text)).transpose()?;
        let request = request_from_parts(bundle, principal, Part::Text(self.action), resource, context.as_ref());
        request.map_err(|e| e.to_string())
    }
}

fn json(what: &str, text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|e| format!("{what} cannot be read: {e}"))
}

/// A context that is not of one action.
pub(crate) fn context_of_any(bundle: &Bundle, text: Option<&str>) -> Result<Context, String> {
    match text {
        None => Ok(Context::default()),
        Some(text) => context_from_tree(bundle, &json("`--context`", text)?).map_err(|e| e.to_string()),
    }
}
