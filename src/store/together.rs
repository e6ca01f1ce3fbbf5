//! Lists many folders, those that lie beside each other by the requests of one.
//!
//! S3 gives 1,000 names at once, of whatever folders they are in: the symbols of a day are one request, where each folder would be
//! one. Where more lies below what the folders share than they are likely to have, each is listed by itself.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta};

use super::{Ask, Entry, Folder, Stores, entries};
use crate::error::Result;

/// Requests at the same time.
const LISTS: usize = 32;

/// Names that a store gives at once.
const PAGE: usize = 1000;

/// So many folders beside each other are listed as one, at least: a page that turns out to be others' is a 16th more requests.
const TOGETHER: usize = 16;

impl Stores {
    /// The folders at these locations, in their order, with the objects that [`Folder::list`] gives.
    ///
    /// Memory: all of these lists, some 100 bytes an object.
    pub async fn list_each(&self, locations: &[&str]) -> Result<Vec<(Folder, Vec<Entry>)>> {
        let mut folders = Vec::new();
        for location in locations {
            folders.push(self.open(location).await?);
        }
        let mut found = list_beside(&folders).await?;
        let one = async |at: usize| Ok((at, folders[at].list().await?));
        let rest: Vec<_> = (0..folders.len()).filter(|at| !found.contains_key(at)).map(one).collect();
        let lists: Vec<_> = futures::stream::iter(rest).buffer_unordered(LISTS).try_collect().await?;
        found.extend(lists);
        Ok(folders
            .into_iter()
            .enumerate()
            .map(|(at, folder)| (folder, found.remove(&at).unwrap_or_default()))
            .collect())
    }
}

/// Those that could be listed with others, by their place among `folders`.
async fn list_beside(folders: &[Folder]) -> Result<HashMap<usize, Vec<Entry>>> {
    let mut beside: BTreeMap<String, (Folder, Vec<usize>)> = BTreeMap::new();
    for (at, folder) in folders.iter().enumerate() {
        // A disk has each folder at hand.
        if folder.disk.is_none()
            && let Some(parent) = folder.parent()
        {
            beside.entry(parent.location.clone()).or_insert_with(|| (parent, Vec::new())).1.push(at);
        }
    }
    beside.retain(|_, (_, members)| members.len() >= TOGETHER);
    let lists: Vec<_> =
        beside.values().map(|(parent, members)| list_together(parent, folders, members)).collect();
    let lists: Vec<_> = futures::stream::iter(lists).buffer_unordered(LISTS).try_collect().await?;
    Ok(lists.into_iter().flatten().collect())
}

/// What is in those folders, which are in `parent`. Those that it does not give are to be listed by themselves.
///
/// Pages come one after another, while folders are listed [`LISTS`] at a time: so a page for each so many of them is as quick.
/// Where there are more pages, it gives none.
async fn list_together(
    parent: &Folder,
    folders: &[Folder],
    members: &[usize],
) -> Result<Vec<(usize, Vec<Entry>)>> {
    let of_path: HashMap<&str, usize> = members.iter().map(|at| (folders[*at].path.as_ref(), *at)).collect();
    let mut found: HashMap<usize, Vec<ObjectMeta>> = of_path.values().map(|at| (*at, Vec::new())).collect();
    let mut left = PAGE * (members.len() / LISTS).max(1);
    let mut listed = parent.store.list(Some(&parent.path));
    while let Some(meta) = listed.next().await {
        left -= 1;
        let meta = match meta {
            Ok(meta) if left > 0 => meta,
            Ok(_) => return Ok(Vec::new()),
            // What may be listed is the folders, or an object beside them has a name that is no path.
            Err(Error::PermissionDenied { .. } | Error::InvalidPath { .. } | Error::NotFound { .. }) => {
                tracing::debug!(at = parent.location, "cannot be listed: its folders are listed one by one");
                return Ok(Vec::new());
            }
            Err(e) => return Err(parent.failed(Ask::List, "", e)),
        };
        let Some((folder, _)) = meta.location.as_ref().rsplit_once('/') else { continue };
        let Some(at) = of_path.get(folder) else { continue };
        if meta.size == 0 {
            // It may be a folder's marker, `NAME/`: the slash is lost here, so only a list of the folder tells.
            found.remove(at);
        } else if let Some(objects) = found.get_mut(at) {
            objects.push(meta);
        }
    }
    Ok(found.into_iter().map(|(at, objects)| (at, entries(&objects))).collect())
}

impl Folder {
    /// The folder that it is in; `None` where that is the store's root.
    fn parent(&self) -> Option<Self> {
        let (path, _) = self.path.as_ref().rsplit_once('/')?;
        let (location, _) = self.location.trim_end_matches('/').rsplit_once('/')?;
        Some(Self { path: Path::parse(path).ok()?, location: format!("{location}/"), ..self.clone() })
    }
}
