//! Plans of `apply`, and the changes that it makes.

use super::*;

#[actix_rt::test]
async fn the_example_is_applied_and_then_nothing_is_left_to_change() {
    let company = Company::start();
    let plan = company.plan(EXAMPLE, "");
    let begins = ["+ user alice: name \"Alice Doe\"", "+ user bob: name bob", "+ group team: name \"The Team\""];
    for line in begins.iter().chain(&[
        "+ group team/ci: name ci, visibility private",
        "+ member bob of team: access_level developer, expires_at 2099-01-01",
        "+ member alice of team/ci: access_level owner",
        "~ group team: max_size none -> 50GB",
        "+ deploy token 'runner' of team: scopes read_registry+write_registry, expires_at never, username runner, its secret \
         is written to secrets/team-runner",
        "+ group access token 'provisioner' of team: scopes api, expires_at 2099-01-01, access_level owner, its secret is",
        "+ personal access token 'provisioning' of alice: scopes api, expires_at 2099-01-01, its secret is written to",
        "+ deploy token 'legacy' of team: scopes read_registry+write_registry, expires_at ",
    ]) {
        assert!(plan.iter().any(|change| change.starts_with(line)), "{line} is not in {plan:#?}");
    }
    assert_eq!(company.json("user list").as_array().unwrap().len(), 1, "a plan changes nothing");
    assert!(!company.path("secrets").exists());

    let applied = company.apply(EXAMPLE, "--yes");
    assert!(says(&applied).ends_with(&format!("Done: {} changes.\n", plan.len())));
    let password = company.secret("secrets/alice.password");
    says(&verb(&company.service, "", "login --username alice --password-stdin", &password));
    let secrets = ["team-runner", "team-provisioner", "alice-provisioning"];
    let secrets = secrets.map(|name| company.secret(&format!("secrets/{name}")));
    assert!(company.may_pull("team", "runner", &secrets[0]).await);
    says(&verb(&company.service, &secrets[1], "group show team", ""));
    says(&verb(&company.service, &secrets[2], "group show team/ci", ""));
    let said = [applied.stdout, applied.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(secrets.iter().chain([&password]).all(|secret| !said.contains(secret)), "a secret is shown");

    assert_eq!(company.plan(EXAMPLE, ""), [] as [&str; 0]);
    assert_eq!(says(&company.apply(EXAMPLE, "")), "Nothing to change.\n", "there is nothing to confirm");
    assert_eq!(company.secret("secrets/team-runner"), secrets[0]);
}

#[actix_rt::test]
async fn a_deploy_token_gets_the_secret_that_its_file_has() {
    let company = Company::start();
    let secret = "a-secret-of-another-system";
    fs::write(company.path("legacy"), format!("{secret}\n")).unwrap();
    let state = "[groups.team]\ndeploy_tokens.legacy = { username = 'robot$team', given_secret_file = 'legacy' }\n\
                 deploy_tokens.new = { given_secret_file = 'new' }";
    let plan = company.plan(state, "");
    for line in [
        "+ deploy token 'legacy' of team: scopes read_registry+write_registry, expires_at never, username robot$team, its \
         secret is the one in legacy",
        "+ deploy token 'new' of team: ",
    ] {
        assert!(plan.iter().any(|change| change.starts_with(line)), "{line} is not in {plan:#?}");
    }
    let applied = company.apply(state, "--yes");
    assert!(!says(&applied).contains(secret) && company.may_pull("team", "robot$team", secret).await);
    assert_eq!(company.secret("new").len(), "dpd-".len() + 43 + 6);
    assert_eq!(company.plan(state, ""), [] as [&str; 0]);

    fs::write(company.path("short"), "short\n").unwrap();
    let wrong = "[groups.team.deploy_tokens]\na = { given_secret_file = 'short' }\n\
                 b = { given_secret_file = 'b', secret_file = 'c' }";
    let said = company.refusals(wrong, "").join("\n");
    assert!(
        said.contains("line 3: groups.team.deploy_tokens.b.given_secret_file: and secret_file are mutually"),
        "{said}"
    );
    let said = company.refusals(wrong.lines().take(2).collect::<Vec<_>>().join("\n").as_str(), "").join("\n");
    let sentence =
        "groups.team.deploy_tokens.a.given_secret_file: short: the secret is too short (minimum is 20 characters)";
    assert!(said.contains(sentence), "{said}");
    let generated = "[groups.team.deploy_tokens]\nc = { username = 'robot$c', given_secret_file = 'not-there' }";
    let said = company.refusals(generated, "").join("\n");
    assert!(said.contains("can contain '$' only if the request also supplies the secret"), "{said}");
}

#[actix_rt::test]
async fn a_change_needs_a_confirmation() {
    let company = Company::start();
    let output = company.apply("[groups.team]", "");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Add --yes"), "{output:?}");
    assert_eq!(company.plan("[groups.team]", "").len(), 1);
}

#[actix_rt::test]
async fn what_differs_is_shown_as_it_was_and_as_it_will_be_and_what_is_left_out_stays() {
    let company = Company::start();
    let first = "[users.alice]\nemail = 'a@example.com'\n[groups.team]\nmax_size = '50GB'\nmembers = { alice = 'guest' }\n\
                 deploy_tokens.ci = { expires_at = '2098-01-01', secret_file = 'ci' }";
    says(&company.apply(first, "--yes"));
    let second = "[users.Alice]\nname = 'Alice Doe'\nadmin = true\nblocked = true\n[groups.team]\nproxy = 'off'\n\
                  unpulled_days = 90\nmembers.alice = { access_level = 'owner', expires_at = '2099-01-01' }\n\
                  deploy_tokens.ci = { expires_at = 'never' }";
    let expected = [
        "~ user Alice: name alice -> \"Alice Doe\", admin no -> yes",
        "~ user Alice: blocked no -> yes",
        "~ member alice of team: access_level guest -> owner, expires_at never -> 2099-01-01",
        "~ group team: proxy inherit -> off, unpulled_days inherit -> 90",
        "~ deploy token 'ci' of team: expires_at 2098-01-01 -> never",
    ];
    assert_eq!(company.plan(second, ""), expected);
    says(&company.apply(second, "--yes"));
    assert_eq!(company.plan(second, ""), [] as [&str; 0]);
    let group = company.json("group show team");
    assert_eq!(
        (&group["dependency_proxy_max_bytes"], &group["dependency_proxy_enabled"]),
        (&50_000_000_000_u64.into(), &false.into())
    );
    assert_eq!(company.json("user show alice")["email"], "a@example.com");
    assert_eq!(company.json("token show ci")["expires_at"], Value::Null);
}

#[actix_rt::test]
async fn groups_become_more_and_less_visible_in_the_order_in_which_the_service_allows_it() {
    let company = Company::start();
    let state = |top: &str, below: &str| {
        format!(
            "[groups.a]\nvisibility = '{top}'\n[groups.'a/b']\nvisibility = '{below}'\n[groups.'a/b/c']\nvisibility = '{below}'"
        )
    };
    for (top, below) in [("public", "public"), ("private", "private"), ("public", "internal"), ("internal", "private")]
    {
        says(&company.apply(&state(top, below), "--yes"));
        assert_eq!(company.plan(&state(top, below), ""), [] as [&str; 0], "{top} above {below}");
    }
}

#[actix_rt::test]
async fn only_with_prune_is_removed_what_the_file_does_not_name_and_only_in_its_groups() {
    let company = Company::start();
    let all = "[users.alice]\n[users.bob]\n[users.bob.tokens.own]\nsecret_file = 'own'\n\
               [groups.team]\nmembers = { alice = 'owner', bob = 'guest' }\n\
               deploy_tokens = { ci = { username = 'ci', secret_file = 'ci' }, old = { secret_file = 'old' } }\n\
               access_tokens.bot.secret_file = 'bot'\n\
               [groups.'team/ci']\nmembers = { bob = 'guest' }\n[groups.other]\nmembers = { bob = 'guest' }\n\
               deploy_tokens.theirs.secret_file = 'theirs'";
    says(&company.apply(all, "--yes"));
    let less = "[users.bob]\n[groups.team]\nmembers = { alice = 'owner' }\ndeploy_tokens.ci = {}";
    assert_eq!(company.plan(less, ""), [] as [&str; 0]);
    let plan = company.plan(less, "--prune");
    let begins = [
        "- member bob of team: access_level guest",
        "- member root of team: access_level owner",
        "- deploy token 'old' of team: number ",
        "- group access token 'bot' of team: number ",
    ];
    assert_eq!(plan.len(), begins.len(), "{plan:#?}");
    for (line, begin) in plan.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
    says(&company.apply(less, "--prune --yes"));
    assert_eq!(company.plan(less, "--prune"), [] as [&str; 0]);
    assert!(company.may_pull("team", "ci", &company.secret("ci")).await);
    let groups = company.json("group list");
    assert_eq!(groups.as_array().unwrap().iter().filter(|group| group["full_path"] != "example").count(), 3);
    let memberships = company.json("member list --user bob");
    let of_bob: Vec<&str> =
        memberships.as_array().unwrap().iter().filter_map(|one| one["source_full_path"].as_str()).collect();
    assert_eq!(of_bob.len(), 2, "{of_bob:?}");
    assert!(of_bob.contains(&"team/ci") && of_bob.contains(&"other"), "{of_bob:?}");
    assert_eq!(company.json("token show theirs")["active"], true);
    assert_eq!(company.json("token show own")["active"], true);
}

#[actix_rt::test]
async fn owners_are_not_pruned_where_the_file_names_none() {
    let company = Company::start();
    let state = "[users.alice]\n[groups.team]\nmembers = { alice = 'guest' }\n[groups.'team/ci']";
    says(&company.apply(state, "--prune --yes"));
    assert_eq!(company.plan(state, "--prune"), [] as [&str; 0]);
    let members = company.json("member list team");
    assert_eq!(members.as_array().unwrap().len(), 2, "{members}");
}

#[actix_rt::test]
async fn whoever_creates_a_group_is_its_owner_only_if_the_file_says_so_or_nothing() {
    let company = Company::start();
    let named = "[users.alice]\n[groups.a]\nmembers = { alice = 'owner', root = 'guest' }\n[groups.b]\n\
                 members = { alice = 'owner' }\n[groups.c]\nmembers = { root = 'owner' }";
    let plan = company.plan(named, "--prune");
    assert!(plan.contains(&"~ member root of a: access_level owner -> guest".to_owned()), "{plan:#?}");
    assert!(plan.contains(&"- member root of b: access_level owner".to_owned()), "{plan:#?}");
    assert!(!plan.iter().any(|line| line.contains("of c")), "{plan:#?}");
    says(&company.apply(named, "--prune --yes"));
    assert_eq!(company.plan(named, "--prune"), [] as [&str; 0]);
}

#[actix_rt::test]
async fn an_owner_applies_a_file_to_the_own_group_and_changes_nobody() {
    let company = Company::start();
    let first = "[users.alice]\n[users.alice.tokens.api]\nscopes = ['api']\nsecret_file = 'api'\n[users.bob]\n[groups.team]\n\
                 members = { alice = 'owner' }\n[groups.other]";
    says(&company.apply(first, "--yes"));
    let token = company.secret("api");
    let own = "[users.bob]\n[groups.team]\nmembers = { alice = 'owner', bob = 'guest' }\n[groups.'team/ci']";
    says(&company.apply_as(&token, own, "--yes"));
    assert_eq!(company.json("member list team/ci").as_array().unwrap().len(), 0);
    let refused = company.apply_as(&token, "[users.carol]\n[groups.team]", "--yes");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4));
    assert!(said.contains("line 1: users.carol: differs; only administrators create and change users"), "{said}");
    let foreign = company.apply_as(&token, "[groups.other]\ndescription = 'mine'", "--yes");
    assert!(!foreign.status.success(), "{foreign:?}");
}

#[actix_rt::test]
async fn a_program_reads_the_plan_and_what_was_done_as_json() {
    let company = Company::start();
    let state = "[groups.team]\ndescription = 'x'";
    let changes = |output: Output| -> Value { serde_json::from_slice(&output.stdout).unwrap() };
    let planned = company.apply(state, "--dry-run --json");
    assert_eq!(planned.status.code(), Some(2));
    let change = serde_json::json!({
        "action": "create",
        "object": "group team",
        "fields": { "name": { "after": "team" }, "visibility": { "after": "private" }, "description": { "after": "x" } },
        "note": null,
        "state": "planned",
    });
    assert_eq!(changes(planned)["changes"][0], change);
    let done = company.apply(state, "--yes --json");
    assert_eq!((done.status.code(), &changes(done)["changes"][0]["state"]), (Some(0), &"done".into()));
    assert_eq!(changes(company.apply(state, "--json")), serde_json::json!({ "changes": [] }));
}

#[actix_rt::test]
async fn a_file_comes_from_standard_input_too() {
    let company = Company::start();
    let state = "[users.alice]\npassword_file = 'alice.password'\n";
    says(&verb(&company.service, ADMIN_TOKEN, "apply --file - --yes", state));
    let password = company.secret("alice.password");
    says(&verb(&company.service, "", "login --username alice --password-stdin", &password));
    fs::write(company.path("of-bob"), "bobs own password\n").unwrap();
    let state = "[users.bob]\npassword_file = 'of-bob'\n";
    says(&verb(&company.service, ADMIN_TOKEN, "apply --file - --yes", state));
    says(&verb(&company.service, "", "login --username bob --password-stdin", "bobs own password\n"));
}
