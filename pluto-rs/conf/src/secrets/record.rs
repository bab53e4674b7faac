//! One record of `ipsec.secrets` from tokens to typed data.
//!
//! Findings never hold a part of a secret.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipsec_types::auth::{KeyFileKind, Passphrase, RsaNumbers, Secret, SecretRecord};
use ipsec_types::{Id, SecretBytes};

use super::data;
use super::lex::{Record, Token};
use crate::diag::Severity;

/// The words after the colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Psk,
    Xauth,
    /// A private key in a file; of kind RSA also in the record itself.
    Key(KeyFileKind),
    Pin,
    /// Secrets of authentication methods that are not used.
    Other,
}

impl Kind {
    /// The kind a word stands for, in any case.
    pub(super) fn of(word: &str) -> Option<Kind> {
        Some(match word.to_ascii_uppercase().as_str() {
            "PSK" => Kind::Psk,
            "XAUTH" => Kind::Xauth,
            "RSA" => Kind::Key(KeyFileKind::Rsa),
            "ECDSA" => Kind::Key(KeyFileKind::Ecdsa),
            "PKCS8" | "PRIV" => Kind::Key(KeyFileKind::Any),
            "P12" | "PKCS12" => Kind::Key(KeyFileKind::Pkcs12),
            "PIN" => Kind::Pin,
            "EAP" | "NTLM" | "PPK" | "PPKS" | "PPKD" | "PPKF" | "BLISS" => Kind::Other,
            _ => return None,
        })
    }
}

/// What there is to say about a record.
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) line: u32,
    pub(super) message: String,
}

fn error<T>(line: u32, message: impl Into<String>) -> Result<T, Finding> {
    Err(Finding { severity: Severity::Error, line, message: message.into() })
}

/// Takes a record that is not an include. Nothing is a record that was dropped; `said` has the reason. Two are a
/// pre-shared key with a host name that was found: the address is who it is, as Openswan has it, and so is the name, as
/// strongSwan has it.
pub(super) fn read(
    record: &Record<'_>,
    file: &Path,
    resolver: &dyn Fn(&str) -> Option<IpAddr>,
    said: &mut Vec<Finding>,
) -> Vec<SecretRecord> {
    match parts(record).and_then(|(indices, key)| {
        let secret = secret(key, record.line)?;
        let user = matches!(secret, Secret::Xauth(_) | Secret::Other(_));
        let ids = indices.iter().map(|t| if user { user_name(t) } else { index(t, resolver, said) });
        Ok((ids.collect::<Result<Vec<_>, _>>()?, secret))
    }) {
        Ok((ids, secret)) => {
            let of = |ids, secret| SecretRecord { ids, file: file.to_path_buf(), line: record.line, secret };
            let names: Vec<Id> = ids.iter().map(|i| i.name.clone().unwrap_or_else(|| i.id.clone())).collect();
            let ids: Vec<Id> = ids.into_iter().map(|i| i.id).collect();
            let by_name = match &secret {
                Secret::Psk(psk) if ids != names => Some(of(names, Secret::Psk(psk.clone()))),
                _ => None,
            };
            std::iter::once(of(ids, secret)).chain(by_name).collect()
        }
        Err(finding) => {
            said.push(finding);
            Vec::new()
        }
    }
}

type Tokens<'r, 't> = &'r [Token<'t>];

/// The tokens before and after the colon.
fn parts<'r, 't>(record: &'r Record<'t>) -> Result<(Tokens<'r, 't>, Tokens<'r, 't>), Finding> {
    let tokens = &record.tokens;
    if let Some(i) = tokens.iter().position(|t| t.word() == Some(":")) {
        return Ok((&tokens[..i], &tokens[i + 1..]));
    }
    match tokens.split_last() {
        // The form of the oldest manuals: indices and a quoted secret, no colon.
        Some((last, indices)) if last.quoted => Ok((indices, std::slice::from_ref(last))),
        _ => error(record.line, "unexpected end of id list"),
    }
}

fn secret(key: Tokens<'_, '_>, line: u32) -> Result<Secret, Finding> {
    let Some((first, rest)) = key.split_first() else {
        return error(line, "expected a kind of key after the colon");
    };
    let Some(word) = first.word().filter(|_| !first.quoted) else {
        // A string alone is a pre-shared key.
        return match rest {
            [] => Ok(Secret::Psk(SecretBytes::from(first.bytes))),
            _ => error(first.line, "expected record boundary in key"),
        };
    };
    match Kind::of(word) {
        Some(Kind::Psk) => value(first, rest, "PSK").map(Secret::Psk),
        Some(Kind::Xauth) => value(first, rest, "XAUTH").map(Secret::Xauth),
        Some(Kind::Key(kind)) => match rest {
            [brace, fields @ ..] if brace.word() == Some("{") => match kind {
                KeyFileKind::Rsa => rsa_numbers(fields, brace.line).map(|n| Secret::Rsa(Box::new(n))),
                _ => Ok(Secret::Other(word.to_ascii_uppercase())),
            },
            _ => key_file(kind, first, rest),
        },
        Some(Kind::Pin) => pin(first, rest),
        Some(Kind::Other) => Ok(Secret::Other(word.to_ascii_uppercase())),
        None => error(first.line, "unrecognized key format: expected PSK, RSA, XAUTH or PIN"),
    }
}

/// The value of a PSK or XAUTH record: quoted, `0x…`, `0s…`, `0t…`, or a bare word as it stands.
fn value(first: &Token<'_>, rest: Tokens<'_, '_>, kind: &str) -> Result<SecretBytes, Finding> {
    match rest {
        [value] if value.quoted => Ok(SecretBytes::from(value.bytes)),
        [value] => match data::decode(value.bytes) {
            Ok(bytes) => Ok(bytes),
            Err(why) => error(value.line, format!("{kind} data malformed: {why}")),
        },
        [] => error(first.line, format!("{kind} data malformed: no secret")),
        _ => error(first.line, "expected record boundary in key"),
    }
}

fn key_file(kind: KeyFileKind, first: &Token<'_>, rest: Tokens<'_, '_>) -> Result<Secret, Finding> {
    let (name, passphrase) = match rest {
        [name] => (name, Passphrase::None),
        [name, word] if word.word() == Some("%prompt") => (name, Passphrase::Prompt),
        [name, word] => (name, Passphrase::Text(passphrase(word)?)),
        [] => return error(first.line, "expected `{' or the name of a private key file"),
        _ => return error(first.line, "expected record boundary in key"),
    };
    match std::str::from_utf8(name.bytes) {
        Ok(file) if !file.is_empty() => Ok(Secret::KeyFile { file: PathBuf::from(file), kind, passphrase }),
        _ => error(name.line, "error loading RSA private key file: bad name"),
    }
}

fn passphrase(word: &Token<'_>) -> Result<SecretBytes, Finding> {
    if word.quoted || !matches!(word.bytes, [b'0', b'x' | b's' | b'X' | b'S', ..]) {
        return Ok(SecretBytes::from(word.bytes));
    }
    data::decode(word.bytes).or_else(|why| error(word.line, format!("passphrase malformed: {why}")))
}

fn pin(first: &Token<'_>, rest: Tokens<'_, '_>) -> Result<Secret, Finding> {
    let (token, pin) = match rest {
        [token] => (token, Passphrase::Prompt),
        [token, word] if word.word() == Some("%prompt") => (token, Passphrase::Prompt),
        [token, word] => (token, Passphrase::Text(passphrase(word)?)),
        _ => return error(first.line, "expected the name of a token and its PIN"),
    };
    Ok(Secret::Pin { token: String::from_utf8_lossy(token.bytes).into_owned(), pin })
}

/// The fields of `RSA { … }`, in any order, up to the `}`.
fn rsa_numbers(fields: Tokens<'_, '_>, line: u32) -> Result<RsaNumbers, Finding> {
    let mut n = RsaNumbers::default();
    let mut rest = fields;
    loop {
        let Some((name, tail)) = rest.split_first() else {
            return error(line, "premature end of RSA key");
        };
        rest = match tail {
            [colon, tail @ ..] if colon.word() == Some(":") => tail,
            _ => tail,
        };
        let word = name.word().unwrap_or_default();
        if word == "}" {
            if !rest.is_empty() {
                return error(name.line, "malformed end of RSA private key -- unexpected token after '}'");
            }
            break;
        }
        let Some((value, tail)) = rest.split_first() else {
            return error(line, "premature end of RSA key");
        };
        rest = tail;
        let field = match word.to_ascii_lowercase().as_str() {
            "modulus" => &mut n.n,
            "publicexponent" => &mut n.e,
            "privateexponent" => &mut n.d,
            "prime1" => &mut n.p,
            "prime2" => &mut n.q,
            "exponent1" => &mut n.dp,
            "exponent2" => &mut n.dq,
            "coefficient" => &mut n.qinv,
            // The name of the key in an NSS database, which we do not have.
            "ckaidnss" => continue,
            _ => return error(name.line, "Modulus keyword not found where expected in RSA key"),
        };
        *field = match value.bytes {
            [b'0', b'x' | b's' | b'X' | b'S', ..] => data::decode(value.bytes)
                .or_else(|why| error(value.line, format!("RSA data malformed ({why}): {word}")))?,
            _ => return error(value.line, format!("RSA data malformed (no 0x or 0s): {word}")),
        };
    }
    if n.n.is_empty() || n.e.is_empty() {
        return error(line, "Modulus keyword not found where expected in RSA key");
    }
    Ok(n)
}

/// What stands in front of the colon.
struct Index {
    id: Id,
    /// The host name whose address `id` is.
    name: Option<Id>,
}

impl From<Id> for Index {
    fn from(id: Id) -> Self {
        Index { id, name: None }
    }
}

/// An index of a password: an identity, or a name as it stands, which no name server is asked for.
fn user_name(token: &Token<'_>) -> Result<Index, Finding> {
    match std::str::from_utf8(token.bytes) {
        Ok(text) => Ok(crate::net::identity(text).unwrap_or_else(|_| Id::Fqdn(text.to_string())).into()),
        Err(_) => error(token.line, "an index is not UTF-8; record dropped"),
    }
}

/// An index: an identity, or a host name that is looked up. A name that nobody knows is an identity of its own.
fn index(
    token: &Token<'_>,
    resolver: &dyn Fn(&str) -> Option<IpAddr>,
    said: &mut Vec<Finding>,
) -> Result<Index, Finding> {
    let bad = |why: String| error(token.line, format!("{why}; record dropped"));
    let Ok(text) = std::str::from_utf8(token.bytes) else { return bad("an index is not UTF-8".into()) };
    if token.quoted {
        // Not shown: it may be a secret in the wrong place.
        return match crate::net::identity(text) {
            Ok(id) => Ok(id.into()),
            Err(_) => bad("a quoted index is not an identity".into()),
        };
    }
    match crate::net::identity(text) {
        Ok(id) => Ok(id.into()),
        Err(_) if crate::net::is_host_name(text) => {
            let name = Id::Fqdn(text.to_string());
            if let Some(address) = resolver(text) {
                return Ok(Index { id: Id::Addr(address), name: Some(name) });
            }
            let message = format!(
                "index \"{text}\" does not look numeric and name lookup failed; taken as \"@{text}\""
            );
            said.push(Finding { severity: Severity::Warning, line: token.line, message });
            Ok(name.into())
        }
        Err(why) if text.contains('=') => bad(format!("index \"{text}\" {why}")),
        Err(_) => {
            let message = format!("index \"{text}\" is not an identity; taken as a name that nobody has");
            said.push(Finding { severity: Severity::Warning, line: token.line, message });
            Ok(Id::Fqdn(text.to_string()).into())
        }
    }
}
