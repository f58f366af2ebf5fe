//! The history of a repository's tags, and the labels of its manifests, read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use quay_core::metadata::{
    LabelRecord, Lookup, PageRequest, RepositoryId, TagEntry, TagFilter, TagNames, TagPosition,
};
use quay_core::runtime::Timestamp;
use quay_core::{Digest, MediaType, MetadataStore as _, RepositoryName, StoreError};

use super::SqlMetadata;
use super::db::{Value, filled, placeholders, values};
use super::labels::label_of;
use super::read::limit;
use super::tags::{COLUMNS, COUNT as TAG, tag_of};

/// A page of rows of the table `t`, by `where`: first the rows alone, in the order of their index, then what is
/// known of their manifests.
fn page_of(conditions: &str) -> String {
    format!(
        "SELECT {COLUMNS}, m.media_type, m.size, (SELECT CAST(SUM(b.size) AS BIGINT) FROM qr_manifest_edge e \
         JOIN qr_blob b ON b.digest = e.digest WHERE e.manifest_id = t.manifest_id AND e.kind = 'layer' AND e.held = 1) \
         FROM (SELECT * FROM qr_tag h WHERE h.repository_id = ? AND h.hidden = 0 {conditions} \
         ORDER BY h.start_ms DESC, h.name LIMIT ? OFFSET ?) AS t \
         JOIN qr_manifest m ON m.id = t.manifest_id ORDER BY t.start_ms DESC, t.name"
    )
}

/// How long ended tags of a namespace can be brought back.
pub(super) const TIME_MACHINE: &str = "SELECT tag_expiration_s FROM qr_account WHERE name = ?";

impl SqlMetadata {
    pub(super) async fn read_history(
        &self,
        name: &RepositoryName,
        filter: &TagFilter,
        skip: usize,
        page: &PageRequest<TagPosition>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<TagEntry>>, StoreError> {
        let Some(repository) = self.repository(name).await? else {
            return Ok(Lookup::no_repository());
        };
        let mut conditions = String::new();
        let mut values: Vec<Value> = values![repository.id];
        let mut also = |condition: &str, more: Vec<Value>| {
            conditions.push_str(" AND ");
            conditions.push_str(condition);
            values.extend(more);
        };
        match &filter.names {
            None => {}
            Some(TagNames::Exactly(name)) => also("h.name = ?", values![name.as_str()]),
            Some(TagNames::Holding(part)) => {
                // Every dialect has it, and none takes capitals for small letters.
                also(
                    "(? = '' OR REPLACE(h.name, ?, '') <> h.name)",
                    values![part.as_str(), part.as_str()],
                );
            }
        }
        if filter.alive {
            also("h.live = 1", Vec::new());
        }
        let end = if filter.alive { now } else { filter.ended_after };
        also("(h.end_ms IS NULL OR h.end_ms > ?)", values![end.as_millis()]);
        if let Some(after) = &page.after {
            let (start, name) = (after.start, after.name.as_str());
            also(
                "h.start_ms <= ? AND (h.start_ms < ? OR h.name > ?)",
                values![start, start, name],
            );
        }
        values.extend(values![limit(page.limit), limit(skip)]);
        let rows = self.rows(page_of(&conditions), values).await?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            let tag = tag_of(row)?;
            let media_type = MediaType::known(&row.text(TAG)?);
            let layers = row.opt_int(TAG + 2)?.and_then(|size| u64::try_from(size).ok());
            let entry = TagEntry::new(tag, media_type, layers, Arc::default());
            entries.push(entry.with_size(row.size(TAG + 1)?));
        }
        if filter.children {
            self.read_children(repository.id, &mut entries).await?;
        }
        Ok(Lookup::in_repository(repository, Some(entries)))
    }

    /// Adds to the indexes and lists among some rows what they name.
    async fn read_children(
        &self,
        repository: RepositoryId,
        entries: &mut [TagEntry],
    ) -> Result<(), StoreError> {
        let mut ids: Vec<i64> = entries
            .iter()
            .filter(|entry| entry.layers_size.is_none())
            .map(|entry| entry.tag.manifest_id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT e.manifest_id, e.digest, c.live FROM qr_manifest_edge e LEFT JOIN qr_manifest c \
             ON c.repository_id = ? AND c.digest = e.digest AND c.live = 1 \
             WHERE e.kind = 'child' AND e.manifest_id IN ({}) ORDER BY e.manifest_id, e.position",
            placeholders(ids.len())
        );
        let mut values = values![repository];
        values.extend(filled(ids.into_iter().map(Value::from).collect()));
        let mut children: HashMap<i64, Vec<(Digest, bool)>> = HashMap::new();
        for row in self.rows(sql, values).await? {
            let of = children.entry(row.int(0)?).or_default();
            of.push((row.parsed(1)?, row.opt_int(2)?.is_some()));
        }
        let children: HashMap<i64, Arc<[(Digest, bool)]>> = children
            .into_iter()
            .map(|(manifest, children)| (manifest, children.into()))
            .collect();
        for entry in entries {
            if let Some(of) = children.get(&entry.tag.manifest_id) {
                entry.children = Arc::clone(of);
            }
        }
        Ok(())
    }

    pub(super) async fn read_labels(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        prefix: &str,
    ) -> Result<Lookup<Vec<LabelRecord>>, StoreError> {
        let Some(repository) = self.repository(name).await? else {
            return Ok(Lookup::no_repository());
        };
        let sql = "SELECT l.uuid, l.label_key, l.value, l.media_type, l.source FROM qr_manifest m \
                   LEFT JOIN qr_label l ON l.manifest_id = m.id \
                   WHERE m.repository_id = ? AND m.digest = ? AND m.live = 1 ORDER BY l.id";
        let rows = self.rows(sql, values![repository.id, digest.to_string()]).await?;
        if rows.is_empty() {
            return Ok(Lookup::in_repository(repository, None));
        }
        let mut labels = Vec::with_capacity(rows.len());
        for row in &rows {
            if row.opt_text(0)?.is_some() {
                let label = label_of(row, 0)?;
                if label.key.starts_with(prefix) {
                    labels.push(label);
                }
            }
        }
        Ok(Lookup::in_repository(repository, Some(labels)))
    }

    pub(super) async fn read_time_machine(&self, namespace: &str) -> Result<Option<Duration>, StoreError> {
        let rows = self.rows(TIME_MACHINE, values![namespace]).await?;
        let seconds = rows.first().map(|row| row.size(0)).transpose()?;
        Ok(seconds.map(Duration::from_secs))
    }
}
