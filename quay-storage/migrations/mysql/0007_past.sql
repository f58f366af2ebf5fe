-- What undoing needs: the rows of tags that ended since a time.

CREATE INDEX qr_tag_ended ON qr_tag (repository_id, end_ms, name);

-- What came of looking into a manifest: it goes with the manifest.
CREATE TABLE qr_scan (
    manifest_id BIGINT NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    digest VARCHAR(160) NOT NULL,
    status VARCHAR(32) NOT NULL,
    severity VARCHAR(32),
    indexer_state VARCHAR(255) NOT NULL,
    attempts BIGINT NOT NULL,
    reason LONGTEXT,
    updated_ms BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX qr_scan_digest ON qr_scan (digest);
CREATE INDEX qr_scan_updated ON qr_scan (updated_ms, manifest_id);
