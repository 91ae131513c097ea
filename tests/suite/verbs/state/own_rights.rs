//! Plans that end the token in use, which are refused, or take rights from the caller, which comes last.

use super::*;

const TEAM: &str = "[users.alice]\n[users.alice.tokens.api]\nscopes = ['api']\nsecret_file = 'api'\n[users.bob]\n\
                    [groups.team]\nmembers = { alice = 'owner' }\n\
                    access_tokens.bot = { scopes = ['api'], access_level = 'owner', secret_file = 'bot' }\n";

impl Company {
    /// Returns the sentence of a refusal for this token, for which nothing was changed.
    fn refusal_as(&self, token: &str, state: &str, options: &str) -> String {
        let output = self.apply_as(token, state, &format!("--yes {options}"));
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Applies the state with this token, and returns the last change of the plan.
    fn last_change_as(&self, token: &str, state: &str, options: &str) -> String {
        let said = says(&self.apply_as(token, state, &format!("--yes {options}")));
        let plan: Vec<&str> = said.lines().filter(|line| line.starts_with(['+', '~', '-'])).collect();
        (*plan.last().unwrap()).to_owned()
    }
}

#[actix_rt::test]
async fn the_token_that_is_used_is_not_revoked_with_what_it_made() {
    let company = Company::start();
    says(&company.apply(TEAM, "--yes"));
    let bot = company.secret("bot");
    let state =
        "[groups.team]\nmembers = { alice = 'owner' }\ndeploy_tokens.ci = { username = 'ci', secret_file = 'ci' }\n";
    let said = company.refusal_as(&bot, state, "--prune");
    assert!(
        said.contains("line 1: groups.team.access_tokens: group access token 'bot' of team would be revoked"),
        "{said}"
    );
    assert!(!company.path("ci").exists());
    let named = format!("{state}access_tokens.bot = {{}}");
    says(&company.apply_as(&bot, &named, "--prune --yes"));
    assert!(company.may_pull("team", "ci", &company.secret("ci")).await);
}

#[actix_rt::test]
async fn a_token_with_which_the_one_in_use_or_its_rights_end_is_not_revoked() {
    let company = Company::start();
    says(&company.apply(&TEAM.replace("members = { alice = 'owner' }\n", ""), "--yes"));
    let members = "[groups.team]\nmembers = { alice = 'owner' }\n";
    says(&company.apply_as(&company.secret("bot"), members, "--yes"));
    let alice = company.secret("api");
    let line = "token create --group team --kind group --name second --scopes api --access-level owner --json";
    let made: Value = serde_json::from_str(&says(&verb(&company.service, &alice, line, ""))).unwrap();
    let second = made["token"].as_str().unwrap();
    let state = format!("{members}access_tokens.second = {{}}");
    for token in [&alice, second] {
        let said = company.refusal_as(token, &state, "--prune");
        assert!(said.contains("group access token 'bot' of team would be revoked, and with it the token"), "{said}");
    }
    says(&company.apply_as(second, &format!("{state}\naccess_tokens.bot = {{}}"), "--prune --yes"));
}

#[actix_rt::test]
async fn a_membership_that_would_end_is_found_also_among_many() {
    let company = Company::start();
    // Their memberships come before that of alice.
    let names: Vec<String> = (1..=25).map(|number| format!("user-{number:02}")).collect();
    says(&company.apply(&names.iter().map(|name| format!("[users.{name}]\n")).collect::<String>(), "--yes"));
    says(&company.apply(&TEAM.replace("members = { alice = 'owner' }\n", ""), "--yes"));
    let members: String = names.iter().map(|name| format!("{name} = 'guest'\n")).collect();
    let state = format!("[groups.team.members]\nalice = 'owner'\n{members}");
    says(&company.apply_as(&company.secret("bot"), &state, "--yes"));
    let said = company.refusal_as(&company.secret("api"), &state, "--prune");
    assert!(said.contains("group access token 'bot' of team would be revoked, and with it the token"), "{said}");
}

#[actix_rt::test]
async fn the_token_that_is_used_gets_no_new_secret() {
    let company = Company::start();
    says(&company.apply(TEAM, "--yes"));
    for (name, state) in [
        ("bot", "[groups.team]\ndescription = 'x'\naccess_tokens.bot.secret_file = 'bot'"),
        ("api", "[groups.team]\ndescription = 'x'\n[users.alice.tokens.api]\nsecret_file = 'api'"),
    ] {
        let token = company.secret(name);
        fs::write(company.path(name), "pending\n").unwrap();
        let said = company.refusal_as(&token, state, "");
        assert!(said.contains(&format!("'{name}' of ")) && said.contains("would get a new secret"), "{said}");
    }
    assert_eq!(company.json("group show team")["description"], "");
}

#[actix_rt::test]
async fn an_owner_who_leaves_does_so_last_and_below_first() {
    let company = Company::start();
    says(&company.apply(&format!("{TEAM}[groups.'team/ci']\nmembers = {{ alice = 'owner' }}"), "--yes"));
    let state = "[groups.team]\ndescription = 'x'\nmembers = { bob = 'owner' }\n\
                 deploy_tokens.ci = { username = 'ci', secret_file = 'ci' }\naccess_tokens.bot = {}\n\
                 [groups.'team/ci']\ndescription = 'y'\nmembers = { bob = 'owner' }\n[groups.'team/new']\ndescription = 'z'";
    let last = company.last_change_as(&company.secret("api"), state, "--prune");
    assert_eq!(last, "- member alice of team: access_level owner");
    assert_eq!(company.plan(state, "--prune"), [] as [&str; 0]);
    assert!(company.may_pull("team", "ci", &company.secret("ci")).await);
}

#[actix_rt::test]
async fn an_owner_who_is_lowered_is_so_last() {
    let company = Company::start();
    says(&company.apply(TEAM, "--yes"));
    let state = "[groups.team]\ndescription = 'x'\nmembers = { alice = 'guest', bob = 'owner' }\n\
                 deploy_tokens.ci = { username = 'ci', secret_file = 'ci' }";
    let last = company.last_change_as(&company.secret("api"), state, "");
    assert_eq!(last, "~ member alice of team: access_level owner -> guest");
    assert_eq!(company.plan(state, ""), [] as [&str; 0]);
}

#[actix_rt::test]
async fn an_administrator_who_is_none_any_more_becomes_so_last() {
    let company = Company::start();
    says(&company.apply(&TEAM.replace("[users.alice]", "[users.alice]\nadmin = true"), "--yes"));
    let state = "[users.alice]\nname = 'Alice'\nadmin = false\n[users.carol]\n[groups.other]\nmembers = { carol = 'owner' }\n\
                 deploy_tokens.ci = { username = 'ci', secret_file = 'ci' }";
    let last = company.last_change_as(&company.secret("api"), state, "--prune");
    assert_eq!(last, "~ user alice: name alice -> Alice, admin yes -> no");
    assert_eq!(company.plan(state, "--prune"), [] as [&str; 0]);
}
