//! `audit list` and `audit follow`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{OWNER_PASSWORD, service};
use crate::service::{ADMIN_TOKEN, Service};

fn audit(service: &Service, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command.arg("audit").args(arguments).args(["--url", &service.url()]).env("DEPENDENCY_PROXY_TOKEN", ADMIN_TOKEN);
    command
}

fn says(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[actix_rt::test]
async fn events_are_listed_as_a_table_or_as_json_and_filtered() {
    let service = service();
    let team = service.group("team").await;
    let alice = service.user("alice", OWNER_PASSWORD).await;
    service.add_member(&team, &alice, 30).await;
    let listed = says(&mut audit(&service, &["list", "--group", "team"]));
    let line = listed.lines().find(|line| line.contains("member_created")).unwrap();
    for word in ["root", "127.0.0.1", "team", "alice", "level 30"] {
        assert!(line.contains(word), "{word}: {listed}");
    }
    assert!(!listed.contains("user_created"), "{listed}");
    let json = says(&mut audit(&service, &["list", "--limit", "2", "--event", "group_created", "--json"]));
    let events: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!((events.len(), &events[0]["details"]["target_details"]), (2, &"team".into()));
    assert!(!says(&mut audit(&service, &["list", "--since", "2098-01-01"])).contains("root"));
    assert!(says(&mut audit(&service, &["list", "--since", "1h", "--author", "root"])).contains("group_created"));
    let wrong = audit(&service, &["list", "--since", "soon"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("is not a time such as"));
}

#[actix_rt::test]
async fn followed_events_are_printed_as_they_come() {
    let service = service();
    service.group("before").await;
    let mut command = audit(&service, &["follow", "--lines", "1", "--json", "--event", "group_created"]);
    let mut following = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        event["details"]["target_details"].as_str().unwrap().to_owned()
    };
    assert_eq!(next(), "before");
    service.user("alice", OWNER_PASSWORD).await;
    for name in ["one", "two"] {
        service.group(name).await;
    }
    assert_eq!([next(), next()], ["one", "two"]);
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn a_service_that_is_busy_or_away_for_a_time_is_followed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let page = |number: u32| {
        let body = format!(r#"[{{"id": {number}}}]"#);
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let busy = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}".to_owned();
    let answers = [page(1), busy, String::new(), page(2)];
    std::thread::spawn(move || {
        for answer in answers {
            let (mut connection, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            // Dropped, which closes the connection.
            connection.write_all(answer.as_bytes()).unwrap();
        }
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"));
    command
        .args(["audit", "follow", "--lines", "1", "--json", "--url", &url])
        .env("DEPENDENCY_PROXY_TOKEN", ADMIN_TOKEN);
    let mut following = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut notes = BufReader::new(following.stderr.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"id":1}"#);
    for problem in ["(503)", "cannot be reached"] {
        let note = notes.next().unwrap().unwrap();
        assert!(note.contains(problem) && note.ends_with("trying again"), "{note}");
    }
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"id":2}"#);
    following.kill().unwrap();
    following.wait().unwrap();
}
