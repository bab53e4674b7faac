//! The command line, in xl2tpd's dialect.
//!
//! A flag is known by its first two characters, takes its value from the next word, and cannot be joined with others.

use std::path::Path;

/// Under which name the daemon was started; it decides where it looks for its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// `xl2tpd`, and any other name.
    Xl2tpd,
    /// `l2tpd`.
    L2tpd,
}

impl Name {
    /// Judges `argv[0]`.
    pub fn of(argv0: &str) -> Self {
        match Path::new(argv0).file_name().and_then(|n| n.to_str()) {
            Some("l2tpd") => Name::L2tpd,
            _ => Name::Xl2tpd,
        }
    }

    /// The syslog ident.
    pub fn ident(self) -> &'static str {
        match self {
            Name::Xl2tpd => "xl2tpd",
            Name::L2tpd => "l2tpd",
        }
    }

    /// Configuration files in the order they are tried; the secrets lie beside the one found.
    pub fn config_files(self) -> [&'static str; 3] {
        let (x, l) = ("/etc/xl2tpd/xl2tpd.conf", "/etc/l2tpd/l2tpd.conf");
        match self {
            Name::Xl2tpd => [x, l, "/etc/l2tp/l2tpd.conf"],
            Name::L2tpd => [l, x, "/etc/l2tp/l2tpd.conf"],
        }
    }

    /// The pid file and the control FIFO, where the command line names none: those of the old daemon of that name.
    pub fn run_files(self) -> [&'static str; 2] {
        match self {
            Name::Xl2tpd => ["/var/run/xl2tpd.pid", "/var/run/xl2tpd/l2tp-control"],
            Name::L2tpd => ["/var/run/l2tpd.pid", "/var/run/l2tp-control"],
        }
    }
}

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// By `argv[0]`.
    pub name: Name,
    /// `-c`.
    pub config: Option<String>,
    /// `-s`.
    pub secrets: Option<String>,
    /// `-p`.
    pub pid_file: String,
    /// `-C`.
    pub control: String,
    /// `-D`: stay in the foreground and log to standard error.
    pub foreground: bool,
    /// `-l`: log to syslog even then.
    pub syslog: bool,
    /// `--check`: read the configuration, say what is wrong with it, and end.
    pub check: bool,
    /// `-q`: type of service of what we send, 0 to 255.
    pub tos: u8,
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To run.
    Run(Args),
    /// For the version.
    Version,
    /// For help, or something that is not understood: a line that says what, and the usage.
    Usage(Option<String>),
}

/// The usage, as printed on standard output.
pub const USAGE: &str = "Usage: xl2tpd [-c <config file>] [-s <secret file>] [-p <pid file>]
              [-C <control file>] [-D] [-l] [-q <tos decimal value for control>]
              [--check] [-v, --version]
";

/// Reads the command line, `argv[0]` included.
pub fn parse<I: IntoIterator<Item = String>>(argv: I) -> Asked {
    let mut argv = argv.into_iter();
    let name = Name::of(&argv.next().unwrap_or_default());
    let [pid_file, control] = name.run_files().map(String::from);
    let mut a = Args {
        name,
        config: None,
        secrets: None,
        pid_file,
        control,
        foreground: false,
        syslog: false,
        check: false,
        tos: 0,
    };
    while let Some(word) = argv.next() {
        if word == "--version" {
            return Asked::Version;
        }
        if word == "--check" {
            a.check = true;
            continue;
        }
        let mut value = |slot: &mut String| match argv.next() {
            Some(v) => {
                *slot = v;
                None
            }
            None => Some(Asked::Usage(None)),
        };
        let mut text = String::new();
        let bad = match word.get(..2) {
            Some("-c") => value(&mut text).or_else(|| {
                a.config = Some(text);
                None
            }),
            Some("-s") => value(&mut text).or_else(|| {
                a.secrets = Some(text);
                None
            }),
            Some("-p") => value(&mut a.pid_file),
            Some("-C") => value(&mut a.control),
            Some("-q") => value(&mut text).or_else(|| match text.parse() {
                Ok(tos) => {
                    a.tos = tos;
                    None
                }
                Err(_) => Some(Asked::Usage(Some(format!("TOS value {text} out of range(0-255)!")))),
            }),
            Some("-D") => {
                a.foreground = true;
                None
            }
            Some("-l") => {
                a.syslog = true;
                None
            }
            Some("-v") => Some(Asked::Version),
            _ => Some(Asked::Usage(None)),
        };
        if let Some(bad) = bad {
            return bad;
        }
    }
    Asked::Run(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> Asked {
        parse(words.iter().map(|w| w.to_string()))
    }

    #[test]
    fn networkmanagers_command_line() {
        let Asked::Run(a) =
            run(&["/usr/sbin/xl2tpd", "-D", "-c", "/run/c", "-C", "/run/ctl", "-p", "/run/pid"])
        else {
            panic!()
        };
        assert!(a.foreground && !a.syslog);
        assert_eq!(
            (a.config.as_deref(), a.control.as_str(), a.pid_file.as_str()),
            (Some("/run/c"), "/run/ctl", "/run/pid")
        );
    }

    #[test]
    fn two_characters_make_a_flag() {
        let Asked::Run(a) = run(&["l2tpd", "-cfoo", "bar", "-Debug"]) else { panic!() };
        assert_eq!((a.name, a.config.as_deref(), a.foreground), (Name::L2tpd, Some("bar"), true));
    }

    #[test]
    fn by_its_old_name_it_has_the_old_files() {
        let Asked::Run(a) = run(&["/usr/sbin/l2tpd"]) else { panic!() };
        assert_eq!(
            (a.pid_file.as_str(), a.control.as_str()),
            ("/var/run/l2tpd.pid", "/var/run/l2tp-control")
        );
        assert_eq!(a.name.config_files()[0], "/etc/l2tpd/l2tpd.conf");
        let Asked::Run(a) = run(&["/usr/sbin/xl2tpd"]) else { panic!() };
        assert_eq!(a.control, "/var/run/xl2tpd/l2tp-control");
    }

    #[test]
    fn what_is_not_understood_gets_the_usage() {
        assert_eq!(run(&["x", "--help"]), Asked::Usage(None));
        assert_eq!(run(&["x", "-c"]), Asked::Usage(None));
        assert_eq!(run(&["x", "word"]), Asked::Usage(None));
        assert_eq!(run(&["x", "-q", "300"]), Asked::Usage(Some("TOS value 300 out of range(0-255)!".into())));
        assert_eq!(run(&["x", "--version"]), Asked::Version);
    }
}
