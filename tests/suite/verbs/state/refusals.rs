//! Refusals of `apply`: all faults at once, before anything is changed.

use super::*;

#[actix_rt::test]
async fn everything_that_is_wrong_with_a_file_is_said_at_once_and_nothing_is_changed() {
    let company = Company::start();
    let state = "[users.alice]\nmail = 'a@example.com'\n[groups.team]\nvisibility = 'secret'\n[groups.v2]\n";
    let said = company.refusals(state, "");
    assert_eq!(
        said,
        [
            "company.toml, line 2: users.alice.mail: unknown key; known keys are name, email, admin, blocked, password_file, tokens",
            "company.toml, line 4: groups.team.visibility: 'secret' is not one of private, internal, public",
            "company.toml, line 5: groups.v2: 'v2' is a reserved name",
        ]
    );
    let missing = verb(&company.service, ADMIN_TOKEN, "apply --file nowhere.toml --dry-run", "");
    assert_eq!(missing.status.code(), Some(4), "2 would be a difference");
    fs::write(company.path("company.toml"), "[groups.team]").unwrap();
    let without_token = verb(&company.service, "", "apply --file company.toml --dry-run", "");
    assert_eq!(without_token.status.code(), Some(4), "2 would be a difference");
}

#[actix_rt::test]
async fn what_the_service_could_not_do_is_said_at_once_and_nothing_is_changed() {
    let company = Company::start();
    let first = "[groups.team]\ndeploy_tokens.ci = { username = 'ci', secret_file = 'ci' }\n\
                 access_tokens.bot = { secret_file = 'bot' }";
    says(&company.apply(first, "--yes"));
    fs::write(company.path("short"), "7-chars\n").unwrap();
    fs::write(company.path("taken"), "somebody's\n").unwrap();
    let state = "[users.alice]\npassword_file = 'short'
[groups.'above/below']
[groups.team]
members = { nobody = 'guest' }
[groups.team.deploy_tokens]
ci = { username = 'other', scopes = ['read_registry'], expires_at = '2020-01-01' }
new = {}
taken = { secret_file = 'taken' }
over = { expires_at = '2020-01-01' }
spaced = { username = 'a b', secret_file = 'spaced' }
dollar = { username = 'robot$a', secret_file = 'dollar' }
[groups.team.access_tokens]
bot = { access_level = 'owner' }
";
    let said = company.refusals(state, "");
    for sentence in [
        "line 2: users.alice.password_file: short: the password has fewer than 8 characters",
        "line 3: groups.\"above/below\": the group above, above, does not exist; add it to the file, or create it before",
        "line 5: groups.team.members.nobody: there is no user nobody; add [users.nobody] to the file",
        "line 7: groups.team.deploy_tokens.ci.scopes: the token has [",
        "line 7: groups.team.deploy_tokens.ci.username: the token has \"ci\", not \"other\", which cannot be changed: revoke",
        "line 7: groups.team.deploy_tokens.ci.expires_at: has passed; revoke the token instead",
        "line 8: groups.team.deploy_tokens.new: does not exist; secret_file is needed to create it",
        "line 9: groups.team.deploy_tokens.taken.secret_file: taken exists already, and the token does not: remove",
        "line 11: groups.team.deploy_tokens.spaced.username: can contain only letters, digits, '_', '-', '+', and '.'",
        "line 12: groups.team.deploy_tokens.dollar.username: can contain '$' only if the request also supplies the secret",
        "line 14: groups.team.access_tokens.bot.access_level: the token has \"guest\", not \"owner\", which cannot be",
    ] {
        let sentence = format!("company.toml, {sentence}");
        assert!(said.iter().any(|line| line.starts_with(&sentence)), "{sentence} is not in {said:#?}");
    }
    assert_eq!(said.len(), 11, "{said:#?}");
    assert_eq!(company.plan(first, ""), [] as [&str; 0]);
    assert_eq!(fs::read_to_string(company.path("taken")).unwrap(), "somebody's\n");
}

#[actix_rt::test]
async fn a_secret_whose_file_cannot_be_written_is_not_made() {
    let company = Company::start();
    fs::write(company.path("a-file"), "").unwrap();
    let state = "[groups.team]\ndeploy_tokens.a.secret_file = 'a'\ndeploy_tokens.b.secret_file = 'a-file/b'";
    let said = company.refusals(state, "");
    assert!(said[0].contains("a-file/b"), "{said:#?}");
    assert!(!company.path("a").exists(), "a file that was reserved is removed");
    assert_eq!(company.plan(state, "").len(), 3, "nothing was changed");
}

#[actix_rt::test]
async fn two_secrets_do_not_get_one_file_whatever_its_paths_are() {
    let company = Company::start();
    fs::create_dir(company.path("s")).unwrap();
    std::os::unix::fs::symlink(company.path("s"), company.path("t")).unwrap();
    for same in ["s/../s/two", "t/two"] {
        let state =
            format!("[groups.team]\ndeploy_tokens.a.secret_file = 's/two'\ndeploy_tokens.b.secret_file = '{same}'");
        let problem = format!("{same} is the file of another secret, too; each needs a file of its own");
        let problem = format!("company.toml, line 3: groups.team.deploy_tokens.b.secret_file: {problem}");
        for options in ["--yes", "--dry-run"] {
            let refused = company.apply(&state, options);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(refused.status.code() == Some(4) && said.contains(&problem), "{options}: {said}");
        }
        assert!(!company.path("s/two").exists());
        let apart = state.replace(&format!("'{same}'"), "'s/three'");
        assert_eq!(company.plan(&apart, "").len(), 3, "nothing was changed");
    }
}

#[actix_rt::test]
async fn a_file_without_an_end_is_not_read() {
    let company = Company::start();
    let state = verb(&company.service, ADMIN_TOKEN, "apply --file /dev/zero --yes", "");
    let said = String::from_utf8_lossy(&state.stderr).into_owned();
    assert!(
        state.status.code() == Some(4) && said.contains("/dev/zero cannot be read: it is larger than 16 MiB"),
        "{said}"
    );
    let said = company.refusals("[users.alice]\npassword_file = '/dev/zero'", "");
    assert!(said[0].ends_with("/dev/zero is larger than 64 KiB"), "{said:?}");
    let said = company.refusals("[groups.team]\ndeploy_tokens.ci.secret_file = '/dev/zero'", "");
    assert!(said[0].contains("/dev/zero exists already"), "{said:?}");
}

#[actix_rt::test]
async fn a_failure_in_the_middle_says_what_was_done_and_the_next_run_continues() {
    let company = Company::with("[limits]\ndeploy_token_days = 30");
    let state = |end: &str| {
        format!(
            "[users.alice]\npassword_file = 'alice'\n[groups.team]\nmembers = {{ alice = 'owner' }}\n[groups.team.deploy_tokens]\n\
             a = {{ expires_at = '{end}', secret_file = 'a' }}\nb = {{ expires_at = 'never', secret_file = 'b' }}"
        )
    };
    let output = company.apply(&state("2099-01-01"), "--yes");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    for line in [
        "done      + user alice: ",
        "done      + group team: ",
        "done      + member alice of team: ",
        "FAILED    + deploy token 'a' of team: ",
        "not done  + deploy token 'b' of team: ",
        "dependency-proxy: deploy token 'a' of team: expires_at must be within 30 days",
    ] {
        assert!(said.lines().any(|said| said.starts_with(line)), "{line} is not in {said}");
    }
    assert!(said.contains("3 of 5 changes were made. The same command continues with what is left"), "{said}");
    assert!(!company.path("a").exists() && !company.path("b").exists());
    let near = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 9);
    let near = near.to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    assert_eq!(company.plan(&state(&near), "").len(), 2);
    says(&company.apply(&state(&near), "--yes"));
    assert!(company.path("a").exists() && company.path("b").exists());
}
