//! Reading files that somebody else wrote: regular files only, up to a size, as text.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest file that is read, in octets.
pub const MAX_FILE: u64 = 16 << 20;
/// Most files one load reads.
pub const MAX_FILES: usize = 4096;
/// Most octets one load reads, however many files they are in.
pub const MAX_TOTAL: usize = 64 << 20;
/// Longest line, in octets.
pub const MAX_LINE: usize = 64 << 10;
/// How deep files may include each other, the first one counted.
pub const MAX_DEPTH: usize = 10;

/// Reads `path` as text: a byte order mark is dropped, bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
/// What is wrong, in a few words: not there, not a regular file, too large, binary.
pub fn read(path: &Path) -> Result<String, String> {
    let bytes = read_bytes(path)?;
    Ok(text_of(bytes))
}

/// Reads `path` as bytes. `/dev/null` is an empty file, as people include it.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    if path == Path::new("/dev/null") {
        return Ok(Vec::new());
    }
    let file = open(path)?;
    bounded(file)
}

/// Reads `path` as octets of any kind, under the other rules of [`read`].
///
/// # Errors
/// As [`read`], but that it is binary.
pub fn read_binary(path: &Path) -> Result<Vec<u8>, String> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| plain(&e))?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(too_large()),
        false => Ok(bytes),
    }
}

/// Opens a regular file that is not too large.
fn open(path: &Path) -> Result<File, String> {
    // Asked before opening: opening a FIFO would wait for a writer.
    let meta = std::fs::metadata(path).map_err(|e| plain(&e))?;
    if !meta.is_file() {
        return Err(if meta.is_dir() { "is a directory".into() } else { "is not a regular file".into() });
    }
    if meta.len() > MAX_FILE {
        return Err(too_large());
    }
    File::open(path).map_err(|e| plain(&e))
}

/// Reads all of `input` under the rules of [`read`].
///
/// # Errors
/// Too large, binary, or the reader's own error.
pub fn read_text(input: impl Read) -> Result<String, String> {
    bounded(input).map(text_of)
}

fn bounded(input: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    input.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|e| plain(&e))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(too_large());
    }
    if bytes.contains(&0) {
        return Err("is a binary file".into());
    }
    Ok(bytes)
}

fn too_large() -> String {
    format!("is larger than {} MiB", MAX_FILE >> 20)
}

fn text_of(bytes: Vec<u8>) -> String {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    };
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_string(),
        None => text,
    }
}

/// The system's words for an error, without the number.
fn plain(e: &std::io::Error) -> String {
    let s = e.to_string();
    match s.find(" (os error") {
        Some(i) => s[..i].to_string(),
        None => s,
    }
}

/// The words of an option file (`--optionsfrom`): split at blanks and newlines, `"…"` and `'…'` keep blanks, `#` begins a
/// comment.
///
/// # Errors
/// As [`read`], or a quote that is not closed in its line.
pub fn options(path: &Path) -> Result<Vec<String>, String> {
    let text = read(path)?;
    let mut words = Vec::new();
    for line in lines(&text) {
        let mut rest = line.trim();
        while let Some(first) = rest.chars().next().filter(|c| *c != '#') {
            let (word, tail) = match first {
                '"' | '\'' => rest[1..].split_once(first).ok_or("unterminated string")?,
                _ => rest.split_once([' ', '\t']).unwrap_or((rest, "")),
            };
            words.push(word.to_string());
            rest = tail.trim_start();
        }
    }
    Ok(words)
}

/// The lines of a text: ended by LF or CRLF, the last one by nothing too.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|l| l.trim_end_matches('\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_files_are_words() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("options");
        std::fs::write(&file, "# x\n--nofork --listen\t192.0.2.1\n\n'a b' \"c\" # rest\n").unwrap();
        assert_eq!(options(&file).unwrap(), ["--nofork", "--listen", "192.0.2.1", "a b", "c"]);
        std::fs::write(&file, "'a\nb'\n").unwrap();
        assert_eq!(options(&file).unwrap_err(), "unterminated string");
    }

    #[test]
    fn only_regular_text_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap_err(), "is a directory");
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err(), "is not a regular file");
        assert_eq!(read(Path::new("/dev/null")), Ok(String::new()));
        assert_eq!(read(&dir.path().join("none")).unwrap_err(), "No such file or directory");
        let f = dir.path().join("f");
        std::fs::write(&f, b"a\0b").unwrap();
        assert_eq!(read(&f).unwrap_err(), "is a binary file");
        std::fs::write(&f, b"\xef\xbb\xbfversion 2\xff").unwrap();
        assert_eq!(read(&f).unwrap(), "version 2\u{fffd}");
    }
}
