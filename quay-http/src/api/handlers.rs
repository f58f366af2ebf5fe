//! Which function answers which operation.

mod applications;
mod lists;
mod manifests;
mod organizations;
mod past;
mod permissions;
mod repositories;
mod robots;
mod search;
mod security;
mod superusers;
mod tags;
mod teams;
mod users;
mod views;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use quay_core::accounts::RepositoryRole;
use quay_core::{Error, ErrorKind};

use super::exchange::Exchange;
use super::reply::Reply;

/// A member of the body that the operation's schema requires to be a text.
fn text<'a>(exchange: &'a Exchange, member: &str) -> &'a str {
    exchange.text(member).unwrap_or_default()
}

/// The role that the body names.
fn role(exchange: &Exchange) -> Result<RepositoryRole, Error> {
    RepositoryRole::from_name(text(exchange, "role"))
        .ok_or_else(|| Error::new(ErrorKind::InvalidRequest, "Invalid role"))
}

/// An error of the registry's as the API tells it: the registry does not say whether somebody must log in first.
fn told(error: Error, exchange: &Exchange) -> Error {
    let anonymous = exchange.caller.principal == quay_core::Principal::Anonymous;
    match error.kind() {
        ErrorKind::Unauthorized if anonymous => {
            Error::new(ErrorKind::InvalidToken, "Requires authentication")
        }
        ErrorKind::Unauthorized => Error::new(ErrorKind::Forbidden, "Unauthorized"),
        // Whether the registry takes writes has been looked at before.
        ErrorKind::ReadOnly => error.with_detail(serde_json::json!({})),
        ErrorKind::NameUnknown | ErrorKind::ManifestUnknown => Error::new(ErrorKind::NotFound, "Not Found"),
        _ => error,
    }
}

/// What is wrong with a request to read a repository's content: told to those alone who may read it.
async fn wrong_read(exchange: &Exchange, error: Error) -> Error {
    let name = match exchange.repository() {
        Ok(name) => name,
        Err(missing) => return missing,
    };
    let registry = &exchange.state.registry;
    match registry.may_pull_from(name, &exchange.caller).await {
        Ok(()) => error,
        Err(refused) => told(refused, exchange),
    }
}

/// What is wrong with a request to change a repository's content: told to those alone who may change it.
async fn wrong(exchange: &Exchange, error: Error) -> Error {
    let name = match exchange.repository() {
        Ok(name) => name,
        Err(missing) => return missing,
    };
    match exchange.state.registry.may_change(name, &exchange.caller).await {
        Ok(()) => error,
        Err(refused) => told(refused, exchange),
    }
}

/// Answers one operation.
pub(crate) type Handler = fn(Exchange) -> BoxFuture<'static, Result<Reply, Error>>;

/// The table: `"operationId" => path::to::function`, each an `async fn(Exchange) -> Result<Reply, Error>`.
macro_rules! handlers {
    ($($id:literal => $function:path,)*) => {
        /// The function that answers an operation.
        pub(crate) fn handler(operation_id: &str) -> Option<Handler> {
            match operation_id {
                $($id => Some(|exchange| $function(exchange).boxed()),)*
                _ => None,
            }
        }

        /// Every operation that has a function.
        #[cfg(test)]
        const HANDLED: &[&str] = &[$($id,)*];
    };
}

handlers! {
    "acceptOrganizationTeamInvite" => teams::accept,
    "addManifestLabel" => manifests::add_label,
    "approveServiceKey" => superusers::approve_key,
    "changeInstallUser" => superusers::change_user,
    "changeOrganization" => superusers::change_organization,
    "changeOrganizationDetails" => organizations::change,
    "changeRepoState" => repositories::change_state,
    "changeRepoVisibility" => repositories::change_visibility,
    "changeTag" => tags::change,
    "changeTeamPermissions" => permissions::set_team,
    "changeToken" => super::repotoken::gone,
    "changeUserDetails" => users::change,
    "changeUserPermissions" => permissions::set_user,
    "conductRepoSearch" => search::repositories,
    "conductSearch" => search::everything,
    "convertUserToOrganization" => users::convert,
    "createAppToken" => applications::create_app_token,
    "createGlobalMessage" => superusers::create_message,
    "createInstallUser" => superusers::create_user,
    "createNewUser" => users::sign_up,
    "createOrgRobot" => robots::create,
    "createOrgRobotFederation" => robots::set_federation,
    "createOrganization" => organizations::create,
    "createOrganizationApplication" => applications::create,
    "createOrganizationApplicationToken" => applications::create_token,
    "createOrganizationPrototypePermission" => organizations::create_prototype,
    "createRepo" => repositories::create,
    "createServiceKey" => superusers::create_key,
    "createStar" => users::star,
    "createToken" => super::repotoken::gone,
    "createUserRobot" => robots::create,
    "createUserRobotFederation" => robots::set_federation,
    "declineOrganizationTeamInvite" => teams::decline,
    "deleteAdminedOrganization" => organizations::delete,
    "deleteAssignedAuthorization" => users::decline_assignment,
    "deleteCurrentUser" => users::delete,
    "deleteFullTag" => tags::delete,
    "deleteGlobalMessage" => superusers::delete_message,
    "deleteInstallUser" => superusers::delete_user,
    "deleteManifestLabel" => manifests::delete_label,
    "deleteOrgRobot" => robots::delete,
    "deleteOrgRobotFederation" => robots::delete_federation,
    "deleteOrganization" => superusers::delete_organization,
    "deleteOrganizationApplication" => applications::delete,
    "deleteOrganizationApplicationToken" => applications::delete_token,
    "deleteOrganizationPrototypePermission" => organizations::delete_prototype,
    "deleteOrganizationTeam" => teams::delete,
    "deleteOrganizationTeamMember" => teams::remove_member,
    "deleteRepository" => repositories::delete,
    "deleteServiceKey" => superusers::delete_key,
    "deleteStar" => users::unstar,
    "deleteTeamMemberEmailInvite" => teams::delete_invite,
    "deleteTeamPermissions" => permissions::delete_team,
    "deleteToken" => super::repotoken::gone,
    "deleteUserAuthorization" => users::delete_authorization,
    "deleteUserPermissions" => permissions::delete_user,
    "deleteUserRobot" => robots::delete,
    "deleteUserRobotFederation" => robots::delete_federation,
    "detachExternalLogin" => users::detach_external,
    "discovery" => super::discovery::discovery,
    "explainRepositoryPermission" => permissions::explain,
    "generateUserClientKey" => users::client_key,
    "getAppToken" => applications::get_app_token,
    "getApplicationInformation" => applications::information,
    "getErrorDescription" => super::errors::describe,
    "getGlobalMessages" => superusers::messages,
    "getInstallUser" => superusers::get_user,
    "getLoggedInUser" => users::me_call,
    "getManifestLabel" => manifests::get_label,
    "getMatchingEntities" => search::entities,
    "getOrgRobot" => robots::get,
    "getOrgRobotFederation" => robots::federation,
    "getOrgRobotPermissions" => robots::permissions,
    "getOrgRobots" => robots::list_robots,
    "getOrganization" => organizations::get,
    "getOrganizationApplication" => applications::get,
    "getOrganizationApplications" => applications::list_all,
    "getOrganizationCollaborators" => organizations::collaborators,
    "getOrganizationMember" => organizations::get_member,
    "getOrganizationMembers" => organizations::list_members,
    "getOrganizationPrototypePermissions" => organizations::prototypes,
    "getOrganizationTeamMembers" => teams::list_members,
    "getOrganizationTeamPermissions" => teams::permissions,
    "getRegistryCapabilities" => super::capabilities::capabilities,
    "getRepo" => repositories::get,
    "getRepoManifest" => manifests::get,
    "getRepoManifestSecurity" => security::of_manifest,
    "getServiceKey" => superusers::get_key,
    "getTeamPermissions" => permissions::get_team,
    "getTokens" => super::repotoken::gone,
    "getUserAuthorization" => users::one_authorization,
    "getUserInformation" => users::user,
    "getUserNotification" => users::one_notice,
    "getUserPermissions" => permissions::get_user,
    "getUserRobot" => robots::get,
    "getUserRobotFederation" => robots::federation,
    "getUserRobotPermissions" => robots::permissions,
    "getUserRobots" => robots::list_robots,
    "getUserTransitivePermission" => permissions::transitive,
    "initializeUser" => users::initialize,
    "inviteTeamMemberEmail" => teams::invite,
    "linkExternalUser" => search::link,
    "listAllAppTokens" => applications::list_all_app_tokens,
    "listAllOrganizations" => superusers::list_organizations,
    "listAllUsers" => superusers::list_users,
    "listAppTokens" => applications::list_app_tokens,
    "listAssignedAuthorizations" => users::assignments,
    "listManifestLabels" => manifests::labels,
    "listOrganizationApplicationTokens" => applications::list_tokens,
    "listRepoTags" => tags::list,
    "listRepoTeamPermissions" => permissions::list_teams,
    "listRepoTokens" => super::repotoken::gone,
    "listRepoUserPermissions" => permissions::list_users,
    "listRepos" => repositories::list,
    "listServiceKeys" => superusers::list_keys,
    "listStarredRepos" => users::stars,
    "listUserAuthorizations" => users::authorizations,
    "listUserNotifications" => users::notices,
    "logout" => users::sign_out,
    "regenerateOrgRobotToken" => robots::regenerate,
    "regenerateUserRobotToken" => robots::regenerate,
    "removeOrganizationMember" => organizations::remove_member,
    "removeTagFromTimemachine" => past::erase,
    "requestRecoveryEmail" => users::recovery,
    "resetOrganizationApplicationClientSecret" => applications::reset_secret,
    "restoreRepository" => past::undo,
    "restoreTag" => tags::restore,
    "retrieveExternalLoginAuthorizationUrl" => users::external_login,
    "revokeAppToken" => applications::delete_app_token,
    "scRegistryStatus" => superusers::registry_status,
    "sendInstallUserRecoveryEmail" => superusers::send_recovery,
    "signinUser" => users::sign_in,
    "takeOwnership" => superusers::take_ownership,
    "updateOrganizationApplication" => applications::change,
    "updateOrganizationPrototypePermission" => organizations::change_prototype,
    "updateOrganizationTeam" => teams::put,
    "updateOrganizationTeamMember" => teams::add_member,
    "updateRepo" => repositories::describe,
    "updateServiceKey" => superusers::change_key,
    "updateUserNotification" => users::one_notice,
    "verifyUser" => users::verify,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::operations::served;

    #[test]
    fn every_served_operation_has_a_function_and_every_function_an_operation() {
        let served: BTreeSet<&str> = served().map(|(_, _, operation)| operation.id.as_str()).collect();
        let handled: BTreeSet<&str> = HANDLED.iter().copied().collect();
        assert_eq!(handled, served);
        assert_eq!(handled.len(), HANDLED.len(), "a name stands there twice");
        assert!(HANDLED.iter().all(|id| handler(id).is_some()));
    }
}
