//! What is set besides the variables: the words after `_updown`, and the file of the distribution.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

/// The files of Red Hat and Debian; the first that exists counts.
const FILES: [&str; 2] = ["/etc/sysconfig/pluto_updown", "/etc/default/pluto_updown"];
/// Octets of that file that are read.
const LONGEST: u64 = 64 << 10;
/// The table routes go to unless one is named.
pub(crate) const MAIN: u32 = 254;

/// What `ip route` takes and we do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteWords {
    pub(crate) via: Option<IpAddr>,
    pub(crate) dev: Option<String>,
    pub(crate) src: Option<IpAddr>,
    pub(crate) table: Option<u32>,
    pub(crate) metric: Option<u32>,
    pub(crate) mtu: Option<u32>,
    pub(crate) advmss: Option<u32>,
    pub(crate) protocol: Option<u8>,
    pub(crate) onlink: bool,
}

/// The settings of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--route yes`: routes even without a source address.
    pub(crate) route: bool,
    /// `DEFAULTSOURCE`.
    pub(crate) source: Option<IpAddr>,
    /// `--iproute`, `IPROUTETABLE`, `IPROUTEARGS`.
    pub(crate) words: RouteWords,
}

/// A word that nobody knows; the script exits 1 for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOption(String);

impl fmt::Display for BadOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadOption {}

impl Settings {
    /// The words after `_updown`, on top of the file of the distribution.
    ///
    /// # Errors
    /// An unknown word.
    pub fn new(args: &[String]) -> Result<Settings, BadOption> {
        let mut settings =
            FILES.iter().map(Path::new).find(|f| f.is_file()).map_or_else(Settings::default, file);
        settings.take(args)?;
        Ok(settings)
    }

    /// What the text of such a file, and the words after `_updown`, come to.
    ///
    /// # Errors
    /// An unknown word.
    pub fn of_text(file: &str, args: &[String]) -> Result<Settings, BadOption> {
        let mut settings = assignments(file);
        settings.take(args)?;
        Ok(settings)
    }

    /// Whether they make the script do more than the variables ask for.
    pub fn are_empty(&self) -> bool {
        *self == Settings::default()
    }

    fn take(&mut self, args: &[String]) -> Result<(), BadOption> {
        let mut args = args.iter().map(String::as_str).peekable();
        args.next_if_eq(&"custom");
        while let Some(word) = args.next() {
            match word {
                "--route" => self.route = args.next().is_some_and(|v| v.starts_with(['y', 'Y'])),
                "--iproute" => self.words.take(args.next().unwrap_or_default())?,
                _ => return Err(BadOption(format!("Unknown argument \"{word}\""))),
            }
        }
        Ok(())
    }
}

impl RouteWords {
    /// Words as `ip route` takes them.
    fn take(&mut self, text: &str) -> Result<(), BadOption> {
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            let bad = || BadOption(format!("--iproute: `{word}' is not understood"));
            if word == "onlink" {
                self.onlink = true;
                continue;
            }
            let mut value = words.next().ok_or_else(bad)?;
            if matches!(word, "mtu" | "advmss") && value == "lock" {
                value = words.next().ok_or_else(bad)?;
            }
            let wrong = || BadOption(format!("--iproute: `{word} {value}' is not understood"));
            let number = || value.parse::<u32>().map_err(|_| wrong());
            let address = || value.parse::<IpAddr>().map_err(|_| wrong());
            match word {
                "via" => self.via = Some(address()?),
                "src" => self.src = Some(address()?),
                "dev" => self.dev = Some(value.to_string()),
                "metric" | "priority" | "preference" => self.metric = Some(number()?),
                "mtu" => self.mtu = Some(number()?),
                "advmss" => self.advmss = Some(number()?),
                "table" => self.table = Some(table(value).ok_or_else(wrong)?),
                "proto" | "protocol" => self.protocol = Some(protocol(value).ok_or_else(wrong)?),
                _ => return Err(bad()),
            }
        }
        Ok(())
    }
}

/// A routing table by number, or by a name every system has.
fn table(text: &str) -> Option<u32> {
    match text {
        "local" => Some(255),
        "main" => Some(MAIN),
        "default" => Some(253),
        _ => text.parse().ok().filter(|n| *n > 0),
    }
}

/// Who made the route, by number or name (`rtnetlink(7)`).
fn protocol(text: &str) -> Option<u8> {
    match text {
        "kernel" => Some(2),
        "boot" => Some(3),
        "static" => Some(4),
        _ => text.parse().ok(),
    }
}

/// Reads the assignments of a shell file without a shell. What is no plain assignment of a name we know is passed over.
fn file(path: &Path) -> Settings {
    let mut text = String::new();
    let read = File::open(path).and_then(|f| f.take(LONGEST).read_to_string(&mut text));
    if read.is_err() {
        text.clear();
    }
    assignments(&text)
}

fn assignments(text: &str) -> Settings {
    let mut s = Settings::default();
    for line in text.lines() {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, rest)) = line.split_once('=') else { continue };
        let value = match rest.chars().next() {
            Some(q @ ('"' | '\'')) => rest[1..].split(q).next(),
            _ => rest.split([' ', '\t', ';', '#']).next(),
        };
        let value = value.unwrap_or_default();
        match name {
            "DEFAULTSOURCE" => s.source = value.split('/').next().and_then(|a| a.parse().ok()),
            "ROUTE" => s.route = value == "yes",
            "IPROUTETABLE" => s.words.table = table(value).or(s.words.table),
            "IPROUTEARGS" | "IPRARGS" => {
                let mut words = s.words.clone();
                if words.take(value).is_ok() {
                    s.words = words;
                }
            }
            _ => {}
        }
    }
    s
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(args: &[&str]) -> Result<Settings, BadOption> {
        let mut s = Settings::default();
        s.take(&args.iter().map(ToString::to_string).collect::<Vec<_>>()).map(|()| s)
    }

    #[test]
    fn the_words_of_the_old_script_are_taken() {
        let s =
            taken(&["custom", "--route", "Yes", "--iproute", "table 220 mtu lock 1400 proto static onlink"])
                .unwrap();
        assert!(s.route && s.words.onlink);
        assert_eq!((s.words.table, s.words.mtu, s.words.protocol), (Some(220), Some(1400), Some(4)));
        assert!(!taken(&["--route", "no"]).unwrap().route);
        for bad in [
            &["frob"][..],
            &["--what"],
            &["--route", "yes", "custom"],
            &["--iproute", "frob 1"],
            &["--iproute", "table"],
        ] {
            assert!(taken(bad).is_err(), "{bad:?}");
        }
        assert_eq!(taken(&["x y"]).unwrap_err().to_string(), "Unknown argument \"x y\"");
    }

    #[test]
    fn the_file_is_read_without_a_shell() {
        let s = assignments(
            "# x\nDEFAULTSOURCE=10.1.0.1/16 # ours\nexport IPROUTETABLE=\"main\"\nIPROUTEARGS='metric 7'\nROUTE=yes\nX=$(reboot)\n",
        );
        assert_eq!(s.source, "10.1.0.1".parse().ok());
        assert!(s.route && s.words.table == Some(MAIN) && s.words.metric == Some(7));
        assert!(assignments("DEFAULTSOURCE=`x`\nROUTE=$Y\nIPROUTEARGS=\"metric 1; reboot\"\n").are_empty());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(DEFAULTSOURCE|IPROUTEARGS|ROUTE|IPROUTETABLE)?=?['\"]?\\PC{0,40}\n?\\PC{0,40}") {
            assignments(&text);
            let _ = taken(&["--iproute", &text]);
        }
    }
}
