//! `ipsec.conf` and `ipsec.secrets`, from text to typed configuration.
//!
//! ```text
//! file --parse--> Section list --merge--> keywords of each conn --conn--> ConnSpec
//! ```
//!
//! What cannot be read costs the conn it stands in; a line that belongs to no conn, or a file that cannot be included, the
//! whole configuration. This crate looks at the files it is told to and
//! those they include; it asks no name server and no interface (except [`secrets::load`], for host names as indices), and
//! nothing from a file reaches a shell.

use std::io::Read;
use std::path::Path;

pub mod algs;
pub mod canonical;
mod conn;
pub mod diag;
pub mod dialect;
pub mod glob;
pub mod groups;
mod implicit;
pub mod keywords;
mod merge;
pub mod net;
pub mod parse;
pub mod secrets;
mod setup;
pub mod source;
pub mod values;

pub use conn::{Conn, ConnError, Pending};
pub use diag::{Diagnostic, Severity};
pub use setup::SetupSection;

use diag::Place;
use dialect::Dialect;
use parse::Sections;

/// A configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `config setup`, with defaults filled in.
    pub setup: SetupSection,
    /// The conns that can be used, in the order of the file; two may have the same name.
    pub conns: Vec<Conn>,
    /// The conns that cannot.
    pub conn_errors: Vec<ConnError>,
    /// What there is to say that is not about one conn; errors are in lines of `config setup` that were left out.
    pub warnings: Vec<Diagnostic>,
    /// Whose words the file uses.
    pub dialect: Dialect,
}

impl Config {
    /// The conns of a name: the one section, or all that its `leftsubnets=` expanded to. Case does not matter.
    pub fn named(&self, name: &str) -> Vec<&Conn> {
        let is = |n: &str| n.eq_ignore_ascii_case(name);
        match self.conns.iter().find(|c| is(&c.spec.name)) {
            Some(conn) => vec![conn],
            None => self.conns.iter().filter(|c| c.spec.aliases.iter().any(|a| is(a))).collect(),
        }
    }
}

/// Reads the configuration in `path` and what it includes.
///
/// # Errors
/// The syntax errors, at least one.
pub fn load(path: &Path) -> Result<Config, Vec<Diagnostic>> {
    parse::read_file(path).map(|sections| build(&sections))
}

/// Reads a configuration from a stream, under the name `path` (`addconn --config -`).
///
/// # Errors
/// As [`load`].
pub fn load_stream(path: &Path, input: impl Read) -> Result<Config, Vec<Diagnostic>> {
    parse::read_stream(path, input).map(|sections| build(&sections))
}

/// Reads a configuration from memory, under the name `path`.
///
/// # Errors
/// As [`load`].
pub fn load_str(path: &Path, text: &str) -> Result<Config, Vec<Diagnostic>> {
    parse::read_str(path, text).map(|sections| build(&sections))
}

fn build(sections: &Sections) -> Config {
    let mut config = Config { warnings: sections.notes.clone(), ..Config::default() };
    config.dialect = dialect::of(&sections.list);
    config.setup = setup::build(&sections.list, &mut config.warnings);
    for section in &sections.list {
        if let parse::SectionKind::Ca(name) = &section.kind {
            let message = format!("ca {name} is not read: put its certificate into /etc/ipsec.d/cacerts");
            let place = Place { line: section.span.line, column: 1, ..Place::file(&section.span.file) };
            config.warnings.push(Diagnostic::new(Severity::Note, place, message));
        }
    }
    let conns = merge::Conns::new(&sections.list, config.dialect);
    config.warnings.extend(conns.default_diagnostics());
    for i in 0..conns.len() {
        let Some((name, section, merged)) = conns.merged(i) else { continue };
        let place = Place {
            line: section.span.line,
            column: section.span.column,
            width: 4,
            text: format!("conn {name}"),
            ..Place::file(&section.span.file)
        };
        match conn::build(name, place, merged, config.dialect) {
            Ok(conns) => config.conns.extend(conns),
            Err(error) => config.conn_errors.push(error),
        }
    }
    if config.setup.oe {
        let names: Vec<&str> = (0..conns.len()).filter_map(|i| Some(conns.merged(i)?.0)).collect();
        implicit::add(&mut config, |name| names.contains(&name));
    }
    config
}
