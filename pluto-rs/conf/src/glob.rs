//! File name patterns of `include`: `*`, `?`, `[…]` and `{a,b}`, in sorted order, hidden files only when named.
//!
//! No `**`, no tilde, no shell.

use std::fs;
use std::path::{Path, PathBuf};

/// Most files one pattern may name.
pub const MAX_MATCHES: usize = crate::source::MAX_FILES;
/// Most directories that are searched for one pattern: links may make a tree endless.
const MAX_SEARCHED: usize = 10_000;
/// Most patterns that `{…}` may expand to.
const MAX_BRACES: usize = 256;

/// The files `pattern` names, sorted; a relative pattern is taken from `base`. A pattern without wildcards names its
/// file if something of that name exists. At most [`MAX_MATCHES`] + 1 paths are returned.
///
/// # Errors
/// There is too much to search.
pub fn expand(pattern: &str, base: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut budget = MAX_SEARCHED;
    for plain in braces(pattern) {
        let mut one = Vec::new();
        let start = if plain.starts_with('/') { PathBuf::from("/") } else { base.to_path_buf() };
        let parts: Vec<&str> = plain.split('/').filter(|p| !p.is_empty()).collect();
        walk(&start, &parts, &mut one, &mut budget)
            .ok_or_else(|| format!("'{pattern}' means more than {MAX_SEARCHED} directories to search"))?;
        one.sort();
        found.extend(one);
        if found.len() > MAX_MATCHES {
            found.truncate(MAX_MATCHES + 1);
            break;
        }
    }
    Ok(found)
}

/// Adds what `parts` match below `dir`; nothing when the budget of directories is used up.
fn walk(dir: &Path, parts: &[&str], found: &mut Vec<PathBuf>, budget: &mut usize) -> Option<()> {
    let Some((first, rest)) = parts.split_first() else { return Some(()) };
    if found.len() > MAX_MATCHES {
        return Some(());
    }
    *budget = budget.checked_sub(1)?;
    if !first.contains(['*', '?', '[']) {
        let next = dir.join(first);
        match rest.is_empty() {
            true if next.symlink_metadata().is_ok() => found.push(next),
            true => {}
            false => walk(&next, rest, found, budget)?,
        }
        return Some(());
    }
    let pattern: Vec<char> = first.chars().collect();
    let Ok(entries) = fs::read_dir(dir) else { return Some(()) };
    let mut names: Vec<String> = entries
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| !n.starts_with('.') || first.starts_with('.'))
        .filter(|n| matches(&pattern, &n.chars().collect::<Vec<_>>()))
        .take(MAX_MATCHES + 1)
        .collect();
    names.sort();
    for name in names {
        let next = dir.join(name);
        match rest.is_empty() {
            true => found.push(next),
            false if next.is_dir() => walk(&next, rest, found, budget)?,
            false => {}
        }
    }
    Some(())
}

/// Whether `name` matches `pattern` (one path component). Linear in the product of both lengths.
fn matches(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(&c) => {
                if let Some(len) = matches_one(&pattern[p..], c, name[n]) {
                    p += len;
                    n += 1;
                    continue;
                }
            }
            None => {}
        }
        // Let the last star take one character more.
        let Some((sp, sn)) = star else { return false };
        star = Some((sp, sn + 1));
        p = sp + 1;
        n = sn + 1;
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Length of the pattern element at the start of `pattern` (first character `first`) if it matches `c`.
fn matches_one(pattern: &[char], first: char, c: char) -> Option<usize> {
    let class = || -> Option<(bool, usize)> {
        let negated = matches!(pattern.get(1), Some('!' | '^'));
        let start = 1 + usize::from(negated);
        // A `]` right at the start is an ordinary member.
        let end = start + 1 + pattern.get(start + 1..)?.iter().position(|&x| x == ']')?;
        let set = &pattern[start..end];
        let mut inside = false;
        let mut i = 0;
        while i < set.len() {
            if i + 2 < set.len() && set[i + 1] == '-' {
                inside |= (set[i]..=set[i + 2]).contains(&c);
                i += 3;
            } else {
                inside |= set[i] == c;
                i += 1;
            }
        }
        Some((inside != negated, end + 1))
    };
    match first {
        '?' => Some(1),
        '[' => match class() {
            Some((true, len)) => Some(len),
            Some((false, _)) => None,
            None => (c == '[').then_some(1),
        },
        x => (x == c).then_some(1),
    }
}

/// The patterns that `{a,b}` groups stand for, at most [`MAX_BRACES`]; unbalanced braces are literal.
fn braces(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut todo = vec![pattern.to_string()];
    while let Some(p) = todo.pop() {
        if done.len() + todo.len() > MAX_BRACES {
            break;
        }
        match split_group(&p) {
            None => done.push(p),
            // The stack yields the first alternative first.
            Some((head, choices, tail)) => {
                todo.extend(choices.iter().rev().map(|c| format!("{head}{c}{tail}")));
            }
        }
    }
    done
}

/// Splits at the first balanced group that holds a comma.
fn split_group(p: &str) -> Option<(&str, Vec<&str>, &str)> {
    let open = p.find('{')?;
    let mut depth = 0usize;
    let mut choices = Vec::new();
    let mut start = open + 1;
    for (i, c) in p[open..].char_indices().map(|(i, c)| (i + open, c)) {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                choices.push(&p[start..i]);
                start = i + 1;
            }
            '}' if depth == 1 => {
                choices.push(&p[start..i]);
                return (choices.len() > 1).then_some((&p[..open], choices, &p[i + 1..]));
            }
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn m(p: &str, n: &str) -> bool {
        matches(&p.chars().collect::<Vec<_>>(), &n.chars().collect::<Vec<_>>())
    }

    #[test]
    fn components_match_as_in_a_shell() {
        assert!(m("L2TP*.conf", "L2TP-PSK.conf") && m("*", "a") && m("a?c", "abc") && m("[a-c]x", "bx"));
        assert!(m("[!a]x", "bx") && m("[]]", "]") && m("a**b", "ab") && m("[", "["));
        assert!(!m("*.conf", "a.conf~") && !m("a?c", "ac") && !m("[a-c]x", "dx") && !m("[^a]", "a"));
    }

    #[test]
    fn many_stars_cost_little() {
        assert!(!m(&"*a".repeat(200), &"a".repeat(199)));
    }

    #[test]
    fn braces_expand_in_order_and_are_bounded() {
        assert_eq!(braces("/e/{a,b{1,2}}.c"), ["/e/a.c", "/e/b1.c", "/e/b2.c"]);
        assert_eq!(braces("{x}"), ["{x}"]);
        assert!(braces(&"{a,b}".repeat(40)).len() <= MAX_BRACES);
    }

    #[test]
    fn files_come_sorted_and_hidden_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        for f in ["b.conf", "a.conf", ".c.conf", "d.txt"] {
            fs::write(dir.path().join(f), "").unwrap();
        }
        let names = |p: &str| -> Vec<String> {
            expand(p, dir.path())
                .unwrap()
                .iter()
                .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(names("*.conf"), ["a.conf", "b.conf"]);
        assert_eq!(names(&format!("{}/{{d.txt,a.conf,none}}", dir.path().display())), ["d.txt", "a.conf"]);
        assert!(names("none.conf").is_empty());
    }
}
