//! `apply` that is killed: the next one completes it, and no secret is lost.

use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

const TOKENS: usize = 40;

fn company_of_tokens() -> String {
    let token = |number| {
        format!("[groups.team.deploy_tokens.t{number}]\nusername = 't{number}'\nsecret_file = 'secrets/t{number}'\n")
    };
    let users = "[users.alice]\npassword_file = 'secrets/alice'\n[groups.team]\nmembers = { alice = 'owner' }\n";
    users.to_owned() + &(0..TOKENS).map(token).collect::<String>()
}

#[actix_rt::test]
async fn whenever_it_is_killed_the_next_run_leaves_every_secret_in_its_file() {
    let company = Company::start();
    let state = company_of_tokens();
    fs::write(company.path("company.toml"), &state).unwrap();
    for milliseconds in [5, 15, 25, 35, 50, 65, 80, 100] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
            .args(["apply", "--file", "company.toml", "--yes", "--url", &company.service.url()])
            .env("DEPENDENCY_PROXY_TOKEN", ADMIN_TOKEN)
            .current_dir(company.service.data().parent().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        actix_rt::time::sleep(Duration::from_millis(milliseconds)).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut next = company.apply(&state, "--yes");
    // The service may carry out the last request of a killed run after this one has read its state.
    if String::from_utf8_lossy(&next.stderr).contains("The same command continues with what is left (409)") {
        next = company.apply(&state, "--yes");
    }
    says(&next);
    assert_eq!(company.plan(&state, ""), [] as [&str; 0]);
    let password = company.secret("secrets/alice");
    says(&verb(&company.service, "", "login --username alice --password-stdin", &password));
    for number in 0..TOKENS {
        let secret = company.secret(&format!("secrets/t{number}"));
        assert!(company.may_pull("team", &format!("t{number}"), &secret).await, "t{number}");
    }
}

#[actix_rt::test]
async fn a_token_whose_secret_was_not_written_gets_a_new_one() {
    let company = Company::start();
    let state = "[users.alice]\ntokens.own = { expires_at = '2099-01-01', secret_file = 'own' }\n[groups.team]\n\
                 deploy_tokens.ci = { username = 'ci', secret_file = 'ci' }\n\
                 access_tokens.bot = { scopes = ['read_api'], expires_at = '2099-01-01', secret_file = 'bot' }";
    says(&company.apply(state, "--yes"));
    let before = company.json("token list");
    for name in ["own", "ci", "bot"] {
        // As after a kill between the creation of the token and the write of its secret.
        fs::write(company.path(name), "pending\n").unwrap();
    }
    let plan = company.plan(state, "");
    assert_eq!(plan.len(), 3, "{plan:#?}");
    assert!(plan.iter().all(|line| line.starts_with("~ ") && line.contains("was never written to")), "{plan:#?}");
    says(&company.apply(state, "--yes"));
    assert_eq!(company.plan(state, ""), [] as [&str; 0]);
    assert!(company.may_pull("team", "ci", &company.secret("ci")).await);
    says(&verb(&company.service, &company.secret("bot"), "group show team", ""));
    let ends = |tokens: &Value| -> Vec<(Value, Value)> {
        let all = tokens.as_array().unwrap().iter().filter(|token| token["active"] == true);
        all.map(|token| (token["name"].clone(), token["expires_at"].clone())).collect()
    };
    let mut after = ends(&company.json("token list"));
    let mut before = ends(&before);
    after.sort_by_key(|(name, _)| name.to_string());
    before.sort_by_key(|(name, _)| name.to_string());
    assert_eq!(after, before, "the ends stay");
}

#[actix_rt::test]
async fn what_another_running_process_has_reserved_is_left_to_it() {
    let company = Company::start();
    says(&company.apply("[groups.team]", "--yes"));
    let reserved = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(company.path("ci")).unwrap();
    fs::write(company.path("ci"), "pending\n").unwrap();
    reserved.lock().unwrap();
    let state = "[groups.team]\ndeploy_tokens.new.secret_file = 'new'\ndeploy_tokens.ci.secret_file = 'ci'";
    assert_eq!(company.refusals(state, ""), ["ci is in use by another process of `apply`"]);
    assert!(company.path("ci").exists() && !company.path("new").exists());
    // A child that another test has just forked may still have the file open: its end alone would not unlock it.
    reserved.unlock().unwrap();
    says(&company.apply(state, "--yes"));
    assert_eq!(company.plan(state, ""), [] as [&str; 0]);
}

#[actix_rt::test]
async fn an_empty_file_is_used_for_a_new_secret_and_never_costs_a_token_its_old_one() {
    let company = Company::start();
    let empty =
        || fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(company.path("ci")).unwrap();
    empty();
    let state = "[groups.team]\ndeploy_tokens.ci = { username = 'ci', secret_file = 'ci' }";
    says(&company.apply(state, "--yes"));
    let secret = company.secret("ci");
    empty();
    assert_eq!(company.plan(state, ""), [] as [&str; 0]);
    assert!(company.may_pull("team", "ci", &secret).await);
}
