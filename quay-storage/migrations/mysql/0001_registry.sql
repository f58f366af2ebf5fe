-- Level 1 of the registry. Names are compared bytewise, times are milliseconds since 1970 UTC, "live" is
-- 1 or NULL, so that a unique index allows one live row and any number of others.
--
-- For MySQL from 8.0 on and MariaDB from 10.6 on. An index holds 3072 bytes, four for each character.

CREATE TABLE qr_namespace (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    UNIQUE KEY qr_namespace_name (name)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_repository (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    namespace_id BIGINT NOT NULL,
    -- namespace/rest, as names are looked up and sorted
    path VARCHAR(512) NOT NULL,
    kind VARCHAR(32) NOT NULL,
    state VARCHAR(32) NOT NULL,
    visibility VARCHAR(32) NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE KEY qr_repository_path (path),
    KEY qr_repository_namespace (namespace_id),
    FOREIGN KEY (namespace_id) REFERENCES qr_namespace (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_manifest (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    digest VARCHAR(160) NOT NULL,
    media_type VARCHAR(255) NOT NULL,
    artifact_type LONGTEXT,
    size BIGINT NOT NULL,
    payload LONGBLOB NOT NULL,
    subject_digest VARCHAR(160),
    annotations LONGTEXT,
    created_ms BIGINT NOT NULL,
    live BIGINT,
    deleted_ms BIGINT,
    UNIQUE KEY qr_manifest_digest (repository_id, digest),
    KEY qr_manifest_subject (repository_id, subject_digest, digest),
    FOREIGN KEY (repository_id) REFERENCES qr_repository (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_manifest_edge (
    manifest_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    repository_id BIGINT NOT NULL,
    kind VARCHAR(32) NOT NULL,
    digest VARCHAR(160) NOT NULL,
    -- 1 once the repository had what is named; an edge that is not held shows nothing
    held BIGINT NOT NULL,
    PRIMARY KEY (manifest_id, position),
    KEY qr_manifest_edge_digest (repository_id, digest),
    FOREIGN KEY (manifest_id) REFERENCES qr_manifest (id),
    FOREIGN KEY (repository_id) REFERENCES qr_repository (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_tag (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    name VARCHAR(255) NOT NULL,
    manifest_id BIGINT NOT NULL,
    start_ms BIGINT NOT NULL,
    end_ms BIGINT,
    live BIGINT,
    hidden BIGINT NOT NULL,
    reversion BIGINT NOT NULL,
    UNIQUE KEY qr_tag_live (repository_id, live, name),
    KEY qr_tag_history (repository_id, name, start_ms),
    KEY qr_tag_manifest (manifest_id, live),
    FOREIGN KEY (repository_id) REFERENCES qr_repository (id),
    FOREIGN KEY (manifest_id) REFERENCES qr_manifest (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_blob (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    digest VARCHAR(160) NOT NULL,
    size BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    -- counts publications, so that a collector can delete what it looked at and nothing newer
    epoch BIGINT NOT NULL,
    UNIQUE KEY qr_blob_digest (digest)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_placement (
    blob_id BIGINT NOT NULL,
    location VARCHAR(255) NOT NULL,
    object_key LONGTEXT NOT NULL,
    PRIMARY KEY (blob_id, location),
    FOREIGN KEY (blob_id) REFERENCES qr_blob (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_blob_link (
    repository_id BIGINT NOT NULL,
    blob_id BIGINT NOT NULL,
    -- protects the link while no manifest holds the blob; NULL once one does
    lease_until_ms BIGINT,
    PRIMARY KEY (repository_id, blob_id),
    KEY qr_blob_link_blob (blob_id, repository_id),
    FOREIGN KEY (repository_id) REFERENCES qr_repository (id),
    FOREIGN KEY (blob_id) REFERENCES qr_blob (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_upload (
    id VARCHAR(255) PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    principal LONGTEXT NOT NULL,
    location VARCHAR(255) NOT NULL,
    algorithm VARCHAR(32) NOT NULL,
    byte_count BIGINT NOT NULL,
    hash_state LONGBLOB NOT NULL,
    store_state LONGBLOB NOT NULL,
    version BIGINT NOT NULL,
    claimed_until_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    KEY qr_upload_updated (updated_ms),
    FOREIGN KEY (repository_id) REFERENCES qr_repository (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE qr_outbox (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    kind VARCHAR(255) NOT NULL,
    payload LONGTEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    KEY qr_outbox_due (kind, due_ms, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
