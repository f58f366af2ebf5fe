//! Repositories by what they are found by, and how much is done with them.
//!
//! Every end of a name has a row, so that a text within a name is the beginning of a term; so has every word of a
//! description.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::accounts::{AccountId, Counted, Popularity, PopularityWriter, RepositorySearch, SearchReader};
use quay_core::metadata::{RepositoryId, RepositoryRecord, Visibility};
use quay_core::runtime::Timestamp;

use super::super::db::{LIST, Row, Value, filled, placeholders, values};
use super::super::read::{repository_columns, repository_of};
use super::super::rows::Rows;
use super::super::unit::Unit;
use super::{limit, reads};

/// Characters of a term.
const TERM: usize = 32;
/// Words of a description that count.
const WORDS: usize = 64;
/// Rows that are looked at in one scope and field.
const CANDIDATES: i64 = 1000;
/// Organizations whose administrators' searches look at them one by one.
const SCOPES: i64 = 100;
/// What everybody sees.
const PUBLIC: i64 = 0;
const NAME: i64 = 0;
const DESCRIPTION: i64 = 1;
/// How much more a name counts than a description.
const NAME_FACTOR: i64 = 100;

fn cut(text: &str) -> String {
    text.chars().take(TERM).collect()
}

/// What a name is found by: each of its ends.
fn ends(name: &str) -> BTreeSet<String> {
    name.char_indices()
        .map(|(start, _)| cut(&name[start..]))
        .collect()
}

/// What a description is found by: its words.
fn words(description: &str) -> BTreeSet<String> {
    let words = description.split(|character: char| !character.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty()).take(WORDS);
    words.map(|word| cut(&word.to_lowercase())).collect()
}

/// What a search has found so far: by repository its rank.
type Ranks = HashMap<RepositoryId, (i64, String)>;

/// Adds rows of repository, score and path to what was found.
fn add(ranks: &mut Ranks, rows: &[Row], factor: i64) -> Result<(), StoreError> {
    for row in rows {
        // Both fields count from one on: what nobody has done anything with is found by its name first.
        let rank = row.int(1)?.saturating_add(1).saturating_mul(factor);
        let found = ranks.entry(row.int(0)?).or_insert_with(|| (0, String::new()));
        if rank > found.0 {
            *found = (rank, row.text(2)?);
        }
    }
    Ok(())
}

/// The namespaces of which somebody sees everything.
async fn scopes(rows: &mut impl Rows, account: AccountId, name: &str) -> Result<Vec<i64>, StoreError> {
    const SQL: &str = "SELECT id FROM qr_namespace WHERE name = ? UNION SELECT n.id FROM qr_team_member m \
               JOIN qr_team t ON t.id = m.team_id AND t.role = 'admin' JOIN qr_account o ON o.id = t.organization_id \
               JOIN qr_namespace n ON n.name = o.name WHERE m.account_id = ? LIMIT ?";
    let found = rows.rows(SQL.to_owned(), values![name, account, SCOPES]).await?;
    found.iter().map(|row| row.int(0)).collect()
}

/// What is found of one scope by a text.
async fn by_text(
    rows: &mut impl Rows,
    ranks: &mut Ranks,
    (scope, field): (i64, i64),
    (first, last): (&str, &str),
) -> Result<(), StoreError> {
    const SQL: &str = "SELECT s.repository_id, p.score, r.path FROM (SELECT f.repository_id FROM qr_search f \
         WHERE f.scope = ? AND f.field = ? AND f.term >= ? AND f.term < ? ORDER BY f.term, f.repository_id LIMIT ?) AS s \
         JOIN qr_popularity p ON p.repository_id = s.repository_id JOIN qr_repository r ON r.id = s.repository_id \
         WHERE r.state <> 'marked_for_deletion'";
    let found = rows
        .rows(SQL.to_owned(), values![scope, field, first, last, CANDIDATES])
        .await?;
    let factor = if field == NAME { NAME_FACTOR } else { 1 };
    add(ranks, &found, factor)
}

/// What somebody has a role in, directly or by a team, and is found by a text; all of it without one.
async fn by_role(
    rows: &mut impl Rows,
    ranks: &mut Ranks,
    account: AccountId,
    field: i64,
    terms: Option<(&str, &str)>,
) -> Result<(), StoreError> {
    for granted in [
        "qr_repository_permission g",
        "qr_team_member m JOIN qr_repository_permission g ON g.team_id = m.team_id",
    ] {
        let who = if granted.contains("qr_team_member") {
            "m"
        } else {
            "g"
        };
        let (condition, mut values) = match terms {
            Some((first, last)) => (
                " AND (SELECT f.field FROM qr_search f WHERE f.repository_id = g.repository_id \
                 AND f.scope = g.namespace_id AND f.field = ? AND f.term >= ? AND f.term < ? LIMIT 1) IS NOT NULL",
                values![account, field, first, last],
            ),
            None => ("", values![account]),
        };
        let sql = format!(
            "SELECT g.repository_id, p.score, r.path FROM {granted} JOIN qr_popularity p \
             ON p.repository_id = g.repository_id JOIN qr_repository r ON r.id = g.repository_id \
             WHERE {who}.account_id = ? AND r.state <> 'marked_for_deletion'{condition} \
             ORDER BY p.score DESC, g.repository_id LIMIT ?"
        );
        values.push(Value::Int(CANDIDATES));
        let found = rows.rows(sql, values).await?;
        let factor = if field == NAME { NAME_FACTOR } else { 1 };
        add(ranks, &found, factor)?;
    }
    Ok(())
}

/// What everybody sees, and what is in some namespaces.
async fn all(rows: &mut impl Rows, ranks: &mut Ranks, scopes: &[i64]) -> Result<(), StoreError> {
    const OWN: &str = "SELECT r.id, p.score, r.path FROM (SELECT n.id, n.path, n.state FROM qr_repository n \
                   WHERE n.namespace_id = ? ORDER BY n.id LIMIT ?) AS r JOIN qr_popularity p ON p.repository_id = r.id \
                   WHERE r.state <> 'marked_for_deletion'";
    const OPEN: &str = "SELECT p.repository_id, p.score, r.path FROM (SELECT q.repository_id, q.score FROM qr_popularity q \
                  WHERE q.is_public = 1 ORDER BY q.score DESC, q.repository_id LIMIT ?) AS p \
                  JOIN qr_repository r ON r.id = p.repository_id WHERE r.state <> 'marked_for_deletion'";
    let found = rows.rows(OPEN.to_owned(), values![CANDIDATES]).await?;
    add(ranks, &found, NAME_FACTOR)?;
    for scope in scopes {
        let found = rows.rows(OWN.to_owned(), values![*scope, CANDIDATES]).await?;
        add(ranks, &found, NAME_FACTOR)?;
    }
    Ok(())
}

async fn search(
    rows: &mut impl Rows,
    search: &RepositorySearch<'_>,
) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
    let mut ranks = Ranks::new();
    let seen = match search.account {
        Some((account, name)) => scopes(rows, account, name).await?,
        None => Vec::new(),
    };
    if search.text.is_empty() {
        all(rows, &mut ranks, &seen).await?;
        if let Some((account, _)) = search.account {
            by_role(rows, &mut ranks, account, NAME, None).await?;
        }
    } else {
        let first = cut(search.text);
        let last = format!("{first}\u{10ffff}");
        let terms = (first.as_str(), last.as_str());
        let long = first.len() < search.text.len();
        for field in [NAME, DESCRIPTION] {
            // Words are not longer than terms.
            if field == DESCRIPTION && long {
                break;
            }
            by_text(rows, &mut ranks, (PUBLIC, field), terms).await?;
            for scope in &seen {
                by_text(rows, &mut ranks, (*scope, field), terms).await?;
            }
            if let Some((account, _)) = search.account {
                by_role(rows, &mut ranks, account, field, Some(terms)).await?;
            }
        }
        if long {
            ranks.retain(|_, (_, path)| path.contains(search.text));
        }
    }
    let mut ranked: Vec<(i64, RepositoryId)> = ranks.iter().map(|(id, (rank, _))| (*rank, *id)).collect();
    ranked.sort_unstable_by_key(|(rank, id)| (std::cmp::Reverse(*rank), *id));
    let page: Vec<RepositoryId> = ranked
        .into_iter()
        .skip(search.skip)
        .take(search.limit)
        .map(|(_, id)| id)
        .collect();
    let mut records = HashMap::with_capacity(page.len());
    for chunk in page.chunks(LIST) {
        let sql = format!(
            concat!(
                "SELECT ",
                repository_columns!(),
                " FROM qr_repository r WHERE r.id IN ({})"
            ),
            placeholders(chunk.len())
        );
        for row in rows.rows(sql, ids(chunk)).await? {
            let record = repository_of(&row)?;
            records.insert(record.id, Arc::new(record));
        }
    }
    Ok(page.iter().filter_map(|id| records.remove(id)).collect())
}

fn ids(ids: &[i64]) -> Vec<Value> {
    filled(ids.iter().copied().map(Value::from).collect())
}

fn count(row: &Row, index: usize) -> Result<u64, StoreError> {
    row.size(index)
}

reads!(SearchReader {
    async fn search_repositories(
        &mut self,
        wanted: &RepositorySearch<'_>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        search(self, wanted).await
    }

    async fn popularity(
        &mut self,
        repositories: &[RepositoryId],
        since: i64,
    ) -> Result<Vec<Popularity>, StoreError> {
        let mut found = Vec::with_capacity(repositories.len());
        for chunk in repositories.chunks(LIST) {
            let sql = format!(
                "SELECT r.id, (SELECT COUNT(*) FROM qr_star s WHERE s.repository_id = r.id), \
                 (SELECT CAST(SUM(c.actions) AS BIGINT) FROM qr_action_count c WHERE c.repository_id = r.id \
                 AND c.day >= ?) FROM qr_repository r WHERE r.id IN ({})",
                placeholders(chunk.len())
            );
            let mut values = values![since];
            values.extend(ids(chunk));
            for row in self.rows(sql, values).await? {
                let actions = row.opt_int(2)?.and_then(|actions| u64::try_from(actions).ok());
                let popularity = Popularity::new(row.int(0)?, count(&row, 1)?, actions.unwrap_or_default());
                found.push(popularity);
            }
        }
        Ok(found)
    }

    async fn action_counts(
        &mut self,
        repository: RepositoryId,
        since: i64,
    ) -> Result<Vec<(i64, u64)>, StoreError> {
        let sql = "SELECT day, actions FROM qr_action_count WHERE repository_id = ? AND day >= ? ORDER BY day";
        let rows = self.rows(sql, values![repository, since]).await?;
        rows.iter().map(|row| Ok((row.int(0)?, count(row, 1)?))).collect()
    }
});

#[async_trait]
impl PopularityWriter for Unit {
    async fn count_actions(
        &mut self,
        day: i64,
        since: i64,
        forgotten: i64,
        most: usize,
    ) -> Result<Vec<Counted>, StoreError> {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        let (first, last) = (day.saturating_mul(DAY_MS), (day + 1).saturating_mul(DAY_MS));
        let sql = "SELECT p.repository_id, r.created_ms, (SELECT COUNT(*) FROM qr_log l \
                   WHERE l.repository_id = p.repository_id AND l.at_ms >= ? AND l.at_ms < ?) \
                   FROM (SELECT q.repository_id FROM qr_popularity q WHERE q.counted_day < ? \
                   ORDER BY q.counted_day, q.repository_id LIMIT ?) AS p JOIN qr_repository r ON r.id = p.repository_id";
        let rows = self.rows(sql, values![first, last, day, limit(most)]).await?;
        let mut counted: BTreeMap<RepositoryId, Counted> = BTreeMap::new();
        for row in &rows {
            let (repository, actions) = (row.int(0)?, row.int(2)?);
            if actions > 0 {
                self.upsert(
                    "qr_action_count",
                    &["repository_id", "day", "actions"],
                    values![repository, day, actions],
                    &["repository_id", "day"],
                    &["actions"],
                )
                .await?;
            }
            let created = Timestamp::from_millis(row.int(1)?);
            counted.insert(repository, Counted::new(repository, created, Vec::new()));
        }
        let repositories: Vec<i64> = counted.keys().copied().collect();
        for chunk in repositories.chunks(LIST) {
            let these = placeholders(chunk.len());
            let sql = format!("DELETE FROM qr_action_count WHERE day <= ? AND repository_id IN ({these})");
            let mut values = values![forgotten];
            values.extend(ids(chunk));
            self.defer(sql, values).await?;
            let sql = format!(
                "SELECT repository_id, day, actions FROM qr_action_count WHERE day >= ? AND repository_id IN ({these}) \
                 ORDER BY repository_id, day"
            );
            let mut values = values![since];
            values.extend(ids(chunk));
            for row in self.rows(sql, values).await? {
                if let Some(counted) = counted.get_mut(&row.int(0)?) {
                    counted.days.push((row.int(1)?, count(&row, 2)?));
                }
            }
        }
        Ok(counted.into_values().collect())
    }

    async fn set_score(&mut self, repository: RepositoryId, score: i64, day: i64) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_popularity SET score = ?, counted_day = ? WHERE repository_id = ?",
            values![score, day, repository],
        )
        .await
    }
}

impl Unit {
    /// Makes a new repository one that is found.
    pub(in super::super) async fn index_repository(
        &mut self,
        repository: &RepositoryRecord,
        created: Timestamp,
    ) -> Result<(), StoreError> {
        let day = created.as_millis().div_euclid(24 * 60 * 60 * 1000);
        let public = repository.visibility == Visibility::Public;
        // The day before it was made has nothing to count.
        self.defer(
            "INSERT INTO qr_popularity (repository_id, is_public, score, counted_day) VALUES (?, ?, 0, ?)",
            values![repository.id, public, day - 1],
        )
        .await?;
        self.index_terms(repository, NAME, &ends(repository.name.rest()))
            .await
    }

    /// Makes a repository found by its description.
    pub(super) async fn index_description(
        &mut self,
        repository: &RepositoryRecord,
        description: Option<&str>,
    ) -> Result<(), StoreError> {
        let terms = words(description.unwrap_or_default());
        self.defer(
            "DELETE FROM qr_search WHERE repository_id = ? AND field = ?",
            values![repository.id, DESCRIPTION],
        )
        .await?;
        self.index_terms(repository, DESCRIPTION, &terms).await
    }

    async fn index_terms(
        &mut self,
        repository: &RepositoryRecord,
        field: i64,
        terms: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let sql = "SELECT namespace_id FROM qr_repository WHERE id = ?";
        let row = self.row(sql, values![repository.id]).await?;
        let Some(namespace) = row.map(|row| row.int(0)).transpose()? else {
            return Ok(());
        };
        let public = (repository.visibility == Visibility::Public).then_some(PUBLIC);
        let rows: Vec<(i64, &str)> = [Some(namespace), public]
            .into_iter()
            .flatten()
            .flat_map(|scope| terms.iter().map(move |term| (scope, term.as_str())))
            .collect();
        for chunk in rows.chunks(LIST) {
            let row = "(?, ?, ?, ?)";
            let list = vec![row; chunk.len()].join(", ");
            let sql = format!("INSERT INTO qr_search (scope, field, term, repository_id) VALUES {list}");
            let values = chunk
                .iter()
                .flat_map(|(scope, term)| values![*scope, field, *term, repository.id])
                .collect();
            self.defer(sql, values).await?;
        }
        Ok(())
    }

    /// Shows a repository in searches to everybody, or no more.
    pub(super) async fn show_in_searches(
        &mut self,
        repository: RepositoryId,
        visibility: Visibility,
    ) -> Result<(), StoreError> {
        let public = visibility == Visibility::Public;
        self.defer(
            "DELETE FROM qr_search WHERE repository_id = ? AND scope = ?",
            values![repository, PUBLIC],
        )
        .await?;
        if public {
            self.defer(
                "INSERT INTO qr_search (scope, field, term, repository_id) SELECT 0, s.field, s.term, s.repository_id \
                 FROM qr_search s WHERE s.repository_id = ?",
                values![repository],
            )
            .await?;
        }
        self.defer(
            "UPDATE qr_popularity SET is_public = ? WHERE repository_id = ?",
            values![public, repository],
        )
        .await
    }

    /// Makes a repository one that is not found any more.
    pub(in super::super) async fn forget_in_searches(
        &mut self,
        repository: RepositoryId,
    ) -> Result<(), StoreError> {
        for table in ["qr_search", "qr_popularity", "qr_action_count"] {
            let sql = format!("DELETE FROM {table} WHERE repository_id = ?");
            self.defer(sql, values![repository]).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_their_ends_and_descriptions_by_their_words() {
        let set = |terms: &[&str]| terms.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(ends("a/bc"), set(&["a/bc", "/bc", "bc", "c"]));
        assert_eq!(ends(&"a".repeat(40)).len(), TERM);
        assert_eq!(words("An über-Image, an\nIMAGE!"), set(&["an", "über", "image"]));
        assert_eq!(words(&"w ".repeat(1000)).len(), 1);
    }
}
