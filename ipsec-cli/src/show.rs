//! `ipsec status` and libreswan's `connectionstatus`, `showstates`, `globalstatus`, `trafficstatus`, …: a name picks one conn,
//! `--json` prints one JSON object. Its members are told in ipsec_status(8) and do not change their meaning.

use std::io::{BufWriter, Write};

use ipsec_types::whack::{Request, Show};
use serde_json::{Map, Value};

use crate::{ctl, info, paths, whack};

/// Runs the verb `command`.
pub(crate) fn run(command: &str, args: &[String]) -> i32 {
    match args.first().map(String::as_str) {
        Some("--help") => {
            println!("Usage: ipsec {command} [--json] [connectionname]");
            return 0;
        }
        Some("--version") => {
            println!("ipsec {command} {}", info::version_code());
            return 0;
        }
        _ => {}
    }
    let json = args.iter().any(|a| a == "--json");
    let names: Vec<&String> = args.iter().filter(|a| !a.starts_with("--")).collect();
    let unknown = args.iter().any(|a| a.starts_with("--") && a != "--json");
    if unknown || names.len() > 1 {
        eprintln!("Usage: ipsec {command} [--json] [connectionname]");
        return 2;
    }
    let name = names.first().map(|n| n.to_string());
    let what = match command {
        "status" => Show::All,
        "globalstatus" => Show::Global,
        "connectionstatus" => Show::Connections,
        "showstates" => Show::States,
        "shuntstatus" => Show::Shunts,
        "briefstatus" => Show::Brief,
        _ => return traffic(name.as_deref(), json),
    };
    match (json, name) {
        (true, name) => object(what, name),
        (false, Some(name)) if what == Show::All => filtered(&name),
        (false, name) => ctl::whack(&paths::ctlbase(), &Request::Show { what, name, json: false }, false),
    }
}

/// `ipsec status NAME`: the lines of the status about one conn; 1 when there is none, as grep.
fn filtered(name: &str) -> i32 {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut found = false;
    let about = |line: &str| {
        let rest = line.split_once('"').and_then(|(_, r)| r.strip_prefix(name));
        rest.is_some_and(|r| r.starts_with('"') || r.starts_with('/'))
    };
    let each = |line: &str| {
        if about(line) {
            found = true;
            let _ = writeln!(out, "{line}");
        }
    };
    match ctl::ask(&paths::ctlbase(), &Request::Status, false, None, each) {
        Ok(_) => i32::from(!found),
        Err(_) => whack::run(&["--status".into()]),
    }
}

/// Prints what the daemon sends as one object: `daemon`, and the lists `connections` and `states`, as far as they were
/// asked for. Each element is printed as it comes.
fn object(what: Show, name: Option<String>) -> i32 {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let lists: &[(&str, &str)] = match what {
        Show::All => &[("connection", "connections"), ("state", "states")],
        Show::Connections => &[("connection", "connections")],
        Show::States => &[("state", "states")],
        Show::Shunts => &[("shunt", "shunts")],
        Show::Global | Show::Brief => &[],
    };
    let base = paths::ctlbase();
    let request = Request::Show { what, name, json: true };
    let mut refusal = None;
    let mut members: Vec<String> = Vec::new();
    let mut elements: Vec<Vec<String>> = vec![Vec::new(); lists.len()];
    let result = ctl::ask(&base, &request, false, None, |line| {
        let Some(json) = line.strip_prefix("000 ").filter(|j| j.starts_with('{')) else {
            refusal = Some(line.to_string());
            return;
        };
        // An object with one member: its name is the text up to the first colon.
        let Some((key, value)) = json[1..json.len().saturating_sub(1)].split_once(':') else { return };
        let key = key.trim_matches('"');
        match lists.iter().position(|l| l.0 == key) {
            Some(i) => elements[i].push(value.to_string()),
            None => members.push(format!("\"{key}\":{value}")),
        }
    });
    let status = match result {
        Ok(status) => status,
        Err(failure) => {
            eprintln!("{}", failure.explain(&base));
            return 1;
        }
    };
    if let Some(text) = refusal {
        eprintln!("{text}");
        return i32::from(status);
    }
    for ((_, list), values) in lists.iter().zip(&elements) {
        members.push(match values.is_empty() {
            true => format!("\"{list}\":[]"),
            false => format!("\"{list}\":[\n{}\n]", values.join(",\n")),
        });
    }
    let _ = writeln!(out, "{{{}}}", members.join(",\n"));
    i32::from(status)
}

/// `ipsec trafficstatus`.
fn traffic(name: Option<&str>, json: bool) -> i32 {
    let base = paths::ctlbase();
    let mut lines = Vec::new();
    let each = |line: &str| {
        let conn = line.split('"').nth(1);
        if name.is_none() || conn == name {
            lines.push(line.to_string());
        }
    };
    let status = match ctl::ask(&base, &Request::TrafficStatus, false, None, each) {
        Ok(status) => i32::from(status),
        Err(failure) => {
            eprintln!("{}", failure.explain(&base));
            return 1;
        }
    };
    match json {
        false => lines.iter().for_each(|l| println!("{l}")),
        true => {
            let all: Vec<Value> = lines.iter().filter_map(|l| traffic_json(l)).collect();
            println!("{}", serde_json::json!({ "traffic": all }));
        }
    }
    status
}

/// `006 #2: "conn"[1] 1.2.3.4, type=ESP, add_time=1, inBytes=2, outBytes=3, id='@x'` as an object.
fn traffic_json(line: &str) -> Option<Value> {
    let (serial, rest) = line.strip_prefix("006 #")?.split_once(": \"")?;
    let (conn, rest) = rest.split_once('"')?;
    let mut object = Map::new();
    object.insert("serial".into(), serial.parse::<u32>().ok()?.into());
    object.insert("connection".into(), conn.into());
    // The identity comes last and may have commas in it.
    let (rest, id) = rest.split_once("id='").unwrap_or((rest, ""));
    object.insert("id".into(), id.split('\'').next().unwrap_or_default().into());
    for (key, value) in rest.split(", ").filter_map(|w| w.split_once('=')) {
        let number = value.parse::<u64>().map(Value::from);
        object.insert(key.into(), number.unwrap_or_else(|_| value.into()));
    }
    Some(object.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traffic_line_becomes_an_object() {
        let line =
            "006 #2: \"a b\"[1] 192.0.2.1, type=ESP, add_time=7, inBytes=10, outBytes=20, id='C=X, CN=y'";
        let want = serde_json::json!({
            "serial": 2, "connection": "a b", "type": "ESP", "add_time": 7, "inBytes": 10, "outBytes": 20,
            "id": "C=X, CN=y",
        });
        assert_eq!(traffic_json(line), Some(want));
        assert_eq!(traffic_json("006 nothing"), None);
    }
}
