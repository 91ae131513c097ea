//! `export`, and the round trip through `apply`.

use super::*;

/// Fills a service with everything that a state file can have, by other subcommands.
fn fill(company: &Company) {
    for line in [
        "user create alice --name Alice --email alice@example.com --admin",
        "user create bob --no-password",
        "user block bob",
        "user create Carol --no-password",
        "group create team --description x --visibility internal",
        "group create team/ci",
        "group change team --proxy off --max-size 7GiB --unpulled-days 0 --tag-freshness 10m",
        "member add team alice --access-level owner",
        "member add team bob --access-level guest --expires-at 2099-03-01",
        "member add team/ci Carol --access-level maintainer",
        "token create --group team --name fleet --username fleet --expires-at 2099-01-01",
        "token create --group team --name fleet --username fleet-2 --expires-at 2099-02-01",
        "token create --group team/ci --name odd.name/of,it",
        "token create --group team --kind group --name bot --scopes api,read_registry --access-level owner",
        "token create --user Carol --name laptop --scopes read_api",
    ] {
        says(&verb(&company.service, ADMIN_TOKEN, line, ""));
    }
    let ended = company.json("token create --group team --name end --username end");
    says(&verb(&company.service, ADMIN_TOKEN, &format!("token revoke --group team {}", ended["id"]), ""));
    says(&verb(&company.service, "", "login --password-stdin", "a-root-password\n"));
}

#[actix_rt::test]
async fn what_is_exported_is_applied_without_a_difference_and_makes_the_same_company_elsewhere() {
    let (here, elsewhere) = (Company::start(), Company::start());
    fill(&here);
    let exported = says(&verb(&here.service, ADMIN_TOKEN, "export --toml", ""));
    assert_eq!(here.plan(&exported, "--prune"), [] as [&str; 0]);
    assert_eq!(says(&verb(&here.service, ADMIN_TOKEN, "export", "")), exported, "its order is stable");
    for line in [
        "[users.bob]",
        "blocked = true",
        "[groups.\"team/ci\"]",
        "max_size = \"7GiB\"",
        "unpulled_days = 0",
        "tag_freshness = \"600s\"",
        "proxy = \"off\"",
        "alice = \"owner\"",
        "bob = { access_level = \"guest\", expires_at = \"2099-03-01\" }",
        "[groups.\"team/ci\".deploy_tokens.\"odd.name/of,it\"]",
        "secret_file = \"secrets/team-ci-deploy-odd.name-of-it\"",
        "[users.Carol.tokens.laptop]",
    ] {
        assert!(exported.lines().any(|known| known == line), "{line} is not in {exported}");
    }
    assert!(!exported.contains("tokens.login"), "what a login created ends soon: {exported}");
    says(&elsewhere.apply(&exported, "--yes"));
    assert_eq!(elsewhere.plan(&exported, "--prune"), [] as [&str; 0]);
    assert_eq!(says(&verb(&elsewhere.service, ADMIN_TOKEN, "export --toml", "")), exported);
    let as_json: Value = here.json("export");
    assert_eq!(as_json["groups"]["team"]["members"]["alice"], "owner");
}

#[actix_rt::test]
async fn an_export_can_be_of_one_group_and_those_below_and_owners_export_what_they_own() {
    let company = Company::start();
    fill(&company);
    let exported = says(&verb(&company.service, ADMIN_TOKEN, "export --group team/ci", ""));
    assert!(exported.contains("[groups.\"team/ci\".members]") && !exported.contains("[users"), "{exported}");
    assert!(!exported.contains("[groups.team]"), "{exported}");
    assert_eq!(company.plan(&exported, "--prune"), [] as [&str; 0]);
    let made = company.json("token create --group team --kind group --name owner --scopes api --access-level owner");
    let by_owner = says(&verb(&company.service, made["token"].as_str().unwrap(), "export", ""));
    assert!(by_owner.contains("[groups.team]") && !by_owner.contains("[groups.example]"), "{by_owner}");
}
