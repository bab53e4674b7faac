//! Policy group files, `/etc/ipsec.d/policies/NAME`: a network or an address a line, `#` begins a comment.

use std::io::Read;
use std::path::Path;

use ipnet::IpNet;

/// Octets of one file that are read.
const MAX_OCTETS: u64 = 1 << 20;
/// Networks of one file.
const MAX_NETS: usize = 16_384;

/// What a file says: its networks in their order, each once, and what is wrong with it: line number (from 1) and text.
pub type Group = (Vec<IpNet>, Vec<(usize, String)>);

/// Reads the text of a file.
pub fn parse(text: &str) -> Group {
    let (mut nets, mut wrong) = (Vec::new(), Vec::new());
    let mut seen = std::collections::HashSet::new();
    for (i, line) in text.lines().enumerate() {
        let words = line.split('#').next().unwrap_or_default();
        for word in words.split_whitespace() {
            let host = crate::net::address(word).map(IpNet::from);
            match host.map_or_else(|| crate::net::subnet(word), Ok) {
                Ok(net) if nets.len() == MAX_NETS && !seen.contains(&net) => {
                    wrong.push((i + 1, format!("more than {MAX_NETS} networks; the rest is not used")));
                    return (nets, wrong);
                }
                Ok(net) => {
                    let net = net.trunc();
                    if seen.insert(net) {
                        nets.push(net);
                    }
                }
                Err(why) => wrong.push((i + 1, format!("`{word}' is not used: {why}"))),
            }
        }
    }
    (nets, wrong)
}

/// Reads a file. Octets that are no text cost the words they stand in.
///
/// # Errors
/// Why it cannot be read.
pub fn load(path: &Path) -> std::io::Result<Group> {
    let mut octets = Vec::new();
    std::fs::File::open(path)?.take(MAX_OCTETS).read_to_end(&mut octets)?;
    Ok(parse(&String::from_utf8_lossy(&octets)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks_addresses_and_comments() {
        let (nets, wrong) =
            parse("# head\n192.0.2.0/24 # ours\n\n198.51.100.7\n192.0.2.9/24\nnonsense\n2001:db8::/32\n");
        let texts: Vec<String> = nets.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"]);
        assert!(wrong.len() == 1 && wrong[0].0 == 6 && wrong[0].1.contains("nonsense"), "{wrong:?}");
    }

    #[test]
    fn a_file_without_end_is_cut() {
        let text: String =
            (0..20_000u32).map(|i| format!("{}\n", std::net::Ipv4Addr::from(i << 8))).collect();
        let (nets, wrong) = parse(&text);
        assert_eq!((nets.len(), wrong.len()), (MAX_NETS, 1));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,200}") {
            parse(&text);
        }

        #[test]
        fn what_is_written_is_read_back(octets in any::<[u8; 4]>(), bits in 0u8..=32) {
            let net = IpNet::new(octets.into(), bits).unwrap().trunc();
            prop_assert_eq!(parse(&format!("{net} # {net}")).0, [net]);
        }
    }
}
