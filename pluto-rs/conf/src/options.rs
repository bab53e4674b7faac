//! `config setup` as the command line of `pluto`, for whoever starts the daemon: `ipsec setup`, or pluto itself with
//! `--config`. What has no option goes over the control socket.

use crate::SetupSection;

impl SetupSection {
    /// The options of `pluto(8)` that the section asks for; paths only where it names them. `plutoopts=` comes last, so
    /// that it has the last word.
    pub fn pluto_options(&self) -> Vec<String> {
        let mut args: Vec<String> = Vec::new();
        let mut push = |words: &[&str]| args.extend(words.iter().map(|w| w.to_string()));
        for (option, path) in [
            ("--secretsfile", &self.secretsfile),
            ("--ipsecdir", &self.ipsecdir),
            ("--logfile", &self.plutostderrlog),
        ] {
            if let Some(path) = path {
                push(&[option, &path.display().to_string()]);
            }
        }
        if self.plutostderrlogtime {
            push(&["--plutostderrlogtime"]);
        }
        // There is one stack today; what names another kernel's or none gets the automatic choice.
        push(&[if self.protostack == "netkey" { "--use-netkey" } else { "--use-auto" }]);
        if self.engine.nat_traversal {
            push(&["--nat_traversal"]);
        }
        if !self.virtual_private.is_empty() {
            push(&["--virtual_private", &self.virtual_private]);
        }
        push(&["--keep_alive", &self.engine.keep_alive.to_string()]);
        if self.engine.force_keepalive {
            push(&["--force_keepalive"]);
        }
        if self.engine.uniqueids {
            push(&["--uniqueids"]);
        }
        if let Some(listen) = self.listen {
            push(&["--listen", &listen.to_string()]);
        }
        if self.ikeport != 500 {
            push(&["--ikeport", &self.ikeport.to_string()]);
        }
        if let Some(n) = self.nhelpers {
            push(&["--nhelpers", &n.to_string()]);
        }
        for word in &self.plutodebug {
            push(&[&format!("--debug-{word}")]);
        }
        args.extend(self.plutoopts.iter().cloned());
        args
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn config_setup_becomes_options() {
        let text = "config setup\n nat_traversal=yes\n virtual_private=%v4:10.0.0.0/8\n protostack=netkey\n\
                    \x20plutodebug=\"control parsing\"\n plutoopts=\"--perpeerlog\"\n listen=192.0.2.1\n\
                    \x20logfile=/var/log/pluto.log\n plutostderrlogtime=yes\n";
        let config = crate::load_str(Path::new("t"), text).unwrap();
        let args = config.setup.pluto_options().join(" ");
        assert_eq!(
            args,
            "--logfile /var/log/pluto.log --plutostderrlogtime --use-netkey --nat_traversal \
             --virtual_private %v4:10.0.0.0/8 --keep_alive 20 --uniqueids --listen 192.0.2.1 --debug-control \
             --debug-parsing --perpeerlog"
        );
    }
}
