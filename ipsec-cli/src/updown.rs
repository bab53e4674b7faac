//! `ipsec _updown`: the built-in updown script by name, for scripts of old that end by calling it. The work is
//! [`ipsec_updown`]'s, which the daemon calls without this program.

use ipsec_updown::{Settings, Variables};

/// Runs `ipsec _updown [custom] [--route yes] [--iproute words]` on the `PLUTO_` variables of the environment.
pub(crate) fn run(args: &[String]) -> i32 {
    let settings = match Settings::new(args) {
        Ok(settings) => settings,
        Err(why) => {
            eprintln!("ipsec _updown: {why}");
            return 1;
        }
    };
    let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
    let variables = Variables::new(std::env::vars_os().map(|(n, v)| (text(n), text(v))));
    let out = ipsec_updown::run(&variables, &settings);
    for line in out.lines {
        match line.starts_with("ipsec _updown:") {
            true => eprintln!("{line}"),
            false => println!("{line}"),
        }
    }
    out.status
}
