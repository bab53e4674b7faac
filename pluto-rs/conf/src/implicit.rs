//! The conns of the policy groups, which `oe=yes` makes where the file has none of that name. A conn of the name with
//! `auto=ignore` suppresses them; `conn %default` does not reach them.

use std::path::Path;

use crate::{Config, Conn};

/// As Openswan's manual gives them, but for the keys: no name server is asked for one, so a shared secret does as well.
/// What no group has leaves in clear, which needs no conn; `packetdefault` is therefore not made.
const TEXT: &str = "version 2.0
conn clear
\ttype=passthrough
\tauthby=never
\tleft=%defaultroute
\tright=%group
\tauto=route
conn clear-or-private
\talso=clear
conn block
\ttype=reject
\tauthby=never
\tleft=%defaultroute
\tright=%group
\tauto=route
conn private
\ttype=tunnel
\tauthby=secret|rsasig
\tleft=%defaultroute
\tright=%opportunisticgroup
\tfailureshunt=drop
\tkeyingtries=3
\tikelifetime=1h
\tsalifetime=30m
\trekey=no
\tauto=route
conn private-or-clear
\talso=private
\tfailureshunt=passthrough
";

/// Adds them to what the file gave; `named` says whether the file has a conn of that name.
pub(crate) fn add(config: &mut Config, named: impl Fn(&str) -> bool) {
    let Ok(ours) = crate::load_str(Path::new("(oe=yes)"), TEXT) else { return };
    let ours = ours.conns.into_iter().map(|c| Conn { section: None, ..c });
    config.conns.extend(ours.filter(|c| !named(&c.spec.name)));
}

#[cfg(test)]
mod tests {
    use ipsec_types::HostSpec;
    use ipsec_types::conn::{ConnType, FailureShunt};

    use super::*;

    fn names(text: &str) -> Vec<String> {
        let config = crate::load_str(Path::new("ipsec.conf"), text).unwrap();
        config.conns.iter().map(|c| c.spec.name.clone()).collect()
    }

    #[test]
    fn they_are_made_where_oe_asks_for_them_and_no_conn_is_in_the_way() {
        assert!(names("config setup\n\toe=no\n").is_empty());
        assert_eq!(
            names("config setup\n\toe=yes\nconn block\n\tauto=ignore\n"),
            ["block", "clear", "clear-or-private", "private", "private-or-clear"],
            "and `block` as the file has it"
        );
    }

    #[test]
    fn they_say_what_their_names_say() {
        let config = crate::load_str(Path::new("(oe=yes)"), TEXT).unwrap();
        assert!(config.conn_errors.is_empty(), "{:?}", config.conn_errors);
        let of = |name: &str| &config.named(name)[0].spec;
        assert_eq!(of("clear").conn_type, ConnType::Passthrough);
        assert_eq!((of("block").conn_type, &of("block").right.host), (ConnType::Reject, &HostSpec::Group));
        assert_eq!(of("private").right.host, HostSpec::OpportunisticGroup);
        assert_eq!(of("private").failure_shunt, FailureShunt::Drop);
        assert_eq!(of("private-or-clear").failure_shunt, FailureShunt::Passthrough);
    }
}
