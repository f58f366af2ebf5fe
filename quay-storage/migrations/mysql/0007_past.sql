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

-- What repositories are found by: each end of a name, and each word of a description. Scope 0 is what is public, any
-- other the namespace; field 0 is the name, 1 the description.
CREATE TABLE qr_search (
    scope BIGINT NOT NULL,
    field BIGINT NOT NULL,
    term VARCHAR(32) NOT NULL,
    repository_id BIGINT NOT NULL,
    PRIMARY KEY (scope, field, term, repository_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX qr_search_repository ON qr_search (repository_id, scope, field, term);

-- How much is done with a repository: the higher the score, the earlier it is found.
CREATE TABLE qr_popularity (
    repository_id BIGINT NOT NULL PRIMARY KEY,
    is_public BIGINT NOT NULL,
    score BIGINT NOT NULL,
    -- the last day whose actions were counted, in days since 1970
    counted_day BIGINT NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE INDEX qr_popularity_score ON qr_popularity (is_public, score DESC, repository_id);
CREATE INDEX qr_popularity_counted ON qr_popularity (counted_day, repository_id);

-- What the action log says of a repository's days; days without anything have no row.
CREATE TABLE qr_action_count (
    repository_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    actions BIGINT NOT NULL,
    PRIMARY KEY (repository_id, day)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO qr_popularity (repository_id, is_public, score, counted_day)
    SELECT r.id, CASE WHEN r.visibility = 'public' THEN 1 ELSE 0 END, 0, 0 FROM qr_repository r
    WHERE r.state <> 'marked_for_deletion';
INSERT INTO qr_search (scope, field, term, repository_id)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 255)
    SELECT DISTINCT r.namespace_id, 0, SUBSTR(r.path, INSTR(r.path, '/') + n.i, 32), r.id FROM qr_repository r JOIN n ON n.i <= CHAR_LENGTH(r.path) - INSTR(r.path, '/')
    WHERE r.state <> 'marked_for_deletion';
INSERT INTO qr_search (scope, field, term, repository_id)
    SELECT 0, s.field, s.term, s.repository_id FROM qr_search s JOIN qr_repository r ON r.id = s.repository_id
    WHERE r.visibility = 'public';
