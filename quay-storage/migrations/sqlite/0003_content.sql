-- What people do with a repository's content: the history of its tags, and labels.

CREATE INDEX qr_tag_recent ON qr_tag (repository_id, start_ms DESC, name);
CREATE INDEX qr_tag_alive ON qr_tag (repository_id, live, start_ms DESC, name);

CREATE TABLE qr_label (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    repository_id BIGINT NOT NULL REFERENCES qr_repository (id),
    manifest_id BIGINT NOT NULL REFERENCES qr_manifest (id),
    label_key TEXT NOT NULL,
    value TEXT NOT NULL,
    media_type TEXT NOT NULL,
    source TEXT NOT NULL
);
CREATE INDEX qr_label_manifest ON qr_label (manifest_id, id);
CREATE INDEX qr_label_repository ON qr_label (repository_id);
