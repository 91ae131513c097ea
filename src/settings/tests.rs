//! Error messages for operators, word for word, and the defaults.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::domain::deadlines;
use crate::domain::min_free::MinFree;
use crate::domain::origin::Account;
use crate::domain::policy::PublicGroups;
use crate::telemetry::LogFormat;
use crate::upstream::{AccountOptions, HostPort, HttpProxy};

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
    let variable = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
    Settings::from_text(Some(("my.toml", text)), environment.iter().map(variable), |_| Vec::new())
        .map_err(|error| error.to_string())
}

fn refusal(text: &str) -> String {
    load(text, &[]).unwrap_err()
}

fn variable_refusal(name: &str, value: &str) -> String {
    load("", &[(name, value)]).unwrap_err()
}

fn secret_file(secret: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(secret.as_bytes()).unwrap();
    file
}

fn account<'a>(settings: &'a Settings, upstream: &str, username: &str) -> &'a AccountOptions {
    let upstream = settings.upstreams.iter().find(|known| known.name.as_str() == upstream).unwrap();
    upstream.accounts.iter().find(|account| account.username == username).unwrap()
}

#[test]
fn without_a_file_the_documented_defaults_hold() {
    let settings = Settings::load(None, []).unwrap();
    let Settings { server, storage, bootstrap, auth, limits, proxy, cache, log, upstreams, keys: _, names: _ } =
        &settings;
    let days = (limits.personal_token_days, limits.group_token_days, limits.deploy_token_days);
    assert_eq!(days, (0, 0, 0));
    assert_eq!((limits.max_personal_tokens.get(), limits.max_deploy_tokens.get()), (200, 500));
    assert_eq!((limits.changes_per_minute, limits.admin_changes_per_minute), (600, 0));
    assert_eq!(server.listen, "127.0.0.1:5050".parse().unwrap());
    assert_eq!(server.metrics_listen, Some("127.0.0.1:5051".parse().unwrap()));
    assert_eq!((&server.external_url, server.trusted_proxies.len(), server.workers, server.tls()), (&None, 0, 0, None));
    assert_eq!(server.client_timeout, Duration::from_secs(60));
    assert_eq!(server.shutdown_timeout, deadlines::SHUTDOWN);
    assert_eq!((&*storage.data_dir, &*storage.cache_dir), (Path::new("./data"), Path::new("./data/cache")));
    assert_eq!(storage.min_free, MinFree::Percent(10));
    assert_eq!(
        (storage.verification.bytes_per_second, storage.verification.interval.as_secs()),
        (20 << 20, 7 * 24 * 3600)
    );
    assert_eq!(bootstrap.admin_username.as_str(), "root");
    assert!(bootstrap.admin_password.is_none() && bootstrap.admin_token.is_none());
    assert_eq!(auth.service, "dependency_proxy");
    assert_eq!((auth.token_lifetime.as_secs(), auth.token_advertised.as_secs()), (3600, 300));
    assert_eq!(auth.key_file_in(storage), Path::new("./data/jwt-keys"));
    assert_eq!(auth.public_groups, PublicGroups::Members);
    assert!(proxy.enabled);
    assert_eq!(cache.tag_freshness.as_secs(), 60);
    let times = cache.manifests.times;
    assert_eq!((times.revalidate_timeout.as_secs(), times.negative_ttl.as_secs()), (2, 10));
    assert_eq!((cache.manifests.max_manifest_bytes, cache.blobs.max_blob_bytes), (4 << 20, None));
    assert!(cache.manifests.manifest_memory <= 64 << 20);
    assert_eq!(log.format, LogFormat::Auto);
    let shipped =
        "docker.io gcr.io ghcr.io mcr.microsoft.com public.ecr.aws quay.io registry.gitlab.com registry.k8s.io";
    assert_eq!(upstreams.iter().map(|upstream| upstream.name.as_str()).collect::<Vec<_>>().join(" "), shipped);
    assert!(upstreams.iter().all(|upstream| upstream.accounts.is_empty() && upstream.tag_freshness.as_secs() == 60));
    let hub = upstreams.iter().next().unwrap();
    assert_eq!(
        (hub.url.as_str(), &hub.auth_hosts[..]),
        ("https://registry-1.docker.io/", &[HostPort::parse("auth.docker.io").unwrap()][..])
    );
}

#[test]
fn the_example_for_operators_is_accepted_with_and_without_what_is_commented_out() {
    let example = include_str!("../../config/example.toml");
    let settings = load(example, &[]).unwrap();
    assert!(
        settings.server.tls().is_some() && settings.upstreams.iter().all(|upstream| upstream.name.as_str() != "gcr.io")
    );
    let keys = |line: &str| line.starts_with("# [") || line.starts_with("# ") && line.contains(" = ");
    let uncommented = |line: &str| if keys(line) { line[2..].to_owned() } else { line.to_owned() };
    let file = secret_file("secret");
    let all: Vec<String> = example.lines().map(uncommented).collect();
    let all = all.join("\n").replace("/etc/dependency-proxy/robot-team.secret", file.path().to_str().unwrap());
    let all = all.replace("/etc/dependency-proxy/robot-platform.secret", file.path().to_str().unwrap());
    let settings = load(&all, &[("DEPENDENCY_PROXY__UPSTREAMS__DOCKER_IO__PASSWORD", "secret")]).unwrap();
    assert_eq!(account(&settings, "registry.example.com", "robot-platform").groups.len(), 1);
    assert_eq!(account(&settings, "docker.io", "example-robot").groups.len(), 2);
    assert_eq!(settings.upstreams.unrestricted_accounts().count(), 0);
}

#[test]
fn a_file_is_laid_over_the_defaults_key_by_key() {
    let settings = load("[upstreams.'docker.io']\ntag_freshness = 0\n[server]\nworkers = 3\n", &[]).unwrap();
    assert_eq!(settings.server.workers, 3);
    assert_eq!(settings.server.listen.port(), 5050);
    let hub = settings.upstreams.iter().next().unwrap();
    assert_eq!((hub.tag_freshness, hub.url.host_str()), (Duration::ZERO, Some("registry-1.docker.io")));
}

#[test]
fn the_environment_is_laid_over_the_file() {
    let environment = [
        ("DEPENDENCY_PROXY__SERVER__WORKERS", "4"),
        ("DEPENDENCY_PROXY__SERVER__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1"),
        ("DEPENDENCY_PROXY__SERVER__METRICS_LISTEN", ""),
        ("DEPENDENCY_PROXY__AUTH__PUBLIC_GROUPS", "anyone"),
        ("DEPENDENCY_PROXY__CACHE__TAG_FRESHNESS", "5"),
        ("DEPENDENCY_PROXY__PROXY__ENABLED", "false"),
        ("DEPENDENCY_PROXY__STORAGE__MIN_FREE", "2GiB"),
        ("DEPENDENCY_PROXY_TOKEN", "not a setting"),
    ];
    let settings = load("[server]\nworkers = 3\nexternal_url = 'https://x.example'\n", &environment).unwrap();
    assert_eq!((settings.server.workers, settings.server.metrics_listen), (4, None));
    assert_eq!(settings.server.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "192.0.2.1/32".parse().unwrap()]);
    assert_eq!(settings.server.external_url.unwrap().as_str(), "https://x.example/");
    assert_eq!(settings.auth.public_groups, PublicGroups::Anyone);
    assert_eq!(settings.cache.tag_freshness.as_secs(), 5);
    assert!(!settings.proxy.enabled);
    assert_eq!(settings.storage.min_free, MinFree::Bytes(2 << 30));
}

#[test]
fn upstreams_are_named_in_variables_with_underscores() {
    let environment = [
        ("DEPENDENCY_PROXY__UPSTREAMS__DOCKER_IO__USERNAME", "robot"),
        ("DEPENDENCY_PROXY__UPSTREAMS__DOCKER_IO__PASSWORD", "0123"),
        ("DEPENDENCY_PROXY__UPSTREAMS__MIRROR_1_5000__ACCOUNTS__CI__PASSWORD", "secret"),
    ];
    let text = "[upstreams.'mirror-1:5000']\nurl = 'http://mirror-1:5000/hub'\naccounts.ci.username = 'bot'\n";
    let settings = load(text, &environment).unwrap();
    assert_eq!(account(&settings, "docker.io", "robot").password.expose_secret(), "0123");
    assert_eq!(account(&settings, "mirror-1:5000", "bot").password.expose_secret(), "secret");
}

#[test]
fn the_first_account_that_fits_is_used_in_the_order_of_the_file_and_the_short_form_last() {
    let text = "[upstreams.'docker.io']\nusername = 'all'\npassword = 'x'\n\
                accounts.z = { username = 'first', password = 'x', groups = ['Team'] }\n\
                accounts.a = { username = 'second', password = 'x', images = ['acme/*'] }\n";
    let settings = load(text, &[]).unwrap();
    let world = settings.upstreams.world();
    let used = |group: &str, image: &str| {
        world.origin("docker.io".parse().unwrap(), image.parse().unwrap(), &group.parse().unwrap()).account
    };
    assert_eq!(used("team/ci", "acme/app"), Account::Username("first".into()));
    assert_eq!(used("other", "acme/app"), Account::Username("second".into()));
    assert_eq!(used("other", "library/alpine"), Account::Username("all".into()));
    let open: Vec<_> = settings.upstreams.unrestricted_accounts().map(|(name, user)| (name.as_str(), user)).collect();
    assert_eq!(open, [("docker.io", "all")]);
}

#[test]
fn an_upstream_that_is_switched_off_does_not_exist() {
    let settings = load("[upstreams.'quay.io']\nenabled = false\n", &[]).unwrap();
    assert!(settings.upstreams.iter().all(|upstream| upstream.name.as_str() != "quay.io"));
    assert!(settings.upstreams.world().named("quay.io").is_none());
}

#[test]
fn upstreams_have_the_defaults_unless_they_say_otherwise() {
    let text = "[upstream_defaults]\nmax_concurrent = 7\n[upstreams.'quay.io']\nmax_concurrent = 9\n";
    let settings = load(text, &[]).unwrap();
    let limits =
        settings.upstreams.iter().map(|upstream| (upstream.name.as_str(), upstream.connection.max_concurrent.get()));
    assert!(limits.eq(settings.upstreams.iter().map(|upstream| match upstream.name.as_str() {
        "quay.io" => ("quay.io", 9),
        other => (other, 7),
    })));
}

#[test]
fn secrets_may_stand_in_files_of_their_own() {
    let file = secret_file("from a file\n");
    let path = file.path().to_str().unwrap();
    let settings = load(&format!("[bootstrap]\nadmin_password_file = '{path}'\n"), &[]).unwrap();
    assert_eq!(settings.bootstrap.admin_password.unwrap().expose_secret(), "from a file");
    let environment = [
        ("DEPENDENCY_PROXY__UPSTREAMS__DOCKER_IO__USERNAME", "robot"),
        ("DEPENDENCY_PROXY__UPSTREAMS__DOCKER_IO__PASSWORD_FILE", path),
    ];
    let settings = load("", &environment).unwrap();
    assert_eq!(account(&settings, "docker.io", "robot").password.expose_secret(), "from a file");
}

#[test]
fn a_secret_and_its_file_together_are_refused() {
    let file = secret_file("x");
    let path = file.path().to_str().unwrap();
    assert_eq!(
        refusal(&format!("[bootstrap]\nadmin_password = 'x'\nadmin_password_file = '{path}'\n")),
        "my.toml, line 3: bootstrap.admin_password_file: admin_password is given too (my.toml, line 2); give one of them"
    );
}

#[test]
fn a_file_of_a_secret_that_cannot_be_read_or_is_empty_is_refused() {
    assert_eq!(
        variable_refusal("DEPENDENCY_PROXY__BOOTSTRAP__ADMIN_TOKEN_FILE", "/nonexistent/token"),
        "DEPENDENCY_PROXY__BOOTSTRAP__ADMIN_TOKEN_FILE: bootstrap.admin_token_file: /nonexistent/token cannot be read: \
         No such file or directory (os error 2)"
    );
    let file = secret_file("\n");
    let path = file.path().to_str().unwrap();
    assert_eq!(
        refusal(&format!("[upstreams.'quay.io']\npassword_file = '{path}'\n")),
        format!(
            "my.toml, line 2: upstreams.\"quay.io\".password_file: {path} is empty\n\
             my.toml, line 2: upstreams.\"quay.io\".password: is given without username"
        )
    );
}

#[test]
fn refusals_name_the_file_the_line_and_the_key() {
    for (text, expected) in [
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
            "line 1: sever: unknown key; known keys are server, storage, bootstrap, auth, limits, proxy, cache, log, upstream_defaults, upstreams",
        ),
        (
            "[cache]\nmax_waiter = 1",
            "line 2: cache.max_waiter: unknown key; known keys are tag_freshness, revalidate_timeout, negative_ttl, account_grace, max_manifest_bytes, max_blob_bytes, manifest_memory, transfer_memory, max_fetches, max_downloads, max_downloads_per_group, max_waiters, max_unstored_streams, max_range_streams, known_links, known_tags, open_blobs",
        ),
        ("[proxy]\nenabled = 'yes'", "line 2: proxy.enabled: is a string, not true or false"),
        ("[auth]\npublic_groups = 'all'", "line 2: auth.public_groups: 'all' is not one of members, signed_in, anyone"),
        ("[auth]\npublic_groups = 2026-01-01", "line 2: auth.public_groups: is not a string"),
        ("[auth]\nservice = ''", "line 2: auth.service: is empty"),
        ("[auth]\nservice = 2026-01-01", "line 2: auth.service: is a date, not a string"),
        ("[auth]\npassword_threads = 0", "line 2: auth.password_threads: 0 is not a whole number of 1 or more"),
        (
            "[cache]\ntag_freshness = '-1s'",
            "line 2: cache.tag_freshness: '-1s' is not a time such as \"60s\" or \"1h\"",
        ),
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
            "line 2: upstreams.\"quay.io\".idel_timeout: unknown key; known keys are url, enabled, username, password, groups, images, accounts, auth_hosts, redirect_hosts, tag_freshness, max_concurrent, max_waiting, connect_timeout, header_timeout, idle_timeout, proxy, ca_file",
        ),
        (
            "[upstream_defaults]\npassword = 'x'",
            "line 2: upstream_defaults.password: unknown key; known keys are max_concurrent, max_waiting, connect_timeout, header_timeout, idle_timeout, proxy, ca_file",
        ),
    ] {
        assert_eq!(refusal(text), format!("my.toml, {expected}"), "{text}");
    }
}

#[test]
fn settings_that_cannot_be_together_are_refused() {
    for (text, expected) in [
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
        (
            "[cache]\nrevalidate_timeout = 0",
            "line 2: cache.revalidate_timeout: is zero: no tag could ever be revalidated",
        ),
        ("[cache]\nmax_manifest_bytes = 0", "line 2: cache.max_manifest_bytes: is zero: no image could be cached"),
        (
            "[upstreams.'quay.io']\nusername = 'u'",
            "line 2: upstreams.\"quay.io\".username: is given without password or password_file",
        ),
        ("[upstreams.'quay.io']\npassword = 'p'", "line 2: upstreams.\"quay.io\".password: is given without username"),
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
        ("[upstreams.'quay.io']\nidle_timeout = 0", "line 2: upstreams.\"quay.io\".idle_timeout: is zero"),
    ] {
        assert_eq!(refusal(text), format!("my.toml, {expected}"), "{text}");
    }
}

#[test]
fn what_is_not_toml_is_refused_without_repeating_the_line() {
    let refused = refusal("[bootstrap]\nadmin_password = \"hunter2\n");
    assert!(refused.starts_with("my.toml, line 2: invalid basic string"), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
}

#[test]
fn variables_that_are_wrong_are_refused_by_their_names() {
    for (name, value, expected) in [
        ("SERVER__WORKERS", "many", "server.workers: is not a whole number of 0 or more"),
        ("PROXY__ENABLED", "yes", "proxy.enabled: is not true or false"),
        ("SERVER__LISTEN", "x", "server.listen: 'x' is not an address with a port such as 127.0.0.1:5050"),
        ("PROXY__ENABLE", "x", "proxy.enable: unknown key; known keys are enabled"),
        ("SERVER", "x", "names a section, not a setting"),
        ("SEVER__LISTEN", "x", "names no known section (upstreams and accounts are added in the file)"),
        ("UPSTREAMS__NEW_IO__URL", "x", "names no known section (upstreams and accounts are added in the file)"),
        ("SERVER__LISTEN__X", "x", "names no setting"),
    ] {
        let name = format!("DEPENDENCY_PROXY__{name}");
        assert_eq!(variable_refusal(&name, value), format!("{name}: {expected}"));
    }
}

#[test]
fn a_variable_with_too_few_underscores_is_refused_and_others_are_let_be() {
    for (name, meant) in [("SERVER_LISTEN", "SERVER__LISTEN"), ("AUTH__KEY_FILE", "AUTH__KEY_FILE")] {
        let name = format!("DEPENDENCY_PROXY_{name}");
        let expected = format!("{name}: is not read; use DEPENDENCY_PROXY__{meant}");
        assert_eq!(variable_refusal(&name, "x"), expected);
    }
    for name in ["URL", "TOKEN", "SERVICE_HOST", "PORT_5050_TCP", "TEST_PYTHON"] {
        load("", &[(&format!("DEPENDENCY_PROXY_{name}"), "x")]).unwrap();
    }
}

#[test]
fn every_fault_is_told_at_once_and_none_twice() {
    let text = "[server]\nworkers = -1\nlistn = 'x'\n[storage]\nmin_free = '10'\n[log]\nfilter = 'inof'\n\
                [upstream_defaults]\nidle_timeout = 0\n\
                [upstreams.'a.b']\nurl = 'ftp://x'\nauth_hosts = ['/']\nusername = 'u'\n\
                [upstreams.'quay.io']\npassword_file = '/nonexistent/secret'\nusername = 'robot'\n\
                [auth]\nlogin_window = 0\n[sever]\nx = 1\n";
    let environment = [("DEPENDENCY_PROXY__SERVER__LISTEN", "x"), ("DEPENDENCY_PROXY_SERVER_WORKERS", "3")];
    let refused = load(text, &environment).unwrap_err();
    let mut keys: Vec<&str> = refused.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    keys.sort_unstable();
    let expected = [
        "auth.login_window",
        "is not read; use DEPENDENCY_PROXY__SERVER__WORKERS",
        "log.filter",
        "server.listen",
        "server.listn",
        "server.workers",
        "sever",
        "storage.min_free",
        "upstream_defaults.idle_timeout",
        "upstreams.\"a.b\".auth_hosts",
        "upstreams.\"a.b\".url",
        "upstreams.\"a.b\".username",
        "upstreams.\"quay.io\".password_file",
    ];
    assert_eq!(keys, expected, "{refused}");
}

#[test]
fn a_wrong_item_or_a_wrong_name_hides_no_other_fault() {
    let keys = |text: &str, environment: &[(&str, &str)]| {
        let refused = load(text, environment).unwrap_err();
        refused.lines().map(|line| line.split(": ").nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let proxies = [("DEPENDENCY_PROXY__SERVER__TRUSTED_PROXIES", "one, 10.0.0.0/8, two")];
    assert_eq!(keys("", &proxies), ["server.trusted_proxies"; 2]);
    let text = "[upstreams.'A']\nurl = 1\nx = 2\n[upstreams.'B']\nurl = 'https://b'\ngroups = ['-']\n[upstreams.'C_D']\nurl = 'https://c'";
    let mut found = keys(text, &[]);
    found.sort_unstable();
    let expected =
        ["upstreams.A", "upstreams.A.url", "upstreams.A.x", "upstreams.B", "upstreams.B.groups", "upstreams.C_D"];
    assert_eq!(found, expected);
    for (text, expected) in [
        ("[server]\ntls_key = 'k'", "server.tls_key"),
        ("[upstreams.'a.b']\nurl = 'https://x'\nusername = 'u'\ngroups = ['g']", "upstreams.\"a.b\".username"),
        ("[upstreams.'a.b']\nurl = 'https://x'\npassword = 'p'\ngroups = ['g']", "upstreams.\"a.b\".password"),
    ] {
        assert_eq!(keys(text, &[]), [expected]);
    }
}

#[test]
fn a_quantity_without_a_unit_is_refused_where_another_one_is_likely_meant() {
    for (text, expected) in [
        ("[storage]\nmin_free = '10'", "write \"10%\" or \"10GiB\", or \"10B\" for bytes"),
        ("[storage]\nmin_free = 20", "write \"20%\" or \"20GiB\""),
        ("[storage]\nmin_free = 500", "'500' has no unit and would be 500 bytes; write \"500GiB\""),
        ("[server]\nrequest_memory = 16", "write \"16MiB\", or \"16B\" for bytes"),
        ("[cache]\nmanifest_memory = '64'", "write \"64MiB\""),
        ("[cache]\ntransfer_memory = 64", "write \"64MiB\""),
        ("[cache]\naccount_grace = 24", "'24' has no unit and would be 24 seconds; write \"24h\" or \"24s\""),
        ("[storage]\nverify_interval = '168'", "write \"168h\""),
        ("[cache]\nrevalidate_timeout = 2000", "would be 2000 seconds; write \"2000ms\" or \"2000s\""),
        ("[upstreams.'quay.io']\nconnect_timeout = '5000'", "write \"5000ms\""),
    ] {
        assert!(refusal(text).contains(expected), "{}", refusal(text));
    }
    let zero = "[storage]\nmin_free = 0\n[cache]\naccount_grace = 0\nmanifest_memory = 0\nmax_blob_bytes = 5\n\
                revalidate_timeout = 2\n[server]\nclient_timeout = 600\n";
    assert_eq!(load(zero, &[]).unwrap().storage.min_free, MinFree::Bytes(0));
}

#[test]
fn what_changed_is_told_by_key_also_where_it_is_a_secret_in_a_file() {
    let file = secret_file("one");
    let text = |freshness| {
        format!(
            "[cache]\ntag_freshness = '{freshness}'\n[upstreams.'quay.io']\nusername = 'u'\npassword_file = '{}'\n",
            file.path().display()
        )
    };
    let before = load(&text("1s"), &[]).unwrap();
    assert!(load(&text("1s"), &[]).unwrap().keys().changed(before.keys()).is_empty());
    std::fs::write(file.path(), "two").unwrap();
    let changed = load(&text("2s"), &[]).unwrap().keys().changed(before.keys());
    assert_eq!(changed, ["cache.tag_freshness", "upstreams.\"quay.io\".password"]);
}

#[test]
fn a_variable_that_could_mean_two_upstreams_is_refused() {
    let text = "[upstreams.'a.b']\nurl = 'http://x'\n[upstreams.a-b]\nurl = 'http://x'\n";
    assert_eq!(
        load(text, &[("DEPENDENCY_PROXY__UPSTREAMS__A_B__USERNAME", "u")]).unwrap_err(),
        "DEPENDENCY_PROXY__UPSTREAMS__A_B__USERNAME: could mean several settings; set them in the file"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let refused = Settings::load(Some(Path::new("/nonexistent/x.toml")), []).unwrap_err().to_string();
    assert_eq!(refused, "the configuration /nonexistent/x.toml cannot be read: No such file or directory (os error 2)");
}

#[test]
fn printed_settings_hold_no_secret() {
    let text = "[bootstrap]\nadmin_password = 'canary-password'\nadmin_token = 'canary-token-of-20-chars'\n\
                [upstreams.'docker.io']\nusername = 'robot'\npassword = 'canary-upstream'\n\
                accounts.a = { username = 'b', password = 'canary-account' }\n";
    let printed = format!("{:?}", load(text, &[]).unwrap());
    assert!(printed.contains("robot") && !printed.contains("canary"), "{printed}");
}

#[test]
fn a_service_for_other_machines_is_in_the_clear_unless_something_encrypts() {
    for (lines, expected) in [
        ("", false),
        ("listen = '0.0.0.0:5050'", true),
        ("listen = '[::]:5050'\nexternal_url = 'http://x'", true),
        ("listen = '0.0.0.0:5050'\nexternal_url = 'https://x'", false),
        ("listen = '0.0.0.0:5050'\ntrusted_proxies = ['10.0.0.1']", false),
        ("listen = '0.0.0.0:5050'\ntls_certificate = 'a'\ntls_key = 'b'", false),
    ] {
        let settings = load(&format!("[server]\n{lines}"), &[]).unwrap();
        assert_eq!(settings.server.is_in_the_clear(), expected, "{lines}");
    }
}

#[test]
fn a_proxy_is_named_or_none_or_what_the_environment_says() {
    let at = |proxy: &str| {
        let settings = load(&format!("[upstreams.'docker.io']\nproxy = '{proxy}'"), &[]).unwrap();
        settings.upstreams.iter().next().unwrap().connection.proxy.clone()
    };
    assert_eq!((at(""), at("none")), (HttpProxy::Environment, HttpProxy::None));
    assert_eq!(at("http://proxy:3128"), HttpProxy::At("http://proxy:3128".parse().unwrap()));
}
