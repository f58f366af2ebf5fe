//! Tokens and the applications that ask for them.

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::accounts::{
    AccessToken, AccountId, AppToken, AppTokenKey, Application, AuthorizationCode, CredentialReader,
    CredentialWriter, OAuthToken, OAuthTokenFilter, OAuthTokenKey, RepositoryRole, ScopeSet, TokenAssignment,
};
use quay_core::metadata::PageRequest;
use quay_core::runtime::Timestamp;

use super::super::db::{Row, corrupt, values};
use super::super::rows::Rows as _;
use super::super::unit::Unit;
use super::{limit, reads};

const APP_TOKEN: &str = "SELECT id, uuid, account_id, title, name, secret, created_ms, expires_ms, last_accessed_ms FROM qr_app_token";

fn time(row: &Row, index: usize) -> Result<Timestamp, StoreError> {
    row.int(index).map(Timestamp::from_millis)
}

fn opt_time(row: &Row, index: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.opt_int(index)?.map(Timestamp::from_millis))
}

fn app_token_of(row: &Row) -> Result<AppToken, StoreError> {
    Ok(AppToken {
        id: row.int(0)?,
        uuid: row.text(1)?,
        account: row.int(2)?,
        title: row.text(3)?,
        name: row.text(4)?,
        secret: row.text(5)?,
        created: time(row, 6)?,
        expires: opt_time(row, 7)?,
        last_accessed: opt_time(row, 8)?,
    })
}

/// The columns that [`application_of`] reads, of a table named `c`.
macro_rules! application_columns {
    () => {
        "c.id, c.organization_id, c.client_id, c.client_secret, c.name, c.description, c.application_uri, \
         c.redirect_uri, c.avatar_email"
    };
}

/// How many columns those are.
const APPLICATION: usize = 9;

fn application_of(row: &Row) -> Result<Application, StoreError> {
    Ok(Application {
        id: row.int(0)?,
        organization: row.int(1)?,
        client_id: row.text(2)?,
        client_secret: row.text(3)?,
        name: row.text(4)?,
        description: row.text(5)?,
        application_uri: row.text(6)?,
        redirect_uri: row.text(7)?,
        avatar_email: row.opt_text(8)?,
    })
}

macro_rules! oauth_tokens {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            application_columns!(),
            ", t.id, t.uuid, t.application_id, t.account_id, t.name, t.hash, t.scope, t.created_ms, t.expires_ms, ",
            "t.last_accessed_ms, t.title, t.creator_id ",
            "FROM qr_oauth_token t JOIN qr_application c ON c.id = t.application_id ",
            $rest
        )
    };
}

fn oauth_token_of(row: &Row) -> Result<(OAuthToken, Application), StoreError> {
    let first = APPLICATION;
    let token = OAuthToken {
        id: row.int(first)?,
        uuid: row.text(first + 1)?,
        application: row.int(first + 2)?,
        account: row.int(first + 3)?,
        name: row.text(first + 4)?,
        hash: row.text(first + 5)?,
        // Whether superusers are switched on is judged when the token is used.
        scopes: ScopeSet::parse(&row.text(first + 6)?, true),
        created: time(row, first + 7)?,
        expires: time(row, first + 8)?,
        last_accessed: opt_time(row, first + 9)?,
        title: row.opt_text(first + 10)?,
        creator: row.opt_int(first + 11)?,
    };
    Ok((token, application_of(row)?))
}

macro_rules! assignments {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            application_columns!(),
            ", a.id, a.uuid, a.application_id, a.account_id, a.redirect_uri, a.scope ",
            "FROM qr_oauth_assignment a JOIN qr_application c ON c.id = a.application_id ",
            $rest
        )
    };
}

fn assignment_of(row: &Row) -> Result<(TokenAssignment, Application), StoreError> {
    let first = APPLICATION;
    let assignment = TokenAssignment {
        id: row.int(first)?,
        uuid: row.text(first + 1)?,
        application: row.int(first + 2)?,
        account: row.int(first + 3)?,
        redirect_uri: row.text(first + 4)?,
        scopes: ScopeSet::parse(&row.text(first + 5)?, true),
    };
    Ok((assignment, application_of(row)?))
}

reads!(CredentialReader {
    async fn app_token(&mut self, key: AppTokenKey<'_>) -> Result<Option<AppToken>, StoreError> {
        let (column, value) = match key {
            AppTokenKey::Name(name) => ("name", name),
            AppTokenKey::Uuid(uuid) => ("uuid", uuid),
        };
        let sql = format!("{APP_TOKEN} WHERE {column} = ?");
        let row = self.row(sql, values![value]).await?;
        row.map(|row| app_token_of(&row)).transpose()
    }

    async fn app_tokens(
        &mut self,
        account: Option<AccountId>,
        page: &PageRequest<i64>,
    ) -> Result<Vec<AppToken>, StoreError> {
        let (after, most) = (page.after.unwrap_or_default(), limit(page.limit));
        let (sql, values) = match account {
            Some(account) => (
                format!("{APP_TOKEN} WHERE account_id = ? AND id > ? ORDER BY id LIMIT ?"),
                values![account, after, most],
            ),
            None => (
                format!("{APP_TOKEN} WHERE id > ? ORDER BY id LIMIT ?"),
                values![after, most],
            ),
        };
        let rows = self.rows(sql, values).await?;
        rows.iter().map(app_token_of).collect()
    }

    async fn app_tokens_ending(
        &mut self,
        account: Option<AccountId>,
        by: Timestamp,
        page: &PageRequest<i64>,
    ) -> Result<Vec<AppToken>, StoreError> {
        let mut values = values![
            page.after.unwrap_or_default(),
            by.as_millis(),
            limit(page.limit)
        ];
        let of_account = account.map_or("", |account| {
            values.insert(0, account.into());
            "account_id = ? AND "
        });
        let sql =
            format!("{APP_TOKEN} WHERE {of_account}id > ? AND expires_ms <= ? ORDER BY id LIMIT ?");
        let rows = self.rows(sql, values).await?;
        rows.iter().map(app_token_of).collect()
    }

    async fn access_token(&mut self, name: &str) -> Result<Option<AccessToken>, StoreError> {
        let row = self
            .row(
                "SELECT t.id, t.repository_id, r.path, t.friendly_name, t.name, t.code, t.role, t.created_ms \
                 FROM qr_access_token t JOIN qr_repository r ON r.id = t.repository_id \
                 WHERE t.name = ? AND r.state <> 'marked_for_deletion'",
                values![name],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let role = row.text(6)?;
        Ok(Some(AccessToken {
            id: row.int(0)?,
            repository: row.int(1)?,
            path: row.text(2)?,
            friendly_name: row.text(3)?,
            name: row.text(4)?,
            code: row.text(5)?,
            role: RepositoryRole::from_name(&role).ok_or_else(|| corrupt(&role))?,
            created: time(&row, 7)?,
        }))
    }

    async fn application(&mut self, client_id: &str) -> Result<Option<Application>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            application_columns!(),
            " FROM qr_application c WHERE c.client_id = ?"
        );
        let row = self.row(SQL, values![client_id]).await?;
        row.map(|row| application_of(&row)).transpose()
    }

    async fn applications(&mut self, organization: AccountId) -> Result<Vec<Application>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            application_columns!(),
            " FROM qr_application c WHERE c.organization_id = ? ORDER BY c.id"
        );
        let rows = self.rows(SQL, values![organization]).await?;
        rows.iter().map(application_of).collect()
    }

    async fn oauth_token(
        &mut self,
        key: OAuthTokenKey<'_>,
    ) -> Result<Option<(OAuthToken, Application)>, StoreError> {
        let (sql, value) = match key {
            OAuthTokenKey::Name(name) => (oauth_tokens!("WHERE t.name = ?"), name),
            OAuthTokenKey::Uuid(uuid) => (oauth_tokens!("WHERE t.uuid = ?"), uuid),
        };
        let row = self.row(sql, values![value]).await?;
        row.map(|row| oauth_token_of(&row)).transpose()
    }

    async fn oauth_tokens(
        &mut self,
        filter: OAuthTokenFilter,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(OAuthToken, Application)>, StoreError> {
        let (sql, id) = match filter {
            OAuthTokenFilter::Account(id) => (
                oauth_tokens!("WHERE t.account_id = ? AND t.id > ? ORDER BY t.id LIMIT ?"),
                id,
            ),
            OAuthTokenFilter::Application(id) => (
                oauth_tokens!("WHERE t.application_id = ? AND t.id > ? ORDER BY t.id LIMIT ?"),
                id,
            ),
        };
        let values = values![id, page.after.unwrap_or_default(), limit(page.limit)];
        let rows = self.rows(sql, values).await?;
        rows.iter().map(oauth_token_of).collect()
    }

    async fn assignment(&mut self, uuid: &str) -> Result<Option<(TokenAssignment, Application)>, StoreError> {
        let row = self.row(assignments!("WHERE a.uuid = ?"), values![uuid]).await?;
        row.map(|row| assignment_of(&row)).transpose()
    }

    async fn assignments(
        &mut self,
        filter: OAuthTokenFilter,
        page: &PageRequest<i64>,
    ) -> Result<Vec<(TokenAssignment, Application)>, StoreError> {
        let (after, most) = (page.after.unwrap_or_default(), limit(page.limit));
        let (sql, id) = match filter {
            OAuthTokenFilter::Account(id) => (
                assignments!("WHERE a.account_id = ? AND a.id > ? ORDER BY a.id LIMIT ?"),
                id,
            ),
            OAuthTokenFilter::Application(id) => (
                assignments!("WHERE a.application_id = ? AND a.id > ? ORDER BY a.id LIMIT ?"),
                id,
            ),
        };
        let rows = self.rows(sql, values![id, after, most]).await?;
        rows.iter().map(assignment_of).collect()
    }
});

#[async_trait]
impl CredentialWriter for Unit {
    async fn insert_app_token(&mut self, token: &AppToken) -> Result<(), StoreError> {
        self.defer(
            "INSERT INTO qr_app_token (uuid, account_id, title, name, secret, created_ms, expires_ms, last_accessed_ms) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values![
                token.uuid.as_str(),
                token.account,
                token.title.as_str(),
                token.name.as_str(),
                token.secret.as_str(),
                token.created.as_millis(),
                token.expires.map(Timestamp::as_millis),
                token.last_accessed.map(Timestamp::as_millis)
            ],
        )
        .await
    }

    async fn delete_app_token(&mut self, id: i64) -> Result<(), StoreError> {
        self.defer("DELETE FROM qr_app_token WHERE id = ?", values![id])
            .await
    }

    async fn collect_app_tokens(&mut self, before: Timestamp, most: usize) -> Result<u64, StoreError> {
        self.collect("qr_app_token", "uuid", before, most).await
    }

    async fn touch_app_token(&mut self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_app_token SET last_accessed_ms = ? WHERE id = ?",
            values![now.as_millis(), id],
        )
        .await
    }

    async fn insert_access_token(&mut self, token: &AccessToken) -> Result<(), StoreError> {
        self.defer(
            "INSERT INTO qr_access_token (repository_id, friendly_name, name, code, role, created_ms) \
             VALUES (?, ?, ?, ?, ?, ?)",
            values![
                token.repository,
                token.friendly_name.as_str(),
                token.name.as_str(),
                token.code.as_str(),
                token.role.as_str(),
                token.created.as_millis()
            ],
        )
        .await
    }

    async fn insert_application(&mut self, application: &Application) -> Result<i64, StoreError> {
        self.insert(
            "INSERT INTO qr_application (organization_id, client_id, client_secret, name, description, \
             application_uri, redirect_uri, avatar_email) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values![
                application.organization,
                application.client_id.as_str(),
                application.client_secret.as_str(),
                application.name.as_str(),
                application.description.as_str(),
                application.application_uri.as_str(),
                application.redirect_uri.as_str(),
                application.avatar_email.clone()
            ],
        )
        .await
    }

    async fn save_application(&mut self, application: &Application) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_application SET client_secret = ?, name = ?, description = ?, application_uri = ?, \
             redirect_uri = ?, avatar_email = ? WHERE id = ?",
            values![
                application.client_secret.as_str(),
                application.name.as_str(),
                application.description.as_str(),
                application.application_uri.as_str(),
                application.redirect_uri.as_str(),
                application.avatar_email.clone(),
                application.id
            ],
        )
        .await
    }

    async fn delete_application(&mut self, id: i64) -> Result<(), StoreError> {
        self.defer("DELETE FROM qr_application WHERE id = ?", values![id])
            .await
    }

    async fn insert_oauth_token(&mut self, token: &OAuthToken) -> Result<(), StoreError> {
        self.defer(
            "INSERT INTO qr_oauth_token (uuid, application_id, account_id, name, hash, scope, created_ms, expires_ms, \
             title, creator_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values![
                token.uuid.as_str(),
                token.application,
                token.account,
                token.name.as_str(),
                token.hash.as_str(),
                token.scopes.to_string(),
                token.created.as_millis(),
                token.expires.as_millis(),
                token.title.clone(),
                token.creator
            ],
        )
        .await
    }

    async fn delete_oauth_token(&mut self, id: i64) -> Result<(), StoreError> {
        self.defer("DELETE FROM qr_oauth_token WHERE id = ?", values![id])
            .await
    }

    async fn touch_oauth_token(&mut self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_oauth_token SET last_accessed_ms = ? WHERE id = ?",
            values![now.as_millis(), id],
        )
        .await
    }

    async fn delete_credentials(&mut self, account: AccountId) -> Result<(), StoreError> {
        for table in [
            "qr_app_token",
            "qr_oauth_token",
            "qr_oauth_code",
            "qr_oauth_assignment",
            "qr_confirmation",
        ] {
            let sql = format!("DELETE FROM {table} WHERE account_id = ?");
            self.run(sql, values![account]).await?;
        }
        Ok(())
    }

    async fn insert_assignment(&mut self, assignment: &TokenAssignment) -> Result<(), StoreError> {
        self.defer(
            "INSERT INTO qr_oauth_assignment (uuid, application_id, account_id, redirect_uri, scope) \
             VALUES (?, ?, ?, ?, ?)",
            values![
                assignment.uuid.as_str(),
                assignment.application,
                assignment.account,
                assignment.redirect_uri.as_str(),
                assignment.scopes.to_string()
            ],
        )
        .await
    }

    async fn delete_assignment(&mut self, id: i64) -> Result<bool, StoreError> {
        let removed = self
            .run("DELETE FROM qr_oauth_assignment WHERE id = ?", values![id])
            .await?;
        Ok(removed > 0)
    }

    async fn insert_code(&mut self, code: &AuthorizationCode) -> Result<(), StoreError> {
        self.defer(
            "INSERT INTO qr_oauth_code (name, hash, application_id, account_id, scope, redirect_uri, challenge, \
             expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values![
                code.name.as_str(),
                code.hash.as_str(),
                code.application,
                code.account,
                code.scopes.to_string(),
                code.redirect_uri.as_str(),
                code.challenge.clone(),
                code.expires.as_millis()
            ],
        )
        .await
    }

    async fn take_code(&mut self, name: &str) -> Result<Option<AuthorizationCode>, StoreError> {
        let sql = format!(
            "SELECT name, hash, application_id, account_id, scope, redirect_uri, challenge, expires_ms \
             FROM qr_oauth_code WHERE name = ?{}",
            self.dialect().for_update()
        );
        let Some(row) = self.row(sql, values![name]).await? else {
            return Ok(None);
        };
        let code = AuthorizationCode {
            name: row.text(0)?,
            hash: row.text(1)?,
            application: row.int(2)?,
            account: row.int(3)?,
            scopes: ScopeSet::parse(&row.text(4)?, true),
            redirect_uri: row.text(5)?,
            challenge: row.opt_text(6)?,
            expires: time(&row, 7)?,
        };
        let taken = self
            .run("DELETE FROM qr_oauth_code WHERE name = ?", values![name])
            .await?;
        Ok((taken > 0).then_some(code))
    }

    async fn collect_codes(&mut self, before: Timestamp, most: usize) -> Result<u64, StoreError> {
        self.collect("qr_oauth_code", "name", before, most).await
    }
}
