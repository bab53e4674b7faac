//! `ipsec.conf` from text to sections: lines, includes and their order. What a keyword means is not known here.
//!
//! The reader accepts what the readers of Openswan and its forks accept, and these besides: CRLF, a byte order mark, no newline
//! at the end, `#word` after a value, an empty value, unquoted blanks in a value, keywords of sections in any case, a
//! quoted or indented `include`, `ca` sections. Every bad line is reported, not just the first.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::diag::{Diagnostic, Place, Severity, excerpt, tell};
use crate::dialect::{self, Dialect};
use crate::glob;
use crate::source::{self, MAX_DEPTH, MAX_FILES, MAX_LINE, MAX_TOTAL};
use pest::Parser;
use pest::iterators::Pair;

mod grammar {
    #[derive(pest_derive::Parser)]
    #[grammar = "ipsec.conf.pest"]
    pub(super) struct LineParser;
}
mod line;

use grammar::{LineParser, Rule};
use line::Line;

/// Errors after which a load gives up.
const MAX_ERRORS: usize = 50;
/// Most lines that cannot be read, before what is left is not tried.
const MAX_BAD_LINES: usize = 10_000;
/// Most sections of a configuration.
const MAX_SECTIONS: usize = 100_000;
/// Most parameters of a configuration.
const MAX_PARAMS: usize = 500_000;

/// Where a key or section name stands; small, as there is one for each line that means something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// File.
    pub file: Rc<PathBuf>,
    /// Line from 1.
    pub line: u32,
    /// Column of the key from 1, in characters.
    pub column: u32,
}

/// `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Key as written.
    pub key: String,
    /// Value without quotes or braces; empty means "the default" unless quoted.
    pub value: String,
    /// Whether quotes or braces stood around the value.
    pub quoted: bool,
    /// Place of the key.
    pub span: Span,
}

impl Param {
    /// The place of the key, with the parameter as its line.
    pub fn place(&self) -> Place {
        let lead = " ".repeat(usize::try_from(self.span.column).unwrap_or(1).clamp(1, 80) - 1);
        let value = excerpt(&self.value);
        let value = if self.quoted { format!("\"{value}\"") } else { value };
        Place {
            file: self.span.file.to_path_buf(),
            line: self.span.line,
            column: self.span.column.min(80),
            width: u32::try_from(self.key.chars().count()).unwrap_or(1),
            text: format!("{lead}{}={value}", excerpt(&self.key)),
        }
    }
}

/// What kind of section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// `config setup`.
    Setup,
    /// `conn NAME`.
    Conn(String),
    /// `ca NAME`.
    Ca(String),
}

/// One section with its parameters in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Kind and name.
    pub kind: SectionKind,
    /// Place of the header.
    pub span: Span,
    /// Parameters.
    pub params: Vec<Param>,
    /// Lines of it that could not be read.
    pub errors: Vec<Diagnostic>,
}

/// All sections of a file and what it includes, in reading order.
#[derive(Clone, Debug, Default)]
pub struct Sections {
    /// Sections.
    pub list: Vec<Section>,
    /// Notes and warnings.
    pub notes: Vec<Diagnostic>,
    /// `x-dialect=` of `config setup`, which `readwriteconf` writes where the words alone would be read as another's.
    pub dialect: Option<Dialect>,
    /// The programs that the comments in front of the first section name, each once.
    pub header: Vec<Dialect>,
}

/// Reads `path` and what it includes. With `roots` (`--rootdir`), an `include` of an absolute path is looked for below
/// each of them in turn, and not at the root of the machine.
///
/// # Errors
/// Every syntax error found, at most 50 of them.
pub fn read_file(path: &Path, roots: &[PathBuf]) -> Result<Sections, Vec<Diagnostic>> {
    let mut reader = Reader { roots: roots.to_vec(), ..Reader::default() };
    match source::read(path) {
        Ok(text) => reader.file(path, &text, 1),
        Err(why) => reader.errors.push(unreadable(path, &why)),
    }
    reader.finish()
}

/// Reads a configuration that is not in a file (`--config -`), under the name `path`; relative includes are taken from
/// the current directory.
///
/// # Errors
/// As [`read_file`].
pub fn read_stream(path: &Path, input: impl Read, roots: &[PathBuf]) -> Result<Sections, Vec<Diagnostic>> {
    let mut reader = Reader { roots: roots.to_vec(), ..Reader::default() };
    match source::read_text(input) {
        Ok(text) => reader.file(path, &text, 1),
        Err(why) => reader.errors.push(unreadable(path, &why)),
    }
    reader.finish()
}

/// Reads a configuration from memory.
///
/// # Errors
/// As [`read_file`].
pub fn read_str(path: &Path, text: &str) -> Result<Sections, Vec<Diagnostic>> {
    let mut reader = Reader::default();
    reader.file(path, text, 1);
    reader.finish()
}

fn unreadable(path: &Path, why: &str) -> Diagnostic {
    Diagnostic::new(Severity::Error, Place::file(path), format!("can not open include filename: {why}"))
}

#[derive(Default)]
struct Reader {
    sections: Sections,
    /// Index of the section that parameters go to.
    current: Option<usize>,
    errors: Vec<Diagnostic>,
    files: usize,
    /// Octets, parameters and lines that cannot be read, so far.
    octets: usize,
    params: usize,
    bad_lines: usize,
    /// Too much of something: nothing more is read.
    full: bool,
    /// The files being read, outermost first.
    stack: Vec<PathBuf>,
    /// Directories that stand for `/` in an `include`.
    roots: Vec<PathBuf>,
    /// A `conn` whose name has not come yet.
    nameless: Option<Box<Diagnostic>>,
}

impl Reader {
    fn finish(self) -> Result<Sections, Vec<Diagnostic>> {
        if self.errors.is_empty() {
            return Ok(self.sections);
        }
        // Those of single conns too: all that is wrong is said in one run.
        let mut errors = self.errors;
        for section in self.sections.list {
            errors.extend(section.errors.into_iter().take(MAX_ERRORS.saturating_sub(errors.len())));
        }
        Err(errors)
    }

    fn file(&mut self, path: &Path, text: &str, depth: usize) {
        self.files += 1;
        self.stack.push(path.canonicalize().unwrap_or_else(|_| path.to_path_buf()));
        let file = Rc::new(path.to_path_buf());
        self.octets += text.len();
        if self.octets > MAX_TOTAL {
            self.too_much(Place::file(path), &format!("more than {} MiB in all", MAX_TOTAL >> 20));
        }
        for (i, text) in source::lines(text).enumerate() {
            if self.errors.len() >= MAX_ERRORS || self.full {
                break;
            }
            let line = Line { file: &file, number: u32::try_from(i + 1).unwrap_or(u32::MAX), text };
            self.line(&line, depth);
        }
        if let Some(error) = self.nameless.take() {
            self.errors.push(*error);
        }
        self.stack.pop();
    }

    fn line(&mut self, line: &Line<'_>, depth: usize) {
        // Cheap way out for the lines that mean nothing.
        let trimmed = line.text.trim_start_matches([' ', '\t']);
        if trimmed.is_empty() || trimmed.starts_with('#') {
            if depth == 1 && self.sections.list.is_empty() {
                self.header(trimmed);
            }
            return;
        }
        let indent = line.text.len() - trimmed.len();
        if let Some(error) = self.nameless.take() {
            // The old reader took the name from the next line that has something.
            let mut words = trimmed.split_whitespace();
            match (words.next(), words.next()) {
                (Some(name), None) if indent == 0 && !name.contains('=') => {
                    return self.section(line, indent, SectionKind::Conn(name.trim_matches('"').to_string()));
                }
                _ => self.errors.push(*error),
            }
        }
        if indent == 0 && trimmed.trim_end().eq_ignore_ascii_case("conn") {
            self.nameless = Some(Box::new(line.syntax(0, "expected a name")));
            return;
        }
        if line.text.len() > MAX_LINE {
            let message = format!("a line of more than {} KiB", MAX_LINE >> 10);
            let error = Diagnostic::new(Severity::Error, line.place(indent, 1), message);
            return self.bad_line(line, error, indent);
        }
        let pair = match LineParser::parse(Rule::line, line.text) {
            Ok(mut pairs) => pairs.next(),
            Err(e) => {
                let error = line.explain(&e, indent);
                return self.bad_line(line, error, indent);
            }
        };
        let Some(pair) = pair else { return };
        match pair.as_rule() {
            Rule::setup => self.section(line, indent, SectionKind::Setup),
            Rule::conn => self.section(line, indent, SectionKind::Conn(value_of(pair))),
            Rule::ca => self.section(line, indent, SectionKind::Ca(value_of(pair))),
            Rule::include => self.include(line, pair, indent, depth),
            Rule::parameter => self.parameter(line, pair, indent),
            Rule::user_word => self.user_word(pair.as_str()),
            // `version` never meant anything.
            _ => {}
        }
    }

    /// A comment in front of the first section.
    fn header(&mut self, comment: &str) {
        for dialect in dialect::named(excerpt(comment).as_str()) {
            if !self.sections.header.contains(&dialect) {
                self.sections.header.push(dialect);
            }
        }
    }

    /// `x-…` is for people, but for the one word that `readwriteconf` needs.
    fn user_word(&mut self, text: &str) {
        let section = self.current.and_then(|i| self.sections.list.get(i));
        if section.is_some_and(|s| s.kind == SectionKind::Setup) {
            self.sections.dialect = dialect::marked(text).or(self.sections.dialect);
        }
    }

    /// An error costs the conn it stands in, or the file when it stands in none.
    fn bad_line(&mut self, line: &Line<'_>, error: Diagnostic, indent: usize) {
        self.bad_lines += 1;
        if self.bad_lines > MAX_BAD_LINES {
            return self
                .too_much(error.place, &format!("more than {MAX_BAD_LINES} lines that cannot be read"));
        }
        let mut words = line.text.split_whitespace();
        if words.next().is_some_and(|w| w.eq_ignore_ascii_case("conn"))
            && let Some(name) = words.next()
        {
            let name = name.trim_matches('"').to_string();
            self.section(line, indent, SectionKind::Conn(name));
        } else if indent == 0 {
            return self.errors.push(error);
        }
        match self.current.and_then(|i| self.sections.list.get_mut(i)) {
            Some(section) if section.errors.len() < MAX_ERRORS => section.errors.push(error),
            Some(_) => {}
            None => self.errors.push(error),
        }
    }

    /// Says what there is too much of, once, and ends the reading.
    fn too_much(&mut self, place: Place, message: &str) {
        if !std::mem::replace(&mut self.full, true) {
            self.errors.push(Diagnostic::new(Severity::Error, place, message));
        }
    }

    fn section(&mut self, line: &Line<'_>, indent: usize, kind: SectionKind) {
        if self.sections.list.len() >= MAX_SECTIONS {
            return self.too_much(line.place(indent, 1), &format!("more than {MAX_SECTIONS} sections"));
        }
        self.current = Some(self.sections.list.len());
        self.sections.list.push(Section {
            kind,
            span: line.span(indent),
            params: Vec::new(),
            errors: Vec::new(),
        });
    }

    fn parameter(&mut self, line: &Line<'_>, pair: Pair<'_, Rule>, indent: usize) {
        let mut inner = pair.into_inner();
        let Some(key) = inner.next() else { return };
        let at = key.as_span().start();
        if indent == 0 {
            let help = "expected a blank before a parameter, or `config setup', `conn NAME', `include FILE'";
            return self.errors.push(line.syntax_word(at, key.as_str(), help));
        }
        self.params += 1;
        if self.params > MAX_PARAMS {
            return self.too_much(line.place(at, 1), &format!("more than {MAX_PARAMS} parameters"));
        }
        let Some(section) = self.current.and_then(|i| self.sections.list.get_mut(i)) else {
            let help = "expected `config setup' or `conn NAME' before the first parameter";
            return self.errors.push(line.syntax_word(at, key.as_str(), help));
        };
        let value = inner.find(|p| p.as_rule() != Rule::comment);
        let quoted = value.as_ref().is_some_and(|v| v.as_rule() != Rule::bare);
        let value = match value {
            Some(v) if quoted => value_of(v),
            Some(v) => v.as_str().to_string(),
            None => String::new(),
        };
        section.params.push(Param { key: key.as_str().to_string(), value, quoted, span: line.span(at) });
    }

    /// An absolute pattern below each of the roots.
    fn below<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = String> + use<'a> {
        let roots = self.roots.iter().filter(|_| pattern.starts_with('/'));
        roots.map(move |root| format!("{}{pattern}", root.display()))
    }

    /// The files of a pattern: from the directory of the including file, as the manual says; then from the current one,
    /// as the code did.
    fn search(&self, pattern: &str, from: &Path) -> Result<Vec<PathBuf>, String> {
        let own = from.parent().unwrap_or(Path::new(""));
        if !pattern.starts_with('/') {
            let found = glob::expand(pattern, own)?;
            return if found.is_empty() { glob::expand(pattern, Path::new(".")) } else { Ok(found) };
        }
        if self.roots.is_empty() {
            return glob::expand(pattern, own);
        }
        for pattern in self.below(pattern) {
            let found = glob::expand(&pattern, own)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    fn include(&mut self, line: &Line<'_>, pair: Pair<'_, Rule>, indent: usize, depth: usize) {
        let at = pair.as_span().start();
        let pattern = value_of(pair);
        let place = line.place(at, line.text.trim_end().len() - at);
        if depth >= MAX_DEPTH {
            return self.errors.push(Diagnostic::new(Severity::Error, place, "max inclusion depth reached"));
        }
        let files = match self.search(&pattern, line.file) {
            Ok(files) => files,
            Err(why) => return self.errors.push(Diagnostic::new(Severity::Error, place, why)),
        };
        if files.is_empty() {
            self.files += 1;
            let mut tried = self.below(&pattern);
            let (first, second) = (tried.next().unwrap_or_default(), tried.next().unwrap_or_default());
            let message =
                format!("could not open include filename: '{pattern}' (tried {first} and {second})");
            drop(tried);
            tell(&mut self.sections.notes, Diagnostic::new(Severity::Note, place.clone(), message));
        }
        if self.files + files.len() > MAX_FILES {
            return self.too_much(place, &format!("more than {MAX_FILES} files included"));
        }
        let resume = self.current;
        for path in files {
            if self.full {
                break;
            }
            let name = path.canonicalize().unwrap_or_else(|_| path.clone());
            if self.stack.contains(&name) {
                let message = format!("'{}' includes itself", path.display());
                self.errors.push(Diagnostic::new(Severity::Error, place.clone(), message));
                continue;
            }
            self.current = None;
            match source::read(&path) {
                Ok(text) => self.file(&path, &text, depth + 1),
                Err(why) => {
                    let message = format!("can not open include filename: '{}': {why}", path.display());
                    self.errors.push(Diagnostic::new(Severity::Error, place.clone(), message));
                }
            }
        }
        // In column 1 it ends the section; indented, which is an extension, the section goes on.
        self.current = if indent > 0 { resume } else { None };
    }
}

/// The name, pattern or value inside a pair, without quotes.
fn value_of(pair: Pair<'_, Rule>) -> String {
    pair.into_inner()
        .find(|p| p.as_rule() != Rule::comment)
        .map(|p| match p.as_rule() {
            Rule::name | Rule::quoted | Rule::braced if p.clone().into_inner().next().is_some() => {
                value_of(p)
            }
            _ => p.as_str().to_string(),
        })
        .unwrap_or_default()
}
