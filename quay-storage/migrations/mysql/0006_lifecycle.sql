-- The life of tags: those that stay as they are, policies, the work that these cause, and pulls.

ALTER TABLE qr_tag ADD COLUMN immutable BIGINT NOT NULL DEFAULT 0;

CREATE TABLE qr_policy (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    uuid VARCHAR(36) NOT NULL,
    kind VARCHAR(32) NOT NULL,
    -- namespace:NAME or repository:ID
    owner VARCHAR(300) NOT NULL,
    content LONGTEXT NOT NULL,
    UNIQUE KEY qr_policy_uuid (uuid),
    KEY qr_policy_owner (owner, kind, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_policy_task (
    kind VARCHAR(32) NOT NULL,
    owner VARCHAR(300) NOT NULL,
    due_ms BIGINT NOT NULL,
    version BIGINT NOT NULL,
    place LONGTEXT,
    PRIMARY KEY (kind, owner),
    KEY qr_policy_task_due (kind, due_ms),
    KEY qr_policy_task_owner (owner)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_pull (
    repository_id BIGINT NOT NULL,
    digest VARCHAR(160) NOT NULL,
    -- empty for pulls by digest
    tag VARCHAR(128) NOT NULL,
    pulls BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest, tag),
    KEY qr_pull_tag (repository_id, tag, last_ms)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
