//! Every key of Quay's `config.yaml`, declared once.
//!
//! A row reads: name, type, default, default of later releases (which counts where there is one), and
//! what else is to be known of it. Defaults are JSON; those of keys that are not in effect yet are for the
//! reader. Keys whose built-in value would let people in have none.

use super::key::{Key, Kind};

macro_rules! later {
    (-) => {
        None
    };
    ($later:literal) => {
        Some($later)
    };
}

macro_rules! keys {
    ($($area:literal { $($name:literal $kind:ident $default:literal $later:tt [$($flag:ident)*];)* })*) => {
        /// All keys, by area and name.
        pub const KEYS: &[Key] = &[$($(
            Key::new($name, Kind::$kind, $default, later!($later), $area)$(.$flag())*,
        )*)*];
    };
}

keys! {
"api" {
    "BROWSER_API_CALLS_XHR_ONLY" Boolean "true" - [in_effect];
    "CORS_ORIGIN" List r#""*""# - [];
}
"app_registry" {
    "APP_REGISTRY_RESULTS_LIMIT" Number "100" - [];
    "FEATURE_APP_REGISTRY" Boolean "false" - [];
    "FEATURE_READONLY_APP_REGISTRY" Boolean "false" - [];
    "MAXIMUM_CNR_LAYER_SIZE" Text r#""2m""# - [];
}
"auth" {
    "AUTHENTICATION_TYPE" Text r#""Database""# - [in_effect];
    "FEATURE_ANONYMOUS_ACCESS" Boolean "true" - [in_effect];
    "FEATURE_DIRECT_LOGIN" Boolean "true" - [in_effect];
    "FEATURE_REQUIRE_ENCRYPTED_BASIC_AUTH" Boolean "false" - [in_effect];
    "FRESH_LOGIN_TIMEOUT" Text r#""10m""# - [in_effect];
}
"auth.external" {
    "FEATURE_GITHUB_LOGIN" Boolean "false" - [];
    "FEATURE_GOOGLE_LOGIN" Boolean "false" - [];
    "GITHUB_LOGIN_CONFIG" Map "null" - [nullable];
    "GOOGLE_LOGIN_CONFIG" Map "null" - [nullable];
}
"auth.jwt" {
    "JWT_AUTH_ISSUER" Text "null" - [nullable];
    "JWT_AUTH_MAX_FRESH_S" Number "300" - [];
    "JWT_GETUSER_ENDPOINT" Text "null" - [nullable];
    "JWT_QUERY_ENDPOINT" Text "null" - [nullable];
    "JWT_VERIFY_ENDPOINT" Text "null" - [nullable];
}
"auth.keystone" {
    "KEYSTONE_ADMIN_PASSWORD" Text "null" - [nullable secret];
    "KEYSTONE_ADMIN_TENANT" Text "null" - [nullable];
    "KEYSTONE_ADMIN_USERNAME" Text "null" - [nullable];
    "KEYSTONE_AUTH_TIMEOUT" Number "10" - [];
    "KEYSTONE_AUTH_URL" Text "null" - [nullable];
    "KEYSTONE_AUTH_VERSION" Number "2" - [];
}
"auth.ldap" {
    "FEATURE_LDAP_CACHING" Boolean "false" - [];
    "LDAP_ADMIN_DN" Text "null" - [nullable];
    "LDAP_ADMIN_PASSWD" Text "null" - [nullable secret];
    "LDAP_ALLOW_INSECURE_FALLBACK" Boolean "false" - [];
    "LDAP_BASE_DN" List "null" - [nullable];
    "LDAP_CACHE_TTL" Number "5" - [];
    "LDAP_CONNECTION_POOLING" Boolean "true" - [];
    "LDAP_EMAIL_ATTR" Text r#""mail""# - [];
    "LDAP_FOLLOW_REFERRALS" Boolean "true" - [];
    "LDAP_GLOBAL_READONLY_SUPERUSER_FILTER" Text "null" - [nullable];
    "LDAP_MEMBEROF_ATTR" Text r#""memberOf""# - [];
    "LDAP_NETWORK_TIMEOUT" Number "10" - [];
    "LDAP_POOL_CONNECTION_LIFETIME" Number "300" - [];
    "LDAP_POOL_MAX_WAIT" Number "5.0" - [];
    "LDAP_POOL_SIZE" Number "10" - [];
    "LDAP_RESTRICTED_USER_FILTER" Text "null" - [nullable];
    "LDAP_SECONDARY_USER_RDNS" List "[]" - [];
    "LDAP_SUPERUSER_FILTER" Text "null" - [nullable];
    "LDAP_TIMEOUT" Number "10" - [];
    "LDAP_UID_ATTR" Text r#""uid""# - [];
    "LDAP_URI" Text r#""ldap://localhost""# - [];
    "LDAP_USER_FILTER" Text "null" - [nullable];
    "LDAP_USER_RDN" List "[]" - [];
}
"auth.oauth" {
    "BOOTSTRAP_TOKEN_EXPIRATION" Number "3600" - [];
    "BOOTSTRAP_TOKEN_OWNER" Text "null" - [nullable];
    "BOOTSTRAP_TOKEN_PATH" Text r#""/var/lib/quay/quay-machine-token.json""# - [];
    "BOOTSTRAP_TOKEN_SCOPE" Text r#""org:admin repo:admin repo:create repo:read repo:write super:user user:admin user:read""# - [];
    "DIRECT_OAUTH_CLIENTID_WHITELIST" List "[]" - [in_effect];
    "FEATURE_ASSIGN_OAUTH_TOKEN" Boolean "true" - [in_effect];
    "FEATURE_PROGRAMMATIC_BOOTSTRAP" Boolean "false" - [];
    "LOCAL_OAUTH_HANDLER" Text r#""/oauth/localapp""# - [in_effect];
    "OAUTH_APPLICATION_MAXIMUM_TOKEN_COUNT" Number "null" - [nullable];
    "OAUTH_TOKEN_LAST_ACCESSED_UPDATE_THRESHOLD_S" Number "60" - [];
    "PROGRAMMATIC_TOKEN_K8S_KEY" Text r#""token.json""# - [];
    "PROGRAMMATIC_TOKEN_K8S_NAMESPACE" Text "null" - [nullable];
    "PROGRAMMATIC_TOKEN_K8S_SECRET" Text "null" - [nullable];
    "PROGRAMMATIC_TOKEN_PATH" Text "null" - [nullable];
}
"auth.oidc" {
    "<NAME>_LOGIN_CONFIG" Map "null" - [nullable];
    "INTERNAL_OIDC_SERVICE_ID" Text "null" - [nullable];
}
"auth.session" {
    "FEATURE_PERMANENT_SESSIONS" Boolean "true" - [in_effect];
    "SESSION_COOKIE_HTTPONLY" Boolean "true" - [];
    "SESSION_COOKIE_NAME" Text r#""_csrf_token""# - [in_effect];
    "SESSION_COOKIE_SAMESITE" Text r#""Lax""# - [];
    "SESSION_COOKIE_SECURE" Boolean "false" - [in_effect];
    "SESSION_TIMEOUT" Text r#""31d""# - [in_effect];
}
"auth.tokens" {
    "APP_SPECIFIC_TOKEN_EXPIRATION" Text "null" - [nullable in_effect];
    "EXPIRED_APP_SPECIFIC_TOKEN_GC" Text r#""1d""# - [nullable in_effect];
    "FEATURE_APP_SPECIFIC_TOKENS" Boolean "true" - [in_effect];
}
"auth.ui" {
    "FEATURE_RECAPTCHA" Boolean "false" - [in_effect];
    "RECAPTCHA_SECRET_KEY" Text "null" - [nullable secret in_effect];
    "RECAPTCHA_SITE_KEY" Text "null" - [nullable in_effect];
    "RECAPTCHA_WHITELISTED_USERS" List "[]" - [in_effect];
}
"autoprune" {
    "AUTOPRUNE_DEFAULT_POLICY_TIMEOUT" Number "3600" - [in_effect];
    "AUTOPRUNE_FETCH_REPOSITORIES_PAGE_LIMIT" Number "50" - [in_effect];
    "AUTOPRUNE_FETCH_TAGS_PAGE_LIMIT" Number "100" - [in_effect];
    "AUTOPRUNE_TASK_RUN_MINIMUM_INTERVAL_MINUTES" Number "60" - [in_effect];
    "AUTO_PRUNING_BATCH_SIZE" Number "10" - [in_effect];
    "AUTO_PRUNING_DEFAULT_POLICY_BATCH_SIZE" Number "10" - [in_effect];
    "AUTO_PRUNING_DEFAULT_POLICY_POLL_PERIOD" Number "86400" - [in_effect];
    "AUTO_PRUNING_POLL_PERIOD" Number "30" - [in_effect];
    "DEFAULT_NAMESPACE_AUTOPRUNE_POLICY" Map "null" - [nullable in_effect];
    "FEATURE_AUTO_PRUNE" Boolean "false" - [in_effect];
}
"build" {
    "BILLED_NAMESPACE_MAXIMUM_BUILD_COUNT" Number "null" - [nullable];
    "BITBUCKET_TRIGGER_CONFIG" Map "null" - [nullable];
    "BUILDMAN_CONTROLLER_PORT" Number "8686" - [];
    "BUILDMAN_HOSTNAME" Text "null" - [nullable];
    "BUILDMAN_WEBSOCKET_PORT" Number "8787" - [];
    "BUILD_MANAGER" List r#"["enterprise", {}]"# - [];
    "DEFAULT_NAMESPACE_MAXIMUM_BUILD_COUNT" Number "null" - [nullable];
    "DOCKERFILE_BUILD_QUEUE_NAME" Text r#""dockerfilebuild""# - [];
    "FEATURE_BITBUCKET_BUILD" Boolean "false" - [];
    "FEATURE_BUILD_SUPPORT" Boolean "true" - [];
    "FEATURE_GITHUB_BUILD" Boolean "false" - [];
    "FEATURE_GITLAB_BUILD" Boolean "false" - [];
    "FEATURE_READER_BUILD_LOGS" Boolean "false" - [];
    "GITHUB_TRIGGER_CONFIG" Map "null" - [nullable];
    "GITLAB_TRIGGER_CONFIG" Map "null" - [nullable];
    "LOG_ARCHIVE_LOCATION" Text r#""local_us""# - [];
    "LOG_ARCHIVE_PATH" Text r#""logarchive/""# - [];
    "SUCCESSIVE_TRIGGER_FAILURE_DISABLE_THRESHOLD" Number "100" - [nullable];
    "SUCCESSIVE_TRIGGER_INTERNAL_ERROR_DISABLE_THRESHOLD" Number "5" - [nullable];
    "THREAT_NAMESPACE_MAXIMUM_BUILD_COUNT" Number "null" - [nullable];
}
"database" {
    "DATABASE_SECRET_KEY" Text "null" - [nullable secret in_effect];
    "DB_CONNECTION_ARGS" Map r#"{"threadlocals": true, "autorollback": true}"# - [in_effect];
    "DB_CONNECTION_POOLING" Boolean "null" - [nullable in_effect];
    "DB_READ_REPLICAS" List "null" - [nullable secret];
    "DB_TRANSACTION_FACTORY" Text r#""(callable: per-request transaction)""# - [];
    "DB_URI" Text "null" - [nullable secret in_effect];
}
"gc" {
    "BLOBUPLOAD_CLEANUP_FREQUENCY" Number "3600" - [in_effect];
    "BLOBUPLOAD_DELETION_DATE_THRESHOLD" Number "2880" - [in_effect];
    "FEATURE_GARBAGE_COLLECTION" Boolean "true" - [in_effect];
    "FEATURE_NAMESPACE_GARBAGE_COLLECTION" Boolean "true" - [in_effect];
    "FEATURE_REPOSITORY_GARBAGE_COLLECTION" Boolean "true" - [in_effect];
    "GARBAGE_COLLECTION_FREQUENCY" Number "30" - [in_effect];
    "NAMESPACE_GC_GRACE_PERIOD_ALLOWLIST" List "[]" - [];
    "NAMESPACE_GC_GRACE_PERIOD_SECONDS" Number "0" - [];
    "NAMESPACE_GC_QUEUE_NAME" Text r#""namespacegc""# - [];
    "PERMANENTLY_DELETE_TAGS" Boolean "false" - [in_effect];
    "PUSH_TEMP_TAG_EXPIRATION_SEC" Number "3600" - [in_effect];
    "REPOSITORY_GC_QUEUE_NAME" Text r#""repositorygc""# - [];
    "RESET_CHILD_MANIFEST_EXPIRATION" Boolean "false" - [];
}
"health" {
    "DISKSPACE_HEALTH_THRESHOLD" Number "0.01" - [];
    "DISKSPACE_HEALTH_WARNING_THRESHOLD" Number "0.1" - [];
    "ENABLE_HEALTH_DEBUG_SECRET" Text "null" - [nullable secret];
    "HEALTH_CHECKER" List r#"["LocalHealthCheck", {}]"# - [];
    "HEALTH_CHECKER_INSTANCE_CHECK_PREFERRED_STORAGE" Boolean "null" - [nullable];
}
"immutability" {
    "FEATURE_IMMUTABLE_TAGS" Boolean "false" - [in_effect];
    "FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE" Boolean "false" - [in_effect];
}
"logs" {
    "ACTION_LOG_ARCHIVE_LOCATION" Text r#""local_us""# - [];
    "ACTION_LOG_ARCHIVE_PATH" Text r#""actionlogarchive/""# - [];
    "ACTION_LOG_AUDIT_DELETE_FAILURES" Boolean "false" - [];
    "ACTION_LOG_AUDIT_LOGINS" Boolean "true" - [in_effect];
    "ACTION_LOG_AUDIT_LOGIN_FAILURES" Boolean "false" - [in_effect];
    "ACTION_LOG_AUDIT_PULL_FAILURES" Boolean "false" - [];
    "ACTION_LOG_AUDIT_PUSH_FAILURES" Boolean "false" - [];
    "ACTION_LOG_MAX_PAGE" Number "null" - [nullable];
    "ACTION_LOG_ROTATION_FREQUENCY" Number "43200" - [];
    "ACTION_LOG_ROTATION_THRESHOLD" Text r#""30d""# - [];
    "ALLOW_PULLS_WITHOUT_STRICT_LOGGING" Boolean "false" - [in_effect];
    "ALLOW_WITHOUT_STRICT_LOGGING" Boolean "false" - [];
    "DISABLED_FOR_AUDIT_LOGS" List "[]" - [];
    "DISABLED_FOR_PULL_LOGS" List "[]" - [];
    "EXPORT_ACTION_LOGS_MAXIMUM_QUERY_TIME_SECONDS" Number "30" - [];
    "EXPORT_ACTION_LOGS_MAXIMUM_SECONDS" Number "3600" - [];
    "EXPORT_ACTION_LOGS_QUEUE_NAME" Text r#""exportactionlogs""# - [];
    "EXPORT_ACTION_LOGS_SECONDS" Number "3600" - [];
    "EXPORT_ACTION_LOGS_STORAGE_PATH" Text r#""exportedactionlogs""# - [];
    "EXPORT_ACTION_LOGS_WORKER_POLL_PERIOD" Number "60" - [];
    "FEATURE_ACTION_LOG_ROTATION" Boolean "false" - [];
    "FEATURE_AGGREGATED_LOG_COUNT_RETRIEVAL" Boolean "true" - [];
    "FEATURE_DISABLE_PULL_LOGS_FOR_FREE_NAMESPACES" Boolean "false" - [];
    "FEATURE_EXTENDED_ACTION_LOGGING" Boolean "false" - [];
    "FEATURE_LOG_EXPORT" Boolean "true" - [];
    "FEATURE_USER_LOG_ACCESS" Boolean "false" - [];
    "LOGS_MODEL" Text r#""database""# - [];
    "LOGS_MODEL_CONFIG" Map "{}" - [];
    "MINIMUM_LOGS_AGE_FOR_ARCHIVE" Text r#""7d""# - [];
    "SERVICE_LOG_ACCOUNT_ID" Number "null" - [nullable];
}
"mail" {
    "FEATURE_MAILING" Boolean "true" - [in_effect];
    "MAIL_DEFAULT_SENDER" Text r#""example@projectquay.io""# r#""admin@example.com""# [nullable in_effect];
    "MAIL_FAIL_SILENTLY" Boolean "false" - [in_effect];
    "MAIL_PASSWORD" Text "null" - [nullable secret in_effect];
    "MAIL_PORT" Number "587" - [in_effect];
    "MAIL_SERVER" Text r#""""# - [in_effect];
    "MAIL_USERNAME" Text "null" - [nullable in_effect];
    "MAIL_USE_TLS" Boolean "true" - [in_effect];
}
"metrics" {
    "EXCEPTION_LOG_TYPE" Text r#""FakeSentry""# - [];
    "FEATURE_IMAGE_PULL_STATS" Boolean "false" - [in_effect];
    "FEATURE_OTEL_TRACING" Boolean "false" - [];
    "GLOBAL_PROMETHEUS_STATS_FREQUENCY" Number "3600" - [];
    "GREENLET_TRACING" Boolean "true" - [];
    "OTEL_CONFIG" Map "null" - [nullable];
    "OTEL_TRACING_EXCLUDED_URLS" Text "null" - [nullable];
    "PROFILING_TYPE" Text r#""""# - [];
    "PROMETHEUS_NAMESPACE" Text r#""quay""# - [];
    "PROMETHEUS_PUSHGATEWAY_URL" Text r#""http://localhost:9091""# - [];
    "PULL_METRICS_WORKER_COUNT" Number "5" - [];
    "PYROSCOPE_APPLICATION_NAME" Text r#""quay""# - [];
    "PYROSCOPE_SERVER_ADDRESS" Text "null" - [nullable];
    "SENTRY_DSN" Text "null" - [nullable secret];
    "SENTRY_ENVIRONMENT" Text r#""production""# - [];
    "SENTRY_PROFILES_SAMPLE_RATE" Number "0.1" - [];
    "SENTRY_PUBLIC_DSN" Text "null" - [nullable];
    "SENTRY_SAMPLE_RATE" Number "0.1" - [];
    "SENTRY_TRACES_SAMPLE_RATE" Number "0.1" - [];
    "TRACKED_NAMESPACES" List "[]" - [];
}
"mirror" {
    "FEATURE_ORG_MIRROR" Boolean "false" - [];
    "FEATURE_REPO_MIRROR" Boolean "false" - [in_effect];
    "HTTPS_PROXY" Text "null" - [nullable];
    "HTTP_PROXY" Text "null" - [nullable];
    "NO_PROXY" Text "null" - [nullable];
    "ORG_MIRROR_INTERVAL" Number "30" - [];
    "ORG_MIRROR_MAX_DISCOVERY_DURATION" Number "1800" - [];
    "REPO_MIRROR_INTERVAL" Number "30" - [];
    "REPO_MIRROR_MAX_MANIFEST_ENTRIES" Number "1000" - [];
    "REPO_MIRROR_MAX_MANIFEST_LIST_SIZE" Number "10485760" - [];
    "REPO_MIRROR_ROLLBACK" Boolean "false" - [nullable];
    "REPO_MIRROR_SERVER_HOSTNAME" Text "null" - [nullable];
    "REPO_MIRROR_TAG_ROLLBACK_PAGE_SIZE" Number "100" - [];
    "REPO_MIRROR_TLS_VERIFY" Boolean "true" - [];
    "REPO_MIRROR_WORKER_REPLICAS" Number "null" - [nullable];
    "SSRF_ALLOWED_HOSTS" List "[]" - [];
}
"notifications" {
    "FEATURE_IMAGE_EXPIRY_TRIGGER" Boolean "false" - [];
    "NOTIFICATION_QUEUE_NAME" Text r#""notification""# - [];
    "NOTIFICATION_SEND_TIMEOUT" Number "10" - [];
    "NOTIFICATION_TASK_RUN_MINIMUM_INTERVAL_MINUTES" Number "null" - [nullable];
    "WEBHOOK_HOSTNAME_BLACKLIST" List "[]" - [];
}
"proxy_cache" {
    "FEATURE_PROXY_CACHE" Boolean "false" - [];
    "FEATURE_PROXY_CACHE_BLOB_DOWNLOAD" Boolean "true" - [];
    "PROXY_CACHE_BLOB_QUEUE_NAME" Text r#""proxycacheblob""# - [];
}
"quota" {
    "DEFAULT_SYSTEM_REJECT_QUOTA_BYTES" Number "0" - [in_effect];
    "FEATURE_EDIT_QUOTA" Boolean "true" - [in_effect];
    "FEATURE_QUOTA_MANAGEMENT" Boolean "false" - [in_effect];
    "FEATURE_QUOTA_NOTIFICATIONS" Boolean "false" - [];
    "FEATURE_QUOTA_SUPPRESS_FAILURES" Boolean "false" - [];
    "FEATURE_VERIFY_QUOTA" Boolean "true" - [];
    "QUOTA_BACKFILL" Boolean "true" - [];
    "QUOTA_BACKFILL_BATCH_SIZE" Number "null" - [nullable];
    "QUOTA_BACKFILL_POLL_PERIOD" Number "null" - [nullable];
    "QUOTA_INVALIDATE_TOTALS" Boolean "true" - [];
    "QUOTA_NOTIFICATION_COOLDOWN_SECONDS" Number "86400" - [];
    "QUOTA_NOTIFICATION_WORKER_POLL_PERIOD" Number "300" - [];
    "QUOTA_REGISTRY_SIZE_POLL_PERIOD" Number "null" - [nullable];
    "QUOTA_TOTAL_DELAY_SECONDS" Number "1800" - [];
}
"redis" {
    "BUILDLOGS_MODULE_AND_CLASS" List "null" - [nullable];
    "BUILDLOGS_OPTIONS" List "[]" - [];
    "BUILDLOGS_REDIS" Map r#"{"host": "localhost"}"# - [];
    "BUILDLOGS_REDIS_HOSTNAME" Text "null" - [nullable];
    "PULL_METRICS_REDIS" Map r#"{"host": "localhost", "db": 1}"# - [];
    "PULL_METRICS_REDIS_HOSTNAME" Text "null" - [nullable];
    "REDIS_CONNECTION_TIMEOUT" Number "5" - [];
    "REDIS_FLUSH_INTERVAL_SECONDS" Number "300" - [];
    "REDIS_FLUSH_WORKER_BATCH_SIZE" Number "1000" - [];
    "REDIS_FLUSH_WORKER_SCAN_COUNT" Number "100" - [];
    "USER_EVENTS_REDIS" Map r#"{"host": "localhost"}"# - [];
    "USER_EVENTS_REDIS_HOSTNAME" Text "null" - [nullable];
}
"registry" {
    "ALLOWED_OCI_ARTIFACT_TYPES" Map r#"{"application/vnd.oci.image.config.v1+json": ["application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.dsse.envelope.v1+json", "text/spdx", "text/spdx+xml", "text/spdx+json", "application/vnd.syft+json", "application/vnd.cyclonedx", "application/vnd.cyclonedx+xml", "application/vnd.cyclonedx+json", "application/vnd.in-toto+json"], "application/vnd.cncf.helm.config.v1+json": ["application/tar+gzip", "application/vnd.cncf.helm.chart.content.v1.tar+gzip"], "application/vnd.oci.source.image.config.v1+json": ["application/vnd.oci.image.layer.v1.tar+gzip"], "application/vnd.unknown.config.v1+json": ["application/vnd.cncf.openpolicyagent.policy.layer.v1+rego", "application/vnd.cncf.openpolicyagent.data.layer.v1+json"]}"# - [];
    "BLACKLIST_V2_SPEC" Text r#""<1.6.0""# - [in_effect];
    "CREATE_NAMESPACE_ON_PUSH" Boolean "false" - [in_effect];
    "CREATE_PRIVATE_REPO_ON_PUSH" Boolean "true" - [in_effect];
    "DATA_MODEL_CACHE_CONFIG" Map r#"{"engine": "memcached", "endpoint": ["127.0.0.1", 18080]}"# r#"{"engine": "memcached", "endpoint": ["127.0.0.1", 18080], "repository_blob_cache_ttl": "60s", "catalog_page_cache_ttl": "60s", "active_repo_tags_cache_ttl": "120s", "value_size_limit": "1MiB"}"# [];
    "DISABLE_PUSHES" Boolean "false" - [];
    "FEATURE_ADVERTISE_V2" Boolean "true" - [in_effect];
    "FEATURE_EXPERIMENTAL_HELM_OCI_SUPPORT" Boolean "false" - [];
    "FEATURE_EXTENDED_REPOSITORY_NAMES" Boolean "true" - [in_effect];
    "FEATURE_GENERAL_OCI_SUPPORT" Boolean "false" "true" [in_effect];
    "FEATURE_HELM_OCI_SUPPORT" Boolean "true" - [];
    "FEATURE_LIBRARY_SUPPORT" Boolean "true" - [in_effect];
    "FEATURE_PUBLIC_CATALOG" Boolean "false" - [in_effect];
    "FEATURE_RATE_LIMITS" Boolean "false" - [];
    "FEATURE_REFERRERS_API" Boolean "true" - [in_effect];
    "FEATURE_RESTRICTED_V1_PUSH" Boolean "false" - [in_effect];
    "FEATURE_SPARSE_INDEX" Boolean "false" - [in_effect];
    "LIBRARY_NAMESPACE" Text r#""library""# - [in_effect];
    "MANIFESTS_ENDPOINT_READ_TIMEOUT" Text "null" - [nullable];
    "NON_RATE_LIMITED_NAMESPACES" List "[]" - [];
    "OCI_NAMESPACE_WHITELIST" List "[]" - [];
    "PAGE_TOKEN_KEY" Text "null" - [nullable secret];
    "PUBLIC_NAMESPACES" List "[]" - [];
    "REGISTRY_JWT_AUTH_MAX_FRESH_S" Number "3660" - [in_effect];
    "REGISTRY_STATE" Text r#""normal""# - [in_effect];
    "SIGNED_GRANT_EXPIRATION_SEC" Number "86400" - [];
    "V1_ONLY_DOMAIN" Text "null" - [nullable];
    "V1_PUSH_WHITELIST" List "[]" - [in_effect];
    "V22_NAMESPACE_BLACKLIST" List "[]" - [];
    "V2_PAGINATION_SIZE" Number "50" - [in_effect];
    "V3_UPGRADE_MODE" Text "null" - [nullable];
}
"saas" {
    "ANALYTICS_TYPE" Text r#""FakeAnalytics""# - [];
    "BILLING_TYPE" Text r#""FakeStripe""# - [];
    "CLOUDWATCH_AWS_ACCESS_KEY" Text "null" - [nullable];
    "CLOUDWATCH_AWS_SECRET_KEY" Text "null" - [nullable secret];
    "CLOUDWATCH_NAMESPACE" Text "null" - [nullable];
    "ENTITLEMENT_RECONCILIATION_MARKETPLACE_ENDPOINT" Text r#""""# - [];
    "ENTITLEMENT_RECONCILIATION_USER_ENDPOINT" Text r#""""# - [];
    "EXPORT_COMPLIANCE_ENDPOINT" Text r#""""# - [];
    "FEATURE_BILLING" Boolean "false" - [];
    "FEATURE_ENTITLEMENT_RECONCILIATION" Boolean "false" - [];
    "FEATURE_EXPORT_COMPLIANCE" Boolean "false" - [];
    "FEATURE_RH_MARKETPLACE" Boolean "false" - [];
    "FEATURE_SPAM_DETECTION" Boolean "false" - [];
    "GOOGLE_ANALYTICS_KEY" Text r#""""# - [];
    "GOOGLE_TAGMANAGER_KEY" Text r#""""# - [];
    "IP_DATA_API_KEY" Text "null" - [nullable secret];
    "MARKETO_CLIENT_ID" Text "null" - [nullable];
    "MARKETO_CLIENT_SECRET" Text "null" - [nullable secret];
    "MARKETO_LEAD_SOURCE" Text "null" - [nullable];
    "MARKETO_MUNCHKIN_ID" Text "null" - [nullable];
    "MARKETO_MUNCHKIN_PRIVATE_KEY" Text "null" - [nullable secret];
    "MIXPANEL_KEY" Text r#""""# - [];
    "SPAM_DETECTION_CLASSIFIER_PATH" Text r#""/conf/spam-detection/classifier.json""# - [nullable];
    "SPAM_DETECTION_CLASSIFIER_SHA256" Text "null" - [nullable];
    "SPAM_DETECTION_CLASSIFIER_VERSION" Text "null" - [nullable];
    "SPAM_DETECTION_DRY_RUN" Boolean "true" - [];
    "SPAM_DETECTION_FAIL_OPEN" Boolean "true" - [];
    "STRIPE_PUBLISHABLE_KEY" Text "null" - [nullable];
    "STRIPE_SECRET_KEY" Text "null" - [nullable secret];
    "USER_ANALYTICS_TYPE" Text r#""FakeAnalytics""# - [];
}
"security_scanner" {
    "FEATURE_SECURITY_NOTIFICATIONS" Boolean "false" - [];
    "FEATURE_SECURITY_SCANNER" Boolean "false" - [in_effect];
    "FEATURE_SECURITY_SCANNER_NOTIFY_ON_NEW_INDEX" Boolean "true" - [];
    "FEATURE_SECURITY_SCANNER_V2" Boolean "false" - [];
    "JWTPROXY_AUDIENCE" Text r#""<scheme>://<SERVER_HOSTNAME>""# - [];
    "JWTPROXY_SIGNER" Text r#""localhost:8081""# - [];
    "NOTIFICATION_MIN_SEVERITY_ON_NEW_INDEX" Text r#""High""# - [];
    "SECSCAN_NOTIFICATION_QUEUE_NAME" Text r#""security_notification""# - [];
    "SECSCAN_V4_NOTIFICATION_QUEUE_NAME" Text r#""secscanv4""# - [];
    "SECURITY_SCANNER_API_BATCH_TIMEOUT_SECONDS" Number "null" - [nullable];
    "SECURITY_SCANNER_API_TIMEOUT_POST_SECONDS" Number "480" - [];
    "SECURITY_SCANNER_API_TIMEOUT_SECONDS" Number "10" - [];
    "SECURITY_SCANNER_API_VERSION" Text r#""v1""# - [];
    "SECURITY_SCANNER_ENDPOINT" Text "null" - [nullable];
    "SECURITY_SCANNER_ENDPOINT_BATCH" Text "null" - [nullable];
    "SECURITY_SCANNER_ENGINE_VERSION_TARGET" Number "3" - [];
    "SECURITY_SCANNER_INDEXING_INTERVAL" Number "30" - [];
    "SECURITY_SCANNER_INDEXING_MIN_ID" Number "null" - [nullable];
    "SECURITY_SCANNER_ISSUER_NAME" Text r#""security_scanner""# - [];
    "SECURITY_SCANNER_MAX_SCAN_RETRIES" Number "5" - [];
    "SECURITY_SCANNER_READONLY_FAILOVER_ENDPOINTS" List "[]" - [];
    "SECURITY_SCANNER_V2_BATCH_SIZE" Number "50" - [];
    "SECURITY_SCANNER_V2_INDEXING_INTERVAL" Number "30" - [];
    "SECURITY_SCANNER_V4_BATCH_SIZE" Number "0" - [];
    "SECURITY_SCANNER_V4_ENDPOINT" Text "null" - [nullable];
    "SECURITY_SCANNER_V4_INDEXING" Boolean "true" - [];
    "SECURITY_SCANNER_V4_INDEX_MAX_LAYER_SIZE" Text "null" - [nullable];
    "SECURITY_SCANNER_V4_LOCK" Boolean "false" - [];
    "SECURITY_SCANNER_V4_MANIFEST_CLEANUP" Boolean "true" - [];
    "SECURITY_SCANNER_V4_NAMESPACE_WHITELIST" List "[]" - [];
    "SECURITY_SCANNER_V4_PSK" Text "null" - [nullable secret];
    "SECURITY_SCANNER_V4_RECENT_MANIFEST_BATCH_LOCK" Boolean "false" - [];
    "SECURITY_SCANNER_V4_RECENT_MANIFEST_BATCH_SIZE" Number "1000" - [];
    "SECURITY_SCANNER_V4_REINDEX_THRESHOLD" Number "300" - [];
}
"server" {
    "ACCOUNT_RECOVERY_MODE" Boolean "false" - [];
    "APPLICATION_ROOT" Text r#""/""# - [];
    "DEBUG" Boolean "false" - [];
    "FEATURE_LISTEN_IP_VERSION" Text "null" - [nullable];
    "FEATURE_PROXY_PROTOCOL" Boolean "false" - [];
    "FORCE_NONSECURE_SESSION_COOKIE" Boolean "false" - [];
    "JSONIFY_PRETTYPRINT_REGULAR" Boolean "false" - [];
    "LOGGING_LEVEL" Text r#""DEBUG""# - [];
    "PREFERRED_URL_SCHEME" Text r#""http""# - [in_effect];
    "PROPAGATE_EXCEPTIONS" Boolean "true" - [];
    "PROXY_COUNT" Number "1" - [];
    "SECRET_KEY" Text "null" - [nullable secret in_effect];
    "SEND_FILE_MAX_AGE_DEFAULT" Number "0" - [];
    "SERVER_HOSTNAME" Text "null" - [nullable in_effect];
    "SETUP_COMPLETE" Boolean "false" - [];
    "SYSTEM_SERVICES_PATH" Text "null" - [nullable];
    "SYSTEM_SERVICE_BLACKLIST" List "[]" - [];
    "TESTING" Boolean "true" - [];
    "TRUSTED_PROXY_CIDR" List "null" - [nullable];
}
"service_keys" {
    "EXPIRED_SERVICE_KEY_TTL_SEC" Number "604800" - [in_effect];
    "INSTANCE_SERVICE_KEY_EXPIRATION" Number "120" - [in_effect];
    "INSTANCE_SERVICE_KEY_KID_LOCATION" Text r#""<conf dir>/quay.kid""# - [];
    "INSTANCE_SERVICE_KEY_LOCATION" Text r#""<conf dir>/quay.pem""# - [];
    "INSTANCE_SERVICE_KEY_REFRESH" Number "55" - [in_effect];
    "INSTANCE_SERVICE_KEY_SERVICE" Text r#""quay""# - [in_effect];
    "UNAPPROVED_SERVICE_KEY_TTL_SEC" Number "86400" - [in_effect];
}
"signing" {
    "FEATURE_SIGNING" Boolean "false" - [];
    "TUF_API_TIMEOUT_SECONDS" Number "1" - [];
    "TUF_GUN_PREFIX" Text "null" - [nullable];
    "TUF_HOST" Text "null" - [nullable];
    "TUF_READONLY_FAILOVER_ENDPOINTS" List "[]" - [];
    "TUF_SERVER" Text "null" - [nullable];
}
"storage" {
    "CDN_SPECIFIC_NAMESPACES" List "[]" - [];
    "CHUNK_CLEANUP_QUEUE_NAME" Text r#""chunk_cleanup""# - [];
    "CLEAN_BLOB_UPLOAD_FOLDER" Boolean "true" - [];
    "DISTRIBUTED_STORAGE_CONFIG" Map "null" - [nullable in_effect];
    "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS" List r#"["local_us"]"# - [];
    "DISTRIBUTED_STORAGE_PREFERENCE" List "null" - [nullable in_effect];
    "DISTRIBUTED_STORAGE_VALIDATE_ENDTOEND" Boolean "false" - [];
    "FEATURE_ENABLE_STALE_MPU_CLEANUP" Boolean "true" - [];
    "FEATURE_PROXY_STORAGE" Boolean "false" - [];
    "FEATURE_STORAGE_REPLICATION" Boolean "false" - [];
    "MAXIMUM_LAYER_SIZE" Text r#""20G""# - [in_effect];
    "REPLICATION_QUEUE_NAME" Text r#""imagestoragereplication""# - [];
    "STORAGE_REPLICATION_PROCESSING_SECONDS" Number "1200" - [];
    "USERFILES_LOCATION" Text r#""local_us""# - [];
    "USERFILES_PATH" Text r#""userfiles/""# - [];
}
"superusers" {
    "FEATURE_SUPERUSERS_FULL_ACCESS" Boolean "false" - [in_effect];
    "FEATURE_SUPERUSERS_ORG_CREATION_ONLY" Boolean "false" - [];
    "FEATURE_SUPERUSER_CONFIGDUMP" Boolean "false" - [];
    "FEATURE_SUPER_USERS" Boolean "true" - [in_effect];
    "GLOBAL_READONLY_SUPER_USERS" List "[]" - [];
    "SUPER_USERS" List "[]" - [in_effect];
}
"tags" {
    "DEFAULT_LABEL_KEY_RESERVED_PREFIXES" List r#"["com.docker.", "io.docker.", "org.dockerproject.", "org.opencontainers.", "io.cncf.", "io.kubernetes.", "io.k8s.", "io.quay", "com.coreos", "com.tectonic", "internal", "quay"]"# - [in_effect];
    "DEFAULT_TAG_EXPIRATION" Text r#""2w""# - [in_effect];
    "FEATURE_CHANGE_TAG_EXPIRATION" Boolean "true" - [in_effect];
    "LABELED_EXPIRATION_MAXIMUM" Text r#""104w""# - [in_effect];
    "LABELED_EXPIRATION_MINIMUM" Text r#""1h""# - [in_effect];
    "LABEL_KEY_RESERVED_PREFIXES" List "[]" - [in_effect];
    "TAG_EXPIRATION_OPTIONS" List r#"["0s", "1d", "1w", "2w", "4w"]"# - [in_effect];
}
"team_sync" {
    "FEATURE_NONSUPERUSER_TEAM_SYNCING_SETUP" Boolean "false" - [];
    "FEATURE_TEAM_SYNCING" Boolean "false" - [];
    "TEAM_RESYNC_STALE_TIME" Text r#""30m""# - [];
    "TEAM_SYNC_WORKER_FREQUENCY" Number "60" - [];
}
"tls" {
    "EXTERNAL_TLS_TERMINATION" Boolean "false" - [];
    "FEATURE_FIPS" Boolean "false" - [];
    "SSL_CIPHERS" List "null" - [nullable];
    "SSL_CIPHERSUITES" List "[]" - [];
    "SSL_PROTOCOLS" List r#"["TLSv1", "TLSv1.1", "TLSv1.2"]"# - [];
}
"ui" {
    "AVATAR_COLORS" List r#""(fixed colour list)""# - [];
    "AVATAR_KIND" Text r#""local""# - [in_effect];
    "BRANDING" Map "null" - [nullable in_effect];
    "CHANNEL_COLORS" List r#""(fixed colour list)""# - [];
    "CONTACT_INFO" List "[]" - [in_effect];
    "DEFAULT_UI" Text r#""react""# - [];
    "DISABLE_ANGULAR_UI" Boolean "false" - [];
    "DOCUMENTATION_ROOT" Text "null" - [nullable in_effect];
    "ENTERPRISE_LOGO_URL" Text "null" - [nullable];
    "FEATURE_UI_DELAY_AFTER_WRITE" Boolean "false" - [];
    "FEATURE_UI_MODELCARD" Boolean "true" - [];
    "FEATURE_UI_V2" Boolean "true" - [];
    "FOOTER_LINKS" Map "{}" - [in_effect];
    "REGISTRY_TITLE" Text r#""Project Quay""# - [in_effect];
    "REGISTRY_TITLE_SHORT" Text r#""Project Quay""# - [];
    "SEARCH_MAX_RESULT_PAGE_COUNT" Number "10" - [in_effect];
    "SEARCH_RESULTS_PER_PAGE" Number "10" - [in_effect];
    "STATIC_SITE_BUCKET" Text "null" - [nullable];
    "UI_DELAY_AFTER_WRITE_SECONDS" Number "3" - [];
    "UI_MODELCARD_ANNOTATION" Map "{}" - [];
    "UI_MODELCARD_ARTIFACT_TYPE" Text r#""application/x-mlmodel""# - [];
    "UI_MODELCARD_LAYER_ANNOTATION" Map r#"{"org.opencontainers.image.title": "README.md"}"# - [];
    "UI_V2_FEEDBACK_FORM" Text "null" - [nullable];
}
"users" {
    "BLACKLISTED_EMAIL_DOMAINS" List "[]" - [in_effect];
    "FEATURE_BLACKLISTED_EMAILS" Boolean "false" - [in_effect];
    "FEATURE_INVITE_ONLY_USER_CREATION" Boolean "false" - [in_effect];
    "FEATURE_ORG_SHARED_EMAIL" Boolean "false" - [];
    "FEATURE_PARTIAL_USER_AUTOCOMPLETE" Boolean "true" - [in_effect];
    "FEATURE_REQUIRE_TEAM_INVITE" Boolean "true" - [in_effect];
    "FEATURE_RESTRICTED_USERS" Boolean "false" - [];
    "FEATURE_USERNAME_CONFIRMATION" Boolean "true" - [];
    "FEATURE_USER_CREATION" Boolean "true" - [in_effect];
    "FEATURE_USER_EVENTS" Boolean "true" - [];
    "FEATURE_USER_INITIALIZE" Boolean "false" - [in_effect];
    "FEATURE_USER_LAST_ACCESSED" Boolean "true" - [in_effect];
    "FEATURE_USER_METADATA" Boolean "false" - [in_effect];
    "FEATURE_USER_RENAME" Boolean "false" - [in_effect];
    "LAST_ACCESSED_UPDATE_THRESHOLD_S" Number "60" - [in_effect];
    "RESTRICTED_USERS_WHITELIST" List "null" - [nullable];
    "RESTRICTED_USER_INCLUDE_ROBOTS" Boolean "null" - [nullable];
    "ROBOTS_DISALLOW" Boolean "null" - [nullable in_effect];
    "ROBOTS_WHITELIST" List "[]" - [in_effect];
    "USER_RECOVERY_TOKEN_LIFETIME" Text r#""30m""# - [in_effect];
}
"verbs" {
    "BITTORRENT_ANNOUNCE_URL" Text r#""https://localhost:6881/announce""# - [];
    "BITTORRENT_FILENAME_PEPPER" Text "null" - [nullable secret];
    "BITTORRENT_PIECE_SIZE" Number "524288" - [];
    "BITTORRENT_WEBSEED_LIFETIME" Number "3600" - [];
    "FEATURE_ACI_CONVERSION" Boolean "false" - [in_effect];
    "FEATURE_BITTORRENT" Boolean "false" - [];
    "GPG2_PRIVATE_KEY_FILENAME" Text "null" - [nullable];
    "GPG2_PRIVATE_KEY_NAME" Text "null" - [nullable];
    "GPG2_PUBLIC_KEY_FILENAME" Text "null" - [nullable];
    "SIGNING_ENGINE" Text "null" - [nullable];
}
"web" {
    "USE_CDN" Boolean "false" - [];
}
"workers" {
    "FEATURE_CLEAR_EXPIRED_RAC_ENTRIES" Boolean "false" - [];
    "FEATURE_MANIFEST_SIZE_BACKFILL" Boolean "true" - [];
    "FEATURE_MANIFEST_SUBJECT_BACKFILL" Boolean "true" - [];
    "FEATURE_REPOSITORY_ACTION_COUNTER" Boolean "true" - [in_effect];
    "MANIFEST_BACKFILL_WORKER_FREQUENCY" Number "3600" - [];
    "MANIFEST_SUBJECT_BACKFILL_WORKER_FREQUENCY" Number "60" - [];
    "QUEUE_CLEANUP_FREQUENCY" Number "86400" - [];
    "QUEUE_METRICS_TYPE" Text r#""Null""# - [];
    "QUEUE_WORKER_METRICS_REFRESH_SECONDS" Number "300" - [];
    "STAGGER_WORKERS" Boolean "true" - [];
}
}
