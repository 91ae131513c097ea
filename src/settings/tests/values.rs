//! The defaults, and what a file and the environment change.

use super::*;

#[test]
fn without_a_file_the_documented_defaults_hold() {
    let settings = Settings::load(None, []).unwrap();
    let Settings { server, storage, bootstrap, auth, limits, console, proxy, cache, audit, log, .. } = &settings;
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
    let times = (console.session_idle.as_secs(), console.session_longest.as_secs());
    assert_eq!((console.enabled, times), (true, (12 * 3600, 7 * 24 * 3600)));
    assert!(proxy.enabled);
    assert_eq!(cache.tags.tag_freshness.as_secs(), 60);
    let times = cache.manifests.times;
    assert_eq!((times.revalidate_timeout.as_secs(), times.negative_ttl.as_secs()), (2, 10));
    assert_eq!((cache.manifests.max_manifest_bytes, cache.blobs.max_blob_bytes), (4 << 20, None));
    assert!(cache.manifests.manifest_memory <= 64 << 20);
    assert_eq!(log.format, LogFormat::Auto);
    let events = audit.events;
    assert_eq!((events.keep_days, events.max_bytes, events.max_refusal_bytes), (400, 16 << 20, 16 << 20));
    assert_eq!(audit.address_days.0, 30);
    assert_eq!((audit.pulls.pull_days, audit.pulls.max_pull_bytes), (30, 64 << 20));
}

#[test]
fn without_a_file_the_upstreams_are_those_of_the_documentation() {
    let upstreams = Settings::load(None, []).unwrap().upstreams;
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
    let example = include_str!("../../../config/example.toml");
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
    assert_eq!(settings.cache.tags.tag_freshness.as_secs(), 5);
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
    let upstreams = settings.pull_rules();
    let used = |group: &str, image: &str| {
        upstreams.origin("docker.io".parse().unwrap(), image.parse().unwrap(), &group.parse().unwrap()).account
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
    assert!(settings.pull_rules().named("quay.io").is_none());
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
