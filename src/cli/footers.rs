//! Owns the file in which `table partitions --stats` keeps what the footers on S3 said. It is always right, as files never
//! change, and may be removed at any time.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::xdg;
use crate::verify::Footers;

/// Of a table of a hundred thousand partitions. What is more is read from S3 again.
const BYTES_MAX: usize = 64 << 20;

/// Where the footers of a table are kept; `None` for those on a local disk, which are as near.
pub fn file_of(location: &str) -> Option<PathBuf> {
    let caches = location.starts_with("s3://").then(|| xdg::folder("XDG_CACHE_HOME", ".cache"))??;
    let name: String = Sha256::digest(location).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Some(caches.join("ticklake/footers").join(format!("{name}.json")))
}

/// What is kept; nothing where it cannot be read.
pub fn load(file: &Path) -> Footers {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Footers::default(),
        Err(e) => return without(file, &e),
    };
    serde_json::from_slice(&text).unwrap_or_else(|e| without(file, &e))
}

fn without(file: &Path, e: &dyn std::error::Error) -> Footers {
    tracing::warn!(file = %file.display(), error = %e, "what was kept of footers is of no use: they are read again");
    Footers::default()
}

/// Keeps it for the next time: whole, or not at all.
pub fn keep(footers: &Footers, file: &Path) {
    if let Err(e) = try_to_keep(footers, file) {
        tracing::warn!(file = %file.display(), error = %e, "what footers say is not kept: they will be read again");
    }
}

fn try_to_keep(footers: &Footers, file: &Path) -> io::Result<()> {
    let text = serde_json::to_vec(footers)?;
    if text.len() > BYTES_MAX {
        return Err(io::Error::other(format!("it has {} bytes, of {BYTES_MAX} at most", text.len())));
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut new = NamedTempFile::new_in(folder)?;
    new.write_all(&text)?;
    new.persist(file)?;
    Ok(())
}
