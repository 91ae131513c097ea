//! All faults at once, and faults of variables and quantities.

use super::*;

#[test]
fn variables_that_are_wrong_are_refused_by_their_names() {
    for (name, value, expected) in [
        ("SERVER__WORKERS", "many", "server.workers: is not a whole number of 0 or more"),
        ("PROXY__ENABLED", "yes", "proxy.enabled: is not true or false"),
        ("SERVER__LISTEN", "x", "server.listen: 'x' is not an address with a port such as 127.0.0.1:5050"),
        ("PROXY__ENABLE", "x", "proxy.enable: unknown key; known keys are enabled, network_mode"),
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
