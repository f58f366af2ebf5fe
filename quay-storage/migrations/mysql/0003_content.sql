-- What people do with a repository's content: the history of its tags, and labels.

CREATE INDEX qr_tag_recent ON qr_tag (repository_id, start_ms DESC, name);
CREATE INDEX qr_tag_alive ON qr_tag (repository_id, live, start_ms DESC, name);

CREATE TABLE qr_label (
    id BIGINT AUTO_INCREMENT PRIMARY KEY,
    uuid VARCHAR(36) NOT NULL,
    repository_id BIGINT NOT NULL,
    manifest_id BIGINT NOT NULL,
    label_key LONGTEXT NOT NULL,
    value LONGTEXT NOT NULL,
    media_type VARCHAR(255) NOT NULL,
    source VARCHAR(32) NOT NULL,
    UNIQUE KEY qr_label_uuid (uuid),
    KEY qr_label_manifest (manifest_id, id),
    KEY qr_label_repository (repository_id),
    FOREIGN KEY (repository_id) REFERENCES qr_repository (id),
    FOREIGN KEY (manifest_id) REFERENCES qr_manifest (id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
