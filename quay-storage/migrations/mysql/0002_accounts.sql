-- Level 2: accounts, and what hangs on them. What belongs to an account, a team or a repository goes with it.
--
-- Names, codes and digests are as long as an index allows.

ALTER TABLE qr_repository ADD COLUMN description LONGTEXT;

CREATE INDEX qr_repository_visible ON qr_repository (visibility, path);

-- Users, organizations and robots share one table, as their names share one space.
CREATE TABLE qr_account (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    uuid VARCHAR(36) NOT NULL,
    name VARCHAR(255) NOT NULL,
    kind VARCHAR(64) NOT NULL,
    owner_id BIGINT,
    email VARCHAR(255),
    password_hash LONGTEXT,
    verified BIGINT NOT NULL,
    enabled BIGINT NOT NULL,
    tag_expiration_s BIGINT NOT NULL,
    invalid_logins BIGINT NOT NULL,
    last_invalid_login_ms BIGINT,
    invoice_email BIGINT NOT NULL,
    invoice_email_address LONGTEXT,
    given_name LONGTEXT,
    family_name LONGTEXT,
    company LONGTEXT,
    location LONGTEXT,
    created_ms BIGINT NOT NULL,
    last_accessed_ms BIGINT,
    description LONGTEXT NOT NULL,
    metadata LONGTEXT NOT NULL,
    robot_token LONGTEXT,
    federation LONGTEXT,
    UNIQUE KEY qr_account_email (email),
    UNIQUE KEY qr_account_name (name),
    UNIQUE KEY qr_account_uuid (uuid),
    KEY qr_account_owner (owner_id, name),
    KEY qr_account_kind (kind, name),
    FOREIGN KEY (owner_id) REFERENCES qr_account (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_team (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    name VARCHAR(255) NOT NULL,
    role VARCHAR(64) NOT NULL,
    description LONGTEXT NOT NULL,
    UNIQUE KEY qr_team_organization_once (organization_id, name),
    FOREIGN KEY (organization_id) REFERENCES qr_account (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The organization is the team's, so that an organization's members are read in order.
CREATE TABLE qr_team_member (
    team_id BIGINT NOT NULL,
    account_id BIGINT NOT NULL,
    organization_id BIGINT NOT NULL,
    PRIMARY KEY (team_id, account_id),
    KEY qr_team_member_account (account_id, organization_id),
    KEY qr_team_member_organization (organization_id, account_id),
    FOREIGN KEY (team_id) REFERENCES qr_team (id) ON DELETE CASCADE,
    FOREIGN KEY (account_id) REFERENCES qr_account (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_team_invite (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    team_id BIGINT NOT NULL,
    account_id BIGINT,
    email LONGTEXT,
    inviter_id BIGINT NOT NULL,
    code VARCHAR(64) NOT NULL,
    UNIQUE KEY qr_team_invite_code (code),
    KEY qr_team_invite_team (team_id),
    FOREIGN KEY (team_id) REFERENCES qr_team (id) ON DELETE CASCADE,
    FOREIGN KEY (account_id) REFERENCES qr_account (id) ON DELETE CASCADE,
    FOREIGN KEY (inviter_id) REFERENCES qr_account (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Either an account or a team is given the role. The namespace is the repository's.
CREATE TABLE qr_repository_permission (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    namespace_id BIGINT NOT NULL,
    account_id BIGINT,
    team_id BIGINT,
    role VARCHAR(64) NOT NULL,
    UNIQUE KEY qr_repository_permission_team_once (team_id, repository_id),
    UNIQUE KEY qr_repository_permission_account_once (account_id, repository_id),
    KEY qr_repository_permission_repository_account (repository_id, account_id),
    KEY qr_repository_permission_repository_team (repository_id, team_id),
    KEY qr_repository_permission_namespace (namespace_id, account_id),
    FOREIGN KEY (repository_id) REFERENCES qr_repository (id) ON DELETE CASCADE,
    FOREIGN KEY (namespace_id) REFERENCES qr_namespace (id) ON DELETE CASCADE,
    FOREIGN KEY (account_id) REFERENCES qr_account (id) ON DELETE CASCADE,
    FOREIGN KEY (team_id) REFERENCES qr_team (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Default permissions: either an account or a team is given the role.
CREATE TABLE qr_prototype (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    uuid VARCHAR(36) NOT NULL,
    organization_id BIGINT NOT NULL,
    activating_id BIGINT,
    delegate_account_id BIGINT,
    delegate_team_id BIGINT,
    role VARCHAR(64) NOT NULL,
    UNIQUE KEY qr_prototype_uuid (uuid),
    KEY qr_prototype_organization (organization_id, activating_id),
    FOREIGN KEY (organization_id) REFERENCES qr_account (id) ON DELETE CASCADE,
    FOREIGN KEY (activating_id) REFERENCES qr_account (id) ON DELETE CASCADE,
    FOREIGN KEY (delegate_account_id) REFERENCES qr_account (id) ON DELETE CASCADE,
    FOREIGN KEY (delegate_team_id) REFERENCES qr_team (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_application (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    organization_id BIGINT NOT NULL,
    client_id VARCHAR(64) NOT NULL,
    client_secret LONGTEXT NOT NULL,
    name LONGTEXT NOT NULL,
    description LONGTEXT NOT NULL,
    application_uri LONGTEXT NOT NULL,
    redirect_uri LONGTEXT NOT NULL,
    avatar_email LONGTEXT,
    UNIQUE KEY qr_application_client_id (client_id),
    KEY qr_application_organization (organization_id),
    FOREIGN KEY (organization_id) REFERENCES qr_account (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Found by the first half of the token, name; the rest is kept as a hash.
CREATE TABLE qr_oauth_token (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    uuid VARCHAR(36) NOT NULL,
    application_id BIGINT NOT NULL,
    account_id BIGINT NOT NULL,
    name VARCHAR(64) NOT NULL,
    hash LONGTEXT NOT NULL,
    scope LONGTEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    last_accessed_ms BIGINT,
    title LONGTEXT,
    creator_id BIGINT,
    UNIQUE KEY qr_oauth_token_name (name),
    UNIQUE KEY qr_oauth_token_uuid (uuid),
    KEY qr_oauth_token_application (application_id, id),
    KEY qr_oauth_token_account (account_id, id),
    FOREIGN KEY (application_id) REFERENCES qr_application (id) ON DELETE CASCADE,
    FOREIGN KEY (account_id) REFERENCES qr_account (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_oauth_code (
    name VARCHAR(64) NOT NULL PRIMARY KEY,
    hash LONGTEXT NOT NULL,
    application_id BIGINT NOT NULL,
    account_id BIGINT NOT NULL,
    scope LONGTEXT NOT NULL,
    redirect_uri LONGTEXT NOT NULL,
    challenge LONGTEXT,
    expires_ms BIGINT NOT NULL,
    KEY qr_oauth_code_expires (expires_ms),
    FOREIGN KEY (application_id) REFERENCES qr_application (id) ON DELETE CASCADE,
    FOREIGN KEY (account_id) REFERENCES qr_account (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Tokens that an organization's administrator has asked a user to make.
CREATE TABLE qr_oauth_assignment (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    uuid VARCHAR(36) NOT NULL,
    application_id BIGINT NOT NULL,
    account_id BIGINT NOT NULL,
    redirect_uri LONGTEXT NOT NULL,
    scope LONGTEXT NOT NULL,
    UNIQUE KEY qr_oauth_assignment_uuid (uuid),
    KEY qr_oauth_assignment_account (account_id, id),
    FOREIGN KEY (application_id) REFERENCES qr_application (id) ON DELETE CASCADE,
    FOREIGN KEY (account_id) REFERENCES qr_account (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Found by the first half of the token, name; the rest is sealed.
CREATE TABLE qr_app_token (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    uuid VARCHAR(36) NOT NULL,
    account_id BIGINT NOT NULL,
    title LONGTEXT NOT NULL,
    name VARCHAR(64) NOT NULL,
    secret LONGTEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    last_accessed_ms BIGINT,
    UNIQUE KEY qr_app_token_name (name),
    UNIQUE KEY qr_app_token_uuid (uuid),
    KEY qr_app_token_account (account_id, id),
    KEY qr_app_token_expires (expires_ms),
    FOREIGN KEY (account_id) REFERENCES qr_account (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Found by the first half of the token, name; the rest is sealed.
CREATE TABLE qr_access_token (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    friendly_name LONGTEXT NOT NULL,
    name VARCHAR(64) NOT NULL,
    code LONGTEXT NOT NULL,
    role VARCHAR(64) NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE KEY qr_access_token_name (name),
    KEY qr_access_token_repository (repository_id),
    FOREIGN KEY (repository_id) REFERENCES qr_repository (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_service_key (
    kid VARCHAR(128) NOT NULL PRIMARY KEY,
    name LONGTEXT NOT NULL,
    service VARCHAR(255) NOT NULL,
    jwk LONGTEXT NOT NULL,
    metadata LONGTEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    rotation_s BIGINT,
    approval LONGTEXT,
    approver_id BIGINT,
    approved_ms BIGINT,
    approval_notes LONGTEXT,
    KEY qr_service_key_service (service, kid)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What every user sees.
CREATE TABLE qr_message (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    uuid VARCHAR(36) NOT NULL,
    content LONGTEXT NOT NULL,
    severity VARCHAR(64) NOT NULL,
    media_type VARCHAR(64) NOT NULL,
    UNIQUE KEY qr_message_uuid (uuid)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What one user is told.
CREATE TABLE qr_notice (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    uuid VARCHAR(36) NOT NULL,
    account_id BIGINT NOT NULL,
    kind VARCHAR(64) NOT NULL,
    metadata LONGTEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    dismissed BIGINT NOT NULL,
    lookup VARCHAR(255),
    UNIQUE KEY qr_notice_uuid (uuid),
    KEY qr_notice_account (account_id, id),
    KEY qr_notice_lookup (lookup),
    FOREIGN KEY (account_id) REFERENCES qr_account (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Codes sent by mail, hashed.
CREATE TABLE qr_confirmation (
    code_hash VARCHAR(64) NOT NULL PRIMARY KEY,
    account_id BIGINT NOT NULL,
    purpose VARCHAR(64) NOT NULL,
    new_email LONGTEXT,
    expires_ms BIGINT NOT NULL,
    KEY qr_confirmation_account (account_id, purpose),
    KEY qr_confirmation_expires (expires_ms),
    FOREIGN KEY (account_id) REFERENCES qr_account (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_star (
    account_id BIGINT NOT NULL,
    repository_id BIGINT NOT NULL,
    PRIMARY KEY (account_id, repository_id),
    KEY qr_star_repository (repository_id),
    FOREIGN KEY (account_id) REFERENCES qr_account (id) ON DELETE CASCADE,
    FOREIGN KEY (repository_id) REFERENCES qr_repository (id) ON DELETE CASCADE
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- What tokens issued before must feel.
CREATE TABLE qr_change (
    subject VARCHAR(512) NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    KEY qr_change_at (at_ms)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The action log. It outlives whom it is about, so nothing here refers to another table.
CREATE TABLE qr_log (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    kind VARCHAR(64) NOT NULL,
    account_id BIGINT,
    account_name LONGTEXT,
    performer_id BIGINT,
    performer_name LONGTEXT,
    repository_id BIGINT,
    at_ms BIGINT NOT NULL,
    ip VARCHAR(64),
    metadata LONGTEXT NOT NULL,
    KEY qr_log_account (account_id, at_ms, id),
    KEY qr_log_performer (performer_id, at_ms, id),
    KEY qr_log_repository (repository_id, at_ms, id),
    KEY qr_log_at (at_ms, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
