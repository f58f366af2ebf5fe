//! Service keys, messages, notices, codes sent by mail, stars, and the changes that tokens must feel.

use async_trait::async_trait;
use quay_core::StoreError;
use quay_core::accounts::{
    AccountId, Change, Confirmation, ConfirmationPurpose, KeyApproval, LogEntry, Message, Notice,
    NoticeReader, NoticeWriter, ServiceKey, Starred,
};
use quay_core::metadata::{PageRequest, RepositoryId, Visibility};
use quay_core::runtime::Timestamp;

use super::super::db::{Row, Value, corrupt, values};
use super::super::rows::Rows as _;
use super::super::unit::Unit;
use super::{limit, reads};

const KEY: &str = "SELECT kid, name, service, jwk, metadata, created_ms, expires_ms, rotation_s, approval, \
     approver_id, approved_ms, approval_notes FROM qr_service_key";

fn key_of(row: &Row) -> Result<ServiceKey, StoreError> {
    let approval = match row.opt_text(8)? {
        None => None,
        Some(kind) => Some(KeyApproval {
            kind,
            approver: row.opt_int(9)?,
            at: Timestamp::from_millis(row.opt_int(10)?.unwrap_or_default()),
            notes: row.opt_text(11)?.unwrap_or_default(),
        }),
    };
    Ok(ServiceKey {
        kid: row.text(0)?,
        name: row.text(1)?,
        service: row.text(2)?,
        jwk: row.text(3)?,
        metadata: row.text(4)?,
        created: Timestamp::from_millis(row.int(5)?),
        expires: row.opt_int(6)?.map(Timestamp::from_millis),
        rotation_s: row.opt_int(7)?,
        approval,
    })
}

/// What a key's columns are set to, in the order of [`KEY_COLUMNS`].
fn key_values(key: &ServiceKey) -> Vec<Value> {
    let approval = key.approval.as_ref();
    values![
        key.kid.as_str(),
        key.name.as_str(),
        key.service.as_str(),
        key.jwk.as_str(),
        key.metadata.as_str(),
        key.created.as_millis(),
        key.expires.map(Timestamp::as_millis),
        key.rotation_s,
        approval.map(|approval| approval.kind.clone()),
        approval.and_then(|approval| approval.approver),
        approval.map(|approval| approval.at.as_millis()),
        approval.map(|approval| approval.notes.clone()),
    ]
}

const KEY_COLUMNS: [&str; 12] = [
    "kid",
    "name",
    "service",
    "jwk",
    "metadata",
    "created_ms",
    "expires_ms",
    "rotation_s",
    "approval",
    "approver_id",
    "approved_ms",
    "approval_notes",
];

const NOTICE: &str = "SELECT uuid, account_id, kind, metadata, created_ms, dismissed, lookup FROM qr_notice WHERE account_id = ?";

fn notice_of(row: &Row) -> Result<Notice, StoreError> {
    Ok(Notice {
        uuid: row.text(0)?,
        account: row.int(1)?,
        kind: row.text(2)?,
        metadata: row.text(3)?,
        created: Timestamp::from_millis(row.int(4)?),
        dismissed: row.int(5)? != 0,
        lookup: row.opt_text(6)?,
    })
}

reads!(NoticeReader {
    async fn service_key(&mut self, kid: &str) -> Result<Option<ServiceKey>, StoreError> {
        let row = self.row(format!("{KEY} WHERE kid = ?"), values![kid]).await?;
        row.map(|row| key_of(&row)).transpose()
    }

    async fn service_keys(
        &mut self,
        service: Option<&str>,
        page: &PageRequest<String>,
    ) -> Result<Vec<ServiceKey>, StoreError> {
        let (after, most) = (page.after.as_deref().unwrap_or_default(), limit(page.limit));
        let (sql, values) = match service {
            Some(service) => (
                format!("{KEY} WHERE service = ? AND kid > ? ORDER BY kid LIMIT ?"),
                values![service, after, most],
            ),
            None => (
                format!("{KEY} WHERE kid > ? ORDER BY kid LIMIT ?"),
                values![after, most],
            ),
        };
        let rows = self.rows(sql, values).await?;
        rows.iter().map(key_of).collect()
    }

    async fn messages(&mut self) -> Result<Vec<Message>, StoreError> {
        let sql = "SELECT uuid, content, severity, media_type FROM qr_message ORDER BY id";
        let rows = self.rows(sql, Vec::new()).await?;
        rows.iter()
            .map(|row| {
                Ok(Message {
                    uuid: row.text(0)?,
                    content: row.text(1)?,
                    severity: row.text(2)?,
                    media_type: row.text(3)?,
                })
            })
            .collect()
    }

    async fn notices(
        &mut self,
        account: AccountId,
        skip: usize,
        most: usize,
    ) -> Result<Vec<Notice>, StoreError> {
        let sql = format!("{NOTICE} AND dismissed = 0 ORDER BY id DESC LIMIT ? OFFSET ?");
        let rows = self.rows(sql, values![account, limit(most), limit(skip)]).await?;
        rows.iter().map(notice_of).collect()
    }

    async fn notice(&mut self, account: AccountId, uuid: &str) -> Result<Option<Notice>, StoreError> {
        let sql = format!("{NOTICE} AND uuid = ?");
        let row = self.row(sql, values![account, uuid]).await?;
        row.map(|row| notice_of(&row)).transpose()
    }

    async fn last_confirmation(
        &mut self,
        account: AccountId,
        purpose: ConfirmationPurpose,
    ) -> Result<Option<Confirmation>, StoreError> {
        let sql = "SELECT code_hash, new_email, expires_ms FROM qr_confirmation \
                   WHERE account_id = ? AND purpose = ? ORDER BY expires_ms DESC LIMIT 1";
        let Some(row) = self.row(sql, values![account, purpose.as_str()]).await? else {
            return Ok(None);
        };
        Ok(Some(Confirmation {
            code_hash: row.text(0)?,
            account,
            purpose,
            new_email: row.opt_text(1)?,
            expires: Timestamp::from_millis(row.int(2)?),
        }))
    }

    async fn stars(
        &mut self,
        account: AccountId,
        page: &PageRequest<String>,
    ) -> Result<Vec<Starred>, StoreError> {
        let rows = self
            .rows(
                "SELECT r.path, r.description, r.visibility FROM qr_star s JOIN qr_repository r ON r.id = s.repository_id \
                 WHERE s.account_id = ? AND r.path > ? AND r.state <> 'marked_for_deletion' ORDER BY r.path LIMIT ?",
                values![account, page.after.as_deref().unwrap_or_default(), limit(page.limit)],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let visibility = row.text(2)?;
                Ok(Starred {
                    path: row.text(0)?,
                    description: row.opt_text(1)?,
                    visibility: Visibility::from_name(&visibility).ok_or_else(|| corrupt(&visibility))?,
                })
            })
            .collect()
    }

    async fn changes(&mut self, since: Timestamp) -> Result<Vec<Change>, StoreError> {
        let sql = "SELECT subject, at_ms FROM qr_change WHERE at_ms >= ? ORDER BY at_ms";
        let rows = self.rows(sql, values![since.as_millis()]).await?;
        rows.iter()
            .map(|row| {
                Ok(Change {
                    subject: row.text(0)?,
                    at: Timestamp::from_millis(row.int(1)?),
                })
            })
            .collect()
    }
});

#[async_trait]
impl NoticeWriter for Unit {
    async fn insert_service_key(&mut self, key: &ServiceKey) -> Result<bool, StoreError> {
        self.insert_new("qr_service_key", &KEY_COLUMNS, key_values(key), &["kid"])
            .await
    }

    async fn save_service_key(&mut self, key: &ServiceKey) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE qr_service_key SET {} = ? WHERE kid = ?",
            KEY_COLUMNS.join(" = ?, ")
        );
        let mut values = key_values(key);
        values.push(key.kid.as_str().into());
        self.defer(sql, values).await
    }

    async fn delete_service_key(&mut self, kid: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM qr_service_key WHERE kid = ?";
        Ok(self.run(sql, values![kid]).await? > 0)
    }

    async fn insert_message(&mut self, message: &Message) -> Result<(), StoreError> {
        self.defer(
            "INSERT INTO qr_message (uuid, content, severity, media_type) VALUES (?, ?, ?, ?)",
            values![
                message.uuid.as_str(),
                message.content.as_str(),
                message.severity.as_str(),
                message.media_type.as_str()
            ],
        )
        .await
    }

    async fn delete_message(&mut self, uuid: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM qr_message WHERE uuid = ?";
        Ok(self.run(sql, values![uuid]).await? > 0)
    }

    async fn insert_notice(&mut self, notice: &Notice) -> Result<(), StoreError> {
        self.defer(
            "INSERT INTO qr_notice (uuid, account_id, kind, metadata, created_ms, dismissed, lookup) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            values![
                notice.uuid.as_str(),
                notice.account,
                notice.kind.as_str(),
                notice.metadata.as_str(),
                notice.created.as_millis(),
                notice.dismissed,
                notice.lookup.clone()
            ],
        )
        .await
    }

    async fn dismiss_notice(&mut self, uuid: &str, dismissed: bool) -> Result<(), StoreError> {
        self.defer(
            "UPDATE qr_notice SET dismissed = ? WHERE uuid = ?",
            values![dismissed, uuid],
        )
        .await
    }

    async fn delete_notices(&mut self, lookup: &str) -> Result<(), StoreError> {
        self.defer("DELETE FROM qr_notice WHERE lookup = ?", values![lookup])
            .await
    }

    async fn insert_confirmation(&mut self, confirmation: &Confirmation) -> Result<(), StoreError> {
        self.defer(
            "INSERT INTO qr_confirmation (code_hash, account_id, purpose, new_email, expires_ms) VALUES (?, ?, ?, ?, ?)",
            values![
                confirmation.code_hash.as_str(),
                confirmation.account,
                confirmation.purpose.as_str(),
                confirmation.new_email.clone(),
                confirmation.expires.as_millis()
            ],
        )
        .await
    }

    async fn take_confirmation(&mut self, code_hash: &str) -> Result<Option<Confirmation>, StoreError> {
        let sql = format!(
            "SELECT account_id, purpose, new_email, expires_ms FROM qr_confirmation WHERE code_hash = ?{}",
            self.dialect().for_update()
        );
        let Some(row) = self.row(sql, values![code_hash]).await? else {
            return Ok(None);
        };
        let purpose = row.text(1)?;
        let confirmation = Confirmation {
            code_hash: code_hash.to_owned(),
            account: row.int(0)?,
            purpose: ConfirmationPurpose::from_name(&purpose).ok_or_else(|| corrupt(&purpose))?,
            new_email: row.opt_text(2)?,
            expires: Timestamp::from_millis(row.int(3)?),
        };
        let taken = self
            .run(
                "DELETE FROM qr_confirmation WHERE code_hash = ?",
                values![code_hash],
            )
            .await?;
        Ok((taken > 0).then_some(confirmation))
    }

    async fn delete_confirmations(
        &mut self,
        account: AccountId,
        purpose: ConfirmationPurpose,
    ) -> Result<(), StoreError> {
        self.defer(
            "DELETE FROM qr_confirmation WHERE account_id = ? AND purpose = ?",
            values![account, purpose.as_str()],
        )
        .await
    }

    async fn collect_confirmations(&mut self, before: Timestamp, most: usize) -> Result<u64, StoreError> {
        self.collect("qr_confirmation", "code_hash", before, most).await
    }

    async fn star(&mut self, account: AccountId, repository: RepositoryId) -> Result<bool, StoreError> {
        self.insert_new(
            "qr_star",
            &["account_id", "repository_id"],
            values![account, repository],
            &["account_id", "repository_id"],
        )
        .await
    }

    async fn unstar(&mut self, account: AccountId, repository: RepositoryId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM qr_star WHERE account_id = ? AND repository_id = ?";
        Ok(self.run(sql, values![account, repository]).await? > 0)
    }

    async fn change(&mut self, subject: &str, now: Timestamp) -> Result<(), StoreError> {
        // The clock of who comes later may be behind.
        let now = now.as_millis();
        self.upsert(
            "qr_change",
            &["subject", "at_ms"],
            values![subject, now, now, now],
            &["subject"],
            &["at_ms = CASE WHEN qr_change.at_ms < ? THEN ? ELSE qr_change.at_ms END"],
        )
        .await
    }

    async fn forget_changes(&mut self, before: Timestamp) -> Result<(), StoreError> {
        self.defer(
            "DELETE FROM qr_change WHERE at_ms < ?",
            values![before.as_millis()],
        )
        .await
    }

    async fn log(&mut self, entry: &LogEntry) -> Result<(), StoreError> {
        self.append_log(std::slice::from_ref(entry)).await
    }
}
