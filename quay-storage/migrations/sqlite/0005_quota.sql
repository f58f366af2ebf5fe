-- What quotas need: what uploads have been promised, links by namespace, what is laid down, and what is used.

ALTER TABLE qr_upload ADD COLUMN reserved_bytes BIGINT NOT NULL DEFAULT 0;

ALTER TABLE qr_blob_link ADD COLUMN namespace_id BIGINT NOT NULL DEFAULT 0;
UPDATE qr_blob_link SET namespace_id =
    (SELECT r.namespace_id FROM qr_repository r WHERE r.id = qr_blob_link.repository_id);
CREATE INDEX qr_blob_link_namespace ON qr_blob_link (namespace_id, blob_id, repository_id);

CREATE TABLE qr_quota (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- one of the two
    namespace_id BIGINT REFERENCES qr_namespace (id) ON DELETE CASCADE,
    repository_id BIGINT REFERENCES qr_repository (id) ON DELETE CASCADE,
    limit_bytes BIGINT NOT NULL,
    UNIQUE (namespace_id),
    UNIQUE (repository_id)
);

CREATE TABLE qr_quota_limit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    quota_id BIGINT NOT NULL REFERENCES qr_quota (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    percent BIGINT NOT NULL
);
CREATE INDEX qr_quota_limit_quota ON qr_quota_limit (quota_id);

-- kind 0: a namespace, 1: a repository, 2: the registry. recount_to is the last blob that a count under way has
-- come to, NULL when there is none; counted_ms is NULL until all has been counted once.
CREATE TABLE qr_usage (
    kind BIGINT NOT NULL,
    owner_id BIGINT NOT NULL,
    used_bytes BIGINT NOT NULL,
    reserved_bytes BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    recount_bytes BIGINT NOT NULL,
    recount_to BIGINT,
    counted_ms BIGINT,
    PRIMARY KEY (kind, owner_id)
);
CREATE INDEX qr_usage_recount ON qr_usage (recount_to) WHERE recount_to IS NOT NULL;

-- What was counted in an earlier epoch has changed uncounted since.
CREATE TABLE qr_usage_epoch (
    id BIGINT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    counting BIGINT NOT NULL
);
INSERT INTO qr_usage_epoch (id, epoch, counting) VALUES (1, 0, 0);
