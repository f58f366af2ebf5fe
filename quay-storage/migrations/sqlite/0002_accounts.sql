-- Level 2: accounts, and what hangs on them. What belongs to an account, a team or a repository goes with it.

ALTER TABLE qr_repository ADD COLUMN description TEXT;
CREATE INDEX qr_repository_visible ON qr_repository (visibility, path);

-- Users, organizations and robots share one table, as their names share one space.
CREATE TABLE qr_account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    owner_id BIGINT REFERENCES qr_account (id) ON DELETE CASCADE,
    email TEXT UNIQUE,
    password_hash TEXT,
    verified BIGINT NOT NULL,
    enabled BIGINT NOT NULL,
    tag_expiration_s BIGINT NOT NULL,
    invalid_logins BIGINT NOT NULL,
    last_invalid_login_ms BIGINT,
    invoice_email BIGINT NOT NULL,
    invoice_email_address TEXT,
    given_name TEXT,
    family_name TEXT,
    company TEXT,
    location TEXT,
    created_ms BIGINT NOT NULL,
    last_accessed_ms BIGINT,
    description TEXT NOT NULL,
    metadata TEXT NOT NULL,
    robot_token TEXT,
    federation TEXT
);
CREATE INDEX qr_account_owner ON qr_account (owner_id, name);
CREATE INDEX qr_account_kind ON qr_account (kind, name);

CREATE TABLE qr_team (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    organization_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    description TEXT NOT NULL,
    UNIQUE (organization_id, name)
);

-- The organization is the team's, so that an organization's members are read in order.
CREATE TABLE qr_team_member (
    team_id BIGINT NOT NULL REFERENCES qr_team (id) ON DELETE CASCADE,
    account_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    organization_id BIGINT NOT NULL,
    PRIMARY KEY (team_id, account_id)
) WITHOUT ROWID;
CREATE INDEX qr_team_member_account ON qr_team_member (account_id, organization_id);
CREATE INDEX qr_team_member_organization ON qr_team_member (organization_id, account_id);

CREATE TABLE qr_team_invite (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    team_id BIGINT NOT NULL REFERENCES qr_team (id) ON DELETE CASCADE,
    account_id BIGINT REFERENCES qr_account (id) ON DELETE CASCADE,
    email TEXT,
    inviter_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    code TEXT NOT NULL UNIQUE
);
CREATE INDEX qr_team_invite_team ON qr_team_invite (team_id);
CREATE INDEX qr_team_invite_account ON qr_team_invite (account_id);
CREATE INDEX qr_team_invite_inviter ON qr_team_invite (inviter_id);

-- Either an account or a team is given the role. The namespace is the repository's.
CREATE TABLE qr_repository_permission (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id BIGINT NOT NULL REFERENCES qr_repository (id) ON DELETE CASCADE,
    namespace_id BIGINT NOT NULL REFERENCES qr_namespace (id) ON DELETE CASCADE,
    account_id BIGINT REFERENCES qr_account (id) ON DELETE CASCADE,
    team_id BIGINT REFERENCES qr_team (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    UNIQUE (account_id, repository_id),
    UNIQUE (team_id, repository_id)
);
CREATE INDEX qr_repository_permission_repository_account ON qr_repository_permission (repository_id, account_id);
CREATE INDEX qr_repository_permission_repository_team ON qr_repository_permission (repository_id, team_id);
CREATE INDEX qr_repository_permission_namespace ON qr_repository_permission (namespace_id, account_id);

-- Default permissions: either an account or a team is given the role.
CREATE TABLE qr_prototype (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    organization_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    activating_id BIGINT REFERENCES qr_account (id) ON DELETE CASCADE,
    delegate_account_id BIGINT REFERENCES qr_account (id) ON DELETE CASCADE,
    delegate_team_id BIGINT REFERENCES qr_team (id) ON DELETE CASCADE,
    role TEXT NOT NULL
);
CREATE INDEX qr_prototype_organization ON qr_prototype (organization_id, activating_id);
CREATE INDEX qr_prototype_activating ON qr_prototype (activating_id);
CREATE INDEX qr_prototype_delegate_account ON qr_prototype (delegate_account_id);
CREATE INDEX qr_prototype_delegate_team ON qr_prototype (delegate_team_id);

CREATE TABLE qr_application (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    organization_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    client_id TEXT NOT NULL UNIQUE,
    client_secret TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    application_uri TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    avatar_email TEXT
);
CREATE INDEX qr_application_organization ON qr_application (organization_id);

-- Found by the first half of the token, name; the rest is kept as a hash.
CREATE TABLE qr_oauth_token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    application_id BIGINT NOT NULL REFERENCES qr_application (id) ON DELETE CASCADE,
    account_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    name TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL,
    scope TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    last_accessed_ms BIGINT,
    title TEXT,
    creator_id BIGINT
);
CREATE INDEX qr_oauth_token_application ON qr_oauth_token (application_id, id);
CREATE INDEX qr_oauth_token_account ON qr_oauth_token (account_id, id);

CREATE TABLE qr_oauth_code (
    name TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    application_id BIGINT NOT NULL REFERENCES qr_application (id) ON DELETE CASCADE,
    account_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    scope TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    challenge TEXT,
    expires_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX qr_oauth_code_application ON qr_oauth_code (application_id);
CREATE INDEX qr_oauth_code_account ON qr_oauth_code (account_id);
CREATE INDEX qr_oauth_code_expires ON qr_oauth_code (expires_ms);

-- Tokens that an organization's administrator has asked a user to make.
CREATE TABLE qr_oauth_assignment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    application_id BIGINT NOT NULL REFERENCES qr_application (id) ON DELETE CASCADE,
    account_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    redirect_uri TEXT NOT NULL,
    scope TEXT NOT NULL
);
CREATE INDEX qr_oauth_assignment_application ON qr_oauth_assignment (application_id);
CREATE INDEX qr_oauth_assignment_account ON qr_oauth_assignment (account_id, id);

-- Found by the first half of the token, name; the rest is sealed.
CREATE TABLE qr_app_token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    account_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    secret TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    last_accessed_ms BIGINT
);
CREATE INDEX qr_app_token_account ON qr_app_token (account_id, id);
CREATE INDEX qr_app_token_expires ON qr_app_token (expires_ms);

-- Found by the first half of the token, name; the rest is sealed.
CREATE TABLE qr_access_token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository_id BIGINT NOT NULL REFERENCES qr_repository (id) ON DELETE CASCADE,
    friendly_name TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    code TEXT NOT NULL,
    role TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX qr_access_token_repository ON qr_access_token (repository_id);

CREATE TABLE qr_service_key (
    kid TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    service TEXT NOT NULL,
    jwk TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    rotation_s BIGINT,
    approval TEXT,
    approver_id BIGINT,
    approved_ms BIGINT,
    approval_notes TEXT
) WITHOUT ROWID;
CREATE INDEX qr_service_key_service ON qr_service_key (service, kid);

-- What every user sees.
CREATE TABLE qr_message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    content TEXT NOT NULL,
    severity TEXT NOT NULL,
    media_type TEXT NOT NULL
);

-- What one user is told.
CREATE TABLE qr_notice (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    account_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    dismissed BIGINT NOT NULL,
    lookup TEXT
);
CREATE INDEX qr_notice_account ON qr_notice (account_id, id);
CREATE INDEX qr_notice_lookup ON qr_notice (lookup);

-- Codes sent by mail, hashed.
CREATE TABLE qr_confirmation (
    code_hash TEXT NOT NULL PRIMARY KEY,
    account_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    purpose TEXT NOT NULL,
    new_email TEXT,
    expires_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX qr_confirmation_account ON qr_confirmation (account_id, purpose);
CREATE INDEX qr_confirmation_expires ON qr_confirmation (expires_ms);

CREATE TABLE qr_star (
    account_id BIGINT NOT NULL REFERENCES qr_account (id) ON DELETE CASCADE,
    repository_id BIGINT NOT NULL REFERENCES qr_repository (id) ON DELETE CASCADE,
    PRIMARY KEY (account_id, repository_id)
) WITHOUT ROWID;
CREATE INDEX qr_star_repository ON qr_star (repository_id);

-- What tokens issued before must feel.
CREATE TABLE qr_change (
    subject TEXT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX qr_change_at ON qr_change (at_ms);

-- The action log. It outlives whom it is about, so nothing here refers to another table.
CREATE TABLE qr_log (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    account_id BIGINT,
    account_name TEXT,
    performer_id BIGINT,
    performer_name TEXT,
    repository_id BIGINT,
    at_ms BIGINT NOT NULL,
    ip TEXT,
    metadata TEXT NOT NULL
);
CREATE INDEX qr_log_account ON qr_log (account_id, at_ms, id);
CREATE INDEX qr_log_performer ON qr_log (performer_id, at_ms, id);
CREATE INDEX qr_log_repository ON qr_log (repository_id, at_ms, id);
CREATE INDEX qr_log_at ON qr_log (at_ms, id);
