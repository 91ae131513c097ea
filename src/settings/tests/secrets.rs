//! Secrets: their files, and the places where they must not appear.

use super::*;

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
fn the_second_credential_of_an_account_has_its_user_name_unless_it_has_its_own() {
    let file = secret_file("from a file\n");
    let text = format!(
        "[upstreams.'quay.io']\nusername = 'robot'\npassword = 'x'\nsecond_password_file = '{}'\n\
         accounts.a = {{ username = 'b', password = 'x', second_username = 'c', second_password = 'y' }}\n",
        file.path().display()
    );
    let settings = load(&text, &[]).unwrap();
    let second = |name| account(&settings, "quay.io", name).second.clone().unwrap();
    assert_eq!((second("robot").username.as_str(), second("b").username.as_str()), ("robot", "c"));
    assert_eq!((second("robot").password.expose_secret(), second("b").password.expose_secret()), ("from a file", "y"));
    assert!(
        account(&load("[upstreams.'quay.io']\nusername = 'u'\npassword = 'p'", &[]).unwrap(), "quay.io", "u")
            .second
            .is_none()
    );
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
fn printed_settings_hold_no_secret() {
    let text = "[bootstrap]\nadmin_password = 'canary-password'\nadmin_token = 'canary-token-of-20-chars'\n\
                [upstreams.'docker.io']\nusername = 'robot'\npassword = 'canary-upstream'\n\
                second_password = 'canary-second'\n\
                accounts.a = { username = 'b', password = 'canary-account', second_password = 'canary-second' }\n";
    let printed = format!("{:?}", load(text, &[]).unwrap());
    assert!(printed.contains("robot") && !printed.contains("canary"), "{printed}");
}

#[test]
fn what_is_not_toml_is_refused_without_repeating_the_line() {
    let refused = refusal("[bootstrap]\nadmin_password = \"hunter2\n");
    assert!(refused.starts_with("my.toml, line 2: invalid basic string"), "{refused}");
    assert!(!refused.contains("hunter2"), "{refused}");
}
