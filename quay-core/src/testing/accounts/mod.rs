//! The suite for [`AccountStore`]: accounts, teams, permissions, credentials, and what users are told.
//!
//! What a store promises as a [`MetadataStore`](crate::MetadataStore) is the suite of
//! [`metadata`](super::metadata). The action log cannot be read through the port; that entries arrive is
//! for the store's own tests, that they are taken is a case here.

mod credentials;
mod grants;
mod identities;
mod namespaces;
mod notices;
mod repositories;
mod search;
mod teams;

use std::sync::Arc;

use super::{Failure, Instance, cases, ensure};
use crate::accounts::{
    Account, AccountId, AccountKind, AccountStore, AccountWrites, Application, AuthorizationCode, OAuthToken,
    Scope, ScopeSet, Team, TeamRole, TokenAssignment,
};
use crate::digest::{Algorithm, Digest};
use crate::error::{StoreError, StoreErrorKind};
use crate::metadata::{RepositoryId, Visibility};
use crate::name::RepositoryName;
use crate::runtime::Timestamp;

type Store = dyn AccountStore;
type Outcome = Result<(), Failure>;

cases! { dyn AccountStore:
    identities {
        an_account_comes_back_as_it_was_stored,
        names_and_addresses_are_taken_once,
        names_are_compared_bytewise,
        racing_insertions_have_one_winner,
        racing_renames_have_one_winner,
        accounts_are_paged_by_name,
        members_are_paged_by_id,
        collaborators_are_in_no_team,
        a_prefix_is_taken_literally,
        units_that_lock_an_account_follow_one_another,
        of_first_accounts_at_once_one_is_first,
        ids_are_never_used_again,
        an_empty_store_says_so,
        what_is_not_committed_never_was,
        an_open_unit_of_work_is_seen_by_nobody,
        accounts_survive_the_process,
    }
    namespaces {
        a_repository_is_made_once_with_its_description,
        a_deleted_user_takes_everything_along,
        a_deleted_organization_takes_everything_along,
        a_deleted_robot_goes_alone,
        a_deleted_name_is_free_again_and_again,
        a_renamed_namespace_takes_repositories_and_robots_along,
        policies_follow_their_namespace_and_go_with_it,
        a_namespace_is_renamed_to_and_fro,
        a_name_that_gets_too_long_moves_nothing,
    }
    teams {
        a_team_is_made_once,
        teams_are_paged_by_name,
        members_join_and_leave_once,
        who_administers_is_told,
        racing_members_join_once,
        invitations_are_listed_oldest_first,
        invitations_are_paged_by_id,
        a_deleted_team_takes_everything_along,
    }
    grants {
        standing_is_put_together,
        standing_is_read_at_once,
        a_role_is_replaced_and_taken_away,
        grants_are_paged_by_id,
        roles_in_a_namespace_are_taken_away,
        everybody_sees_what_they_may,
        what_is_seen_in_several_ways_is_listed_once,
        default_permissions_are_kept,
    }
    repositories {
        a_namespace_is_listed_as_it_is_seen,
        a_repository_changes_and_goes,
    }
    search {
        repositories_are_found_by_what_they_are_called,
        repositories_are_found_by_those_who_see_them,
        what_is_used_most_is_found_first,
    }
    credentials {
        app_tokens_are_kept,
        app_tokens_that_end_are_paged_by_id,
        app_tokens_are_collected_oldest_first,
        access_tokens_are_kept,
        applications_are_kept,
        oauth_tokens_are_kept,
        assignments_are_kept,
        a_code_is_handed_out_once,
        racing_takers_share_one_code,
        what_a_dropped_unit_took_can_be_taken,
        codes_are_collected_oldest_first,
    }
    notices {
        service_keys_are_kept,
        messages_are_listed_oldest_first,
        notices_are_listed_newest_first,
        notices_are_put_away_and_found_again,
        a_confirmation_is_handed_out_once,
        the_last_confirmation_is_found_until_all_are_removed,
        confirmations_are_collected_oldest_first,
        stars_are_paged_by_path,
        changes_are_listed_from_a_time_on,
        a_change_never_moves_back,
        the_action_log_takes_entries,
    }
}

/// Texts that a store may trip over.
const TEXTS: [&str; 4] = [
    "Grüße, 世界 🦀",
    "100% _sure_ \\ 'quoted' \"twice\"",
    " two\nlines ",
    "",
];

/// Collects a list by pages of one size.
macro_rules! by_pages {
    ($size:expr, |$page:ident| $call:expr, |$last:ident| $key:expr) => {{
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let $page = $crate::metadata::PageRequest::new(after.clone(), $size);
            let rows = $call.await?;
            ensure!(rows.len() <= $size, "a page of {} has {}", $size, rows.len());
            let Some($last) = rows.last() else { break };
            after = Some($key);
            seen.extend(rows);
            ensure!(seen.len() <= 200, "pages of {} never end", $size);
        }
        seen
    }};
}
use by_pages;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_600_000_000_000 + millis)
}

fn name(path: &str) -> Result<RepositoryName, Failure> {
    RepositoryName::from_path(path).map_err(|error| Failure::new(error.to_string()))
}

/// 32 characters that are the seed's own.
fn token(seed: &str) -> String {
    let digest = Digest::of(Algorithm::Sha256, seed.as_bytes()).to_string();
    digest.chars().skip("sha256:".len()).take(32).collect()
}

/// What must be there.
fn there<T>(found: Option<T>, what: &str) -> Result<T, Failure> {
    found.ok_or_else(|| Failure::new(format!("{what} is not there")))
}

fn names(accounts: &[Account]) -> Vec<&str> {
    accounts.iter().map(|account| account.name.as_str()).collect()
}

fn new_account(kind: AccountKind, name: &str) -> Account {
    Account::new(kind, name, token(name), at(0))
}

async fn insert(unit: &mut dyn AccountWrites, account: &Account) -> Result<AccountId, Failure> {
    let id = unit.insert_account(account).await?;
    id.ok_or_else(|| Failure::new(format!("{} is taken already", account.name)))
}

async fn user(unit: &mut dyn AccountWrites, name: &str) -> Result<AccountId, Failure> {
    insert(unit, &new_account(AccountKind::User, name)).await
}

async fn organization(unit: &mut dyn AccountWrites, name: &str) -> Result<AccountId, Failure> {
    insert(unit, &new_account(AccountKind::Organization, name)).await
}

async fn robot(unit: &mut dyn AccountWrites, owner: AccountId, name: &str) -> Result<AccountId, Failure> {
    let mut robot = new_account(AccountKind::Robot, name);
    robot.owner = Some(owner);
    insert(unit, &robot).await
}

async fn repository(
    unit: &mut dyn AccountWrites,
    path: &str,
    visibility: Visibility,
) -> Result<RepositoryId, Failure> {
    let created = unit
        .create_repository(&name(path)?, visibility, None, at(0))
        .await?;
    Ok(there(created, path)?.id)
}

async fn team(
    unit: &mut dyn AccountWrites,
    organization: AccountId,
    name: &str,
    role: TeamRole,
    members: &[AccountId],
) -> Result<i64, Failure> {
    let team = new_team(organization, name, role);
    let id = there(unit.insert_team(&team).await?, name)?;
    for member in members {
        ensure!(
            unit.add_member(id, *member).await?,
            "a new team has a member already"
        );
    }
    Ok(id)
}

fn new_team(organization: AccountId, name: &str, role: TeamRole) -> Team {
    Team {
        id: 0,
        organization,
        name: name.to_owned(),
        role,
        description: format!("What {name} is for"),
    }
}

fn new_application(organization: AccountId, client: &str) -> Application {
    Application {
        id: 0,
        organization,
        client_id: token(client),
        client_secret: format!("secret of {client}"),
        name: client.to_owned(),
        description: TEXTS[0].to_owned(),
        application_uri: "https://example.com".to_owned(),
        redirect_uri: "https://example.com/callback".to_owned(),
        avatar_email: Some("avatar@example.com".to_owned()),
    }
}

fn new_oauth_token(application: i64, account: AccountId, seed: &str) -> OAuthToken {
    OAuthToken {
        id: 0,
        uuid: token(&format!("uuid {seed}")),
        application,
        account,
        name: token(seed),
        hash: format!("hash of {seed}"),
        scopes: ScopeSet::of(&[Scope::ReadRepo, Scope::AdminUser]),
        created: at(1),
        expires: at(1000),
        last_accessed: None,
        title: Some(TEXTS[0].to_owned()),
        creator: Some(account),
    }
}

fn new_code(application: i64, account: AccountId, seed: &str) -> AuthorizationCode {
    AuthorizationCode {
        name: token(seed),
        hash: format!("hash of {seed}"),
        application,
        account,
        scopes: ScopeSet::of(&[Scope::CreateRepo]),
        redirect_uri: "https://example.com/callback".to_owned(),
        challenge: Some("challenge".to_owned()),
        expires: at(100),
    }
}

fn new_assignment(application: i64, account: AccountId, seed: &str) -> TokenAssignment {
    TokenAssignment {
        id: 0,
        uuid: token(&format!("uuid {seed}")),
        application,
        account,
        redirect_uri: "https://example.com/callback".to_owned(),
        scopes: ScopeSet::of(&[Scope::ReadRepo, Scope::AdminUser]),
    }
}

/// Tries until no other writer is in the way, as core does.
async fn until_it_works<T, F>(attempt: impl Fn() -> F + Send + Sync) -> Result<T, Failure>
where
    T: Send,
    F: Future<Output = Result<T, StoreError>> + Send,
{
    for _ in 0..100 {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if error.kind() == StoreErrorKind::Conflict => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::new("100 attempts met another writer".into()))
}

/// Runs eight attempts at once, each until it works; the outcomes in their order.
async fn raced<T, F>(attempt: impl Fn(usize) -> F + Send + Sync) -> Result<Vec<T>, Failure>
where
    T: Send,
    F: Future<Output = Result<T, StoreError>> + Send,
{
    let attempt = &attempt;
    let racers = (0..8).map(|racer| until_it_works(move || attempt(racer)));
    futures::future::try_join_all(racers).await
}

/// Stores what `work` does, in a unit of work of its own.
macro_rules! commit {
    ($store:expr, |$unit:ident| $work:block) => {{
        let mut opened = $store.begin_accounts().await?;
        let $unit = opened.accounts();
        let outcome = $work;
        opened.commit().await?;
        outcome
    }};
}
use commit;

/// The store of an instance.
fn store(instance: &mut dyn Instance<Store>) -> Arc<Store> {
    instance.store()
}
