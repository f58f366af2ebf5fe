-- What undoing needs: the rows of tags that ended since a time.

CREATE INDEX qr_tag_ended ON qr_tag (repository_id, end_ms, name) WHERE end_ms IS NOT NULL;

-- What came of looking into a manifest: it goes with the manifest.
CREATE TABLE qr_scan (
    manifest_id BIGINT NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    status TEXT NOT NULL,
    severity TEXT,
    indexer_state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    reason TEXT,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX qr_scan_digest ON qr_scan (digest);
CREATE INDEX qr_scan_updated ON qr_scan (updated_ms, manifest_id);
