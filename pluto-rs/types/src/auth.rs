//! How the ends of a conn prove who they are, and the records of `ipsec.secrets` that serve it. Plain data.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::secret::SecretBytes;

/// `authby=`, `leftauth=`: the methods that are allowed, best first as listed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthBy {
    /// `secret`.
    pub psk: bool,
    /// `rsasig`.
    pub rsasig: bool,
    /// `ecdsa` (RFC 4754).
    pub ecdsa: bool,
    /// `never`: nothing may be negotiated; for shunts.
    pub never: bool,
    /// `hybrid`: this end has a certificate, the other is asked with XAUTH only.
    pub hybrid: bool,
}

impl Default for AuthBy {
    fn default() -> Self {
        AuthBy { rsasig: true, ..AuthBy::NONE }
    }
}

impl AuthBy {
    /// No method.
    pub const NONE: AuthBy = AuthBy { psk: false, rsasig: false, ecdsa: false, never: false, hybrid: false };
    /// A pre-shared key only.
    pub const PSK: AuthBy = AuthBy { psk: true, ..AuthBy::NONE };
}

/// `leftrsasigkey=`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicKeySpec {
    /// `%cert`: the key of the certificate.
    Cert,
    /// `%dnsondemand`, `%dnsonload`, `%dns`: accepted; no name server is asked.
    Dns,
    /// The key itself: exponent length, exponent, modulus (RFC 3110 section 2).
    Rsa(Vec<u8>),
}

/// `leftca=`: who must have issued the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaSpec {
    /// Not given, or `%any`: any CA we trust.
    #[default]
    Any,
    /// `%same`: the one of the other end.
    Same,
    /// A distinguished name, DER.
    Dn(Vec<u8>),
}

/// `leftsendcert=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendCert {
    /// When the peer asks.
    IfAsked,
    /// Always.
    #[default]
    Always,
    /// Never.
    Never,
}

/// `xauthby=`: who knows the passwords.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum XauthBy {
    /// `/etc/ipsec.d/passwd`.
    #[default]
    File,
    /// PAM.
    Pam,
    /// Nobody: every password is right (tests only).
    AlwaysOk,
}

/// `xauthfail=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum XauthFail {
    /// The IKE SA ends.
    #[default]
    Hard,
    /// The tunnel comes up and the updown script is told.
    Soft,
}

/// `crypto-policy=`: which algorithms may be used where a conn does not name its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CryptoPolicy {
    /// What is strong today: AES with SHA2, MODP 2048 and up, the ECP groups.
    Modern,
    /// And what Windows 10, iOS and Android need out of the box.
    #[default]
    Compat,
    /// And what older ones need: MD5, DES, MODP 768.
    Legacy,
}

/// `strictcrlpolicy=`: what a certificate needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StrictCrl {
    /// `no`: only a revoked one is refused.
    #[default]
    No,
    /// `ifuri`: a fresh CRL if the certificate or its CA says where one is.
    IfUri,
    /// `yes`: a fresh CRL.
    Yes,
}

/// A `ca` section of `ipsec.conf` that is used: where to ask about the certificates of a CA.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Its name.
    pub name: String,
    /// `cacert=`: a file, below `cacerts` of `/etc/ipsec.d` unless the path begins with a slash.
    pub cert: String,
    /// `crluri=`, `crluri2=`.
    pub crl_uris: Vec<String>,
    /// `ocspuri=`, `ocspuri2=`.
    pub ocsp_uris: Vec<String>,
}

/// One record of `ipsec.secrets` that is a pre-shared key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PskRecord {
    /// The indices before the colon; [`Id::None`] is `%any`. Empty matches everybody.
    pub ids: Vec<Id>,
    /// The key.
    pub psk: SecretBytes,
    /// Line of the record in its own file, from 1.
    pub line: u32,
}

/// One record of `ipsec.secrets` of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRecord {
    /// The indices before the colon; [`Id::None`] is `%any`. Empty matches everybody.
    pub ids: Vec<Id>,
    /// The file it stands in.
    pub file: PathBuf,
    /// Its line there, from 1.
    pub line: u32,
    /// What it holds.
    pub secret: Secret,
}

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// `PSK`.
    Psk(SecretBytes),
    /// `XAUTH`: the password of the user in the index.
    Xauth(SecretBytes),
    /// `RSA { … }`.
    Rsa(Box<RsaNumbers>),
    /// `RSA file`, `ECDSA file`, `P12 file`: a private key in a file of `/etc/ipsec.d/private`, or an absolute path.
    KeyFile {
        /// File name as written.
        file: PathBuf,
        /// What kind of key or container the record says it is.
        kind: KeyFileKind,
        /// How to open it.
        passphrase: Passphrase,
    },
    /// `PIN %smartcard…`: the PIN of a token.
    Pin {
        /// The index as written.
        token: String,
        /// The PIN.
        pin: Passphrase,
    },
    /// `EAP`, `NTLM` and others, accepted and not used: the word.
    Other(String),
}

/// The word before a file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFileKind {
    /// `RSA`: PEM or DER, PKCS#1 or PKCS#8.
    Rsa,
    /// `ECDSA`.
    Ecdsa,
    /// `PKCS8`, `PRIV`: any key.
    Any,
    /// `P12`, `PKCS12`: a container with certificates.
    Pkcs12,
}

/// How an encrypted key is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passphrase {
    /// Not encrypted.
    None,
    /// The one that is given.
    Text(SecretBytes),
    /// `%prompt`: asked for when secrets are read with `ipsec auto --rereadsecrets` on a terminal.
    Prompt,
}

/// The numbers of an `RSA { … }` block, big-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RsaNumbers {
    /// `Modulus`.
    pub n: SecretBytes,
    /// `PublicExponent`.
    pub e: SecretBytes,
    /// `PrivateExponent`.
    pub d: SecretBytes,
    /// `Prime1`.
    pub p: SecretBytes,
    /// `Prime2`.
    pub q: SecretBytes,
    /// `Exponent1`.
    pub dp: SecretBytes,
    /// `Exponent2`.
    pub dq: SecretBytes,
    /// `Coefficient`.
    pub qinv: SecretBytes,
}
