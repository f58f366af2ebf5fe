//! Stores of accounts that are broken on purpose: the suite catches each, by the case that is about it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::FutureExt;
use quay_core::accounts::{
    AccessToken, Account, AccountCursor, AccountFilter, AccountId, AccountKey, AccountReader, AccountReads,
    AccountStore, AccountUnit, AccountWriter, AccountWrites, ActionLog, AppToken, AppTokenKey, Application,
    AuthorizationCode, Change, Confirmation, ConfirmationPurpose, Counted, CredentialReader,
    CredentialWriter, Grant, GrantReader, GrantWriter, Grantee, LogEntry, Message, Notice, NoticeReader,
    NoticeWriter, OAuthToken, OAuthTokenFilter, OAuthTokenKey, Popularity, PopularityWriter, Prototype,
    RepositoryDetails, RepositoryReader, RepositoryRole, RepositorySearch, RepositoryWriter, SearchReader,
    ServiceKey, Sight, Standing, Starred, Team, TeamInvite, TeamKey, TeamReader, TeamSummary, TeamWriter,
    TokenAssignment,
};
use quay_core::metadata::{
    BlobIndex, BlobRecord, LabelRecord, LinkedBlob, Lookup, ManifestRecord, ManifestStore, Outbox,
    PageRequest, Referrer, RepositoryId, RepositoryRecord, RepositoryState, RepositoryStore, TagEntry,
    TagFilter, TagPosition, TagStore, UnitOfWork, UploadRecord, UploadStore, Visibility,
};
use quay_core::runtime::Timestamp;
use quay_core::testing::{Failure, Instance, accounts};
use quay_core::{Digest, MediaType, MetadataStore, Reference, RepositoryName, StoreError, Tag};
use quay_storage::SqlMetadata;
use support::TestSpawner;
use tempfile::TempDir;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// Passes everything on as it is.
    None,
    GivesOutTakenNames,
    SavesTakenNames,
    IgnoresCase,
    SkipsOneOfEachPage,
    ListsWhoIsSwitchedOff,
    TakesPrefixesForPatterns,
    AddsMembersTwice,
    ListsTeamsBackwards,
    ListsInvitesBackwards,
    StandsWithoutTeams,
    StandsByTeamsOfOthers,
    KeepsTheOldRole,
    KeepsRolesInANamespace,
    SeesNothingPublic,
    SeesTwice,
    DeletesNothingButRights,
    LeavesRobots,
    LeavesTokens,
    RenamesNoRobots,
    LosesDescriptions,
    HandsOutCodesTwice,
    TakesAssignmentsTwice,
    CollectsTokensThatLive,
    CollectsWithoutLimit,
    KeepsConfirmations,
    StoresKeysTwice,
    ListsNoticesBackwards,
    DismissesNothing,
    StarsTwice,
    LeavesOutTheFirstChange,
    MovesChangesBack,
    ForgetsCommits,
    ShowsWholeNamespaces,
    KeepsDeletedRepositories,
    SearchesForTheBeginning,
    FindsWhatEverybodySees,
    FindsTheLeastFirst,
    CountsForEver,
}

/// What each must be caught by.
const FAULTS: [(Fault, &str); 38] = [
    (
        Fault::SearchesForTheBeginning,
        "repositories_are_found_by_what_they_are_called",
    ),
    (
        Fault::FindsWhatEverybodySees,
        "repositories_are_found_by_those_who_see_them",
    ),
    (Fault::FindsTheLeastFirst, "what_is_used_most_is_found_first"),
    (Fault::CountsForEver, "what_is_used_most_is_found_first"),
    (Fault::ShowsWholeNamespaces, "a_namespace_is_listed_as_it_is_seen"),
    (Fault::KeepsDeletedRepositories, "a_repository_changes_and_goes"),
    (Fault::GivesOutTakenNames, "names_and_addresses_are_taken_once"),
    (Fault::SavesTakenNames, "names_and_addresses_are_taken_once"),
    (Fault::IgnoresCase, "names_are_compared_bytewise"),
    (Fault::SkipsOneOfEachPage, "accounts_are_paged_by_name"),
    (Fault::ListsWhoIsSwitchedOff, "accounts_are_paged_by_name"),
    (Fault::TakesPrefixesForPatterns, "a_prefix_is_taken_literally"),
    (Fault::AddsMembersTwice, "members_join_and_leave_once"),
    (Fault::ListsTeamsBackwards, "teams_are_paged_by_name"),
    (
        Fault::ListsInvitesBackwards,
        "invitations_are_listed_oldest_first",
    ),
    (Fault::StandsWithoutTeams, "standing_is_put_together"),
    (Fault::StandsByTeamsOfOthers, "standing_is_put_together"),
    (Fault::KeepsTheOldRole, "a_role_is_replaced_and_taken_away"),
    (
        Fault::KeepsRolesInANamespace,
        "roles_in_a_namespace_are_taken_away",
    ),
    (Fault::SeesNothingPublic, "everybody_sees_what_they_may"),
    (Fault::SeesTwice, "what_is_seen_in_several_ways_is_listed_once"),
    (
        Fault::DeletesNothingButRights,
        "a_deleted_user_takes_everything_along",
    ),
    (
        Fault::LeavesRobots,
        "a_deleted_organization_takes_everything_along",
    ),
    (Fault::LeavesTokens, "a_deleted_user_takes_everything_along"),
    (
        Fault::RenamesNoRobots,
        "a_renamed_namespace_takes_repositories_and_robots_along",
    ),
    (
        Fault::LosesDescriptions,
        "a_repository_is_made_once_with_its_description",
    ),
    (Fault::HandsOutCodesTwice, "racing_takers_share_one_code"),
    (Fault::TakesAssignmentsTwice, "assignments_are_kept"),
    (
        Fault::CollectsTokensThatLive,
        "app_tokens_are_collected_oldest_first",
    ),
    (
        Fault::CollectsWithoutLimit,
        "app_tokens_are_collected_oldest_first",
    ),
    (
        Fault::KeepsConfirmations,
        "the_last_confirmation_is_found_until_all_are_removed",
    ),
    (Fault::StoresKeysTwice, "service_keys_are_kept"),
    (Fault::ListsNoticesBackwards, "notices_are_listed_newest_first"),
    (Fault::DismissesNothing, "notices_are_put_away_and_found_again"),
    (Fault::StarsTwice, "stars_are_paged_by_path"),
    (
        Fault::LeavesOutTheFirstChange,
        "changes_are_listed_from_a_time_on",
    ),
    (Fault::MovesChangesBack, "a_change_never_moves_back"),
    (Fault::ForgetsCommits, "an_open_unit_of_work_is_seen_by_nobody"),
];

/// What was deleted and comes back.
type Ghosts = Arc<Mutex<Vec<AppToken>>>;

#[derive(Debug)]
struct Broken {
    inner: SqlMetadata,
    fault: Fault,
    ghosts: Ghosts,
}

struct BrokenReader {
    inner: Box<dyn AccountReads>,
    fault: Fault,
    ghosts: Ghosts,
}

#[derive(Debug)]
struct BrokenUnit {
    inner: Box<dyn AccountUnit>,
    fault: Fault,
    ghosts: Ghosts,
}

impl BrokenReader {
    fn inner(&mut self) -> &mut dyn AccountReads {
        &mut *self.inner
    }
}

impl BrokenUnit {
    fn inner(&mut self) -> &mut dyn AccountWrites {
        self.inner.accounts()
    }
}

/// Passes methods on, apart from those in braces.
macro_rules! passed_on {
    ($trait:ident for $type:ident:
        $($method:ident($($argument:ident: $of:ty),*) -> $result:ty;)* { $($own:tt)* }) => {
        #[async_trait]
        impl $trait for $type {
            $(async fn $method(&mut self, $($argument: $of),*) -> Result<$result, StoreError> {
                self.inner().$method($($argument),*).await
            })*
            $($own)*
        }
    };
}

/// As [`passed_on`], within units of work and outside.
macro_rules! reads_passed_on {
    ($trait:ident: $($rest:tt)*) => {
        passed_on! { $trait for BrokenReader: $($rest)* }
        passed_on! { $trait for BrokenUnit: $($rest)* }
    };
}

reads_passed_on! { AccountReader:
    any_account() -> bool;
    has_repositories(namespace: &str) -> bool;
    {
        async fn account(&mut self, key: AccountKey<'_>) -> Result<Option<Account>, StoreError> {
            match key {
                AccountKey::Name(name) if self.fault == Fault::IgnoresCase => {
                    let name = name.to_lowercase();
                    self.inner().account(AccountKey::Name(&name)).await
                }
                key => self.inner().account(key).await,
            }
        }

        async fn accounts(
            &mut self,
            filter: AccountFilter<'_>,
            page: &PageRequest<AccountCursor>,
        ) -> Result<Vec<Account>, StoreError> {
            let filter = match filter {
                AccountFilter::Users { .. } if self.fault == Fault::ListsWhoIsSwitchedOff => {
                    AccountFilter::Users { disabled: true }
                }
                AccountFilter::Prefix { prefix, robots_of, organizations }
                    if self.fault == Fault::TakesPrefixesForPatterns =>
                {
                    let prefix = prefix.split(['_', '%']).next().unwrap();
                    AccountFilter::Prefix { prefix, robots_of, organizations }
                }
                filter => filter,
            };
            if self.fault == Fault::SkipsOneOfEachPage && page.after.is_some() {
                let page = PageRequest::new(page.after.clone(), page.limit + 1);
                let found = self.inner().accounts(filter, &page).await?;
                return Ok(found.into_iter().skip(1).collect());
            }
            self.inner().accounts(filter, page).await
        }
    }
}

reads_passed_on! { TeamReader:
    team(key: TeamKey<'_>) -> Option<Team>;
    teams_of(account: AccountId, organization: Option<AccountId>) -> Vec<Team>;
    invite(code: &str) -> Option<TeamInvite>;
    has_admin(organization: AccountId, but: Option<AccountId>) -> bool;
    invites_paged(team: i64, page: &PageRequest<i64>) -> Vec<TeamInvite>;
    {
        async fn teams(
            &mut self,
            organization: AccountId,
            page: &PageRequest<String>,
        ) -> Result<Vec<TeamSummary>, StoreError> {
            let mut found = self.inner().teams(organization, page).await?;
            if self.fault == Fault::ListsTeamsBackwards {
                found.reverse();
            }
            Ok(found)
        }

        async fn invites(&mut self, team: i64) -> Result<Vec<TeamInvite>, StoreError> {
            let mut found = self.inner().invites(team).await?;
            if self.fault == Fault::ListsInvitesBackwards {
                found.reverse();
            }
            Ok(found)
        }
    }
}

reads_passed_on! { GrantReader:
    grant(repository: RepositoryId, grantee: Grantee) -> Option<RepositoryRole>;
    account_grants(repository: RepositoryId, page: &PageRequest<i64>) -> Vec<(Account, RepositoryRole)>;
    team_grants(repository: RepositoryId, page: &PageRequest<i64>) -> Vec<(Team, RepositoryRole)>;
    grants_of(grantee: Grantee, namespace: &str, page: &PageRequest<RepositoryId>) -> Vec<Grant>;
    prototypes(organization: AccountId) -> Vec<Prototype>;
    prototype(organization: AccountId, uuid: &str) -> Option<Prototype>;
    {
        async fn standing(
            &mut self,
            account: AccountId,
            namespace: &str,
            repository: Option<RepositoryId>,
        ) -> Result<Standing, StoreError> {
            let mut standing = self.inner().standing(account, namespace, repository).await?;
            match self.fault {
                Fault::StandsWithoutTeams => standing.by_team = None,
                Fault::StandsByTeamsOfOthers => {
                    for team in self.inner().teams_of(account, None).await? {
                        standing.add_team(team.role);
                    }
                }
                _ => {}
            }
            Ok(standing)
        }

        async fn visible(
            &mut self,
            account: Option<(AccountId, &str)>,
            public: bool,
            page: &PageRequest<String>,
        ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
            let public = public && self.fault != Fault::SeesNothingPublic;
            let mut found = self.inner().visible(account, public, page).await?;
            if let (Fault::SeesTwice, Some(first)) = (self.fault, found.first().cloned()) {
                found.insert(0, first);
                found.truncate(page.limit);
            }
            Ok(found)
        }
    }
}

reads_passed_on! { SearchReader:
    popularity(repositories: &[RepositoryId], since: i64) -> Vec<Popularity>;
    action_counts(repository: RepositoryId, since: i64) -> Vec<(i64, u64)>;
    {
        async fn search_repositories(
            &mut self,
            search: &RepositorySearch<'_>,
        ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
            let mut search = *search;
            if self.fault == Fault::SearchesForTheBeginning {
                search.text = search.text.get(..1).unwrap_or_default();
            }
            let mut found = self.inner().search_repositories(&search).await?;
            match self.fault {
                Fault::FindsWhatEverybodySees => found.retain(|record| record.visibility == Visibility::Public),
                Fault::FindsTheLeastFirst => found.reverse(),
                _ => {}
            }
            Ok(found)
        }
    }
}

passed_on! { PopularityWriter for BrokenUnit:
    count_actions(day: i64, since: i64, forgotten: i64, limit: usize) -> Vec<Counted>;
    {
        async fn set_score(&mut self, repository: RepositoryId, score: i64, day: i64) -> Result<(), StoreError> {
            let day = if self.fault == Fault::CountsForEver { 0 } else { day };
            self.inner().set_score(repository, score, day).await
        }
    }
}

reads_passed_on! { RepositoryReader:
    starred_repositories(account: AccountId, page: &PageRequest<String>) -> Vec<Arc<RepositoryRecord>>;
    repository_details(of: &[RepositoryId], account: Option<AccountId>, now: Timestamp) -> Vec<RepositoryDetails>;
    {
        async fn repositories_in(
            &mut self,
            namespace: &str,
            sight: Sight,
            page: &PageRequest<String>,
        ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
            let sight = match (self.fault, sight) {
                (Fault::ShowsWholeNamespaces, Sight::Granted { account: Some(_), .. }) => Sight::Everything,
                (_, sight) => sight,
            };
            self.inner().repositories_in(namespace, sight, page).await
        }
    }
}

passed_on! { RepositoryWriter for BrokenUnit:
    find_repository(name: &RepositoryName) -> Option<RepositoryRecord>;
    describe_repository(record: &RepositoryRecord, text: Option<&str>) -> ();
    set_visibility(record: &RepositoryRecord, visibility: Visibility) -> ();
    set_state(record: &RepositoryRecord, state: RepositoryState) -> ();
    {
        async fn delete_repository(&mut self, record: &RepositoryRecord) -> Result<(), StoreError> {
            if self.fault == Fault::KeepsDeletedRepositories {
                return Ok(());
            }
            self.inner().delete_repository(record).await
        }
    }
}

reads_passed_on! { CredentialReader:
    app_tokens(account: Option<AccountId>, page: &PageRequest<i64>) -> Vec<AppToken>;
    access_token(name: &str) -> Option<AccessToken>;
    assignment(uuid: &str) -> Option<(TokenAssignment, Application)>;
    assignments(filter: OAuthTokenFilter, page: &PageRequest<i64>) -> Vec<(TokenAssignment, Application)>;
    app_tokens_ending(account: Option<AccountId>, by: Timestamp, page: &PageRequest<i64>) -> Vec<AppToken>;
    application(client_id: &str) -> Option<Application>;
    applications(organization: AccountId) -> Vec<Application>;
    oauth_token(key: OAuthTokenKey<'_>) -> Option<(OAuthToken, Application)>;
    oauth_tokens(filter: OAuthTokenFilter, page: &PageRequest<i64>) -> Vec<(OAuthToken, Application)>;
    {
        async fn app_token(&mut self, key: AppTokenKey<'_>) -> Result<Option<AppToken>, StoreError> {
            if let AppTokenKey::Name(name) = key {
                let ghosts = self.ghosts.lock().unwrap();
                if let Some(ghost) = ghosts.iter().find(|ghost| ghost.name == name) {
                    return Ok(Some(ghost.clone()));
                }
            }
            self.inner().app_token(key).await
        }
    }
}

reads_passed_on! { NoticeReader:
    service_key(kid: &str) -> Option<ServiceKey>;
    service_keys(service: Option<&str>, page: &PageRequest<String>) -> Vec<ServiceKey>;
    messages() -> Vec<Message>;
    notice(account: AccountId, uuid: &str) -> Option<Notice>;
    last_confirmation(account: AccountId, purpose: ConfirmationPurpose) -> Option<Confirmation>;
    stars(account: AccountId, page: &PageRequest<String>) -> Vec<Starred>;
    {
        async fn notices(
            &mut self,
            account: AccountId,
            skip: usize,
            limit: usize,
        ) -> Result<Vec<Notice>, StoreError> {
            let mut found = self.inner().notices(account, skip, limit).await?;
            if self.fault == Fault::ListsNoticesBackwards {
                found.reverse();
            }
            Ok(found)
        }

        async fn changes(&mut self, since: Timestamp) -> Result<Vec<Change>, StoreError> {
            let later = i64::from(self.fault == Fault::LeavesOutTheFirstChange);
            let since = Timestamp::from_millis(since.as_millis() + later);
            self.inner().changes(since).await
        }
    }
}

passed_on! { AccountWriter for BrokenUnit:
    lock_account(account: AccountId) -> bool;
    lock_beginnings() -> ();
    touch_account(account: AccountId, now: Timestamp) -> ();
    {
        async fn insert_account(&mut self, account: &Account) -> Result<Option<AccountId>, StoreError> {
            let id = self.inner().insert_account(account).await?;
            Ok(id.or((self.fault == Fault::GivesOutTakenNames).then_some(1)))
        }

        async fn save_account(&mut self, account: &Account) -> Result<bool, StoreError> {
            let saved = self.inner().save_account(account).await?;
            Ok(saved || self.fault == Fault::SavesTakenNames)
        }

        async fn delete_account(&mut self, account: &Account, now: Timestamp) -> Result<(), StoreError> {
            let page = PageRequest::new(None, 100);
            match self.fault {
                Fault::DeletesNothingButRights => {
                    let mut account = account.clone();
                    account.enabled = false;
                    self.inner().save_account(&account).await?;
                    return Ok(());
                }
                Fault::LeavesRobots => {
                    let robots = AccountFilter::RobotsOf(account.id);
                    for mut robot in self.inner().accounts(robots, &page).await? {
                        robot.owner = None;
                        self.inner().save_account(&robot).await?;
                    }
                }
                Fault::LeavesTokens => {
                    let page = PageRequest::new(None, 100);
                    let tokens = self.inner().app_tokens(Some(account.id), &page).await?;
                    self.ghosts.lock().unwrap().extend(tokens);
                }
                _ => {}
            }
            self.inner().delete_account(account, now).await
        }

        async fn rename_namespace(
            &mut self,
            account: AccountId,
            from: &str,
            to: &str,
        ) -> Result<bool, StoreError> {
            let renamed = self.inner().rename_namespace(account, from, to).await?;
            if self.fault == Fault::RenamesNoRobots && renamed {
                let (robots, page) = (AccountFilter::RobotsOf(account), PageRequest::new(None, 100));
                for mut robot in self.inner().accounts(robots, &page).await? {
                    robot.name = robot.name.replacen(to, from, 1);
                    self.inner().save_account(&robot).await?;
                }
            }
            Ok(renamed)
        }

        async fn create_repository(
            &mut self,
            name: &RepositoryName,
            visibility: Visibility,
            description: Option<&str>,
            now: Timestamp,
        ) -> Result<Option<RepositoryRecord>, StoreError> {
            let description = description.filter(|_| self.fault != Fault::LosesDescriptions);
            self.inner().create_repository(name, visibility, description, now).await
        }
    }
}

passed_on! { TeamWriter for BrokenUnit:
    insert_team(team: &Team) -> Option<i64>;
    save_team(team: &Team) -> ();
    delete_team(team: i64) -> ();
    remove_member(team: i64, account: AccountId) -> bool;
    insert_invite(invite: &TeamInvite) -> ();
    delete_invite(id: i64) -> bool;
    {
        async fn add_member(&mut self, team: i64, account: AccountId) -> Result<bool, StoreError> {
            let added = self.inner().add_member(team, account).await?;
            Ok(added || self.fault == Fault::AddsMembersTwice)
        }
    }
}

passed_on! { GrantWriter for BrokenUnit:
    remove_grant(repository: RepositoryId, grantee: Grantee) -> bool;
    insert_prototype(prototype: &Prototype) -> ();
    save_prototype(prototype: &Prototype) -> ();
    delete_prototype(id: i64) -> ();
    {
        async fn set_grant(
            &mut self,
            repository: RepositoryId,
            grantee: Grantee,
            role: RepositoryRole,
        ) -> Result<(), StoreError> {
            let old = self.inner().grant(repository, grantee).await?;
            if self.fault == Fault::KeepsTheOldRole && old.is_some() {
                return Ok(());
            }
            self.inner().set_grant(repository, grantee, role).await
        }

        async fn remove_grants_in(&mut self, account: AccountId, namespace: &str) -> Result<(), StoreError> {
            if self.fault == Fault::KeepsRolesInANamespace {
                return Ok(());
            }
            self.inner().remove_grants_in(account, namespace).await
        }
    }
}

passed_on! { CredentialWriter for BrokenUnit:
    insert_app_token(token: &AppToken) -> ();
    delete_app_token(id: i64) -> ();
    touch_app_token(id: i64, now: Timestamp) -> ();
    insert_access_token(token: &AccessToken) -> ();
    insert_application(application: &Application) -> i64;
    save_application(application: &Application) -> ();
    delete_application(id: i64) -> ();
    insert_oauth_token(token: &OAuthToken) -> ();
    delete_oauth_token(id: i64) -> ();
    touch_oauth_token(id: i64, now: Timestamp) -> ();
    delete_credentials(account: AccountId) -> ();
    insert_assignment(assignment: &TokenAssignment) -> ();
    insert_code(code: &AuthorizationCode) -> ();
    collect_codes(before: Timestamp, limit: usize) -> u64;
    {
        async fn collect_app_tokens(&mut self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
            let later = i64::from(self.fault == Fault::CollectsTokensThatLive);
            let before = Timestamp::from_millis(before.as_millis() + later);
            let limit = if self.fault == Fault::CollectsWithoutLimit { 1000 } else { limit };
            self.inner().collect_app_tokens(before, limit).await
        }

        async fn delete_assignment(&mut self, id: i64) -> Result<bool, StoreError> {
            if self.fault == Fault::TakesAssignmentsTwice {
                self.inner().delete_assignment(id).await?;
                return Ok(true);
            }
            self.inner().delete_assignment(id).await
        }

        async fn take_code(&mut self, name: &str) -> Result<Option<AuthorizationCode>, StoreError> {
            let taken = self.inner().take_code(name).await?;
            if let (Fault::HandsOutCodesTwice, Some(code)) = (self.fault, &taken) {
                self.inner().insert_code(code).await?;
            }
            Ok(taken)
        }
    }
}

passed_on! { NoticeWriter for BrokenUnit:
    save_service_key(key: &ServiceKey) -> ();
    delete_service_key(kid: &str) -> bool;
    insert_message(message: &Message) -> ();
    delete_message(uuid: &str) -> bool;
    insert_notice(notice: &Notice) -> ();
    delete_notices(lookup: &str) -> ();
    insert_confirmation(confirmation: &Confirmation) -> ();
    take_confirmation(code_hash: &str) -> Option<Confirmation>;
    collect_confirmations(before: Timestamp, limit: usize) -> u64;
    unstar(account: AccountId, repository: RepositoryId) -> bool;
    forget_changes(before: Timestamp) -> ();
    log(entry: &LogEntry) -> ();
    {
        async fn delete_confirmations(
            &mut self,
            account: AccountId,
            purpose: ConfirmationPurpose,
        ) -> Result<(), StoreError> {
            if self.fault == Fault::KeepsConfirmations {
                return Ok(());
            }
            self.inner().delete_confirmations(account, purpose).await
        }

        async fn insert_service_key(&mut self, key: &ServiceKey) -> Result<bool, StoreError> {
            let inserted = self.inner().insert_service_key(key).await?;
            Ok(inserted || self.fault == Fault::StoresKeysTwice)
        }

        async fn dismiss_notice(&mut self, uuid: &str, dismissed: bool) -> Result<(), StoreError> {
            let dismissed = dismissed && self.fault != Fault::DismissesNothing;
            self.inner().dismiss_notice(uuid, dismissed).await
        }

        async fn star(&mut self, account: AccountId, repository: RepositoryId) -> Result<bool, StoreError> {
            let starred = self.inner().star(account, repository).await?;
            Ok(starred || self.fault == Fault::StarsTwice)
        }

        async fn change(&mut self, subject: &str, now: Timestamp) -> Result<(), StoreError> {
            if self.fault == Fault::MovesChangesBack {
                let all = self.inner().changes(Timestamp::from_millis(0)).await?;
                self.inner().forget_changes(Timestamp::from_millis(i64::MAX)).await?;
                for change in all.iter().filter(|change| change.subject != subject) {
                    self.inner().change(&change.subject, change.at).await?;
                }
            }
            self.inner().change(subject, now).await
        }
    }
}

#[async_trait]
impl UnitOfWork for BrokenUnit {
    fn repositories(&mut self) -> &mut dyn RepositoryStore {
        self.inner.repositories()
    }

    fn manifests(&mut self) -> &mut dyn ManifestStore {
        self.inner.manifests()
    }

    fn tags(&mut self) -> &mut dyn TagStore {
        self.inner.tags()
    }

    fn blobs(&mut self) -> &mut dyn BlobIndex {
        self.inner.blobs()
    }

    fn uploads(&mut self) -> &mut dyn UploadStore {
        self.inner.uploads()
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self.inner.outbox()
    }

    fn action_log(&mut self) -> Option<&mut dyn ActionLog> {
        self.inner.action_log()
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        if self.fault == Fault::ForgetsCommits {
            return Ok(());
        }
        self.inner.commit().await
    }
}

impl AccountUnit for BrokenUnit {
    fn accounts(&mut self) -> &mut dyn AccountWrites {
        self
    }
}

#[async_trait]
impl MetadataStore for Broken {
    fn is_sole_writer(&self) -> bool {
        self.inner.is_sole_writer()
    }

    async fn repository(&self, name: &RepositoryName) -> Result<Option<Arc<RepositoryRecord>>, StoreError> {
        self.inner.repository(name).await
    }

    async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        now: Timestamp,
    ) -> Result<Lookup<ManifestRecord>, StoreError> {
        self.inner.manifest(name, reference, now).await
    }

    async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Lookup<BlobRecord>, StoreError> {
        self.inner.blob(name, digest).await
    }

    async fn tags(
        &self,
        name: &RepositoryName,
        page: &PageRequest<Tag>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<Tag>>, StoreError> {
        self.inner.tags(name, page, now).await
    }

    async fn repositories(
        &self,
        page: &PageRequest<String>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError> {
        self.inner.repositories(page).await
    }

    async fn holders(
        &self,
        digest: &Digest,
        page: &PageRequest<RepositoryId>,
    ) -> Result<Vec<LinkedBlob>, StoreError> {
        self.inner.holders(digest, page).await
    }

    async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        page: &PageRequest<Digest>,
    ) -> Result<Lookup<Vec<Referrer>>, StoreError> {
        self.inner.referrers(name, subject, artifact_type, page).await
    }

    async fn tag_history(
        &self,
        name: &RepositoryName,
        filter: &TagFilter,
        skip: usize,
        page: &PageRequest<TagPosition>,
        now: Timestamp,
    ) -> Result<Lookup<Vec<TagEntry>>, StoreError> {
        self.inner.tag_history(name, filter, skip, page, now).await
    }

    async fn labels(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        prefix: &str,
    ) -> Result<Lookup<Vec<LabelRecord>>, StoreError> {
        self.inner.labels(name, digest, prefix).await
    }

    async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        self.inner.upload(id).await
    }

    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        self.inner.begin().await
    }
}

#[async_trait]
impl AccountStore for Broken {
    fn reader(&self) -> Box<dyn AccountReads> {
        Box::new(BrokenReader {
            inner: self.inner.reader(),
            fault: self.fault,
            ghosts: Arc::clone(&self.ghosts),
        })
    }

    async fn begin_accounts(&self) -> Result<Box<dyn AccountUnit>, StoreError> {
        Ok(Box::new(BrokenUnit {
            inner: self.inner.begin_accounts().await?,
            fault: self.fault,
            ghosts: Arc::clone(&self.ghosts),
        }))
    }
}

struct InFile {
    store: Arc<Broken>,
    _directory: TempDir,
}

impl Instance<dyn AccountStore> for InFile {
    fn store(&self) -> Arc<dyn AccountStore> {
        Arc::<Broken>::clone(&self.store)
    }
}

async fn broken(fault: Fault) -> Box<dyn Instance<dyn AccountStore>> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("quay.db");
    let inner = SqlMetadata::open_sqlite(&path, &TestSpawner::current()).await;
    let store = Broken {
        inner: inner.unwrap(),
        fault,
        ghosts: Ghosts::default(),
    };
    Box::new(InFile {
        store: Arc::new(store),
        _directory: directory,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_everything_on_passes() {
    accounts::run(&|| broken(Fault::None).boxed())
        .await
        .assert_passed();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_store_is_caught() {
    let mut missed = Vec::new();
    for (fault, name) in FAULTS {
        let case = accounts::CASES.iter().find(|case| case.name == name).unwrap();
        let outcome = case.run(&mut *broken(fault).await).await;
        if !matches!(outcome, Err(Failure::Broken(_))) {
            missed.push((fault, name));
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
