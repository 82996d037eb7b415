//! `bailiwick fmt`: policy files in the usual layout.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};

use bailiwick::{Source, Sources};

use crate::review::DEFAULT;
use crate::{print_findings, refused, text, unusable};

pub(crate) fn run(mut paths: Vec<PathBuf>, check: bool, out: &mut dyn Write) -> Result<u8> {
    if paths.is_empty() {
        paths.push(DEFAULT.into());
    }
    // All are read and formatted first: a text that cannot be parsed leaves every file as it was.
    let mut sources: Vec<Source> = Vec::new();
    for path in &paths {
        match Sources::read(&[path], None) {
            Ok(read) => sources.extend_from_slice(read.policies()),
            Err(error) => return Ok(refused("the policies", &error)),
        }
    }
    let mut formatted = Vec::new();
    let mut findings = Vec::new();
    for source in &sources {
        match bailiwick::bundle::format(source) {
            Ok(text) => formatted.push((source, text)),
            Err(finding) => findings.push(finding),
        }
    }
    if !findings.is_empty() {
        print_findings(&findings);
        let count = text::count(findings.len(), "file", "files");
        return Ok(unusable(&format!("{count} cannot be formatted; nothing was changed")));
    }
    let (looked_at, mut changed) = (formatted.len(), 0);
    for (source, text) in formatted.into_iter().filter(|(source, text)| source.text() != text) {
        changed += 1;
        if !check {
            if let Err(e) = write_whole(Path::new(source.name()), &text) {
                out.flush()?;
                return Ok(unusable(&format!("`{}` cannot be written: {e}", source.name())));
            }
        }
        writeln!(out, "{} {}", if check { "would format" } else { "formatted" }, source.name())?;
    }
    if changed == 0 {
        writeln!(out, "{} looked at, nothing to format", text::count(looked_at, "file", "files"))?;
    }
    Ok(u8::from(check && changed > 0))
}

/// Writes a file so that it holds the old text or the new, never a part. A link is followed, and the file's
/// permissions stay.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let path = path.canonicalize()?;
    let permissions = path.metadata()?.permissions();
    if permissions.readonly() {
        return Err(Error::new(ErrorKind::PermissionDenied, "it is write-protected"));
    }
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = fill(file, text, permissions).and_then(|()| std::fs::rename(&beside, &path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn fill(mut file: File, text: &str, permissions: std::fs::Permissions) -> Result<()> {
    file.write_all(text.as_bytes())?;
    file.set_permissions(permissions)?;
    file.sync_all()
}
