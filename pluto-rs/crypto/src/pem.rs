//! PEM files (RFC 7468): the blocks between their BEGIN and END lines. What stands around them is text for people.

use crate::CryptoError;

/// Most blocks of one file.
const MAX_BLOCKS: usize = 1000;

/// One block.
pub(crate) struct Block {
    /// What the BEGIN line says: `CERTIFICATE`.
    pub label: String,
    /// The octets.
    pub der: Vec<u8>,
}

/// Whether a file is PEM at all.
pub(crate) fn is_pem(data: &[u8]) -> bool {
    data.windows(11).any(|w| w == b"-----BEGIN ")
}

/// The blocks of a file. Blocks with headers (`Proc-Type: 4,ENCRYPTED`) are left out.
pub(crate) fn blocks(data: &[u8]) -> Result<Vec<Block>, CryptoError> {
    let text = String::from_utf8_lossy(data);
    let mut out = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(label) = line.trim().strip_prefix("-----BEGIN ").and_then(|l| l.strip_suffix("-----"))
        else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let mut body = String::new();
        let (mut headers, mut ended) = (false, false);
        for line in lines.by_ref().map(str::trim) {
            if line == end {
                ended = true;
                break;
            }
            headers |= line.contains(':');
            body.push_str(line);
        }
        if !ended {
            return Err(CryptoError::Unusable(format!("PEM block \"{label}\" has no END line")));
        }
        if headers {
            continue;
        }
        if out.len() == MAX_BLOCKS {
            return Err(CryptoError::unusable("too many PEM blocks in one file"));
        }
        let der = openssl::base64::decode_block(&body)
            .map_err(|_| CryptoError::Unusable(format!("PEM block \"{label}\" is not base64")))?;
        out.push(Block { label: label.to_string(), der });
    }
    Ok(out)
}
