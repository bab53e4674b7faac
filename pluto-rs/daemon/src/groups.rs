//! Which policy group files there are.

use std::path::{Path, PathBuf};

/// Groups that are read.
const MAX_FILES: usize = 256;

/// The files of the folder with the names of their groups, in the order of the names. Hidden files, those an editor or
/// a package manager left behind, and what is no file are none.
pub(crate) fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<(String, PathBuf)> = entries
        .filter_map(|e| Some((e.file_name().into_string().ok()?, e.path())))
        .filter(|(name, path)| !name.contains(['.', '~', '#']) && path.is_file())
        .collect();
    files.sort();
    files.truncate(MAX_FILES);
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_are_groups() {
        let folder = std::env::temp_dir().join(format!("pluto-groups-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("sub")).unwrap();
        for name in ["private", "clear", "clear.dpkg-old", ".hidden", "block~"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let names: Vec<String> = files(&folder).into_iter().map(|f| f.0).collect();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names, ["clear", "private"]);
        assert!(files(&folder).is_empty(), "a folder that is not there has no groups");
    }
}
