//! Service keys: what superusers do with them, and what the services themselves do at the key server.

use serde_json::{Value, json};

use super::facade::{Accounts, change, invalid, not_found, object};
use super::log::LogKind;
use super::ports::NewKeyPair;
use super::record::{Account, KeyApproval, ServiceKey};
use crate::caller::Caller;
use crate::error::{Error, ErrorKind};
use crate::metadata::PageRequest;
use crate::runtime::{Timestamp, blocking};

/// Approved by a superuser.
const BY_SUPERUSER: &str = "Super User API";
/// Approved since an approved key signed it.
const BY_ROTATION: &str = "Key Rotation";
/// Approved since the registry made it for itself.
const BY_ITSELF: &str = "Automatic";

/// A key with the superuser who approved it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServiceKeyView {
    /// The key.
    pub key: ServiceKey,
    /// Who approved it, if it was a person who is still there.
    pub approver: Option<Account>,
}

/// A key that a superuser has made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CreatedServiceKey {
    /// What is kept of it.
    pub key: ServiceKey,
    /// The pair, handed out once.
    pub pair: NewKeyPair,
}

/// Whether a key may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the answers of the key server")]
pub enum KeyStatus {
    /// It may.
    Usable,
    /// Nobody has said that it may.
    Unapproved,
    /// It has ended.
    Expired,
}

/// What became of a key that a service brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the answers of the key server")]
pub enum KeyPut {
    /// It waits for somebody's approval.
    Pending,
    /// It may be used: an approved key signed it.
    Rotated,
}

impl ServiceKey {
    /// Whether the key may be used at a time.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> KeyStatus {
        if self.expires.is_some_and(|expires| expires <= now) {
            KeyStatus::Expired
        } else if self.approval.is_none() {
            KeyStatus::Unapproved
        } else {
            KeyStatus::Usable
        }
    }
}

fn is_key_name(name: &str) -> bool {
    name.chars().all(|character| {
        character.is_whitespace() || character.is_ascii_alphanumeric() || "-_:/".contains(character)
    })
}

fn key_fields(key: &ServiceKey) -> Vec<(&'static str, Value)> {
    vec![
        ("kid", json!(key.kid)),
        ("service", json!(key.service)),
        ("name", json!(key.name)),
        (
            "expiration_date",
            json!(key.expires.map(|expires| expires.as_millis() / 1000)),
        ),
    ]
}

impl Accounts {
    async fn key_view(&self, key: ServiceKey) -> Result<ServiceKeyView, Error> {
        let approver = key.approval.as_ref().and_then(|approval| approval.approver);
        let approver = match approver {
            Some(id) => self.names(vec![id]).await?.remove(&id),
            None => None,
        };
        Ok(ServiceKeyView { key, approver })
    }

    /// A page of all service keys, by kid.
    ///
    /// # Errors
    /// [`Forbidden`](ErrorKind::Forbidden) unless the caller is a superuser.
    pub async fn service_keys(
        &self,
        caller: &Caller,
        page: &PageRequest<String>,
    ) -> Result<Vec<ServiceKeyView>, Error> {
        self.superuser(caller).await?;
        let mut views = Vec::new();
        for key in self.reader().service_keys(None, page).await? {
            views.push(self.key_view(key).await?);
        }
        Ok(views)
    }

    /// One service key.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn service_key(&self, caller: &Caller, kid: &str) -> Result<ServiceKeyView, Error> {
        self.superuser(caller).await?;
        let key = self.reader().service_key(kid).await?.ok_or_else(not_found)?;
        self.key_view(key).await
    }

    /// Makes a key for a service, approved at once.
    ///
    /// # Errors
    /// [`InvalidRequest`](ErrorKind::InvalidRequest) for a name that cannot be used or an end in the past.
    pub async fn create_service_key(
        &self,
        caller: &Caller,
        service: &str,
        name: &str,
        metadata: &Value,
        notes: &str,
        expires: Option<Timestamp>,
    ) -> Result<CreatedServiceKey, Error> {
        let actor = self.fresh_superuser(caller).await?;
        let now = self.now();
        if !is_key_name(name) {
            return Err(invalid("Invalid service key friendly name"));
        }
        if expires.is_some_and(|expires| expires <= now) {
            return Err(invalid("Cannot create a key that has already expired"));
        }
        let crypto = std::sync::Arc::clone(&self.0.tools.keys);
        let pair = blocking(&*self.0.runtime.spawner, move || crypto.generate())
            .await
            .map_err(|_| Error::new(ErrorKind::Unavailable, "the host is shutting down"))??;
        let mut metadata = metadata.clone();
        if let Value::Object(fields) = &mut metadata {
            fields.insert("created_by".to_owned(), json!("Quay Superuser Panel"));
            fields.insert("creator".to_owned(), json!(actor.account.name));
        }
        let key = ServiceKey {
            kid: pair.kid.clone(),
            name: name.to_owned(),
            service: service.to_owned(),
            jwk: pair.jwk.to_string(),
            metadata: metadata.to_string(),
            created: now,
            expires,
            rotation_s: None,
            approval: Some(KeyApproval {
                kind: BY_SUPERUSER.to_owned(),
                approver: Some(actor.account.id),
                at: now,
                notes: notes.to_owned(),
            }),
        };
        let mut fields = key_fields(&key);
        fields.push(("auto_approved", json!(true)));
        fields.push(("preshared", json!(true)));
        let created = self
            .entry(caller, LogKind::ServiceKeyCreate, None, object(&fields))
            .await?;
        let approved = self
            .entry(
                caller,
                LogKind::ServiceKeyApprove,
                None,
                object(&key_fields(&key)),
            )
            .await?;
        change!(self, |unit| async {
            unit.insert_service_key(&key).await?;
            unit.log(&created).await?;
            unit.log(&approved).await?;
            Ok(())
        })?;
        Ok(CreatedServiceKey { key, pair })
    }

    /// Changes a key's name, metadata and end.
    ///
    /// # Errors
    /// [`InvalidRequest`](ErrorKind::InvalidRequest) for an end in the past, or for a key that has ended.
    pub async fn change_service_key(
        &self,
        caller: &Caller,
        kid: &str,
        name: Option<&str>,
        metadata: Option<&Value>,
        expires: Option<Option<Timestamp>>,
    ) -> Result<ServiceKeyView, Error> {
        self.fresh_superuser(caller).await?;
        let mut key = self.reader().service_key(kid).await?.ok_or_else(not_found)?;
        let now = self.now();
        let mut entries = Vec::new();
        if let Some(new) = expires {
            if key.status(now) == KeyStatus::Expired {
                return Err(invalid("Cannot change expiration on expired key"));
            }
            if new.is_some_and(|new| new <= now) {
                return Err(invalid("Cannot have an expiration date in the past"));
            }
            let old = key.expires.map(|old| old.as_millis() / 1000);
            key.expires = new;
            let mut fields = key_fields(&key);
            fields.push(("old_expiration_date", json!(old)));
            entries.push(
                self.entry(caller, LogKind::ServiceKeyExtend, None, object(&fields))
                    .await?,
            );
        }
        if name.is_some() || metadata.is_some() {
            if let Some(name) = name {
                if !is_key_name(name) {
                    return Err(invalid("Invalid service key friendly name"));
                }
                name.clone_into(&mut key.name);
            }
            if let Some(metadata) = metadata {
                key.metadata = metadata.to_string();
            }
            entries.push(
                self.entry(caller, LogKind::ServiceKeyModify, None, object(&key_fields(&key)))
                    .await?,
            );
        }
        change!(self, |unit| async {
            unit.save_service_key(&key).await?;
            for entry in &entries {
                unit.log(entry).await?;
            }
            Ok(())
        })?;
        self.key_view(key).await
    }

    /// Removes a key.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn delete_service_key(&self, caller: &Caller, kid: &str) -> Result<(), Error> {
        self.fresh_superuser(caller).await?;
        let key = self.reader().service_key(kid).await?.ok_or_else(not_found)?;
        let mut fields = key_fields(&key);
        fields.push(("created_date", json!(key.created.as_millis() / 1000)));
        let entry = self
            .entry(caller, LogKind::ServiceKeyDelete, None, object(&fields))
            .await?;
        change!(self, |unit| async {
            unit.delete_service_key(kid).await?;
            unit.log(&entry).await?;
            Ok(())
        })
    }

    /// Says that a key may be used. One that was approved before stays so.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn approve_service_key(&self, caller: &Caller, kid: &str, notes: &str) -> Result<(), Error> {
        let actor = self.fresh_superuser(caller).await?;
        let mut key = self.reader().service_key(kid).await?.ok_or_else(not_found)?;
        if key.approval.is_some() {
            return Ok(());
        }
        key.approval = Some(KeyApproval {
            kind: BY_SUPERUSER.to_owned(),
            approver: Some(actor.account.id),
            at: self.now(),
            notes: notes.to_owned(),
        });
        let entry = self
            .entry(
                caller,
                LogKind::ServiceKeyApprove,
                None,
                object(&key_fields(&key)),
            )
            .await?;
        change!(self, |unit| async {
            unit.save_service_key(&key).await?;
            unit.log(&entry).await?;
            Ok(())
        })
    }

    /// The registry's own key: recorded as approved, or prolonged when it is known.
    ///
    /// # Errors
    /// The store's.
    pub async fn keep_own_key(&self, kid: &str, jwk: &Value, expires: Timestamp) -> Result<(), Error> {
        let now = self.now();
        let key = ServiceKey {
            kid: kid.to_owned(),
            name: "Quay instance key".to_owned(),
            service: self.0.options.key_service.clone(),
            jwk: jwk.to_string(),
            metadata: json!({ "created_by": "CLI tool" }).to_string(),
            created: now,
            expires: Some(expires),
            rotation_s: None,
            approval: Some(KeyApproval {
                kind: BY_ITSELF.to_owned(),
                approver: None,
                at: now,
                notes: String::new(),
            }),
        };
        change!(self, |unit| async {
            if unit.insert_service_key(&key).await? {
                return Ok(());
            }
            if let Some(mut known) = unit.service_key(kid).await? {
                known.expires = Some(expires);
                unit.save_service_key(&known).await?;
            }
            Ok(())
        })
    }

    /// Removes keys that ended or waited for approval too long; says how many.
    ///
    /// # Errors
    /// The store's.
    pub async fn collect_service_keys(&self) -> Result<usize, Error> {
        let options = &self.0.options;
        let now = self.now();
        let (expired, unapproved) = (
            now.minus(options.expired_key_ttl),
            now.minus(options.unapproved_key_ttl),
        );
        let mut removed = 0;
        let mut after = None;
        loop {
            let page = PageRequest::new(after, 500);
            let keys = self.reader().service_keys(None, &page).await?;
            let Some(last) = keys.last() else {
                return Ok(removed);
            };
            after = Some(last.kid.clone());
            let useless = |key: &&ServiceKey| {
                key.expires.is_some_and(|expires| expires <= expired)
                    || (key.approval.is_none() && key.created <= unapproved)
            };
            let kids: Vec<_> = keys.iter().filter(useless).map(|key| key.kid.clone()).collect();
            removed += kids.len();
            change!(self, |unit| async {
                for kid in &kids {
                    unit.delete_service_key(kid).await?;
                }
                Ok(())
            })?;
        }
    }

    /// The usable keys of a service, as JWKs with their ids: anybody may ask.
    ///
    /// # Errors
    /// The store's.
    pub async fn published_keys(&self, service: &str) -> Result<Vec<Value>, Error> {
        let now = self.now();
        let page = PageRequest::new(None, 1000);
        let keys = self.reader().service_keys(Some(service), &page).await?;
        Ok(keys
            .iter()
            .filter(|key| key.status(now) == KeyStatus::Usable)
            .map(published)
            .collect())
    }

    /// One key of a service, whatever its state: anybody may ask.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn published_key(
        &self,
        service: &str,
        kid: &str,
    ) -> Result<(Value, KeyStatus, ServiceKey), Error> {
        let found = self.reader().service_key(kid).await?;
        let key = found.filter(|key| key.service == service).ok_or_else(not_found)?;
        Ok((published(&key), key.status(self.now()), key))
    }

    /// Takes a key in that a service has made. Signed by itself, it waits for approval; signed by an
    /// approved key of the same service, it takes its place.
    ///
    /// # Errors
    /// [`InvalidRequest`](ErrorKind::InvalidRequest) for a key or token that makes no sense,
    /// [`Forbidden`](ErrorKind::Forbidden) for one that proves nothing.
    #[expect(clippy::too_many_arguments, reason = "what the request says, part by part")]
    pub async fn put_key(
        &self,
        caller: &Caller,
        service: &str,
        kid: &str,
        jwk: &Value,
        token: &str,
        expires: Option<Timestamp>,
        rotation_s: Option<i64>,
    ) -> Result<KeyPut, Error> {
        let crypto = &self.0.tools.keys;
        if crypto.kid(jwk).as_deref() != Some(kid) {
            return Err(invalid("the kid does not fit the key"));
        }
        let now = self.now();
        if expires.is_some_and(|expires| expires <= now) {
            return Err(invalid("the key has already expired"));
        }
        let claims = crypto
            .peek(token)
            .filter(|claims| claims.issuer == service)
            .ok_or_else(|| invalid("the token does not come from the service"))?;
        let audience = &self.0.options.base_url;
        let mut key = ServiceKey {
            kid: kid.to_owned(),
            name: String::new(),
            service: service.to_owned(),
            jwk: jwk.to_string(),
            metadata: json!({
                "ip": caller.client_address.map(|address| address.to_string()),
                "user_agent": caller.user_agent.as_deref(),
            })
            .to_string(),
            created: now,
            expires,
            rotation_s,
            approval: None,
        };
        let client = [
            ("user_agent", json!(caller.user_agent.as_deref())),
            (
                "ip",
                json!(caller.client_address.map(|address| address.to_string())),
            ),
        ];
        // A token that names no key can only be signed by the one that comes with it.
        if claims.kid == kid || claims.kid.is_empty() {
            if !crypto.verify(token, jwk, service, audience, now) {
                return Err(invalid(
                    "the token is not one for this registry, or not signed by the key",
                ));
            }
            let mut fields = key_fields(&key);
            fields.extend(client);
            let entry = self
                .entry(caller, LogKind::ServiceKeyCreate, None, object(&fields))
                .await?;
            return change!(self, |unit| async {
                if !unit.insert_service_key(&key).await? {
                    return Err(invalid("the key is known already"));
                }
                unit.log(&entry).await?;
                Ok(KeyPut::Pending)
            });
        }
        let signer = self.signer(service, &claims.kid, token).await?;
        key.approval = Some(KeyApproval {
            kind: BY_ROTATION.to_owned(),
            approver: None,
            at: now,
            notes: format!("Key rotation from {}", signer.kid),
        });
        let mut fields = key_fields(&key);
        fields.push(("signer_kid", json!(signer.kid)));
        fields.extend(client);
        let entry = self
            .entry(caller, LogKind::ServiceKeyRotate, None, object(&fields))
            .await?;
        change!(self, |unit| async {
            // Whoever has been replaced replaces nobody.
            if !unit.delete_service_key(&signer.kid).await? {
                return Err(unproven());
            }
            if !unit.insert_service_key(&key).await? {
                return Err(invalid("the key is known already"));
            }
            unit.log(&entry).await?;
            Ok(KeyPut::Rotated)
        })
    }

    /// The approved key of a service that signed a token.
    async fn signer(&self, service: &str, kid: &str, token: &str) -> Result<ServiceKey, Error> {
        // What a token says is anybody's; not every database takes it for a question.
        if kid.is_empty() || !kid.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unproven());
        }
        let found = self.reader().service_key(kid).await?;
        let now = self.now();
        let signer = found
            .filter(|key| key.service == service && key.status(now) == KeyStatus::Usable)
            .ok_or_else(unproven)?;
        let jwk = serde_json::from_str(&signer.jwk).map_err(|_| unproven())?;
        let audience = &self.0.options.base_url;
        if self.0.tools.keys.verify(token, &jwk, service, audience, now) {
            Ok(signer)
        } else {
            Err(invalid(
                "the token is not one for this registry, or not signed by the key that it names",
            ))
        }
    }

    /// Removes a key that a service has no more use for. The token is signed by that key or by an approved
    /// one of the same service.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`Forbidden`](ErrorKind::Forbidden).
    pub async fn remove_key(
        &self,
        caller: &Caller,
        service: &str,
        kid: &str,
        token: &str,
    ) -> Result<(), Error> {
        let found = self.reader().service_key(kid).await?;
        let key = found.filter(|key| key.service == service).ok_or_else(not_found)?;
        let crypto = &self.0.tools.keys;
        let claims = crypto
            .peek(token)
            .filter(|claims| claims.issuer == service)
            .ok_or_else(|| forbidden("the token does not come from the service"))?;
        let now = self.now();
        let by_itself = claims.kid == kid
            && key.status(now) != KeyStatus::Expired
            && serde_json::from_str(&key.jwk)
                .is_ok_and(|jwk| crypto.verify(token, &jwk, service, &self.0.options.base_url, now));
        let signer = if by_itself {
            kid.to_owned()
        } else {
            self.signer(service, &claims.kid, token).await?.kid
        };
        let mut fields = key_fields(&key);
        fields.push(("signer_kid", json!(signer)));
        fields.push(("user_agent", json!(caller.user_agent.as_deref())));
        let entry = self
            .entry(caller, LogKind::ServiceKeyDelete, None, object(&fields))
            .await?;
        change!(self, |unit| async {
            unit.delete_service_key(kid).await?;
            unit.log(&entry).await?;
            Ok(())
        })
    }
}

fn unproven() -> Error {
    forbidden("the token is not signed by an approved key of the service")
}

fn forbidden(message: &str) -> Error {
    Error::new(ErrorKind::Forbidden, message)
}

/// A key as the key server shows it.
fn published(key: &ServiceKey) -> Value {
    let mut jwk: Value = serde_json::from_str(&key.jwk).unwrap_or_else(|_| json!({}));
    if let Value::Object(fields) = &mut jwk {
        fields.insert("kid".to_owned(), json!(key.kid));
    }
    jwk
}
