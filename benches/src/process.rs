//! The real binary on free ports, with its start-up times and its memory. It is ended when dropped.
#![allow(clippy::unwrap_used, missing_docs, reason = "what fails here ends the run of the bench")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::binary;

pub struct Process {
    child: Child,
    begun: Instant,
    address: SocketAddr,
    measured: Measured,
}

/// Measurements: times in seconds, memory in bytes.
#[derive(Clone, Copy, Default)]
pub struct Measured {
    pub listening: f64,
    pub ready: f64,
    pub rss: f64,
    pub peak_rss: f64,
    pub cpu_until_ready: f64,
    pub cpu_idle: f64,
}

impl Process {
    /// Starts the binary in this folder, and returns once it logs that it listens.
    pub fn start(folder: &Path) -> Self {
        let mut command = Command::new(binary::path().unwrap());
        command.arg("serve").env_clear();
        for (name, value) in [
            ("SERVER__LISTEN", "127.0.0.1:0"),
            ("SERVER__METRICS_LISTEN", "127.0.0.1:0"),
            ("STORAGE__DATA_DIR", folder.to_str().unwrap()),
            ("STORAGE__CACHE_DIR", folder.to_str().unwrap()),
            ("STORAGE__MIN_FREE", "0"),
            ("LOG__FORMAT", "json"),
        ] {
            command.env(format!("DEPENDENCY_PROXY__{name}"), value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let address = listening(&mut log);
        let measured = Measured { listening: begun.elapsed().as_secs_f64(), ..Measured::default() };
        // The rest of the log must be read, or a full pipe would block the service.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, begun, address, measured }
    }

    pub fn wait_until_ready(&mut self) {
        while !is_ready(self.address) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.measured.ready = self.begun.elapsed().as_secs_f64();
        self.measured.cpu_until_ready = self.cpu();
    }

    /// Returns once the process has used hardly any CPU time for two seconds, after at most two minutes.
    pub fn wait_until_idle(&self) {
        for _ in 0..60 {
            let before = self.cpu();
            std::thread::sleep(Duration::from_secs(2));
            if self.cpu() - before < 0.05 {
                return;
            }
        }
    }

    /// Returns the address of the service.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the measurements, those of the idle process after this time.
    pub fn measure_after(self, idle: Duration) -> Measured {
        std::thread::sleep(idle);
        let cpu_idle = self.cpu() - self.measured.cpu_until_ready;
        Measured { rss: self.memory("VmRSS:"), peak_rss: self.memory("VmHWM:"), cpu_idle, ..self.measured }
    }

    fn memory(&self, name: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() * 1024.0
    }

    /// Returns the CPU time so far of all threads. Linux counts it in hundredths of a second.
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let ticks = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Measured {
    /// Returns the median of each number.
    pub fn medians(all: &[Self]) -> Self {
        let median = |of: fn(&Self) -> f64| {
            let mut values: Vec<f64> = all.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            listening: median(|one| one.listening),
            ready: median(|one| one.ready),
            rss: median(|one| one.rss),
            peak_rss: median(|one| one.peak_rss),
            cpu_until_ready: median(|one| one.cpu_until_ready),
            cpu_idle: median(|one| one.cpu_idle),
        }
    }
}

fn listening(log: &mut impl BufRead) -> SocketAddr {
    let mut said = String::new();
    loop {
        let start = said.len();
        assert!(log.read_line(&mut said).unwrap() > 0, "it did not start: {said}");
        let line: serde_json::Value = serde_json::from_str(&said[start..]).unwrap_or_default();
        if line["message"] == "listening" {
            return line["address"].as_str().unwrap().parse().unwrap();
        }
    }
}

fn is_ready(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.starts_with("HTTP/1.1 200")
}
