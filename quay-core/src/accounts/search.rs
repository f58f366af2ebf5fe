//! Finding repositories, and how much is done with them (`quay-api.md`, 3.10).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::facade::{Accounts, change};
use super::record::{Account, AccountId, RepositoryDetails, Team};
use super::store::{AccountCursor, AccountFilter, AccountKey};
use crate::caller::{Access, Caller};
use crate::error::{Error, StoreError};
use crate::metadata::{PageRequest, RepositoryId, RepositoryRecord};
use crate::runtime::Timestamp;

/// Results of each kind where everything is searched.
const EACH: usize = 5;
/// Teams of one account that are looked through.
const TEAMS: usize = 500;
/// Days that a repository's statistics go back.
const STATISTICS: i64 = 92;
/// Days whose actions are a repository's popularity.
const WEEK: i64 = 7;
/// The days of which a score is made, yesterday first: how many, and what the actions of an average day among them
/// count (Quay's weights, which are one together).
const BUCKETS: [(i64, f64); 4] = [(1, 0.010_870), (6, 0.062_815), (24, 0.216_04), (152, 0.710_28)];
/// Days that counts go back for a score.
const SCORED: i64 = 183;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A day, in days since 1970.
fn day_of(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(DAY_MS)
}

/// What repositories are looked for, and by whom.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RepositorySearch<'a> {
    /// What their names hold, or words of their descriptions begin with, in small letters; all when empty.
    pub text: &'a str,
    /// Who looks: what they see by a role of their own or of a team, in the namespace of their name, and in
    /// organizations that they administer counts, besides what is public.
    pub account: Option<(AccountId, &'a str)>,
    /// Results passed over.
    pub skip: usize,
    /// Results at the most.
    pub limit: usize,
}

impl<'a> RepositorySearch<'a> {
    /// The first `limit` of what everybody sees.
    #[must_use]
    pub const fn new(text: &'a str, limit: usize) -> Self {
        Self {
            text,
            account: None,
            skip: 0,
            limit,
        }
    }

    /// As somebody sees it.
    #[must_use]
    pub const fn by(mut self, account: Option<(AccountId, &'a str)>) -> Self {
        self.account = account;
        self
    }

    /// Passes results over.
    #[must_use]
    pub const fn with_skip(mut self, skip: usize) -> Self {
        self.skip = skip;
        self
    }
}

/// How much is done with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Popularity {
    /// Which.
    pub repository: RepositoryId,
    /// How many have starred it.
    pub stars: u64,
    /// Actions since a day.
    pub actions: u64,
}

impl Popularity {
    /// As a store counted it.
    #[must_use]
    pub const fn new(repository: RepositoryId, stars: u64, actions: u64) -> Self {
        Self {
            repository,
            stars,
            actions,
        }
    }
}

/// A repository whose day has just been counted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counted {
    /// Which.
    pub repository: RepositoryId,
    /// When it was made.
    pub created: Timestamp,
    /// Actions by day, days without any left out.
    pub days: Vec<(i64, u64)>,
}

impl Counted {
    /// As a store counted it.
    #[must_use]
    pub const fn new(repository: RepositoryId, created: Timestamp, days: Vec<(i64, u64)>) -> Self {
        Self {
            repository,
            created,
            days,
        }
    }
}

/// Repositories as they are found, read.
#[async_trait]
pub trait SearchReader: Send {
    /// Repositories that hold a text, those first with which most is done: a name that holds it counts a hundred times
    /// as much as a description. Each once; none that is being deleted.
    ///
    /// Cost follows a constant, the caller's roles and the organizations that they administer, and not the number of
    /// repositories: of what is public, and of each namespace, at most a thousand that hold the text are looked at. Where
    /// no more hold it, the order is exact.
    async fn search_repositories(
        &mut self,
        search: &RepositorySearch<'_>,
    ) -> Result<Vec<Arc<RepositoryRecord>>, StoreError>;

    /// How much is done with repositories: their stars, and their actions since a day (in days since 1970). Nothing of
    /// those with neither need be told.
    async fn popularity(
        &mut self,
        repositories: &[RepositoryId],
        since: i64,
    ) -> Result<Vec<Popularity>, StoreError>;

    /// A repository's actions by day since a day, the oldest first; days without any are left out.
    async fn action_counts(
        &mut self,
        repository: RepositoryId,
        since: i64,
    ) -> Result<Vec<(i64, u64)>, StoreError>;
}

/// How much is done with repositories, written.
#[async_trait]
pub trait PopularityWriter: Send {
    /// Counts from the action log what was done on a day with repositories that it was not counted for, at most `limit`
    /// of them, and records it. These, with what was counted since `since`; what was counted `forgotten` or earlier is
    /// forgotten. Cost follows `limit`, and what was done on that day.
    async fn count_actions(
        &mut self,
        day: i64,
        since: i64,
        forgotten: i64,
        limit: usize,
    ) -> Result<Vec<Counted>, StoreError>;

    /// Sets a repository's score, and that a day was counted.
    async fn set_score(&mut self, repository: RepositoryId, score: i64, day: i64) -> Result<(), StoreError>;
}

/// A repository that was found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FoundRepository {
    /// Its row.
    pub record: Arc<RepositoryRecord>,
    /// What else is known of it.
    pub details: RepositoryDetails,
    /// How many have starred it.
    pub stars: u64,
    /// Actions of the last week.
    pub popularity: u64,
    /// Whose namespace it is in, if it is somebody's.
    pub namespace: Option<Account>,
}

/// What was found, of every kind.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Found {
    /// Teams, with their organizations.
    pub teams: Vec<(Team, Account)>,
    /// Robots.
    pub robots: Vec<Account>,
    /// Repositories.
    pub repositories: Vec<FoundRepository>,
    /// Users and organizations.
    pub namespaces: Vec<Account>,
}

/// The score of a repository of which this was counted, on the day behind the last that was: the actions of a day on the
/// average, weighed by how long ago the days are. Days before it was made do not count.
fn score(counted: &Counted, today: i64) -> i64 {
    let age = (today - day_of(counted.created)).max(1);
    let (mut passed, mut score) = (0, 0.0);
    for (days, weight) in BUCKETS {
        let (first, last) = (today - passed - days, today - passed);
        let within = counted.days.iter().filter(|(day, _)| (first..last).contains(day));
        let actions: u64 = within.map(|(_, actions)| actions).sum();
        let there = days.min(age - passed);
        passed += days;
        if there > 0 {
            #[expect(clippy::cast_precision_loss, reason = "nobody counts that far")]
            let average = actions as f64 / there as f64;
            score += average * weight;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "it ends at the bounds")]
    let score = (score * 100.0) as i64;
    score
}

/// The place right before all names that begin with a text.
fn before(prefix: &str) -> Option<String> {
    let mut before = prefix.to_owned();
    let last = before.pop()?;
    let last = char::from_u32(u32::from(last).checked_sub(1)?)?;
    before.push(last);
    before.push('\u{7f}');
    Some(before)
}

impl Accounts {
    /// Whose roles count for a caller, if anybody's.
    async fn searching(&self, caller: &Caller) -> Result<Option<Account>, Error> {
        let sees = match &caller.access {
            Access::Own => true,
            Access::Scopes(scopes) => scopes.repository_cap().is_some(),
            Access::Repository { .. } | Access::Grants(_) => false,
        };
        match self.actor(caller).await {
            Ok(actor) => Ok(Some(actor.account).filter(|_| sees)),
            Err(error) if error.store_error().is_some() => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Repositories that the caller may see and that hold a text, those first with which most is done, and whether more
    /// follow. `page` counts from 1; there are no more pages than the options say.
    ///
    /// # Errors
    /// A store's.
    pub async fn search_repositories(
        &self,
        caller: &Caller,
        text: &str,
        page: usize,
    ) -> Result<(Vec<FoundRepository>, bool), Error> {
        let (size, pages) = (self.0.options.search_page, self.0.options.search_pages);
        let page = page.clamp(1, pages);
        let skip = (page - 1).saturating_mul(size);
        let mut found = self.found_repositories(caller, text, skip, size + 1).await?;
        let more = found.len() > size;
        found.truncate(size);
        Ok((found, more))
    }

    async fn found_repositories(
        &self,
        caller: &Caller,
        text: &str,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<FoundRepository>, Error> {
        let text = text.trim().to_lowercase();
        if text.chars().any(char::is_control) {
            return Ok(Vec::new());
        }
        let account = self.searching(caller).await?;
        let account = account
            .as_ref()
            .map(|account| (account.id, account.name.as_str()));
        let search = RepositorySearch::new(&text, limit).by(account).with_skip(skip);
        let mut reader = self.reader();
        let records = reader.search_repositories(&search).await?;
        let ids: Vec<RepositoryId> = records.iter().map(|record| record.id).collect();
        let now = self.now();
        let details = reader
            .repository_details(&ids, account.map(|(id, _)| id), now)
            .await?;
        let popularity = reader.popularity(&ids, day_of(now) - WEEK).await?;
        let mut found = Vec::with_capacity(records.len());
        for record in records {
            let details = details.iter().find(|details| details.repository == record.id);
            let popularity = popularity.iter().find(|counted| counted.repository == record.id);
            let Some(details) = details.cloned() else { continue };
            found.push(FoundRepository {
                namespace: reader.account(AccountKey::Name(record.name.namespace())).await?,
                stars: popularity.map_or(0, |counted| counted.stars),
                popularity: popularity.map_or(0, |counted| counted.actions),
                record,
                details,
            });
        }
        Ok(found)
    }

    /// What of every kind the caller may see and a text is found in, five each: teams of theirs, or of organizations
    /// that they administer, robots of theirs, repositories, and the namespaces of repositories. Names of all but
    /// repositories begin with the text.
    ///
    /// # Errors
    /// A store's.
    pub async fn search(&self, caller: &Caller, text: &str) -> Result<Found, Error> {
        let text = text.trim().to_lowercase();
        let mut found = Found::default();
        if text.is_empty() || text.chars().any(char::is_control) {
            return Ok(found);
        }
        if let Some(account) = self.searching(caller).await? {
            self.find_teams_and_robots(&account, &text, &mut found).await?;
        }
        found.repositories = self.found_repositories(caller, &text, 0, EACH).await?;
        let filter = AccountFilter::Prefix {
            prefix: &text,
            robots_of: None,
            organizations: true,
        };
        let page = PageRequest::new(None, EACH * 3);
        let accounts = self.reader().accounts(filter, &page).await?;
        for account in accounts.into_iter().filter(|account| !account.is_robot()) {
            if found.namespaces.len() < EACH {
                let list = super::RepositoryList::Namespace {
                    name: account.name.clone(),
                    public: true,
                };
                let (seen, _) = self
                    .repositories(caller, &list, &PageRequest::new(None, 1))
                    .await?;
                if !seen.is_empty() {
                    found.namespaces.push(account);
                }
            }
        }
        Ok(found)
    }

    async fn find_teams_and_robots(
        &self,
        account: &Account,
        text: &str,
        found: &mut Found,
    ) -> Result<(), Error> {
        let mut reader = self.reader();
        let teams = reader.teams_of(account.id, None).await?;
        let mut owners = vec![account.clone()];
        let mut matching: Vec<Team> = Vec::new();
        for team in teams.into_iter().take(TEAMS) {
            let administers = team.role == super::TeamRole::Admin
                && !owners.iter().any(|owner| owner.id == team.organization);
            if administers && let Some(owner) = reader.account(AccountKey::Id(team.organization)).await? {
                let page = PageRequest::new(before(text), EACH);
                let of_owner = reader.teams(owner.id, &page).await?;
                let of_owner = of_owner.into_iter().map(|summary| summary.team);
                matching.extend(of_owner.take_while(|team| team.name.starts_with(text)));
                owners.push(owner);
            }
            if team.name.starts_with(text) {
                matching.push(team);
            }
        }
        matching.sort_by(|left, right| left.name.cmp(&right.name).then(left.id.cmp(&right.id)));
        matching.dedup_by_key(|team| team.id);
        for team in matching.into_iter().take(EACH) {
            if let Some(owner) = reader.account(AccountKey::Id(team.organization)).await? {
                found.teams.push((team, owner));
            }
        }
        for owner in owners {
            let begin = format!("{}+{text}", owner.name);
            let after = before(&begin).map(|name| AccountCursor { id: 0, name });
            let left = EACH - found.robots.len();
            let page = PageRequest::new(after, left);
            let robots = reader.accounts(AccountFilter::RobotsOf(owner.id), &page).await?;
            let robots = robots.into_iter().filter(|robot| robot.name.starts_with(&begin));
            found.robots.extend(robots);
        }
        Ok(())
    }

    /// Actions of the last week of repositories that the caller may see: what a list of them was asked to show.
    ///
    /// # Errors
    /// A store's.
    pub async fn popularity(&self, repositories: &[RepositoryId]) -> Result<Vec<Popularity>, Error> {
        let since = day_of(self.now()) - WEEK;
        Ok(self.reader().popularity(repositories, since).await?)
    }

    /// Actions in a repository by day of the last three months, the oldest day first; each with the time at which it
    /// began.
    ///
    /// # Errors
    /// A store's.
    pub async fn statistics(&self, repository: RepositoryId) -> Result<Vec<(Timestamp, u64)>, Error> {
        let today = day_of(self.now());
        let counted = self
            .reader()
            .action_counts(repository, today - STATISTICS + 1)
            .await?;
        let counts = |day: i64| {
            let of_day = counted.iter().find(|(counted, _)| *counted == day);
            of_day.map_or(0, |(_, actions)| *actions)
        };
        let days = (today - STATISTICS + 1)..today;
        Ok(days
            .map(|day| (Timestamp::from_millis(day.saturating_mul(DAY_MS)), counts(day)))
            .collect())
    }

    /// One step of counting what is done with repositories: counts yesterday for up to `limit` of those that it was not
    /// counted for, and scores them. How many there were. May run at any time, in any number of processes.
    ///
    /// # Errors
    /// A store's.
    pub async fn count_actions(&self, limit: usize) -> Result<usize, Error> {
        let today = day_of(self.now());
        change!(self, |unit| async {
            let forgotten =
                today - i64::try_from(Duration::from_hours(365 * 24).as_secs() / 86_400).unwrap_or(365);
            let counted = unit
                .count_actions(today - 1, today - SCORED, forgotten, limit)
                .await?;
            for counted in &counted {
                unit.set_score(counted.repository, score(counted, today), today - 1)
                    .await?;
            }
            Ok(counted.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_follow_what_was_done_and_when() {
        let counted = |created: i64, days: &[(i64, u64)]| {
            let created = Timestamp::from_millis(created * DAY_MS);
            score(&Counted::new(1, created, days.to_vec()), 1000)
        };
        assert_eq!(counted(0, &[]), 0);
        // 100 a day through half a year: the weights together are one.
        let every_day: Vec<(i64, u64)> = (817..1000).map(|day| (day, 100)).collect();
        assert_eq!(counted(0, &every_day), 10_000);
        // Yesterday alone counts a hundredth, the week before it its own weight over six days.
        assert_eq!(counted(0, &[(999, 100)]), 108);
        assert_eq!(counted(0, &[(993, 600)]), 628);
        // What was made the day before yesterday has no more days than two.
        assert_eq!(counted(998, &[(998, 100)]), 628);
        assert_eq!(counted(0, &[(1000, 100), (816, 100)]), 0);
    }

    #[test]
    fn the_place_before_a_prefix_is_before_all_that_begin_with_it() {
        for (prefix, name) in [("a", "a"), ("org", "org"), ("b-", "b-0"), ("0", "00")] {
            let before = before(prefix).unwrap();
            assert!(
                before.as_str() < name && !before.starts_with(prefix),
                "{before:?}"
            );
        }
    }
}
