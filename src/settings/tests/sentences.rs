//! The sentences of refusals, word for word.

use super::refusal;

#[test]
fn a_refusal_is_one_line_whatever_it_repeats() {
    assert_eq!(
        refusal("[server]\nclient_timeout = \"1\\n\\u001B[2J\"\n"),
        "my.toml, line 2: server.client_timeout: '1\\n\\u{1b}[2J' is not a time such as \"60s\" or \"1h\""
    );
}

#[test]
fn refusals_name_the_file_the_line_and_the_key() {
    assert_refused(&[WRONG, WRONG_IN_UPSTREAMS]);
}

#[test]
fn settings_that_cannot_be_together_are_refused() {
    assert_refused(&[UNUSABLE, UNUSABLE_IN_UPSTREAMS]);
}

fn assert_refused(tables: &[&[(&str, &str)]]) {
    for (text, expected) in tables.iter().copied().flatten() {
        assert_eq!(refusal(text), format!("my.toml, {expected}"), "{text}");
    }
}

/// Keys that are unknown, and values that are wrong by themselves, with the end of their refusal.
const WRONG: &[(&str, &str)] = &[
    (
        "[server]\nlisten = 'localhost'",
        "line 2: server.listen: 'localhost' is not an address with a port such as 127.0.0.1:5050",
    ),
    ("[server]\n\nworkers = -1", "line 3: server.workers: -1 is not a whole number of 0 or more"),
    ("[server]\nworkers = 'four'", "line 2: server.workers: is a string, not a whole number of 0 or more"),
    (
        "[server]\nworkers = 1.5",
        "line 2: server.workers: is a number with a fraction or out of range, not a whole number of 0 or more",
    ),
    (
        "[server]\ntrusted_proxies = [\n '10.0.0.0/8',\n 'lb']",
        "line 4: server.trusted_proxies: 'lb' is not a network such as 10.0.0.0/8 or an address",
    ),
    ("server = 3", "line 1: server: is a number, not a table"),
    (
        "[server]\nlistn = 'x'",
        "line 2: server.listn: unknown key; known keys are listen, metrics_listen, external_url, trusted_proxies, workers, max_connections, max_connections_per_address, request_memory, client_timeout, shutdown_timeout, tcp_congestion_control, tls_certificate, tls_key",
    ),
    (
        "[sever]",
        "line 1: sever: unknown key; known keys are server, storage, bootstrap, auth, limits, console, proxy, cache, audit, fleet, log, telemetry, upstream_defaults, upstreams",
    ),
    (
        "[cache]\nmax_waiter = 1",
        "line 2: cache.max_waiter: unknown key; known keys are tag_freshness, stale_while_revalidate, moving_tags, moving_freshness, immutable_tags, immutable_freshness, revalidate_timeout, negative_ttl, account_grace, max_manifest_bytes, max_blob_bytes, manifest_memory, transfer_memory, max_fetches, max_downloads, max_downloads_per_group, max_waiters, max_waiters_per_group, max_unstored_streams, max_range_streams, known_links, known_tags, open_blobs",
    ),
    (
        "[audit]\nkeep = '90d'",
        "line 2: audit.keep: unknown key; known keys are keep_days, max_bytes, max_refusal_bytes, pull_days, max_pull_bytes, address_days, file",
    ),
    ("[proxy]\nenabled = 'yes'", "line 2: proxy.enabled: is a string, not true or false"),
    ("[proxy]\nnetwork_mode = 'off'", "line 2: proxy.network_mode: 'off' is not one of online, offline"),
    (
        "[cache]\nimmutable_tags = ['v*', 'acme/app']",
        "line 2: cache.immutable_tags: a tag pattern is one of a tag, such as v*, or of an image with a tag, such as docker.io/acme/*:v*",
    ),
    ("[auth]\npublic_groups = 'all'", "line 2: auth.public_groups: 'all' is not one of members, signed_in, anyone"),
    ("[auth]\npublic_groups = 2026-01-01", "line 2: auth.public_groups: is not a string"),
    ("[auth]\nservice = ''", "line 2: auth.service: is empty"),
    ("[auth]\nservice = 2026-01-01", "line 2: auth.service: is a date, not a string"),
    ("[auth]\npassword_threads = 0", "line 2: auth.password_threads: 0 is not a whole number of 1 or more"),
    ("[cache]\ntag_freshness = '-1s'", "line 2: cache.tag_freshness: '-1s' is not a time such as \"60s\" or \"1h\""),
    (
        "[cache]\ntag_freshness = []",
        "line 2: cache.tag_freshness: is a list, not a whole number or a string with a unit",
    ),
    (
        "[cache]\nmax_blob_bytes = '5 GIG'",
        "line 2: cache.max_blob_bytes: '5 GIG' is not a size such as 4194304 or \"4MiB\"",
    ),
    (
        "[storage]\nmin_free = '100%'",
        "line 2: storage.min_free: '100%' is not a share such as \"10%\" or a size such as \"20GiB\"",
    ),
    (
        "[log]\nfilter = 'x=y'",
        "line 2: log.filter: 'x=y' is not a log filter such as \"info\" or \"info,dependency_proxy::upstream=debug\"",
    ),
    ("[bootstrap]\nadmin_username = 'oauth2'", "line 2: bootstrap.admin_username: is a reserved name"),
];

/// The same, in the settings of upstreams.
const WRONG_IN_UPSTREAMS: &[(&str, &str)] = &[
    ("[upstreams.'a.b']\nenabled = true", "line 1: upstreams.\"a.b\": the key url is missing"),
    (
        "[upstreams.'A/b']\nurl = 'http://x'",
        "line 1: upstreams.\"A/b\": the name of an upstream is a lower-case host name, with a port where it needs one",
    ),
    (
        "[upstreams.'a.b']\nurl = 'ftp://x'",
        "line 2: upstreams.\"a.b\".url: is not an absolute URL that starts with http:// or https://",
    ),
    (
        "[upstreams.'a.b']\nurl = 'http://u:p@x'",
        "line 2: upstreams.\"a.b\".url: contains credentials, which are not allowed in this URL",
    ),
    (
        "[upstreams.'quay.io']\nmirrors = ['https://m', 'm']",
        "line 2: upstreams.\"quay.io\".mirrors: is not an absolute URL that starts with http:// or https://",
    ),
    ("[upstreams.'a.b']\nurl = 'http://x?y'", "line 2: upstreams.\"a.b\".url: has a query or a fragment"),
    (
        "[upstreams.'quay.io']\nauth_hosts = ['https://x/']",
        "line 2: upstreams.\"quay.io\".auth_hosts: 'https://x/' is not a host such as auth.example.com or 10.0.0.1:5000",
    ),
    (
        "[upstreams.'quay.io']\npassword = 'x'\nusername = \"a\\u0000b\"",
        "line 3: upstreams.\"quay.io\".username: has a character that cannot be printed",
    ),
    ("[upstreams.'quay.io']\ngroups = ['v2/x']", "line 2: upstreams.\"quay.io\".groups: 'v2' is a reserved name"),
    (
        "[upstreams.'quay.io']\nimages = ['A']",
        "line 2: upstreams.\"quay.io\".images: an image pattern is a repository such as acme/app, one with /* at its end, or *",
    ),
    (
        "[upstreams.'quay.io']\nidel_timeout = '1s'",
        "line 2: upstreams.\"quay.io\".idel_timeout: unknown key; known keys are url, mirrors, enabled, username, password, second_username, second_password, groups, images, accounts, auth_hosts, redirect_hosts, tag_freshness, max_concurrent, max_waiting, connect_timeout, header_timeout, idle_timeout, rate_limit_wait, proxy, ca_file",
    ),
    (
        "[upstream_defaults]\npassword = 'x'",
        "line 2: upstream_defaults.password: unknown key; known keys are max_concurrent, max_waiting, connect_timeout, header_timeout, idle_timeout, rate_limit_wait, proxy, ca_file",
    ),
];

/// Values that are of the right type and cannot be used, some beside others, with the end of their refusal.
const UNUSABLE: &[(&str, &str)] = &[
    ("[server]\ntls_key = 'k'", "line 2: server.tls_key: is given without tls_certificate"),
    ("[server]\ntls_certificate = 'c'", "line 2: server.tls_certificate: is given without tls_key"),
    (
        "[server]\nexternal_url = 'https://x/y'",
        "line 2: server.external_url: has a path; clients look for /v2/ at the root of a host",
    ),
    (
        "[server]\nmetrics_listen = '127.0.0.1:5050'",
        "line 2: server.metrics_listen: is the address of listen; metrics are not on the public port",
    ),
    ("[storage]\ndata_dir = ''", "line 2: storage.data_dir: is empty"),
    ("[bootstrap]\nadmin_password = '7-chars'", "line 2: bootstrap.admin_password: has fewer than 8 characters"),
    (
        "[bootstrap]\nadmin_password = 'gldt-0123456789'",
        "line 2: bootstrap.admin_password: looks like a GitLab token, which a login never tries as a password",
    ),
    ("[bootstrap]\nadmin_token = 'too-short'", "line 2: bootstrap.admin_token: has fewer than 20 characters"),
    (
        "[auth]\ntoken_lifetime = 10",
        "line 2: auth.token_lifetime: is shorter than token_advertised: clients would use tokens that are not accepted",
    ),
    ("[auth]\ntoken_advertised = 0", "line 2: auth.token_advertised: is shorter than a second"),
    ("[auth]\nlogin_window = 0", "line 2: auth.login_window: is zero"),
    ("[cache]\nrevalidate_timeout = 0", "line 2: cache.revalidate_timeout: is zero: no tag could ever be revalidated"),
    ("[cache]\nmax_manifest_bytes = 0", "line 2: cache.max_manifest_bytes: is zero: no image could be cached"),
];

/// The same, in the settings of upstreams.
const UNUSABLE_IN_UPSTREAMS: &[(&str, &str)] = &[
    (
        "[upstreams.'quay.io']\nusername = 'u'",
        "line 2: upstreams.\"quay.io\".username: is given without password or password_file",
    ),
    ("[upstreams.'quay.io']\npassword = 'p'", "line 2: upstreams.\"quay.io\".password: is given without username"),
    (
        "[upstreams.'quay.io']\nusername = 'u'\npassword = 'p'\nsecond_username = 'v'",
        "line 4: upstreams.\"quay.io\".second_username: is given without second_password or second_password_file",
    ),
    (
        "[upstreams.'quay.io']\nsecond_password = 'p'",
        "line 2: upstreams.\"quay.io\".second_password: is given without username and password",
    ),
    (
        "[upstreams.'quay.io']\ngroups = ['g']",
        "line 2: upstreams.\"quay.io\".groups: is given without credentials to restrict",
    ),
    (
        "[upstreams.'quay.io']\nimages = ['*']",
        "line 2: upstreams.\"quay.io\".images: is given without credentials to restrict",
    ),
    (
        "[upstreams.'quay.io']\naccounts.a = {}",
        "line 2: upstreams.\"quay.io\".accounts.a: has neither username nor password",
    ),
    (
        "[upstreams.'quay.io']\nusername = 'u'\npassword = 'p'\naccounts.a = { username = 'u', password = 'q' }",
        "line 2: upstreams.\"quay.io\".username: is that of another account of this upstream; each account needs its own",
    ),
    (
        "[upstreams.'quay.io']\nheader_timeout = '13s'",
        "line 2: upstreams.\"quay.io\".header_timeout: is longer than 12 s; a pull may need two responses, and clients give up after 30 s",
    ),
    (
        "[upstreams.'quay.io']\nmirrors = ['https://m', 'https://quay.io/']",
        "line 2: upstreams.\"quay.io\".mirrors: lists url itself, which is requested last in any case",
    ),
    (
        "[upstreams.'quay.io']\nmirrors = ['https://m', 'https://n', 'https://m']",
        "line 2: upstreams.\"quay.io\".mirrors: lists the same mirror twice",
    ),
    ("[upstreams.'quay.io']\nidle_timeout = 0", "line 2: upstreams.\"quay.io\".idle_timeout: is zero"),
];
