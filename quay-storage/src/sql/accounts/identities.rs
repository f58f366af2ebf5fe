//! Users, organizations and robots.

use std::borrow::Cow;

use async_trait::async_trait;
use quay_core::accounts::{
    Account, AccountCursor, AccountFilter, AccountId, AccountKey, AccountKind, AccountReader, AccountWriter,
};
use quay_core::metadata::{PageRequest, PolicyOwner, RepositoryRecord, RepositoryStore as _, Visibility};
use quay_core::runtime::Timestamp;
use quay_core::{RepositoryName, StoreError};

use super::super::db::{Row, Value, corrupt, values};
use super::super::dialect::Dialect;
use super::super::rows::Rows as _;
use super::super::unit::Unit;
use super::{end_of, limit, reads};

/// The columns that [`account_of`] reads, of a table named `a`.
macro_rules! account_columns {
    () => {
        "a.id, a.uuid, a.name, a.kind, a.owner_id, a.email, a.password_hash, a.verified, a.enabled, \
         a.tag_expiration_s, a.invalid_logins, a.last_invalid_login_ms, a.invoice_email, a.invoice_email_address, \
         a.given_name, a.family_name, a.company, a.location, a.created_ms, a.last_accessed_ms, a.description, \
         a.metadata, a.robot_token, a.federation"
    };
}
pub(super) use account_columns;

/// How many columns those are.
pub(super) const ACCOUNT: usize = 24;

pub(super) fn account_of(row: &Row, first: usize) -> Result<Account, StoreError> {
    let kind = row.text(first + 3)?;
    let time = |index: usize| Ok::<_, StoreError>(row.opt_int(first + index)?.map(Timestamp::from_millis));
    Ok(Account {
        id: row.int(first)?,
        uuid: row.text(first + 1)?,
        name: row.text(first + 2)?,
        kind: AccountKind::from_name(&kind).ok_or_else(|| corrupt(&kind))?,
        owner: row.opt_int(first + 4)?,
        email: row.opt_text(first + 5)?,
        password_hash: row.opt_text(first + 6)?,
        verified: row.int(first + 7)? != 0,
        enabled: row.int(first + 8)? != 0,
        tag_expiration_s: row.int(first + 9)?,
        invalid_logins: row.int(first + 10)?,
        last_invalid_login: time(11)?,
        invoice_email: row.int(first + 12)? != 0,
        invoice_email_address: row.opt_text(first + 13)?,
        given_name: row.opt_text(first + 14)?,
        family_name: row.opt_text(first + 15)?,
        company: row.opt_text(first + 16)?,
        location: row.opt_text(first + 17)?,
        created: Timestamp::from_millis(row.int(first + 18)?),
        last_accessed: time(19)?,
        description: row.text(first + 20)?,
        metadata: row.text(first + 21)?,
        robot_token: row.opt_text(first + 22)?,
        federation: row.opt_text(first + 23)?,
    })
}

/// What an account's columns are set to, in the order of [`COLUMNS`].
fn column_values(account: &Account) -> Vec<Value> {
    values![
        account.uuid.as_str(),
        account.name.as_str(),
        account.kind.as_str(),
        account.owner,
        account.email.clone(),
        account.password_hash.clone(),
        account.verified,
        account.enabled,
        account.tag_expiration_s,
        account.invalid_logins,
        account.last_invalid_login.map(Timestamp::as_millis),
        account.invoice_email,
        account.invoice_email_address.clone(),
        account.given_name.clone(),
        account.family_name.clone(),
        account.company.clone(),
        account.location.clone(),
        account.created.as_millis(),
        account.last_accessed.map(Timestamp::as_millis),
        account.description.as_str(),
        account.metadata.as_str(),
        account.robot_token.clone(),
        account.federation.clone(),
    ]
}

const COLUMNS: [&str; 23] = [
    "uuid",
    "name",
    "kind",
    "owner_id",
    "email",
    "password_hash",
    "verified",
    "enabled",
    "tag_expiration_s",
    "invalid_logins",
    "last_invalid_login_ms",
    "invoice_email",
    "invoice_email_address",
    "given_name",
    "family_name",
    "company",
    "location",
    "created_ms",
    "last_accessed_ms",
    "description",
    "metadata",
    "robot_token",
    "federation",
];

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT ", account_columns!(), " FROM qr_account a ", $rest)
    };
}

/// Accounts of several kinds whose names begin with `prefix`. Each kind is cut to a page by itself, so that
/// thousands of robots that do not count are not passed over one by one.
fn with_prefix(
    prefix: &str,
    robots_of: Option<AccountId>,
    organizations: bool,
    after: &str,
    most: i64,
) -> (String, Vec<Value>) {
    // One bound on the left: a database takes one to find its way in an index.
    let (comparison, from) = if after >= prefix && !after.is_empty() {
        (">", after)
    } else {
        (">=", prefix)
    };
    let mut sql = concat!("SELECT ", account_columns!(), " FROM (").to_owned();
    let mut values = Vec::new();
    let mut part = |name: &str, of: &str, key: Option<AccountId>| {
        if !values.is_empty() {
            sql.push_str(" UNION ALL ");
        }
        sql.push_str(concat!(
            "SELECT * FROM (SELECT ",
            account_columns!(),
            " FROM qr_account a WHERE "
        ));
        sql.push_str(of);
        sql.push_str(" AND a.name ");
        sql.push_str(comparison);
        sql.push_str(" ? AND a.name < ? AND a.enabled = 1 ORDER BY a.name LIMIT ?) AS ");
        sql.push_str(name);
        values.extend(key.map(Value::from));
        values.extend(values![from, end_of(prefix), most]);
    };
    part("people", "a.kind = 'user'", None);
    if organizations {
        part("organizations", "a.kind = 'organization'", None);
    }
    if robots_of.is_some() {
        part("robots", "a.owner_id = ?", robots_of);
    }
    sql.push_str(") AS a ORDER BY a.name LIMIT ?");
    values.push(most.into());
    (sql, values)
}

/// A list of accounts as a statement: what comes behind the cursor, at most so many.
fn listed(
    filter: AccountFilter<'_>,
    page: &PageRequest<AccountCursor>,
) -> Result<(Cow<'static, str>, Vec<Value>), StoreError> {
    let (id, name) = match &page.after {
        Some(cursor) => (cursor.id, cursor.name.as_str()),
        None => (0, ""),
    };
    let most = limit(page.limit);
    let (sql, values) = match filter {
        AccountFilter::Users { disabled: true } => (
            select!("WHERE a.kind = 'user' AND a.name > ? ORDER BY a.name LIMIT ?"),
            values![name, most],
        ),
        AccountFilter::Users { disabled: false } => (
            select!("WHERE a.kind = 'user' AND a.enabled = 1 AND a.name > ? ORDER BY a.name LIMIT ?"),
            values![name, most],
        ),
        AccountFilter::Organizations => (
            select!("WHERE a.kind = 'organization' AND a.name > ? ORDER BY a.name LIMIT ?"),
            values![name, most],
        ),
        AccountFilter::RobotsOf(owner) => (
            select!("WHERE a.owner_id = ? AND a.name > ? ORDER BY a.name LIMIT ?"),
            values![owner, name, most],
        ),
        AccountFilter::OrganizationsOf(account) => (
            select!(
                "WHERE a.id IN (SELECT m.organization_id FROM qr_team_member m WHERE m.account_id = ?) \
                 AND a.enabled = 1 AND a.name > ? ORDER BY a.name LIMIT ?"
            ),
            values![account, name, most],
        ),
        AccountFilter::MembersOf(organization) => (
            concat!(
                "SELECT ",
                account_columns!(),
                " FROM (SELECT DISTINCT m.account_id FROM qr_team_member m WHERE m.organization_id = ? ",
                "AND m.account_id > ? AND EXISTS (SELECT 1 FROM qr_account u WHERE u.id = m.account_id ",
                "AND u.kind <> 'robot') ORDER BY m.account_id LIMIT ?) AS page ",
                "JOIN qr_account a ON a.id = page.account_id ORDER BY a.id"
            ),
            values![organization, id, most],
        ),
        AccountFilter::InTeam(team) => (
            concat!(
                "SELECT ",
                account_columns!(),
                " FROM (SELECT m.account_id FROM qr_team_member m WHERE m.team_id = ? AND m.account_id > ? ",
                "ORDER BY m.account_id LIMIT ?) AS page JOIN qr_account a ON a.id = page.account_id ORDER BY a.id"
            ),
            values![team, id, most],
        ),
        AccountFilter::CollaboratorsOf {
            organization,
            namespace,
        } => (
            concat!(
                "SELECT ",
                account_columns!(),
                " FROM (SELECT DISTINCT p.account_id FROM qr_repository_permission p ",
                "WHERE p.namespace_id = (SELECT id FROM qr_namespace WHERE name = ?) AND p.account_id > ? ",
                "AND NOT EXISTS (SELECT 1 FROM qr_team_member m WHERE m.organization_id = ? ",
                "AND m.account_id = p.account_id) AND EXISTS (SELECT 1 FROM qr_account u WHERE u.id = p.account_id ",
                "AND u.kind <> 'robot') ORDER BY p.account_id LIMIT ?) AS page ",
                "JOIN qr_account a ON a.id = page.account_id ORDER BY a.id"
            ),
            values![namespace, id, organization, most],
        ),
        AccountFilter::Prefix {
            prefix,
            robots_of,
            organizations,
        } => {
            let (sql, values) = with_prefix(prefix, robots_of, organizations, name, most);
            return Ok((sql.into(), values));
        }
        other => return Err(corrupt(&format!("{other:?}"))),
    };
    Ok((sql.into(), values))
}

reads!(AccountReader {
    async fn account(&mut self, key: AccountKey<'_>) -> Result<Option<Account>, StoreError> {
        let (sql, values) = match key {
            AccountKey::Id(id) => (select!("WHERE a.id = ?"), values![id]),
            AccountKey::Name(name) => (select!("WHERE a.name = ?"), values![name]),
            AccountKey::Email(email) => (select!("WHERE a.email = ?"), values![email]),
            AccountKey::Uuid(uuid) => (select!("WHERE a.uuid = ?"), values![uuid]),
        };
        let row = self.row(sql, values).await?;
        let found = row.map(|row| account_of(&row, 0)).transpose()?;
        // MySQL takes texts that differ in spaces at the end for equal.
        Ok(found.filter(|account| match key {
            AccountKey::Id(_) => true,
            AccountKey::Name(name) => account.name == name,
            AccountKey::Email(email) => account.email.as_deref() == Some(email),
            AccountKey::Uuid(uuid) => account.uuid == uuid,
        }))
    }

    async fn accounts(
        &mut self,
        filter: AccountFilter<'_>,
        page: &PageRequest<AccountCursor>,
    ) -> Result<Vec<Account>, StoreError> {
        let (sql, values) = listed(filter, page)?;
        let rows = self.rows(sql, values).await?;
        rows.iter().map(|row| account_of(row, 0)).collect()
    }

    async fn any_account(&mut self) -> Result<bool, StoreError> {
        let row = self.row("SELECT id FROM qr_account LIMIT 1", Vec::new()).await?;
        Ok(row.is_some())
    }

    async fn has_repositories(&mut self, namespace: &str) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM qr_repository WHERE namespace_id = (SELECT id FROM qr_namespace WHERE name = ?) \
                   AND state <> 'marked_for_deletion' LIMIT 1";
        Ok(self.row(sql, values![namespace]).await?.is_some())
    }
});

impl Unit {
    /// Whether a name or an address is another account's.
    async fn is_taken(&mut self, account: &Account) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM qr_account WHERE (name = ? OR email = ?) AND id <> ? LIMIT 1";
        let email = account.email.clone();
        let values = values![account.name.as_str(), email, account.id];
        Ok(self.row(sql, values).await?.is_some())
    }

    /// The repositories of a namespace change their names.
    async fn move_repositories(
        &mut self,
        from: &str,
        set: &str,
        mut values: Vec<Value>,
    ) -> Result<(), StoreError> {
        self.touch_everything();
        let sql = format!("UPDATE qr_repository SET {set} WHERE path >= ? AND path < ?");
        // A slash comes right before a zero.
        values.extend(values![format!("{from}/"), format!("{from}0")]);
        self.run(sql, values).await.map(drop)
    }
}

#[async_trait]
impl AccountWriter for Unit {
    async fn lock_account(&mut self, account: AccountId) -> Result<bool, StoreError> {
        let dialect = self.dialect();
        if dialect == Dialect::Sqlite {
            // Its units of work follow one another.
            return Ok(true);
        }
        let sql = format!("SELECT id FROM qr_account WHERE id = ?{}", dialect.for_update());
        Ok(self.row(sql, values![account]).await?.is_some())
    }

    async fn lock_beginnings(&mut self) -> Result<(), StoreError> {
        if self.dialect() == Dialect::Sqlite {
            // Its units of work follow one another.
            return Ok(());
        }
        // No change was ever as long ago, so nobody hears of this one.
        let (columns, unique) = (["subject", "at_ms"], ["subject"]);
        self.upsert(
            "qr_change",
            &columns,
            values!["beginnings", 0, 0],
            &unique,
            &["at_ms = ?"],
        )
        .await
    }

    async fn insert_account(&mut self, account: &Account) -> Result<Option<AccountId>, StoreError> {
        // An address that is taken is looked for; that it is taken this moment is a conflict.
        if self.is_taken(account).await? {
            return Ok(None);
        }
        self.insert_new_id("qr_account", &COLUMNS, column_values(account), &["name"])
            .await
    }

    async fn save_account(&mut self, account: &Account) -> Result<bool, StoreError> {
        if self.is_taken(account).await? {
            return Ok(false);
        }
        let sql = format!(
            "UPDATE qr_account SET {} = ? WHERE id = ?",
            COLUMNS.join(" = ?, ")
        );
        let mut values = column_values(account);
        values.push(account.id.into());
        self.run(sql, values).await?;
        Ok(true)
    }

    async fn delete_account(&mut self, account: &Account, _now: Timestamp) -> Result<(), StoreError> {
        if account.kind != AccountKind::Robot {
            // No account can have such a name, so it is free for what is being deleted.
            let gone = format!("d__{}", account.id);
            let set = "state = 'marked_for_deletion', path = CONCAT(?, id)";
            self.move_repositories(&account.name, set, values![format!("{gone}/")])
                .await?;
            self.run(
                "UPDATE qr_namespace SET name = ? WHERE name = ?",
                values![gone.as_str(), account.name.as_str()],
            )
            .await?;
            // Otherwise it goes with its last repository.
            self.run(
                "DELETE FROM qr_namespace WHERE name = ? AND (SELECT r.id FROM qr_repository r \
                 WHERE r.namespace_id = qr_namespace.id LIMIT 1) IS NULL",
                values![gone],
            )
            .await?;
            self.forget_policies(&PolicyOwner::Namespace(account.name.clone()))
                .await?;
        }
        self.run("DELETE FROM qr_account WHERE id = ?", values![account.id])
            .await
            .map(drop)
    }

    async fn rename_namespace(
        &mut self,
        account: AccountId,
        from: &str,
        to: &str,
    ) -> Result<bool, StoreError> {
        let longest = 255_i64 - i64::try_from(to.len()).unwrap_or(i64::MAX)
            + i64::try_from(from.len()).unwrap_or_default();
        let too_long = self
            .row(
                "SELECT id FROM qr_repository WHERE path >= ? AND path < ? AND LENGTH(path) > ? \
                 UNION SELECT id FROM qr_account WHERE owner_id = ? AND LENGTH(name) > ? LIMIT 1",
                values![format!("{from}/"), format!("{from}0"), longest, account, longest],
            )
            .await?;
        if too_long.is_some() {
            return Ok(false);
        }
        let rest = from.len() + 1;
        let set = format!("path = CONCAT(?, SUBSTR(path, {rest}))");
        self.move_repositories(from, &set, values![to]).await?;
        // A namespace that somebody pushed to and that holds nothing makes way.
        self.run(
            "UPDATE qr_namespace SET name = CONCAT('d__n', id) WHERE name = ?",
            values![to],
        )
        .await?;
        self.run(
            "UPDATE qr_namespace SET name = ? WHERE name = ?",
            values![to, from],
        )
        .await?;
        self.rename_policies(from, to).await?;
        let sql = format!("UPDATE qr_account SET name = CONCAT(?, SUBSTR(name, {rest})) WHERE owner_id = ?");
        self.run(sql, values![to, account]).await?;
        Ok(true)
    }

    async fn touch_account(&mut self, account: AccountId, now: Timestamp) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_account SET last_accessed_ms = ? WHERE id = ?",
            values![now.as_millis(), account],
        )
        .await
    }

    async fn create_repository(
        &mut self,
        name: &RepositoryName,
        visibility: Visibility,
        description: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<RepositoryRecord>, StoreError> {
        let created = self.create(name, visibility, now).await?;
        if let (Some(record), Some(description)) = (&created, description) {
            self.defer(
                "UPDATE qr_repository SET description = ? WHERE id = ?",
                values![description, record.id],
            )
            .await?;
            self.index_description(record, Some(description)).await?;
        }
        Ok(created)
    }
}
