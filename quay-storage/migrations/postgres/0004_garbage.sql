-- What a collector needs: when a manifest is to be looked at, and links and edges by what they may leave behind.

ALTER TABLE qr_manifest ADD COLUMN lease_until_ms BIGINT;

CREATE TABLE qr_review (
    manifest_id BIGINT NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    due_ms BIGINT NOT NULL
);
CREATE INDEX qr_review_due ON qr_review (due_ms, repository_id);
CREATE INDEX qr_review_repository ON qr_review (repository_id, due_ms);

CREATE INDEX qr_manifest_edge_named ON qr_manifest_edge (digest, repository_id);
CREATE INDEX qr_manifest_edge_repository ON qr_manifest_edge (repository_id);
DROP INDEX qr_manifest_edge_digest;
CREATE INDEX qr_tag_manifest_end ON qr_tag (manifest_id, end_ms);
DROP INDEX qr_tag_manifest;
CREATE INDEX qr_blob_link_lease ON qr_blob_link (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
CREATE INDEX qr_repository_state ON qr_repository (state, id);
CREATE INDEX qr_upload_repository ON qr_upload (repository_id);

-- Everything that is there is looked at once, an hour from now: what was just pushed may have its index to come.
INSERT INTO qr_review (manifest_id, repository_id, due_ms)
    SELECT id, repository_id, CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT) + 3600000 FROM qr_manifest;
