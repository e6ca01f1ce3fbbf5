//! Finds the folders that a user's programs keep their files in, by the XDG base directories.

use std::path::PathBuf;

/// The one that a variable names, else one below the user's home; a path that is not absolute counts as none.
pub fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}
