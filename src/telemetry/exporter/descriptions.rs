//! Descriptions of all metrics, which `/metrics` shows as their help texts.

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// Describes each metric in one line.
pub(super) fn describe() {
    describe_pulls();
    describe_upstreams();
    describe_store();
    describe_limits();
    describe_operation();
    describe_fleet();
}

/// Describes the metrics of a replica that shares its engines with others.
fn describe_fleet() {
    describe_gauge!(
        "dependency_proxy_fleet_engine_up",
        "1 if the last look at the engine succeeded, by engine: database or object store"
    );
    describe_gauge!(
        "dependency_proxy_fleet_follows_log",
        "1 while this replica reads changes of identities in the object store in place of the database"
    );
    describe_counter!(
        "dependency_proxy_fleet_downloads_total",
        "Downloads of blobs, by role: led (received from upstream, for other replicas as well), followed (received from \
         another replica), bucket (received from the object store), or alone"
    );
    describe_shared_content();
    describe_counter!(
        "dependency_proxy_fleet_late_confirmations_total",
        "Changes of identities that another replica did not confirm in time, so that they took fleet.bound longer"
    );
    describe_counter!(
        "dependency_proxy_fleet_versions_went_back_total",
        "Times that the database had an older state than before, as after a restore"
    );
}

/// Describes the metrics of cached content that replicas share.
fn describe_shared_content() {
    describe_counter!(
        "dependency_proxy_fleet_lookups_total",
        "Lookups of content that this replica lacks in the index of the fleet, by result: found, unknown or failed"
    );
    describe_counter!(
        "dependency_proxy_fleet_lost_changes_total",
        "Changes of cached content that other replicas do not learn of, because too many waited for the database"
    );
    describe_gauge!(
        "dependency_proxy_fleet_waiting_uploads",
        "Stored contents that wait for their upload to the bucket, or are being uploaded"
    );
    describe_counter!(
        "dependency_proxy_fleet_uploads_total",
        "Uploads to the bucket, by outcome: done, repeated or failed"
    );
    describe_counter!(
        "dependency_proxy_fleet_uploaded_bytes_total",
        "Bytes that this replica has uploaded to the bucket"
    );
    describe_counter!(
        "dependency_proxy_fleet_wrong_objects_total",
        "Objects in the bucket whose content did not have its digest, and which are not used any more"
    );
    describe_counter!(
        "dependency_proxy_fleet_redirects_total",
        "Requests for blobs that were redirected to the bucket"
    );
    describe_gauge!("dependency_proxy_fleet_keeps", "1 while this replica looks after the bucket for all");
    describe_gauge!(
        "dependency_proxy_fleet_bucket_bytes",
        "Bytes of content in the bucket, as the replica that looks after it has last seen them"
    );
}

/// Describes the metrics of requests and pulls.
fn describe_pulls() {
    describe_counter!("dependency_proxy_http_requests_total", "HTTP responses, by route and status");
    describe_histogram!("dependency_proxy_http_first_byte_seconds", "Seconds until the response began, by route");
    let outcomes = "hit, revalidated, revalidating (from the cache, while upstream confirms it in the background), \
                    stale, miss, coalesced (from the request of another pull, which was under way already)";
    describe_counter!(
        "dependency_proxy_manifest_pulls_total",
        format!(
            "Pulls of manifests, by cache outcome: {outcomes}, failed, or passed_through (from the cache, but blobs of the \
             image are not stored)"
        )
    );
    describe_counter!(
        "dependency_proxy_blob_pulls_total",
        format!("Pulls of blobs, by cache outcome: {outcomes}, or failed")
    );
    describe_counter!(
        "dependency_proxy_trace_spans_total",
        "Spans of traces, by outcome: sent to the collector, or failed"
    );
    describe_gauge!(
        "dependency_proxy_audit_file_failing",
        "1 while audit events cannot be appended to the file of the setting audit.file"
    );
    describe_counter!(
        "dependency_proxy_pull_records_dropped_total",
        "Pulls of which it is not kept who made them, because there are too many records"
    );
    describe_gauge!(
        "dependency_proxy_manifest_requests_in_flight",
        "Manifests being requested from upstreams, each counted once however many clients wait for it"
    );
    describe_gauge!(
        "dependency_proxy_downloads_in_flight",
        "Blobs being downloaded, each counted once however many clients read it"
    );
    describe_counter!("dependency_proxy_fetched_bytes_total", "Bytes of manifests and blobs received from upstreams");
    describe_counter!("dependency_proxy_served_bytes_total", "Bytes of manifests and blobs sent to clients");
}

/// Describes the metrics of upstreams.
fn describe_upstreams() {
    describe_counter!("dependency_proxy_upstream_requests_total", "Requests to upstreams, by kind and outcome");
    describe_gauge!(
        "dependency_proxy_upstream_account_refused",
        "1 while an upstream rejects the credentials of a configured account, by upstream and account"
    );
    describe_gauge!(
        "dependency_proxy_upstream_first_credential_refused",
        "1 while the second credential of an account is used because the first is rejected, by upstream and account"
    );
    describe_counter!(
        "dependency_proxy_mirror_requests_total",
        "Requests to mirrors, by upstream, mirror and outcome: ok (or a HEAD that a GET must decide), not_found, refused, \
         failed, given_up, wrong (content) or skipped"
    );
    describe_gauge!(
        "dependency_proxy_mirror_skipped",
        "1 while a mirror is skipped because it fails, by upstream and mirror"
    );
    describe_gauge!(
        "dependency_proxy_upstream_circuit",
        "0 while requests to an upstream with an account are sent, 1 if the next one tries whether it works again, 2 while they \
         are not sent after failures"
    );
    describe_gauge!(
        "dependency_proxy_upstream_pull_limit",
        "Number of pulls in a window that an upstream allows an account, as it reports"
    );
    describe_gauge!("dependency_proxy_upstream_pulls_left", "Number of these pulls that are left");
    describe_gauge!(
        "dependency_proxy_upstream_pulls_run_out_seconds",
        "Seconds until no pull is left, if pulls go on as in the last ten minutes"
    );
    describe_gauge!(
        "dependency_proxy_upstream_held",
        "Requests that wait because the limit of an upstream is reached, by upstream"
    );
    describe_gauge!("dependency_proxy_upstream_in_flight", "Upstream requests in progress, by upstream and kind");
    describe_gauge!(
        "dependency_proxy_upstream_waiting",
        "Upstream requests waiting for the limit on concurrent requests, by upstream"
    );
}

/// Describes the metrics of stored content.
fn describe_store() {
    describe_counter!("dependency_proxy_unstored_blobs_total", "Blobs passed on without being stored, by reason");
    describe_counter!(
        "dependency_proxy_unstored_manifests_total",
        "Manifests passed on without being stored or linked to the group, by reason"
    );
    describe_counter!("dependency_proxy_damaged_total", "Stored files found damaged, and removed or rebuilt, by kind");
    describe_counter!(
        "dependency_proxy_audit_events_removed_total",
        "Audit events removed, because they were old or because there was no space, by reason"
    );
    describe_counter!("dependency_proxy_evicted_files_total", "Files evicted to make room for other content");
    describe_counter!("dependency_proxy_evicted_bytes_total", "Bytes of these files");
    describe_counter!(
        "dependency_proxy_moved_tags_total",
        "Tags that stood for another manifest when they were pulled again"
    );
    describe_counter!(
        "dependency_proxy_expired_images_total",
        "Images removed because nobody pulled them for too long"
    );
    describe_counter!(
        "dependency_proxy_verified_bytes_total",
        "Bytes of stored blobs and manifests read back and verified in the background"
    );
    describe_gauge!(
        "dependency_proxy_verified_at_seconds",
        "Time of the last complete verification of all that is stored, in seconds since 1970"
    );
    describe_gauge!("dependency_proxy_stored_bytes", "Bytes of all stored manifests and blobs, each content once");
    describe_gauge!(
        "dependency_proxy_max_stored_bytes",
        "Maximum of these bytes (storage.max_bytes); missing where there is none"
    );
    describe_gauge!("dependency_proxy_stored_blobs", "Stored blobs");
    describe_gauge!("dependency_proxy_stored_manifests", "Stored manifests and indexes");
    describe_gauge!("dependency_proxy_free_bytes", "Free bytes on the file system of the cache");
}

/// Describes the metrics of bounded resources and of refusals.
fn describe_limits() {
    describe_gauge!("dependency_proxy_connections", "Open client connections");
    describe_gauge!(
        "dependency_proxy_connections_waiting_for_turn",
        "Connections that are ready and wait for their turn, because clients of several groups use the thread"
    );
    describe_gauge!("dependency_proxy_queue_length", "Requests waiting or running, per bounded queue");
    describe_gauge!(
        "dependency_proxy_reserved_memory_bytes",
        "Bytes in use of the memory budget for manifests and lists"
    );
    describe_counter!(
        "dependency_proxy_refusals_total",
        "Responses that refuse a request (401, 403, 404, 405, 429, 5xx), by reason"
    );
    describe_counter!(
        "dependency_proxy_changes_throttled_total",
        "API changes refused because their caller made too many"
    );
    describe_counter!(
        "dependency_proxy_over_capacity_total",
        "Requests refused because a queue was full, and connections because their address had too many, by queue"
    );
}

/// Describes the metrics of this process, its log and its tokens.
fn describe_operation() {
    describe_counter!(
        "dependency_proxy_log_lines_dropped_total",
        "Log lines dropped because the log was not read or could not be written"
    );
    describe_gauge!("dependency_proxy_log_buffered_bytes", "Bytes of log lines waiting to be written");
    describe_gauge!("process_resident_memory_bytes", "Resident memory of this process, in bytes");
    describe_gauge!("process_open_fds", "Open file descriptors of this process, including connections");
    describe_gauge!("process_max_fds", "Maximum number of open file descriptors of this process");
    describe_gauge!("process_start_time_seconds", "Time at which this process started, in seconds since 1970");
    describe_gauge!(
        "dependency_proxy_tokens_expiring",
        "Active tokens with a lifetime of more than a week that expire within 1, 7 or 30 days, by days"
    );
}
