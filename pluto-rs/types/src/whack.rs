//! The control socket `pluto.ctl`: what `ipsec whack` asks of `pluto`.
//!
//! A request is one line of JSON, at most [`MAX_REQUEST`] octets, ended by a newline. The answer is lines
//! `NNN TEXT\n` (three digits, see [`rc`]) until `pluto` closes the connection; the exit status of `whack` follows
//! from them ([`exit_status`]).
//!
//! After [`Request::Batch`] as the first line any number of requests may follow, one a line, until the client shuts
//! its half down. The answers come in that order, each ended by an empty line:
//!
//! ```text
//! client  "batch"\n   REQUEST\n   REQUEST\n   (shutdown)
//! pluto                002 …\n\n   002 …\n\n   (close)
//! ```

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::auth::{CryptoPolicy, StrictCrl};
use crate::conn::{ConnSpec, VirtualPrivate};
use crate::id::Id;
use crate::secret::SecretBytes;

/// Longest request line.
pub const MAX_REQUEST: usize = 1 << 20;

/// Default path of the control socket.
pub const CTL_PATH: &str = "/run/pluto/pluto.ctl";

/// The numbers in front of reply lines.
pub mod rc {
    /// Comment; no effect on the exit status.
    pub const COMMENT: u8 = 0;
    /// whack itself failed.
    pub const WHACK_PROBLEM: u8 = 1;
    /// Log line; no effect on the exit status.
    pub const LOG: u8 = 2;
    /// Log line of a problem.
    pub const LOG_SERIOUS: u8 = 3;
    /// Success; resets the exit status to 0.
    pub const SUCCESS: u8 = 4;
    /// Informational (`--trafficstatus`).
    pub const INFORMATIONAL: u8 = 6;
    /// A message was retransmitted.
    pub const RETRANSMISSION: u8 = 10;
    /// A conn of that name exists.
    pub const DUPNAME: u8 = 20;
    /// No conn or state of that name.
    pub const UNKNOWN_NAME: u8 = 21;
    /// Neither end is us.
    pub const ORIENT: u8 = 22;
    /// Conns that exclude each other.
    pub const CLASH: u8 = 23;
    /// `--listen` is needed first.
    pub const DEAF: u8 = 24;
    /// Cannot route.
    pub const ROUTE: u8 = 25;
    /// `RC_RTBUSY`: the route is in use.
    pub const RTBUSY: u8 = 26;
    /// Bad identity.
    pub const BADID: u8 = 27;
    /// No key.
    pub const NOKEY: u8 = 28;
    /// The peer's address is unknown.
    pub const NOPEERIP: u8 = 29;
    /// The request was not understood.
    pub const BADWHACKMESSAGE: u8 = 30;
    /// Gave up retransmitting.
    pub const NORETRANSMISSION: u8 = 31;
    /// Something inside failed.
    pub const INTERNALERR: u8 = 32;
    /// No usable algorithm.
    pub const NOALGO: u8 = 34;
    /// Aggressive Mode needs `ike=`.
    pub const AGGRALGO: u8 = 36;
    /// Cannot go on.
    pub const FATAL: u8 = 37;
    /// Name or password are wrong.
    pub const AUTHFAILED: u8 = 38;
    /// A password is asked for.
    pub const ENTERSECRET: u8 = 40;
    /// A user name is asked for.
    pub const XAUTHPROMPT: u8 = 41;
    /// First of the state codes.
    pub const NEW_STATE: u8 = 100;
    /// First of the notification codes.
    pub const NOTIFICATION: u8 = 200;
}

/// One request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// `--name N …` : add a conn, replacing one of the same name.
    Add(Box<ConnSpec>),
    /// A conn of the configuration file: as [`Request::Add`], but it is remembered where it is from, and with
    /// `keep_equal` one that is loaded already and the same is left alone with all its SAs.
    Load {
        /// The conn.
        spec: Box<ConnSpec>,
        /// Leave an equal one alone.
        keep_equal: bool,
    },
    /// The names of the loaded conns that came from the configuration file, one comment line each.
    Loaded,
    /// Requests follow; see the module's documentation.
    Batch,
    /// `--delete --name N`.
    Delete {
        /// Conn.
        name: String,
    },
    /// `--initiate --name N`.
    Initiate {
        /// Conn or alias.
        name: String,
        /// Do not wait for the outcome.
        asynchronous: bool,
    },
    /// `--terminate --name N`.
    Terminate {
        /// Conn or alias.
        name: String,
    },
    /// `--route --name N`.
    Route {
        /// Conn.
        name: String,
    },
    /// `--unroute --name N`.
    Unroute {
        /// Conn.
        name: String,
    },
    /// `--deletestate N`.
    DeleteState {
        /// Serial number.
        serial: u32,
    },
    /// `--listen`: scan interfaces, read secrets, open for business.
    Listen,
    /// `--unlisten`.
    Unlisten,
    /// `--status`.
    Status,
    /// `--briefstatus`.
    BriefStatus,
    /// One part of the status: `--connectionstatus`, `--showstates` and the like.
    Show {
        /// Which part.
        what: Show,
        /// Only what belongs to this conn or alias.
        name: Option<String>,
        /// As one JSON value instead of lines; see ipsec_status(8) for its members.
        json: bool,
    },
    /// `--listall` and its parts.
    List {
        /// What.
        what: List,
        /// Dates in UTC.
        utc: bool,
    },
    /// `--crash IP`: forget the SAs with that peer; it has lost them. Permanent conns that were up negotiate again.
    Crash {
        /// The peer's address.
        peer: IpAddr,
    },
    /// `--name N --initiate` with `--xauthname` and `--xauthpass`: what to answer when the peer asks for XAUTH.
    InitiateAs {
        /// Conn or alias.
        name: String,
        /// Do not wait for the outcome.
        asynchronous: bool,
        /// `--xauthname`, `--xauthuser`.
        user: Option<String>,
        /// `--xauthpass`.
        password: Option<SecretBytes>,
    },
    /// What a person typed after a line `040 … #N: …` or `041 …` on another connection.
    Answer {
        /// The N.
        serial: u32,
        /// Without the newline.
        text: SecretBytes,
    },
    /// What a person typed after a line `040 … 'FILE'…` on another connection: the passphrase of a key file.
    Passphrase {
        /// The file.
        file: PathBuf,
        /// Without the newline; empty if nobody is there who could type.
        text: SecretBytes,
    },
    /// `--rereadcacerts` and the like.
    Reread(Reread),
    /// `--keyid ID [--addkey] [--pubkeyrsa KEY]`.
    PublicKey {
        /// Whose.
        id: Id,
        /// Keep those there are.
        add: bool,
        /// The key (RFC 3110 section 2).
        rsa: Option<Vec<u8>>,
    },
    /// `--myid ID`: what `leftid=%myid` stands for.
    MyId(Id),
    /// `--debug-…`: the words of the daemon's debug line; with a name, of one conn's. They change what status shows.
    Debug {
        /// Conn.
        name: Option<String>,
        /// Words without `--debug-`; `none` empties.
        words: Vec<String>,
    },
    /// `--trafficstatus`.
    TrafficStatus,
    /// `--rereadsecrets`.
    RereadSecrets,
    /// `--shutdown`.
    Shutdown,
    /// `--virtual_private` and friends, at run time (`ipsec setup` gives them on pluto's command line).
    Setup(SetupSpec),
}

/// A part of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Show {
    /// Everything, as [`Request::Status`].
    All,
    /// The daemon as a whole: counters.
    Global,
    /// The conns.
    Connections,
    /// The states.
    States,
    /// The policies without an SA.
    Shunts,
    /// Numbers of SAs, as [`Request::BriefStatus`].
    Brief,
}

/// What is read again or forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reread {
    /// `--rereadall`: secrets, certificates and CRLs.
    All,
    /// `--rereadcacerts`.
    CaCerts,
    /// `--rereadaacerts`.
    AaCerts,
    /// `--rereadocspcerts`.
    OcspCerts,
    /// `--rereadacerts`.
    ACerts,
    /// `--rereadcrls`, `--fetchcrls`.
    Crls,
    /// `--purgeocsp`.
    PurgeOcsp,
}

/// A part of `--listall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum List {
    /// `--listpubkeys`.
    PublicKeys,
    /// `--checkpubkeys`.
    CheckPublicKeys,
    /// `--listcerts`.
    Certs,
    /// `--listcacerts`.
    CaCerts,
    /// `--listaacerts`.
    AaCerts,
    /// `--listocspcerts`.
    OcspCerts,
    /// `--listacerts`.
    ACerts,
    /// `--listgroups`.
    Groups,
    /// `--listcrls`.
    Crls,
    /// `--listocsp`.
    Ocsp,
    /// `--listpsks`.
    Psks,
    /// `--listevents`.
    Events,
    /// `--listpairs`, `--listhostpairs`.
    Pairs,
    /// `--listall`.
    All,
}

/// What of `config setup` the engine needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupSpec {
    /// `virtual_private=`.
    pub virtual_private: VirtualPrivate,
    /// `nat_traversal=`; on unless switched off.
    pub nat_traversal: bool,
    /// `keep_alive=`, seconds.
    pub keep_alive: u32,
    /// `force_keepalive=`.
    pub force_keepalive: bool,
    /// `uniqueids=`.
    pub uniqueids: bool,
    /// `crypto-policy=`.
    pub crypto_policy: CryptoPolicy,
    /// `strictcrlpolicy=`.
    pub strict_crl: StrictCrl,
    /// `crlcheckinterval=`, seconds; 0 is never.
    pub crl_check_interval: u32,
    /// `nocrsend=`: no certificate requests are sent.
    pub no_cr_send: bool,
    /// `packetdefault=` is `yes`, and policy groups are loaded (`oe=yes`).
    pub opportunistic: bool,
    /// `max-halfopen-ike=` and its like.
    #[serde(default)]
    pub limits: crate::Limits,
    /// `pkcs11module=`: a library.
    #[serde(default)]
    pub pkcs11_module: Option<String>,
    /// The `ca` sections that are used.
    #[serde(default)]
    pub authorities: Vec<crate::auth::Authority>,
}

/// The exit status that reply lines ask for: the code of the last line that is neither 000 nor 002; 004 and 006
/// make it 0, 040 and 041 do not change it. With `asynchronous` every other code is success.
pub fn exit_status<'a>(lines: impl IntoIterator<Item = &'a str>, asynchronous: bool) -> u8 {
    lines.into_iter().fold(0, |status, line| match line.get(..3).and_then(|c| c.parse::<u16>().ok()) {
        None | Some(0 | 2 | 40 | 41) => status,
        Some(4 | 6) => 0,
        Some(_) if asynchronous => 0,
        Some(code) => u8::try_from(code).unwrap_or(u8::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_status_follows_the_last_telling_line() {
        assert_eq!(exit_status(["002 x", "104 \"a\" #1: y", "004 \"a\" #1: z"], false), 0);
        assert_eq!(exit_status(["010 x", "031 gone", "000 but"], false), 31);
        assert_eq!(exit_status(["021 no connection"], true), 0);
        assert_eq!(exit_status(["noise", ""], false), 0);
    }

    #[test]
    fn requests_survive_the_socket() {
        let spec = ConnSpec { name: "L2TP-PSK".into(), ..ConnSpec::default() };
        let text = serde_json::to_string(&Request::Add(Box::new(spec.clone()))).unwrap();
        let Request::Add(back) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert_eq!(*back, spec);
    }
}
