//! The texts a bundle is made of, and findings that point into them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use miette::{LabeledSpan, SourceCode};

use super::links::{self, Link};

/// A text with the name people know it by.
#[derive(Clone)]
pub struct Source {
    pub(super) name: Arc<str>,
    text: Arc<str>,
    /// Where each line begins. Looked for once: there may be ten thousand findings.
    lines: Arc<OnceLock<Vec<usize>>>,
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.text) == (&other.name, &other.text)
    }
}

impl Eq for Source {}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("text", &self.text).finish()
    }
}

impl Source {
    /// The text `text`, called `name` in messages.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into(), lines: Arc::default() }
    }

    /// What the text is called: a file's path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset, both counted from 1, the column in characters.
    pub(crate) fn place(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let line = self.lines().partition_point(|start| *start <= end).max(1);
        let start = self.line_start(line);
        (line, self.text.get(start..end).unwrap_or_default().chars().count() + 1)
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let ends = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        })
    }

    /// Where a line, counted from 1, begins.
    pub(super) fn line_start(&self, line: usize) -> usize {
        self.lines().get(line.saturating_sub(1)).copied().unwrap_or(0)
    }

    pub(crate) fn finding(&self, offset: usize, length: usize, message: impl Into<String>) -> Finding {
        let (line, column) = self.place(offset);
        Finding {
            message: crate::model::clip(message),
            help: None,
            severity: Severity::Error,
            policy: None,
            source: Some(self.clone()),
            offset: offset.min(self.text.len()),
            length: length.min(self.text.len().saturating_sub(offset)),
            line,
            column,
        }
    }

    /// Reads a file as UTF-8.
    pub(crate) fn read(path: &Path) -> Result<Self, Finding> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Finding::unreadable(&name, &e))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(e) => {
                let valid = e.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(e.as_bytes()).into_owned();
                Err(Self::new(name, text).finding(valid, 1, "the file is not UTF-8 from here on"))
            }
        }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The bundle cannot be used.
    Error,
    /// The bundle can be used; a reviewer should look.
    Warning,
}

/// One thing wrong in a schema or policy text, and where.
#[derive(Debug, Clone)]
pub struct Finding {
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) severity: Severity,
    pub(super) policy: Option<Arc<str>>,
    pub(super) source: Option<Source>,
    pub(super) offset: usize,
    pub(super) length: usize,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Finding {
    pub(super) fn bare(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            severity: Severity::Error,
            policy: None,
            source: None,
            offset: 0,
            length: 0,
            line: 0,
            column: 0,
        }
    }

    pub(super) fn unreadable(path: &str, error: &std::io::Error) -> Self {
        Self::bare(format!("`{path}` cannot be read: {error}"))
    }

    /// A finding at the place an error of Cedar's points to; at `fallback` where it points nowhere.
    pub(super) fn from_cedar(source: &Source, error: &dyn miette::Diagnostic, fallback: usize) -> Self {
        let label = error.labels().and_then(|mut labels| labels.next());
        let (offset, length) = label.as_ref().map_or((fallback, 0), |l| (l.offset(), l.len()));
        let mut message = error.to_string();
        // Cedar says what is wrong in a cause or in the label more often than in the error itself.
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            let text = inner.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = inner.source();
        }
        if let Some(text) = label.as_ref().and_then(LabeledSpan::label) {
            if !message.contains(text) {
                message = format!("{message}: {text}");
            }
        }
        let mut finding = source.finding(offset, length, message.replace('\n', " "));
        finding.help = error.help().map(|h| crate::model::clip(h.to_string()));
        finding
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn in_policy(mut self, policy: &Arc<str>) -> Self {
        self.policy = Some(Arc::clone(policy));
        self
    }

    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where there is advice.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The policy it is about, where it is about one.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// The file, line and column (from 1) it points to; none where it points at no text.
    pub fn place(&self) -> Option<(&str, usize, usize)> {
        self.source.as_ref().map(|s| (s.name(), self.line, self.column))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Finding {}

impl miette::Diagnostic for Finding {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|s| s as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.source.as_ref()?;
        let label = LabeledSpan::new(Some("here".into()), self.offset, self.length.max(1));
        Some(Box::new(std::iter::once(label)))
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        // From the first line that is shown on: miette counts lines from the start of what it is given, which for
        // ten thousand findings of one text takes minutes.
        let skipped = self.place(span.offset()).0.saturating_sub(before + 1);
        let from = self.line_start(skipped + 1);
        let text = self.text.get(from..).unwrap_or_default();
        let near = (span.offset().saturating_sub(from), span.len()).into();
        let contents = text.read_span(&near, before, after)?;
        let shown = *contents.span();
        Ok(Box::new(miette::MietteSpanContents::new_named(
            self.name().to_owned(),
            contents.data(),
            (shown.offset() + from, shown.len()).into(),
            contents.line() + skipped,
            contents.column(),
            contents.line_count() + skipped,
        )))
    }
}

/// Why a bundle cannot be used: everything that is wrong with it.
#[derive(Debug, Clone)]
pub struct BundleError {
    findings: Vec<Finding>,
    unreadable: bool,
}

impl BundleError {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        let unreadable = findings.iter().any(|f| f.source.is_none());
        Self { findings, unreadable }
    }

    /// Everything that is wrong, in the order of the files.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether a file or folder could not be read at all.
    pub fn is_unreadable(&self) -> bool {
        self.unreadable
    }
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, finding) in self.findings.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            if let Some((file, line, column)) = finding.place() {
                write!(f, "{file}:{line}:{column}: ")?;
            }
            f.write_str(&finding.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for BundleError {}

/// The file of a folder that links its templates.
const LINKS: &str = "links.json";

/// The schema, policy and link texts of a bundle.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub(super) schema: Option<Source>,
    pub(super) policies: Vec<Source>,
    pub(super) links: Vec<Source>,
}

impl Sources {
    /// Texts that are at hand.
    pub fn new(schema: Option<Source>, policies: Vec<Source>) -> Self {
        Self { schema, policies, links: Vec::new() }
    }

    /// Makes these policies of templates too. Messages about them call the text that holds them `links`.
    #[must_use]
    pub fn with_links(self, links: &[Link]) -> Self {
        self.with_links_text(Source::new("links", links::text(links)))
    }

    /// Makes the policies that a text of the form of a `links.json` asks for too:
    /// `[{"template_id": "…", "link_id": "…", "args": {"?principal": "…"}}]`.
    #[must_use]
    pub fn with_links_text(mut self, links: Source) -> Self {
        self.links.push(links);
        self
    }

    /// Reads folders and files. A folder gives its own `*.cedar`, sorted by name, never those of its sub-folders,
    /// its `links.json` if there is one, and its `schema.cedarschema` unless `schema` names another. A file called
    /// `links.json` holds links, any other policies.
    ///
    /// # Errors
    /// When a path cannot be read, a folder holds no policy, or two folders bring a schema.
    pub fn read<P: AsRef<Path>>(paths: &[P], schema: Option<&Path>) -> Result<Self, BundleError> {
        let mut sources = Sources::default();
        let mut findings = Vec::new();
        let mut schema_paths: Vec<PathBuf> = schema.iter().map(|p| p.to_path_buf()).collect();
        for path in paths.iter().map(AsRef::as_ref) {
            if !path.is_dir() {
                match Source::read(path) {
                    Ok(source) if path.file_name().is_some_and(|name| name == LINKS) => sources.links.push(source),
                    Ok(source) => sources.policies.push(source),
                    Err(finding) => findings.push(finding),
                }
                continue;
            }
            match policy_files(path) {
                Ok(files) if files.is_empty() => {
                    findings.push(Finding::bare(format!("`{}` holds no `*.cedar` file", path.display())));
                }
                Ok(files) => {
                    for file in files {
                        match Source::read(&file) {
                            Ok(source) => sources.policies.push(source),
                            Err(finding) => findings.push(finding),
                        }
                    }
                }
                Err(e) => findings.push(Finding::unreadable(&path.display().to_string(), &e)),
            }
            let links = path.join(LINKS);
            if links.exists() {
                match Source::read(&links) {
                    Ok(source) => sources.links.push(source),
                    Err(finding) => findings.push(finding),
                }
            }
            let own = path.join("schema.cedarschema");
            if schema.is_none() && own.exists() {
                schema_paths.push(own);
            }
        }
        match schema_paths.as_slice() {
            [] => {}
            [path] => match Source::read(path) {
                Ok(source) => sources.schema = Some(source),
                Err(finding) => findings.push(finding),
            },
            several => findings.push(Finding::bare(format!(
                "several folders bring a schema ({}); name the one to use",
                several.iter().map(|p| format!("`{}`", p.display())).collect::<Vec<_>>().join(", ")
            ))),
        }
        if findings.is_empty() {
            Ok(sources)
        } else {
            Err(BundleError::new(findings))
        }
    }

    /// The schema's text, if there is one.
    pub fn schema(&self) -> Option<&Source> {
        self.schema.as_ref()
    }

    /// The policies' texts, in order.
    pub fn policies(&self) -> &[Source] {
        &self.policies
    }

    /// The links' texts, in order.
    pub fn links(&self) -> &[Source] {
        &self.links
    }
}

/// The `*.cedar` files of a folder, sorted by name.
fn policy_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "cedar") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
