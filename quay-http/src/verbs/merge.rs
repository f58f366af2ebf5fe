//! Layers as one: what remains of them when each lies over those below it (image-spec, "Layer").
//!
//! The layers are read twice, from the top down. The first time it is noted which entry of each path counts; the
//! second time those entries are copied as they are. Held in memory are paths, of [`MOST_ENTRIES`] entries with
//! [`MOST_BYTES`] at the most, never content.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use super::entries::{BLOCK, Entries, Entry, filling, invalid, pax_record, plain};

const MOST_ENTRIES: usize = 1_000_000;
const MOST_BYTES: usize = 128 << 20;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Where an entry stands: its layer, counted from the top, and its place in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    layer: u32,
    ordinal: u32,
}

/// The entry of a path that counts.
#[derive(Debug)]
struct Winner {
    place: Place,
    is_directory: bool,
    /// Bytes that it takes in the merged archive.
    length: u64,
}

/// What becomes of a hard link that is not copied as it is.
#[derive(Debug)]
enum Link {
    /// It is the file itself, whose own name is gone.
    Replaced,
    /// It leads to another name.
    To(Vec<u8>),
    /// It leads to this name, and is written when that is there.
    Later(Vec<u8>),
}

/// What remains of layers.
#[derive(Debug, Default)]
pub(super) struct Plan {
    winners: HashMap<Vec<u8>, Winner>,
    /// Files whose names are gone, and the links by which they are still there.
    moved: HashMap<Place, (Vec<u8>, u64)>,
    links: HashMap<Place, Link>,
}

/// A file of the layer that is being looked at.
struct File {
    ordinal: u32,
    size: u64,
    records: usize,
}

/// A hard link that counts.
struct Pending {
    place: Place,
    path: Vec<u8>,
    /// Where it says that it leads.
    says: Vec<u8>,
    records: usize,
}

/// What the layers above say of those below.
#[derive(Default)]
struct Above {
    gone: HashSet<Vec<u8>>,
    opaque: HashSet<Vec<u8>>,
    /// Links that lead to what lies in a layer below.
    links: HashMap<Vec<u8>, Vec<Pending>>,
}

/// Counts what is kept in memory.
struct Budget {
    entries: usize,
    bytes: usize,
}

impl Budget {
    /// Of paths, and where links lead.
    fn spend(&mut self, path: &[u8], link: &[u8]) -> io::Result<()> {
        let left = self
            .entries
            .checked_sub(1)
            .zip(self.bytes.checked_sub(path.len() + link.len()));
        let (entries, bytes) = left.ok_or_else(|| invalid("the image has too many files to be made one"))?;
        *self = Self { entries, bytes };
        Ok(())
    }
}

fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|&byte| byte == b'/');
    slash.and_then(|slash| path.get(..slash)).unwrap_or_default()
}

fn base(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|&byte| byte == b'/');
    slash.and_then(|slash| path.get(slash + 1..)).unwrap_or(path)
}

fn beside(path: &[u8], name: &[u8]) -> Vec<u8> {
    match parent(path) {
        [] => name.to_vec(),
        parent => [parent, b"/", name].concat(),
    }
}

impl Plan {
    /// Looks at all layers, the top one first. `open` opens a layer by its number.
    pub(super) fn of<R: Read>(layers: u32, mut open: impl FnMut(u32) -> io::Result<R>) -> io::Result<Self> {
        let mut plan = Self::default();
        let mut above = Above::default();
        let mut budget = Budget {
            entries: MOST_ENTRIES,
            bytes: MOST_BYTES,
        };
        for layer in 0..layers {
            plan.look_at(layer, Entries::new(open(layer)?), &mut above, &mut budget)?;
        }
        if above.links.is_empty() {
            return Ok(plan);
        }
        Err(invalid("a layer holds a link to nothing"))
    }

    /// Bytes of the merged archive.
    pub(super) fn size(&self) -> u64 {
        let winners = self.winners.values().map(|winner| winner.length);
        let moved = self.moved.values().map(|(_, length)| *length);
        winners.chain(moved).sum::<u64>() + 2 * BLOCK as u64
    }

    fn look_at<R: Read>(
        &mut self,
        layer: u32,
        mut entries: Entries<R>,
        above: &mut Above,
        budget: &mut Budget,
    ) -> io::Result<()> {
        let (mut gone, mut opaque) = (Vec::new(), Vec::new());
        let mut files: HashMap<Vec<u8>, File> = HashMap::new();
        let mut links: Vec<Pending> = Vec::new();
        // A link may lead to another one: here is where each leads in the end.
        let mut ends: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        while let Some(entry) = entries.next()? {
            let name = base(&entry.path);
            if name.starts_with(WHITEOUT) {
                budget.spend(&entry.path, &[])?;
                if name == OPAQUE {
                    opaque.push(parent(&entry.path).to_vec());
                } else if let Some(hidden) = name.strip_prefix(WHITEOUT)
                    // What aufs keeps for itself hides nothing.
                    && !hidden.is_empty() && !hidden.starts_with(WHITEOUT)
                {
                    gone.push(beside(&entry.path, hidden));
                }
                continue;
            }
            let place = Place {
                layer,
                ordinal: entry.ordinal,
            };
            let is_directory = entry.kind == EntryType::Directory;
            if entry.kind == EntryType::Link {
                // Kept twice: where it leads, and where that leads in the end.
                budget.spend(&entry.path, &entry.link)?;
                budget.spend(&entry.link, &entry.link)?;
                let says = plain(&entry.link)?;
                let end = ends.get(&says).cloned().unwrap_or(says);
                ends.insert(entry.path.clone(), end);
            } else if !is_directory {
                budget.spend(&entry.path, &[])?;
                let file = File {
                    ordinal: entry.ordinal,
                    size: entry.size,
                    records: records(&entry, None).len(),
                };
                files.insert(entry.path.clone(), file);
            }
            budget.spend(&entry.path, &[])?;
            if self.is_hidden(&entry.path, layer, above) {
                continue;
            }
            if entry.kind == EntryType::Link {
                links.push(Pending {
                    place,
                    path: entry.path.clone(),
                    says: plain(&entry.link)?,
                    records: entry.records.len(),
                });
            }
            let length = entry.head.len() as u64 + entry.size + filling(entry.size);
            let winner = Winner {
                place,
                is_directory,
                length,
            };
            self.winners.insert(entry.path, winner);
        }
        self.resolve(layer, links, &files, &ends, above);
        above.gone.extend(gone);
        above.opaque.extend(opaque);
        Ok(())
    }

    /// Whether a layer above has put something over a path, or taken it away.
    fn is_hidden(&self, path: &[u8], layer: u32, above: &Above) -> bool {
        let over = |path: &[u8]| self.winners.get(path).filter(|winner| winner.place.layer < layer);
        if over(path).is_some() || above.gone.contains(path) {
            return true;
        }
        let mut rest = path;
        while !rest.is_empty() {
            rest = parent(rest);
            let covered = !rest.is_empty() && over(rest).is_some_and(|winner| !winner.is_directory);
            if covered || above.gone.contains(rest) || above.opaque.contains(rest) {
                return true;
            }
        }
        false
    }

    /// Decides what becomes of the links that lead into a layer: its own, and those of layers above it.
    fn resolve(
        &mut self,
        layer: u32,
        links: Vec<Pending>,
        files: &HashMap<Vec<u8>, File>,
        ends: &HashMap<Vec<u8>, Vec<u8>>,
        above: &mut Above,
    ) {
        let waiting: Vec<Vec<u8>> = above.links.keys().cloned().collect();
        for target in waiting {
            let end = ends.get(&target).unwrap_or(&target);
            if let Some(file) = files.get(end) {
                for link in above.links.remove(&target).unwrap_or_default() {
                    self.settle(link, layer, end, file);
                }
            }
        }
        for link in links {
            let root = ends.get(&link.path).unwrap_or(&link.says).clone();
            if self
                .winners
                .get(&link.path)
                .is_none_or(|winner| winner.place != link.place)
            {
                continue;
            }
            match files.get(&root) {
                Some(file) => self.settle(link, layer, &root, file),
                None => above.links.entry(root).or_default().push(link),
            }
        }
    }

    fn settle(&mut self, link: Pending, layer: u32, target: &[u8], file: &File) {
        let place = Place {
            layer,
            ordinal: file.ordinal,
        };
        let stays = self
            .winners
            .get(target)
            .is_some_and(|winner| winner.place == place);
        let leads_to = match self.moved.get(&place) {
            _ if stays => target,
            Some((name, _)) => name,
            None => {
                let length = head_length(file.records, &link.path, None) + file.size + filling(file.size);
                if let Some(winner) = self.winners.get_mut(&link.path) {
                    winner.length = 0;
                }
                self.links.insert(link.place, Link::Replaced);
                self.moved.insert(place, (link.path, length));
                return;
            }
        };
        let is_there = layer == link.place.layer && file.ordinal < link.place.ordinal;
        if is_there && link.says == leads_to {
            return;
        }
        if let Some(winner) = self.winners.get_mut(&link.path) {
            winner.length = head_length(link.records, &link.path, Some(leads_to));
        }
        let name = leads_to.to_vec();
        let becomes = if is_there {
            Link::To(name)
        } else {
            Link::Later(name)
        };
        self.links.insert(link.place, becomes);
    }

    /// Writes the merged archive, with `prefix` before every path. [`size`](Self::size) is that without one.
    pub(super) fn write<R: Read>(
        &self,
        layers: u32,
        mut open: impl FnMut(u32) -> io::Result<R>,
        prefix: &[u8],
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut later: Vec<Vec<u8>> = Vec::new();
        for layer in 0..layers {
            let mut entries = Entries::new(open(layer)?);
            while let Some(entry) = entries.next()? {
                let place = Place {
                    layer,
                    ordinal: entry.ordinal,
                };
                let wins = self
                    .winners
                    .get(&entry.path)
                    .is_some_and(|winner| winner.place == place);
                let link = self.links.get(&place);
                let (name, target) = match (self.moved.get(&place), link) {
                    (Some((name, _)), _) => (Some(name), None),
                    (None, Some(Link::Replaced)) => continue,
                    (None, _) if !wins => continue,
                    (None, Some(Link::To(target) | Link::Later(target))) => (None, Some(target)),
                    (None, None) => (None, None),
                };
                let head = if prefix.is_empty() && name.is_none() && target.is_none() {
                    entry.head
                } else {
                    let says = if entry.kind == EntryType::Link {
                        plain(&entry.link)?
                    } else {
                        Vec::new()
                    };
                    let target = target.or(Some(&says)).filter(|target| !target.is_empty());
                    let target = target.map(|target| [prefix, target].concat());
                    let path = [prefix, name.unwrap_or(&entry.path)].concat();
                    renamed(&entry, &path, target.as_deref())?
                };
                if matches!(link, Some(Link::Later(_))) {
                    later.push(head);
                    continue;
                }
                out.write_all(&head)?;
                io::copy(&mut entries.content(), out)?;
                out.write_all(zeros(filling(entry.size)))?;
            }
        }
        for head in later {
            out.write_all(&head)?;
        }
        out.write_all(zeros(BLOCK as u64))?;
        out.write_all(zeros(BLOCK as u64))
    }
}

pub(super) fn zeros(count: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    usize::try_from(count)
        .ok()
        .and_then(|count| ZEROS.get(..count))
        .unwrap_or_default()
}

/// Bytes of what stands before the content of an entry that is given another name, with so many bytes of records.
fn head_length(records: usize, path: &[u8], link: Option<&[u8]>) -> u64 {
    let link = link.map_or(0, |link| pax_record(b"linkpath", link).len());
    let records = (records + pax_record(b"path", path).len() + link) as u64;
    2 * BLOCK as u64 + records + filling(records)
}

/// What is said of an entry besides its path, with where it leads: elsewhere, or where it has led.
fn records(entry: &Entry, link: Option<&[u8]>) -> Vec<u8> {
    let own = (entry.kind == EntryType::Symlink).then_some(&*entry.link);
    let mut records = entry.records.clone();
    if let Some(link) = link.or(own) {
        records.extend(pax_record(b"linkpath", link));
    }
    records
}

/// What stands before the content of an entry that is given another name.
fn renamed(entry: &Entry, path: &[u8], link: Option<&[u8]>) -> io::Result<Vec<u8>> {
    let mut records = records(entry, link);
    records.extend(pax_record(b"path", path));
    let mut extension = Header::new_ustar();
    extension.set_entry_type(EntryType::XHeader);
    extension.set_mode(0o644);
    extension.set_size(records.len() as u64);
    extension.set_path("pax")?;
    extension.set_cksum();

    let at = entry.head.len().checked_sub(BLOCK);
    let own = at
        .and_then(|at| entry.head.get(at..))
        .ok_or_else(|| invalid("an entry has no header"))?;
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(own);
    let is_ustar = header.as_ustar().is_some();
    let block = header.as_mut_bytes();
    put(block.get_mut(..100), path);
    if let Some(link) = link {
        put(block.get_mut(157..257), link);
    }
    if is_ustar {
        put(block.get_mut(345..500), b"");
    }
    header.set_cksum();

    let mut head = extension.as_bytes().to_vec();
    let padding = zeros(filling(records.len() as u64));
    head.extend(records);
    head.extend_from_slice(padding);
    head.extend_from_slice(header.as_bytes());
    Ok(head)
}

/// Puts as much of a text into a field as it takes, and fills the rest.
fn put(field: Option<&mut [u8]>, text: &[u8]) {
    for (index, byte) in field.into_iter().flatten().enumerate() {
        *byte = text.get(index).copied().unwrap_or(0);
    }
}

#[cfg(test)]
mod tests;
