//! `docs/files.md`: its commands, word for word, in their order.

use super::*;
use crate::documents::{FILES, blocks, run_as_administrator, said};

#[actix_rt::test]
async fn the_commands_of_the_document_do_what_it_says() {
    let company = Company::start();
    let run = |title: &str| {
        let [commands] = blocks(FILES, title, "sh")[..] else { panic!("one block in {title}") };
        said(run_as_administrator(&company.service, commands))
    };
    assert_eq!(run("The first file"), "Nothing to change.\n");
    let [change] = blocks(FILES, "A change", "toml")[..] else { panic!("one block") };
    fs::write(company.path("company.toml"), change).unwrap();
    let output = run("A change");
    let plan = output.split("+ user alice").nth(1).unwrap();
    assert!(plan.contains("+ deploy token 'runner' of team") && output.ends_with("Done: 7 changes.\n"), "{output}");
    assert!(company.may_pull("team", "runner", &company.secret("secrets/runner")).await);
    assert_eq!(run("What is removed"), "- member root of team: access_level owner\n");
    run("In CI");
    let plan: Value = serde_json::from_str(&fs::read_to_string(company.path("plan.json")).unwrap()).unwrap();
    assert_eq!(plan["changes"][0]["object"], "member root of team");
    assert_eq!(company.plan(change, "--prune"), [] as [&str; 0]);
    run("Schemas");
    for file in ["config.schema.json", "company.schema.json"] {
        serde_json::from_str::<Value>(&fs::read_to_string(company.path(file)).unwrap()).unwrap();
    }
}
