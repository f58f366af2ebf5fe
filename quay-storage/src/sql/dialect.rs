//! What differs between the dialects, as text; everything else is common to them.
//!
//! Insertions that may meet a row name their table and columns. A column is filled by the next value, or
//! says how it is computed: `"namespace_id = (SELECT id FROM qr_namespace WHERE name = ?)"`.

use std::borrow::Cow;

/// A dialect of SQL.
#[cfg_attr(
    not(any(test, all(feature = "postgres", feature = "mysql"))),
    expect(dead_code, reason = "a dialect is spoken where its feature is on")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
    MySql,
}

/// A column's name and what fills it.
fn parts(column: &str) -> (&str, &str) {
    column.split_once(" = ").unwrap_or((column, "?"))
}

/// An insertion of one row.
pub(super) fn insertion(table: &str, columns: &[&str]) -> String {
    let mut names = String::new();
    let mut values = String::new();
    for (index, column) in columns.iter().enumerate() {
        let (name, value) = parts(column);
        let comma = if index == 0 { "" } else { ", " };
        names.extend([comma, name]);
        values.extend([comma, value]);
    }
    format!("INSERT INTO {table} ({names}) VALUES ({values})")
}

/// Where a column's own value is among the values of an insertion; `None` when it is computed.
#[cfg(any(feature = "mysql", test))]
pub(super) fn position(columns: &[&str], wanted: &str) -> Option<usize> {
    let mut position = 0;
    for column in columns {
        let (name, value) = parts(column);
        if name == wanted {
            return (value == "?").then_some(position);
        }
        position += value.matches('?').count();
    }
    None
}

impl Dialect {
    /// An insertion that leaves alone a row with the same `unique` columns.
    pub(super) fn inserted_once(self, table: &str, columns: &[&str], unique: &[&str]) -> String {
        let insertion = insertion(table, columns);
        match self {
            Self::Sqlite | Self::Postgres => {
                format!("{insertion} ON CONFLICT ({}) DO NOTHING", unique.join(", "))
            }
            // Not INSERT IGNORE, which passes over errors of every kind.
            Self::MySql => match unique.first() {
                Some(column) => format!("{insertion} ON DUPLICATE KEY UPDATE {column} = {table}.{column}"),
                None => insertion,
            },
        }
    }

    /// An insertion that changes the row with the same `unique` columns, if there is one. A change is a
    /// column that takes the new value, or says what it takes: `"epoch = qr_blob.epoch + 1"`, where the
    /// table's name stands for the row that was there.
    pub(super) fn inserted_over(
        self,
        table: &str,
        columns: &[&str],
        unique: &[&str],
        changes: &[&str],
    ) -> String {
        let changes: Vec<Cow<'_, str>> = changes
            .iter()
            .map(|change| match self {
                _ if change.contains(" = ") => Cow::Borrowed(*change),
                Self::Sqlite | Self::Postgres => Cow::Owned(format!("{change} = excluded.{change}")),
                Self::MySql => Cow::Owned(format!("{change} = VALUES({change})")),
            })
            .collect();
        let (insertion, changes) = (insertion(table, columns), changes.join(", "));
        match self {
            Self::Sqlite | Self::Postgres => format!(
                "{insertion} ON CONFLICT ({}) DO UPDATE SET {changes}",
                unique.join(", ")
            ),
            Self::MySql => format!("{insertion} ON DUPLICATE KEY UPDATE {changes}"),
        }
    }

    /// What keeps other writers from a row until the end. SQLite's single writer needs nothing.
    pub(super) const fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR NO KEY UPDATE",
            Self::MySql => " FOR UPDATE",
        }
    }

    /// As [`for_update`](Self::for_update), and keeps others from rows that refer to it.
    pub(super) const fn for_deletion(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres | Self::MySql => " FOR UPDATE",
        }
    }

    /// Enters reviews of what `manifests` selects: manifest, repository and time. The earlier of two times
    /// stays. The selection has a condition, which SQLite needs to tell the two parts apart.
    pub(super) fn reviewed(self, manifests: &str) -> String {
        let insertion = format!("INSERT INTO qr_review (manifest_id, repository_id, due_ms) {manifests}");
        match self {
            Self::Sqlite | Self::Postgres => format!(
                "{insertion} ON CONFLICT (manifest_id) DO UPDATE SET due_ms = CASE \
                 WHEN excluded.due_ms < qr_review.due_ms THEN excluded.due_ms ELSE qr_review.due_ms END"
            ),
            Self::MySql => {
                format!(
                    "{insertion} ON DUPLICATE KEY UPDATE due_ms = LEAST(qr_review.due_ms, VALUES(due_ms))"
                )
            }
        }
    }

    /// Adds pulls to those of a manifest, if that is there.
    pub(super) fn pulls_counted(self) -> String {
        let insertion = "INSERT INTO qr_pull (repository_id, digest, tag, pulls, last_ms) \
             SELECT m.repository_id, m.digest, CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT) \
             FROM qr_manifest m WHERE m.repository_id = ? AND m.digest = ?";
        match self {
            Self::Sqlite | Self::Postgres => format!(
                "{insertion} ON CONFLICT (repository_id, digest, tag) DO UPDATE SET \
                 pulls = qr_pull.pulls + excluded.pulls, last_ms = CASE WHEN excluded.last_ms > qr_pull.last_ms \
                 THEN excluded.last_ms ELSE qr_pull.last_ms END"
            ),
            Self::MySql => format!(
                "{insertion} ON DUPLICATE KEY UPDATE pulls = qr_pull.pulls + VALUES(pulls), \
                 last_ms = GREATEST(qr_pull.last_ms, VALUES(last_ms))"
            ),
        }
    }

    /// As [`for_update`](Self::for_update), passing over rows that somebody else holds.
    pub(super) const fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres | Self::MySql => " FOR UPDATE SKIP LOCKED",
        }
    }
}

/// `?` as PostgreSQL wants it: `$1`, `$2`, …. Our texts hold no question mark besides.
#[cfg(feature = "postgres")]
pub(super) fn numbered(sql: &str) -> String {
    use std::fmt::Write as _;

    let mut text = String::with_capacity(sql.len() + 16);
    let mut pieces = sql.split('?');
    text.push_str(pieces.next().unwrap_or_default());
    for (index, piece) in pieces.enumerate() {
        let _ = write!(text, "${}{piece}", index + 1);
    }
    text
}

/// The types of casts as MySQL calls them.
#[cfg(feature = "mysql")]
pub(super) fn with_mysql_casts(sql: Cow<'static, str>) -> Cow<'static, str> {
    if !sql.contains("CAST(") {
        return sql;
    }
    Cow::Owned(
        sql.replace(" AS BIGINT)", " AS SIGNED)")
            .replace(" AS TEXT)", " AS CHAR)"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_inserted_once_or_over_another_in_each_dialect() {
        let columns = ["a", "b = (SELECT x FROM y WHERE z = ?)", "c"];
        let once = |dialect: Dialect| dialect.inserted_once("t", &columns, &["a", "c"]);
        let over = |dialect: Dialect| dialect.inserted_over("t", &columns, &["a"], &["c", "n = t.n + 1"]);
        let insertion = "INSERT INTO t (a, b, c) VALUES (?, (SELECT x FROM y WHERE z = ?), ?)";
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            assert_eq!(
                once(dialect),
                format!("{insertion} ON CONFLICT (a, c) DO NOTHING")
            );
            assert_eq!(
                over(dialect),
                format!("{insertion} ON CONFLICT (a) DO UPDATE SET c = excluded.c, n = t.n + 1")
            );
        }
        assert_eq!(
            once(Dialect::MySql),
            format!("{insertion} ON DUPLICATE KEY UPDATE a = t.a")
        );
        assert_eq!(
            over(Dialect::MySql),
            format!("{insertion} ON DUPLICATE KEY UPDATE c = VALUES(c), n = t.n + 1")
        );
    }

    #[test]
    fn a_columns_value_is_found_behind_computed_ones() {
        let columns = ["a", "b = (SELECT x FROM y WHERE z = ?)", "c", "d = 1", "e"];
        let found = ["a", "b", "c", "d", "e", "f"].map(|name| position(&columns, name));
        assert_eq!(found, [Some(0), None, Some(2), None, Some(3), None]);
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn placeholders_are_numbered() {
        assert_eq!(numbered("a = ? AND b IN (?, ?)"), "a = $1 AND b IN ($2, $3)");
    }

    #[cfg(feature = "mysql")]
    #[test]
    fn casts_get_their_names() {
        let casts = with_mysql_casts("SELECT CAST(NULL AS TEXT), CAST(SUM(a) OVER () AS BIGINT)".into());
        assert_eq!(casts, "SELECT CAST(NULL AS CHAR), CAST(SUM(a) OVER () AS SIGNED)");
    }
}
