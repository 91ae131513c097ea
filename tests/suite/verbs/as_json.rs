//! `--json` of subcommands whose output for people is not a table.

use serde_json::Value;

use super::*;

fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Runs a subcommand that needs no running service.
fn offline(service: &Service, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
        .args(line.split_whitespace())
        .current_dir(service.data().parent().unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[actix_rt::test]
async fn a_login_and_the_steps_of_a_check_are_json_if_wanted() {
    let hub = FakeRegistry::start();
    hub.push_image("library/alpine", "latest", &Image::single(&[Layer::random(1_000, 1)]));
    let service = Config::docker_hub(&hub).start();
    let login = parsed(&verb(&service, "", "login --password-stdin --json", "a-root-password\n"));
    assert!(login["token"].is_string() && login["expires_at"].is_string(), "{login}");
    let ready = parsed(&verb(&service, "", "health --json", ""));
    assert_eq!(ready["status"], "ok");
    says(&verb(&service, ADMIN_TOKEN, "group create team", ""));
    let made = parsed(&verb(&service, ADMIN_TOKEN, "token create --group team --name ci --username ci --json", ""));
    let steps = |output: &Output| -> Vec<Value> {
        let lines = String::from_utf8(output.stdout.clone()).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let check = "check --group team --username ci --secret-stdin --json";
    let passed = steps(&verb(&service, "", check, made["token"].as_str().unwrap()));
    assert!(passed.len() > 5 && passed.iter().all(|step| step["ok"] == true), "{passed:?}");
    let failed = verb(&service, "", check, "gldt-not-the-secret");
    let last = steps(&failed).pop().unwrap();
    assert_eq!((failed.status.code(), &last["step"], &last["ok"]), (Some(1), &"token".into(), &false.into()));
    let config = service.config().display().to_string();
    let checked = offline(&service, &format!("upstream check docker.io --json --config {config}"));
    assert!(steps(&checked).iter().any(|step| step["step"] == "DNS" && step["ok"] == true), "{checked:?}");
}

#[actix_rt::test]
async fn errors_of_settings_a_backup_and_a_restore_are_json_if_wanted() {
    let service = Config::docker_hub(&FakeRegistry::start()).start();
    let config = service.config().display().to_string();
    let folder = service.data().parent().unwrap().to_owned();
    std::fs::write(folder.join("wrong.toml"), "[server]\nlistn = 'x'\n").unwrap();
    let wrong = offline(&service, "serve --check --json --config wrong.toml");
    let found = parsed(&wrong);
    assert_eq!((wrong.status.code(), &found["valid"]), (Some(4), &false.into()));
    let error = &found["errors"][0];
    assert_eq!((&error["place"], &error["key"]), (&"wrong.toml, line 2".into(), &"server.listn".into()));

    let backup = offline(&service, &format!("backup --json --output backup.json --config {config}"));
    assert_eq!(parsed(&backup)["users"], 1, "{backup:?}");
    let nowhere = offline(&service, &format!("backup --json --config {config}"));
    assert_eq!(nowhere.status.code(), Some(2), "{nowhere:?}");
    let restored = parsed(&offline(&service, "restore --data elsewhere --from backup.json --settings new.toml --json"));
    assert_eq!((&restored["users"], &restored["keys"]), (&1.into(), &"new".into()), "{restored}");
    assert_eq!((&restored["regained"], &restored["settings_file"]), (&Value::Null, &"new.toml".into()), "{restored}");

    let reset = parsed(&offline(&service, "admin reset --data elsewhere --json"));
    assert_eq!(reset["username"], "root");
    assert!(folder.join(reset["password_file"].as_str().unwrap()).exists(), "{reset}");
    let rotated = parsed(&offline(&service, "admin rotate-key --data elsewhere --json"));
    assert_eq!(rotated["key_file"], "elsewhere/jwt-keys");
}
