//! Lists many folders, those that lie beside each other by the requests of one.
//!
//! S3 gives 1,000 names at once, of whatever folders they are in: the symbols of a day are one request, where each folder would be
//! one. Where more lies below what the folders share than they are likely to have, each is listed by itself.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use super::{Entry, Folder, Stores, entry, is_hidden};
use crate::error::Result;

/// Requests at the same time.
const LISTS: usize = 32;

/// Names that a store gives at once.
const PAGE: usize = 1000;

/// So many folders beside each other are listed as one, at least: of fewer, most of a page may be others'.
const TOGETHER: usize = 8;

impl Stores {
    /// The folders at these locations, in their order, with the objects that [`Folder::list`] gives.
    ///
    /// Memory: all of these lists, some 100 bytes an object.
    pub async fn list_each(&self, locations: &[&str]) -> Result<Vec<(Folder, Vec<Entry>)>> {
        let mut folders = Vec::new();
        for location in locations {
            folders.push(self.open(location).await?);
        }
        let mut found = list_beside(&folders).await;
        let one = async |at: usize| Ok((at, folders[at].list().await?));
        let rest: Vec<_> = (0..folders.len()).filter(|at| !found.contains_key(at)).map(one).collect();
        let mut lists = futures::stream::iter(rest).buffer_unordered(LISTS);
        while let Some((at, entries)) = lists.try_next().await? {
            found.insert(at, entries);
        }
        drop(lists);
        Ok(folders
            .into_iter()
            .enumerate()
            .map(|(at, folder)| (folder, found.remove(&at).unwrap_or_default()))
            .collect())
    }
}

/// Those that could be listed with others, by their place among `folders`.
async fn list_beside(folders: &[Folder]) -> HashMap<usize, Vec<Entry>> {
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
    let lists: Vec<_> = futures::stream::iter(lists).buffer_unordered(LISTS).collect().await;
    lists.into_iter().flatten().flatten().collect()
}

/// What is in those folders, which are in `parent`; `None` where there is too much beside them, or the store fails: then each
/// is listed, and tells.
///
/// Pages come one after another, while folders are listed [`LISTS`] at a time: so a page for each so many of them is as quick.
async fn list_together(
    parent: &Folder,
    folders: &[Folder],
    members: &[usize],
) -> Option<HashMap<usize, Vec<Entry>>> {
    let of_path: HashMap<&str, usize> = members.iter().map(|at| (folders[*at].path.as_ref(), *at)).collect();
    let mut found: HashMap<usize, Vec<Entry>> = of_path.values().map(|at| (*at, Vec::new())).collect();
    let most = PAGE * (members.len() / LISTS).max(1);
    let mut listed = parent.store.list(Some(&parent.path)).enumerate();
    while let Some((count, meta)) = listed.next().await {
        let meta = meta.ok().filter(|_| count < most)?;
        if let Some((folder, name)) = meta.location.as_ref().rsplit_once('/')
            && let Some(at) = of_path.get(folder)
            && !is_hidden(name)
        {
            found.entry(*at).or_default().push(entry(name.to_owned(), &meta));
        }
    }
    found.values_mut().for_each(|entries| entries.sort_by(|a, b| a.name.cmp(&b.name)));
    Some(found)
}

impl Folder {
    /// The folder that it is in; `None` of a store's root.
    fn parent(&self) -> Option<Self> {
        let (path, _) = self.path.as_ref().rsplit_once('/')?;
        let (location, _) = self.location.trim_end_matches('/').rsplit_once('/')?;
        Some(Self { path: Path::parse(path).ok()?, location: format!("{location}/"), ..self.clone() })
    }
}
