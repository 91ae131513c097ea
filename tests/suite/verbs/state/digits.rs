//! Groups whose paths are digits, which the API takes for the numbers of other groups.

use super::*;

/// Creates the group `other`, and returns the number of it, which is no path of a group.
fn other(company: &Company) -> String {
    says(&verb(&company.service, ADMIN_TOKEN, "group create other --description theirs", ""));
    company.json("group show other")["id"].to_string()
}

#[actix_rt::test]
async fn a_path_of_digits_is_that_of_a_group_and_never_the_number_of_another() {
    let company = Company::start();
    let number = other(&company);
    let before = (company.json("group show other"), company.json("member list other"));
    let state = format!(
        "[users.alice]\n[groups.'{number}']\ndescription = 'ours'\nmax_size = '1GB'\nmembers = {{ alice = 'owner' }}\n\
         deploy_tokens.ci = {{ username = 'ci', secret_file = 'ci' }}\naccess_tokens.bot.secret_file = 'bot'\n\
         [groups.'{number}/below']\ndescription = 'below'"
    );
    let plan = company.plan(&state, "--prune");
    assert!(plan.iter().any(|line| line.starts_with(&format!("+ group {number}: "))), "{plan:#?}");
    says(&company.apply(&state, "--prune --yes"));
    assert_eq!(company.plan(&state, "--prune"), [] as [&str; 0]);
    assert_eq!((company.json("group show other"), company.json("member list other")), before);
    assert!(company.may_pull(&number, "ci", &company.secret("ci")).await);
    let less = format!("[users.alice]\n[groups.'{number}']\ndescription = 'less'\nmembers = {{ alice = 'owner' }}");
    says(&company.apply(&less, "--prune --yes"));
    assert_eq!(company.plan(&less, "--prune"), [] as [&str; 0]);
    assert_eq!((company.json("group show other"), company.json("member list other")), before);
    let exported = says(&verb(&company.service, ADMIN_TOKEN, &format!("export --group {number}"), ""));
    assert!(exported.contains(&format!("[groups.{number}]")) && exported.contains("less"), "{exported}");
    assert!(exported.contains(&format!("[groups.\"{number}/below\"]")) && !exported.contains("other"), "{exported}");
}

#[actix_rt::test]
async fn a_number_is_no_group_above_a_new_one_and_no_group_to_export() {
    let company = Company::start();
    let number = other(&company);
    let said = company.refusals(&format!("[groups.'{number}/below']"), "");
    assert!(said[0].contains(&format!("the group above, {number}, does not exist")), "{said:?}");
    for line in [format!("export --group {number}"), format!("group create {number}/below")] {
        let refused = verb(&company.service, ADMIN_TOKEN, &line, "");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(&format!("there is no group '{number}'")), "{line}: {said}");
    }
    // A group above that the file does not name.
    says(&verb(&company.service, ADMIN_TOKEN, &format!("group create {number}"), ""));
    says(&company.apply(&format!("[groups.'{number}/below']"), "--yes"));
    assert_eq!(company.json(&format!("group show {number}/below"))["full_path"], format!("{number}/below").as_str());
}

#[actix_rt::test]
async fn digits_name_a_group_by_path_or_number_and_are_refused_where_they_name_two() {
    let company = Company::start();
    let number = other(&company);
    let run = |line: &str| verb(&company.service, ADMIN_TOKEN, line, "");
    let say = |line: String| says(&run(&line));
    say("group create 4711".to_owned());
    say("user create alice".to_owned());
    let own = company.json("group show 4711")["id"].to_string();
    for group in ["4711", &own] {
        say(format!("member add {group} alice --if-missing"));
        say(format!("token create --group {group} --name ci --if-missing"));
        assert_eq!(company.json(&format!("token list --group {group} --active")).as_array().unwrap().len(), 1);
        assert_eq!(company.json(&format!("token show ci --group {group}"))["group"], "4711");
        assert_eq!(company.json(&format!("member list {group}"))[1]["username"], "alice");
        say(format!("cache list --group {group}"));
        say(format!("audit list --group {group}"));
    }
    say(format!("group create {number}"));
    let ours = company.json("group list --search other")[0]["id"].to_string();
    assert_eq!(ours, number);
    for line in [
        format!("token create --group {number} --name ci"),
        format!("token list --group {number}"),
        format!("member add {number} alice"),
        format!("group show {number}"),
        format!("group change {number} --description x"),
        format!("group delete {number} --yes"),
        format!("group purge {number} --yes"),
        format!("group upstream-account list {number}"),
        format!("cache list --group {number}"),
        format!("cache warm --group {number} alpine:1"),
        format!("cache pulls --group {number} alpine:1"),
        format!("audit list --group {number}"),
        format!("explain --group {number} --user alice"),
    ] {
        let refused = run(&line);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{line}");
        assert!(said.contains(&format!("'{number}' is the path of the group with number ")), "{line}: {said}");
        assert!(said.contains("and the number of the group other"), "{line}: {said}");
    }
    assert_eq!(company.json("token list --group other"), serde_json::json!([]));
}
