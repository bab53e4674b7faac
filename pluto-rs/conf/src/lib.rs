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
mod ca;
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
mod options;
pub mod parse;
mod places;
pub mod secrets;
mod setup;
pub mod source;
pub mod values;

pub use ca::Ca;
pub use conn::{Conn, ConnError, Pending, Refusal};
pub use diag::{Diagnostic, Severity};
pub use places::Places;
pub use setup::SetupSection;

use diag::Place;
use dialect::Dialect;
use ipsec_types::conn::{Auto, ConnType};
use parse::Sections;

/// Most conns of a configuration, those that `leftsubnets=` makes included.
const MAX_CONNS: usize = 200_000;

/// A configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// `config setup`, with defaults filled in.
    pub setup: SetupSection,
    /// The conns that can be used, in the order of the file; two may have the same name.
    pub conns: Vec<Conn>,
    /// The conns that cannot.
    pub conn_errors: Vec<ConnError>,
    /// `ca` sections.
    pub cas: Vec<Ca>,
    /// Lines of `config setup` that could not be read and were left out.
    pub setup_errors: Vec<Diagnostic>,
    /// Notes and warnings that are not about one conn.
    pub warnings: Vec<Diagnostic>,
    /// Whose words the file uses.
    pub dialect: Dialect,
}

impl Config {
    /// The configuration that sections make.
    pub fn of(sections: &Sections) -> Config {
        build(sections)
    }

    /// The conns of a name: the one section, or all that its `leftsubnets=` expanded to. Case does not matter.
    pub fn named(&self, name: &str) -> Vec<&Conn> {
        let is = |n: &str| n.eq_ignore_ascii_case(name);
        match self.conns.iter().find(|c| is(&c.spec.name)) {
            Some(conn) => vec![conn],
            None => self.conns.iter().filter(|c| c.spec.aliases.iter().any(|a| is(a))).collect(),
        }
    }

    /// The conns that should be loaded at start (`auto=` is not `ignore`) and cannot be. While there is one, a command
    /// that loads everything must not exit with 0.
    pub fn failed_conns(&self) -> impl Iterator<Item = &ConnError> {
        self.conn_errors.iter().filter(|e| e.auto != Auto::Ignore)
    }

    /// Why the conns of a name cannot be used. Case does not matter.
    pub fn refusal_of(&self, name: &str) -> Option<&ConnError> {
        self.conn_errors.iter().find(|e| e.name.eq_ignore_ascii_case(name))
    }

    /// Everything there is to say: errors of `config setup`, warnings, what concerns each conn.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        let conns = self.conns.iter().flat_map(|c| &c.notes);
        let refused = self.conn_errors.iter().flat_map(|e| &e.diagnostics);
        self.setup_errors.iter().chain(&self.warnings).chain(conns).chain(refused)
    }
}

/// Reads the configuration in `path` and what it includes.
///
/// # Errors
/// The syntax errors, at least one.
pub fn load(path: &Path) -> Result<Config, Vec<Diagnostic>> {
    parse::read_file(path, &[]).map(|sections| build(&sections))
}

/// Reads a configuration from a stream, under the name `path` (`addconn --config -`).
///
/// # Errors
/// As [`load`].
pub fn load_stream(path: &Path, input: impl Read) -> Result<Config, Vec<Diagnostic>> {
    parse::read_stream(path, input, &[]).map(|sections| build(&sections))
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
    config.dialect = dialect::of(sections);
    if config.dialect == Dialect::Strongswan
        && let Some(first) = sections.list.first()
    {
        let message = "read as strongSwan's, by its words: ikelifetime=3h, lifetime=1h, keyingtries=3, left is this host";
        config.warnings.push(Diagnostic::new(Severity::Note, Place::file(&first.span.file), message));
    }
    config.setup = setup::build(&sections.list, &mut config.warnings);
    let setups = sections.list.iter().filter(|s| s.kind == parse::SectionKind::Setup);
    config.setup_errors = setups.flat_map(|s| s.errors.iter().cloned()).collect();
    config.cas = ca::build(&sections.list, &mut config.warnings);
    config.setup.engine.authorities = config.cas.iter().filter_map(Ca::authority).collect();
    let conns = merge::Conns::new(&sections.list, config.dialect);
    config.warnings.extend(conns.default_diagnostics());
    let mut since5 = dialect::of_libreswan5(sections).filter(|_| config.dialect == Dialect::Libreswan);
    for i in 0..conns.len() {
        let Some((name, section, merged)) = conns.merged(i) else { continue };
        let place = Place {
            line: section.span.line,
            column: section.span.column,
            width: 4,
            text: format!("conn {name}"),
            ..Place::file(&section.span.file)
        };
        let silent = merged.says_no_version();
        match conn::build(name, place.clone(), merged, config.dialect) {
            Ok(conns) if config.conns.len() + conns.len() > MAX_CONNS => {
                let auto = conns.first().map_or(Auto::Ignore, |c| c.spec.auto);
                let message = format!("while loading '{name}': more than {MAX_CONNS} conns");
                let diagnostics = vec![Diagnostic::new(Severity::Error, place, message)];
                let error = ConnError { name: name.to_string(), refusal: Refusal::Wrong, auto, diagnostics };
                config.conn_errors.push(error);
            }
            Ok(conns) => {
                let ike = |c: &Conn| matches!(c.spec.conn_type, ConnType::Tunnel | ConnType::Transport);
                if let Some(word) = since5.filter(|_| silent && conns.iter().any(ike)) {
                    since5 = None;
                    let message = format!(
                        "the file has {word}=, so it is libreswan 5's or later, where a conn without keyexchange= is one of \
                         IKEv2; here it is one of IKEv1"
                    );
                    config.warnings.push(Diagnostic::new(Severity::Warning, place, message));
                }
                config.conns.extend(conns.into_iter().map(|c| Conn { section: Some(i), ..c }));
            }
            Err(error) => config.conn_errors.push(error),
        }
    }
    if config.setup.oe {
        let names: Vec<&str> = (0..conns.len()).filter_map(|i| Some(conns.merged(i)?.0)).collect();
        implicit::add(&mut config, |name| names.contains(&name));
    }
    config
}
