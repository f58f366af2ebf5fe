//! The action log: who did what to whom, when (`quay-api.md`, section 7).

use std::fmt::Debug;
use std::net::IpAddr;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::metadata::RepositoryId;
use crate::runtime::Timestamp;

macro_rules! kinds {
    ($($variant:ident = $text:literal,)*) => {
        /// What was done. The names are Quay's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "the names say it, as in quay-api.md, section 7")]
        pub enum LogKind { $($variant,)* }

        impl LogKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name under which it is stored.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

kinds! {
    AccountChangePassword = "account_change_password",
    AccountConvert = "account_convert",
    CreateRobot = "create_robot",
    DeleteRobot = "delete_robot",
    RegenerateRobotToken = "regenerate_robot_token",
    CreateRobotFederation = "create_robot_federation",
    DeleteRobotFederation = "delete_robot_federation",
    FederatedRobotTokenExchange = "federated_robot_token_exchange",
    CreateRepo = "create_repo",
    PushRepo = "push_repo",
    PullRepo = "pull_repo",
    RepoVerb = "repo_verb",
    DeleteRepo = "delete_repo",
    SetRepoDescription = "set_repo_description",
    ChangeRepoVisibility = "change_repo_visibility",
    ChangeRepoState = "change_repo_state",
    CreateTag = "create_tag",
    MoveTag = "move_tag",
    DeleteTag = "delete_tag",
    RevertTag = "revert_tag",
    ChangeTagExpiration = "change_tag_expiration",
    ChangeTagImmutability = "change_tag_immutability",
    TagMadeImmutableByPolicy = "tag_made_immutable_by_policy",
    TagsMadeImmutableByPolicy = "tags_made_immutable_by_policy",
    CreateImmutabilityPolicy = "create_immutability_policy",
    UpdateImmutabilityPolicy = "update_immutability_policy",
    DeleteImmutabilityPolicy = "delete_immutability_policy",
    CreateNamespaceAutoprunePolicy = "create_namespace_autoprune_policy",
    UpdateNamespaceAutoprunePolicy = "update_namespace_autoprune_policy",
    DeleteNamespaceAutoprunePolicy = "delete_namespace_autoprune_policy",
    CreateRepositoryAutoprunePolicy = "create_repository_autoprune_policy",
    UpdateRepositoryAutoprunePolicy = "update_repository_autoprune_policy",
    DeleteRepositoryAutoprunePolicy = "delete_repository_autoprune_policy",
    AutopruneTagDelete = "autoprune_tag_delete",
    PermanentlyDeleteTag = "permanently_delete_tag",
    ManifestLabelAdd = "manifest_label_add",
    ManifestLabelDelete = "manifest_label_delete",
    ChangeRepoPermission = "change_repo_permission",
    DeleteRepoPermission = "delete_repo_permission",
    OrgCreateTeam = "org_create_team",
    OrgDeleteTeam = "org_delete_team",
    OrgSetTeamDescription = "org_set_team_description",
    OrgSetTeamRole = "org_set_team_role",
    OrgAddTeamMember = "org_add_team_member",
    OrgRemoveTeamMember = "org_remove_team_member",
    OrgInviteTeamMember = "org_invite_team_member",
    OrgDeleteTeamMemberInvite = "org_delete_team_member_invite",
    OrgTeamMemberInviteAccepted = "org_team_member_invite_accepted",
    OrgTeamMemberInviteDeclined = "org_team_member_invite_declined",
    CreatePrototypePermission = "create_prototype_permission",
    ModifyPrototypePermission = "modify_prototype_permission",
    DeletePrototypePermission = "delete_prototype_permission",
    CreateApplication = "create_application",
    UpdateApplication = "update_application",
    DeleteApplication = "delete_application",
    ResetApplicationClientSecret = "reset_application_client_secret",
    CreateOauthApiToken = "create_oauth_api_token",
    RevokeOauthApiToken = "revoke_oauth_api_token",
    CreateAppSpecificToken = "create_app_specific_token",
    RevokeAppSpecificToken = "revoke_app_specific_token",
    ServiceKeyCreate = "service_key_create",
    ServiceKeyApprove = "service_key_approve",
    ServiceKeyModify = "service_key_modify",
    ServiceKeyExtend = "service_key_extend",
    ServiceKeyDelete = "service_key_delete",
    ServiceKeyRotate = "service_key_rotate",
    TakeOwnership = "take_ownership",
    UserCreate = "user_create",
    UserDelete = "user_delete",
    UserDisable = "user_disable",
    UserEnable = "user_enable",
    UserChangeEmail = "user_change_email",
    UserChangePassword = "user_change_password",
    UserChangeName = "user_change_name",
    UserChangeInvoicing = "user_change_invoicing",
    UserChangeTagExpiration = "user_change_tag_expiration",
    UserChangeMetadata = "user_change_metadata",
    UserGenerateClientKey = "user_generate_client_key",
    OauthTokenAssigned = "oauth_token_assigned",
    OauthTokenRevoked = "oauth_token_revoked",
    OrgCreate = "org_create",
    OrgDelete = "org_delete",
    OrgChangeEmail = "org_change_email",
    OrgChangeInvoicing = "org_change_invoicing",
    OrgChangeTagExpiration = "org_change_tag_expiration",
    OrgChangeName = "org_change_name",
    OrgCreateQuota = "org_create_quota",
    OrgChangeQuota = "org_change_quota",
    OrgDeleteQuota = "org_delete_quota",
    OrgCreateQuotaLimit = "org_create_quota_limit",
    OrgChangeQuotaLimit = "org_change_quota_limit",
    OrgDeleteQuotaLimit = "org_delete_quota_limit",
    LoginSuccess = "login_success",
    LoginFailure = "login_failure",
    LogoutSuccess = "logout_success",
}

/// An entry of the action log.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LogEntry {
    /// What was done.
    pub kind: LogKind,
    /// The namespace that it concerns, by name; the performer's when there is none.
    pub namespace: Option<String>,
    /// Who did it, by name; nobody for anonymous callers.
    pub performer: Option<String>,
    /// The repository that it concerns.
    pub repository: Option<RepositoryId>,
    /// When.
    pub at: Timestamp,
    /// From where.
    pub address: Option<IpAddr>,
    /// More about it: an object.
    pub metadata: serde_json::Value,
}

impl LogEntry {
    /// An entry about nobody's namespace, by nobody.
    #[must_use]
    pub const fn new(kind: LogKind, at: Timestamp, metadata: serde_json::Value) -> Self {
        Self {
            kind,
            namespace: None,
            performer: None,
            repository: None,
            at,
            address: None,
            metadata,
        }
    }
}

/// Where entries of the action log go, within a unit of work.
#[async_trait]
pub trait ActionLog: Debug + Send {
    /// Appends entries. They are there once the unit of work has committed, and only then.
    ///
    /// # Errors
    /// The store's.
    async fn append(&mut self, entries: &[LogEntry]) -> Result<(), StoreError>;
}
