//! Further ways to end and restart the service.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{Service, listening};

impl Service {
    /// Kills the process (SIGKILL) and does not restart it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the binary with the same data and kills it after this time, whatever its state.
    pub fn start_and_kill_after(&self, delay: Duration) {
        let mut child = self.serve().stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(delay);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts a second process with the same data, and returns its error message.
    pub fn refusal(&self) -> String {
        let child = self.serve().stderr(Stdio::piped()).spawn().unwrap();
        let output = ended_within(child, Duration::from_secs(30));
        assert!(!output.status.success(), "it should not have started");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Restarts the service. Returns its message if it refuses to start, which must come with a failure status.
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

    /// Sends SIGTERM without waiting.
    pub fn tell_to_stop(&self) {
        self.signal("TERM");
    }

    /// Sends the signal of this name without waiting.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap().success());
    }

    /// Returns the path of the settings file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Replaces a text in the settings file, which must contain it.
    pub fn replace_setting(&self, from: &str, to: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(&self.config, text.replacen(from, to, 1)).unwrap();
    }

    /// Appends lines to the settings file.
    pub fn add_settings(&self, lines: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        fs::write(&self.config, format!("{text}{lines}\n")).unwrap();
    }

    /// Replaces a line in the settings file.
    pub fn change_setting(&self, line: &str, by: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        assert_eq!(text.matches(line).count(), 1, "{line} in {text}");
        fs::write(&self.config, text.replace(line, by)).unwrap();
    }

    /// Waits until the process has ended.
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

    /// Removes all data, as for a new installation with the same settings. The process must have ended.
    pub fn forget_everything(&self) {
        fs::remove_dir_all(self.data()).unwrap();
    }

    /// Restarts the service with standard error as a pipe, which is read up to the line that it listens.
    pub fn restart_into_pipe(&mut self) -> BufReader<ChildStderr> {
        let mut command = self.serve();
        self.child = command.stderr(Stdio::piped()).spawn().unwrap();
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

    /// Restarts the service with this standard output.
    pub fn restart_with_output(&mut self, output: Stdio) {
        let mut command = self.serve();
        let log = fs::File::create(&self.log).unwrap();
        self.child = command.stdout(output).stderr(log).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        (self.address, self.metrics) = loop {
            if let Some(found) = listening(&self.log()) {
                break found;
            }
            assert!(Instant::now() < deadline, "it did not start");
        };
    }

    /// Starts a second process with the same data and this standard error, and waits until it has ended.
    /// Kills it after `limit`.
    pub fn second_process_ends_within(&self, limit: Duration, error: Stdio) -> ExitStatus {
        ended_within(self.serve().stderr(error).spawn().unwrap(), limit).status
    }

    fn serve(&self) -> Command {
        let mut command = Command::new(super::binary());
        command.args(["serve", "--config"]).arg(&self.config).envs(self.variables.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null());
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
