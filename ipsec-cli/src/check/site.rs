//! The files of a machine, read together.

use std::path::{Path, PathBuf};

use ipsec_conf::diag::Place;
use ipsec_conf::keywords::Side;
use ipsec_conf::parse::Sections;
use ipsec_conf::{Config, Conn, Places, Refusal, secrets, source};
use ipsec_types::auth::SecretRecord;
use ipsec_types::conn::{Auto, ConnType, EndSpec, HostSpec};
use l2tpd::args::Name;
use l2tpd::conf::{self, Setting};
use l2tpd::ppp_secrets::{self, User};

use super::finding::{At, Finding};
use super::host::HostView;
use super::options::Options;
use crate::{addconn, paths};

/// What the command line says about the files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--l2tpconf`.
    pub(crate) l2tp: Option<PathBuf>,
    /// `--root`: the files of another machine lie below it.
    pub(crate) root: Option<PathBuf>,
}

/// `xl2tpd.conf`.
pub(crate) struct L2tp {
    /// Its name.
    pub(crate) file: String,
    /// What it says.
    pub(crate) conf: conf::Config,
    settings: Vec<Setting>,
    /// `l2tp-secrets`.
    pub(crate) secrets: PathBuf,
}

impl L2tp {
    /// The last line that sets a keyword, else the first of its section, else the file.
    pub(crate) fn at(&self, kind: &str, name: &str, keyword: &str) -> At {
        let here = |s: &&Setting| s.kind == kind && (kind == "global" || s.name.eq_ignore_ascii_case(name));
        let mut section = self.settings.iter().filter(here);
        let first = section.clone().next();
        let found = section.rfind(|s| s.keyword == keyword).or(first);
        At { file: self.file.clone(), line: found.map_or(0, |s| u32::try_from(s.line).unwrap_or(0)) }
    }

    /// Every `[lns]` section, the default last.
    pub(crate) fn lns(&self) -> impl Iterator<Item = &l2tp_proto::LnsConfig> {
        self.conf.lns.iter().chain(&self.conf.default_lns)
    }
}

/// All files of a machine.
pub(crate) struct Site {
    root: Option<PathBuf>,
    sections: Sections,
    /// `ipsec.conf`.
    pub(crate) config: Config,
    /// `ipsec.secrets`, as it is to be opened.
    pub(crate) secrets_file: PathBuf,
    /// Its records.
    pub(crate) secrets: Vec<SecretRecord>,
    /// `xl2tpd.conf`, if there is one that loads.
    pub(crate) l2tp: Option<L2tp>,
    /// What pppd is told, for each section of `xl2tpd.conf`: `lns` or `lac`, and its name.
    options: Vec<((&'static str, String), Options)>,
    /// The lines of `chap-secrets` and `pap-secrets`.
    pub(crate) users: Vec<(String, User)>,
    /// The network of the machine, if known.
    pub(crate) host: Option<HostView>,
    /// The files that were read.
    pub(crate) files: Vec<String>,
}

/// The files, with an index of where the words of conns stand.
pub(crate) struct View<'a> {
    /// The files.
    pub(crate) site: &'a Site,
    places: Places<'a>,
}

impl Site {
    /// Reads everything. Without a site `ipsec.conf` does not load, and the findings say why.
    pub(crate) fn read(given: &Given, host: Option<HostView>) -> (Option<Site>, Vec<Finding>) {
        let (site, mut findings) = Site::read_all(given, host);
        // The readers name files as they were opened.
        if let Some(root) = given.root.as_ref().map(|r| r.display().to_string()).filter(|r| r.len() > 1) {
            findings.iter_mut().for_each(|f| f.message = f.message.replace(&root, ""));
        }
        (site, findings)
    }

    fn read_all(given: &Given, host: Option<HostView>) -> (Option<Site>, Vec<Finding>) {
        let mut out = Vec::new();
        let below = |path: &Path| below(given.root.as_deref(), path);
        let roots: Vec<PathBuf> = given.root.iter().cloned().collect();
        let path = given.config.clone().unwrap_or_else(|| match &given.root {
            Some(root) => root.join("etc/ipsec.conf"),
            None => paths::config(),
        });
        let shown = |file: &Path| shown(given.root.as_deref(), file);
        let sections = match addconn::read(&path, &roots) {
            Ok(sections) => sections,
            Err(errors) => {
                let at = |p: &Place| At { file: shown(&p.file), line: p.line };
                out.extend(errors.iter().map(|d| Finding::of("ipsec-conf", d, at(&d.place), false)));
                return (None, out);
            }
        };
        let config = Config::of(&sections);
        let secrets_file = match &config.setup.secretsfile {
            Some(file) => below(file),
            None if given.root.is_none() => paths::confs().join("ipsec.secrets"),
            None => below(Path::new("/etc/ipsec.secrets")),
        };
        let mut files = vec![shown(&path)];
        files.extend(sections.list.iter().map(|s| shown(&s.span.file)));
        let mut site = Site {
            root: given.root.clone(),
            sections,
            config,
            secrets_file,
            secrets: Vec::new(),
            l2tp: None,
            options: Vec::new(),
            users: Vec::new(),
            host,
            files,
        };
        site.config_findings(&mut out);
        site.read_secrets(&mut out);
        site.l2tp = site.read_l2tp(given.l2tp.as_deref(), &mut out);
        site.read_options(&mut out);
        site.read_users(&mut out);
        site.files.sort();
        site.files.dedup();
        (Some(site), out)
    }

    /// With an index of places.
    pub(crate) fn view(&self) -> View<'_> {
        View { site: self, places: Places::of(&self.sections) }
    }

    /// An absolute path of the machine as it is to be opened.
    pub(crate) fn below(&self, path: &Path) -> PathBuf {
        below(self.root.as_deref(), path)
    }

    /// A path that was opened as the machine knows it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        shown(self.root.as_deref(), path)
    }

    fn at(&self, place: &Place) -> At {
        At { file: self.shown(&place.file), line: place.line }
    }

    fn config_findings(&self, out: &mut Vec<Finding>) {
        let config = &self.config;
        let whole = config.setup_errors.iter().chain(&config.warnings);
        let conns = config.conns.iter().flat_map(|c| &c.notes);
        out.extend(whole.chain(conns).map(|d| Finding::of("ipsec-conf", d, self.at(&d.place), false)));
        for error in &config.conn_errors {
            // What is not loaded at start is missed by nobody yet.
            let soften = error.auto == Auto::Ignore;
            for d in &error.diagnostics {
                let mut finding = Finding::of("conn-refused", d, self.at(&d.place), soften);
                if error.refusal == Refusal::NotServed {
                    finding.fix = "auto=ignore, or allow in the conn what is served".into();
                }
                out.push(finding);
            }
        }
    }

    fn read_secrets(&mut self, out: &mut Vec<Finding>) {
        let (records, said) = match &self.root {
            Some(root) => secrets::load_all_below(root, &self.secrets_file, &|_| None),
            None => secrets::load_all(&self.secrets_file),
        };
        for d in &said {
            if d.message.starts_with("loading secrets from ") {
                self.files.push(self.shown(&d.place.file));
            } else if !d.message.contains("chmod 600 it") && (d.place.line > 0 || self.secrets_file.exists())
            {
                // Who may read the file, and whether there is one, are rules of their own.
                out.push(Finding::of("ipsec-secrets", d, self.at(&d.place), false));
            }
        }
        self.secrets = records;
    }

    fn read_l2tp(&mut self, given: Option<&Path>, out: &mut Vec<Finding>) -> Option<L2tp> {
        let usual = Name::Xl2tpd.config_files().map(|f| self.below(Path::new(f)));
        let tried: Vec<PathBuf> = match given {
            Some(file) => vec![file.into()],
            None => usual.into_iter().filter(|f| f.exists()).take(1).collect(),
        };
        let path = tried.first()?;
        let file = self.shown(path);
        self.files.push(file.clone());
        let at = |line: usize| At { file: file.clone(), line: u32::try_from(line).unwrap_or(0) };
        let text = match source::read(path) {
            Ok(text) => text,
            Err(why) => {
                out.push(Finding::error("xl2tpd-conf", at(0), format!("cannot be read: {why}"), ""));
                return None;
            }
        };
        match conf::load(&file, &text) {
            Ok(conf) => {
                for w in &conf.warnings {
                    // FILE:LINE:COLUMN: TEXT
                    let mut parts = w.strip_prefix(&file).unwrap_or_default().splitn(4, ':').skip(1);
                    let line = parts.next().and_then(|l| l.parse().ok()).unwrap_or(0);
                    let text = parts.nth(1).unwrap_or(w).trim();
                    out.push(Finding::warning("xl2tpd-conf", at(line), text.into(), ""));
                }
                let beside = || path.with_file_name("l2tp-secrets");
                let secrets = conf.global.auth_file.as_ref().map(|f| self.below(Path::new(f)));
                let settings = conf::settings(&text);
                Some(L2tp { file, conf, settings, secrets: secrets.unwrap_or_else(beside) })
            }
            Err(errors) => {
                out.extend(errors.into_iter().map(|e| {
                    Finding::error("xl2tpd-conf", at(e.line), e.old, format!("write {}", e.expected))
                }));
                None
            }
        }
    }

    fn read_options(&mut self, out: &mut Vec<Finding>) {
        let Some(l2tp) = &self.l2tp else { return };
        let lns = l2tp.lns().map(|l| (("lns", l.name.clone()), l.ppp.file.clone()));
        let lac = l2tp.conf.lac.iter().map(|l| (("lac", l.name.clone()), l.ppp.file.clone()));
        let at = |((kind, name), file): ((&'static str, String), Option<String>)| {
            let at = l2tp.at(kind, &name, "pppoptfile");
            ((kind, name), file.map(|f| (f, at)))
        };
        let sections: Vec<_> = lns.chain(lac).map(at).collect();
        for (section, file) in sections {
            let options = Options::read(self, file.as_ref().map(|(f, at)| (f.as_str(), at.clone())), out);
            self.options.push((section, options));
        }
    }

    /// What pppd is told for a section.
    pub(crate) fn options(&self, kind: &str, name: &str) -> Options {
        let found = self.options.iter().find(|o| o.0.0 == kind && o.0.1 == name);
        found.map(|o| o.1.clone()).unwrap_or_default()
    }

    fn read_users(&mut self, out: &mut Vec<Finding>) {
        for file in ppp_secrets::FILES {
            let path = self.below(Path::new(file));
            if !path.exists() {
                continue;
            }
            self.files.push(file.into());
            match source::read(&path) {
                Ok(text) => {
                    self.users.extend(ppp_secrets::users(&text).into_iter().map(|u| (file.into(), u)))
                }
                Err(why) => {
                    let at = At { file: file.into(), line: 0 };
                    out.push(Finding::error("ppp-secrets", at, format!("cannot be read: {why}"), ""));
                }
            }
        }
    }
}

fn below(root: Option<&Path>, path: &Path) -> PathBuf {
    match root {
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.into(),
    }
}

fn shown(root: Option<&Path>, path: &Path) -> String {
    match root.and_then(|root| path.strip_prefix(root).ok()) {
        Some(rest) => format!("/{}", rest.display()),
        None => path.display().to_string(),
    }
}

/// Which end of a conn is this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ours {
    /// Left.
    Left,
    /// Right.
    Right,
    /// It cannot be told.
    Unknown,
    /// No end is.
    Neither,
    /// Both are.
    Both,
}

/// An end and its side.
pub(crate) type End<'a> = (Side, &'a EndSpec);

impl<'a> View<'a> {
    /// The conns that are loaded at start and negotiate.
    pub(crate) fn loaded(&self) -> impl Iterator<Item = &'a Conn> {
        let negotiates = |c: &&Conn| {
            matches!(c.spec.conn_type, ConnType::Tunnel | ConnType::Transport) && !c.spec.authby.never
        };
        self.site.config.conns.iter().filter(|c| c.spec.auto != Auto::Ignore).filter(negotiates)
    }

    /// Where the conn's section begins.
    pub(crate) fn conn(&self, conn: &Conn) -> At {
        self.places.conn(conn).map_or_else(At::default, |p| self.site.at(&p))
    }

    /// Where a keyword of the conn stands, or its section begins.
    pub(crate) fn word(&self, conn: &Conn, name: &'static str, side: Side) -> At {
        match self.places.word(conn, name, side) {
            Some(place) => self.site.at(&place),
            None => self.conn(conn),
        }
    }

    /// Where a keyword of `config setup` stands, or the file begins.
    pub(crate) fn setup(&self, name: &str) -> At {
        let file = || At { file: self.site.files.first().cloned().unwrap_or_default(), line: 0 };
        self.places.setup(name).map_or_else(file, |p| self.site.at(&p))
    }

    /// Which end is this machine.
    pub(crate) fn ours(&self, conn: &Conn) -> Ours {
        let local = |end: &EndSpec| match &end.host {
            HostSpec::DefaultRoute | HostSpec::Interface(_) => Some(true),
            HostSpec::Addr(a) => self.site.host.as_ref().map(|h| h.has(*a)),
            HostSpec::Name(_) | HostSpec::Unset => None,
            HostSpec::Any | HostSpec::Group | HostSpec::Opportunistic | HostSpec::OpportunisticGroup => {
                Some(false)
            }
        };
        match (local(&conn.spec.left), local(&conn.spec.right)) {
            (Some(true), Some(true)) => Ours::Both,
            (Some(true), _) | (None, Some(false)) => Ours::Left,
            (_, Some(true)) | (Some(false), None) => Ours::Right,
            (Some(false), Some(false)) => Ours::Neither,
            (None, None) => Ours::Unknown,
        }
    }

    /// Our end and the peer's, each with its side, when it can be told.
    pub(crate) fn ends(&self, conn: &'a Conn) -> Option<(End<'a>, End<'a>)> {
        let (left, right) = ((Side::Left, &conn.spec.left), (Side::Right, &conn.spec.right));
        match self.ours(conn) {
            Ours::Left => Some((left, right)),
            Ours::Right => Some((right, left)),
            // A road warrior's server is the other end, though its address is not found here.
            Ours::Neither if right.1.host == HostSpec::Any => Some((left, right)),
            Ours::Neither if left.1.host == HostSpec::Any => Some((right, left)),
            Ours::Unknown | Ours::Neither | Ours::Both => None,
        }
    }
}
