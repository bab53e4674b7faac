//! `ipsec auto`: one operation, at most one conn; everything is done by `addconn` and `whack`.

use crate::{addconn, whack};

const USAGE: &str = "Usage: ipsec auto [--asynchronous] [--config file] --{add|delete|replace|down} connectionname\n\
    \x20      ipsec auto [--asynchronous] [--config file] --{up|route|unroute} connectionname\n\
    \x20      ipsec auto --{status|ready|rereadgroups|rereadsecrets|rereadall}\n\
    \x20      ipsec auto --{rereadcacerts|rereadaacerts|rereadocspcerts|rereadacerts|rereadcrls}\n\
    \x20      ipsec auto [--utc] --{listpubkeys|checkpubkeys|listcerts|listcacerts|listaacerts|listocspcerts}\n\
    \x20      ipsec auto [--utc] --{listacerts|listgroups|listcrls|listocsp|listpsks|listall|purgeocsp}";

/// Operations on a conn.
const NAMED: [&str; 7] = ["add", "replace", "up", "down", "delete", "route", "unroute"];
/// Operations on the daemon, and the whack option each is.
const PLAIN: [(&str, &str); 23] = [
    ("ready", "--listen"),
    ("rereadgroups", "--listen"),
    ("status", "--status"),
    ("rereadsecrets", "--rereadsecrets"),
    ("rereadall", "--rereadall"),
    ("rereadcacerts", "--rereadcacerts"),
    ("rereadaacerts", "--rereadaacerts"),
    ("rereadocspcerts", "--rereadocspcerts"),
    ("rereadacerts", "--rereadacerts"),
    ("rereadcrls", "--rereadcrls"),
    ("listpubkeys", "--listpubkeys"),
    ("checkpubkeys", "--checkpubkeys"),
    ("listcerts", "--listcerts"),
    ("listcacerts", "--listcacerts"),
    ("listaacerts", "--listaacerts"),
    ("listocspcerts", "--listocspcerts"),
    ("listacerts", "--listacerts"),
    ("listgroups", "--listgroups"),
    ("listcrls", "--listcrls"),
    ("listocsp", "--listocsp"),
    ("listpsks", "--listpsks"),
    ("listall", "--listall"),
    ("purgeocsp", "--purgeocsp"),
];

fn is_operation(word: &str) -> bool {
    NAMED.contains(&word) || PLAIN.iter().any(|p| p.0 == word)
}

fn usage() -> i32 {
    eprintln!("{USAGE}");
    2
}

/// Runs `ipsec auto`.
pub(crate) fn run(args: &[String]) -> i32 {
    let mut operations: Vec<&str> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    let mut asynchronous = false;
    let mut utc = false;
    let mut config: Option<&str> = None;
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--help" => {
                println!("{USAGE}");
                return 0;
            }
            "--version" => {
                println!("ipsec auto {}", crate::info::version_code());
                return 0;
            }
            "--asynchronous" => asynchronous = true,
            "--config" => match args.next() {
                Some(file) => config = Some(file),
                None => return usage(),
            },
            "--show" | "--showonly" => eprintln!("ipsec auto: {arg} is no longer supported"),
            // `--verbose` was an option of 2.x; whack now always prints everything.
            "--verbose" => {}
            "--utc" => utc = true,
            "--" => names.extend(args.by_ref()),
            option if option.starts_with("--") => match &option[2..] {
                word if is_operation(word) => operations.push(word),
                _ => {
                    eprintln!("ipsec auto: unknown option `{option}'");
                    return 2;
                }
            },
            option if option.starts_with('-') && option.len() > 1 => {
                eprintln!("ipsec auto: unknown option `{option}'");
                return 2;
            }
            name => names.push(name),
        }
    }
    if operations.is_empty() {
        // FreeS/WAN: `ipsec auto NAME up`, `ipsec auto status`.
        if let Some((&last, rest)) = names.split_last()
            && is_operation(last)
        {
            eprintln!("ipsec auto: warning: obsolete command syntax used");
            operations.push(last);
            names = rest.to_vec();
        }
    }
    let [operation] = operations.as_slice() else { return usage() };
    let wanted = usize::from(NAMED.contains(operation));
    if names.len() != wanted {
        return usage();
    }
    let owned = |list: &[&str]| list.iter().map(|s| s.to_string()).collect::<Vec<String>>();
    let Some(&name) = names.first() else {
        let option = PLAIN.iter().find(|p| p.0 == *operation).map_or("", |p| p.1);
        let list = if utc { vec!["--utc", option] } else { vec![option] };
        return whack::run(&owned(&list));
    };
    match *operation {
        "add" | "replace" => {
            let mut list = Vec::new();
            if let Some(config) = config {
                list.extend(["--config", config]);
            }
            if *operation == "replace" {
                list.push("--replace");
            }
            list.extend(["--quiet", "--", name]);
            addconn::run(&owned(&list))
        }
        "up" if asynchronous => whack::run(&owned(&["--asynchronous", "--name", name, "--initiate"])),
        "up" => whack::run(&owned(&["--name", name, "--initiate"])),
        "down" => whack::run(&owned(&["--name", name, "--terminate"])),
        other => whack::run(&owned(&["--name", name, &format!("--{other}")])),
    }
}
