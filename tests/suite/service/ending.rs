//! Ways in which the service ends and is started again, beyond the ordinary ones.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{Service, listening};

impl Service {
    /// Ends it as a power cut would, and leaves it ended.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the binary on the same data and kills it after so long, whatever it has come to.
    pub fn start_and_kill_after(&self, delay: Duration) {
        let mut child = self.serve().stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts a second process on the same data and returns what it says when it gives up.
    pub fn refusal(&self) -> String {
        let child = self.serve().stderr(Stdio::piped()).spawn().unwrap();
        let output = ended_within(child, Duration::from_secs(30));
        assert!(!output.status.success(), "it should not have started");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Starts it again after it has ended. Returns what it says if it gives up, which must be with an exit status that says so.
    pub fn restart_unless_refused(&mut self) -> Result<(), String> {
        match super::try_spawn(&self.config, &self.variables) {
            Ok(started) => {
                (self.child, self.log, self.address, self.metrics) = started;
                Ok(())
            }
            Err((status, log)) => {
                assert!(status.code().is_some_and(|code| code != 0), "{status:?}: {log}");
                Err(log)
            }
        }
    }

    /// Sends SIGTERM, and does not wait.
    pub fn tell_to_stop(&self) {
        self.signal("TERM");
    }

    /// Sends the signal of this name, and does not wait.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap().success());
    }

    /// The file of its settings.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Puts this into its settings' file in the place of that, which must be there.
    pub fn replace_setting(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(&self.config, text.replacen(from, to, 1)).unwrap();
    }

    /// Puts these lines behind those of its settings' file.
    pub fn add_settings(&self, lines: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        fs::write(&self.config, format!("{text}{lines}\n")).unwrap();
    }

    /// Replaces this line in its settings' file.
    pub fn change_setting(&self, line: &str, by: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        assert_eq!(text.matches(line).count(), 1, "{line} in {text}");
        fs::write(&self.config, text.replace(line, by)).unwrap();
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Takes all its data away, as for a new installation with the same settings. It must have ended.
    pub fn forget_everything(&self) {
        fs::remove_dir_all(self.data()).unwrap();
    }

    /// Starts it again after it has ended, with standard error as a pipe, which is read up to the line that it listens.
    pub fn restart_into_pipe(&mut self) -> BufReader<ChildStderr> {
        let mut command = self.serve();
        self.child = command.envs(self.variables.iter().cloned()).stderr(Stdio::piped()).spawn().unwrap();
        let mut pipe = BufReader::new(self.child.stderr.take().unwrap());
        let (address, metrics) = loop {
            let mut line = String::new();
            assert!(pipe.read_line(&mut line).unwrap() > 0, "it did not start");
            if let Some(found) = listening(&line) {
                break found;
            }
        };
        (self.address, self.metrics) = (address, metrics);
        pipe
    }

    /// Starts it again after it has ended, with this as standard output.
    pub fn restart_with_output(&mut self, output: Stdio) {
        let mut command = self.serve();
        let log = fs::File::create(&self.log).unwrap();
        self.child = command.envs(self.variables.iter().cloned()).stdout(output).stderr(log).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        (self.address, self.metrics) = loop {
            if let Some(found) = listening(&self.log()) {
                break found;
            }
            assert!(Instant::now() < deadline, "it did not start");
        };
    }

    /// Starts a second process on the same data, with this as standard error, and waits until it has given up. Kills it after `limit`.
    pub fn second_process_ends_within(&self, limit: Duration, error: Stdio) -> ExitStatus {
        ended_within(self.serve().stderr(error).spawn().unwrap(), limit).status
    }

    fn serve(&self) -> Command {
        let mut command = Command::new(super::binary());
        command.args(["serve", "--config"]).arg(&self.config).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

fn ended_within(mut child: std::process::Child, limit: Duration) -> std::process::Output {
    let deadline = Instant::now() + limit;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}
