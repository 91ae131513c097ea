//! `cache warm`: has the service pull images before anyone requests them, and shows its progress.

use std::io::BufRead;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::OfGroup;
use super::progress::Shown;
use crate::cli::client::Api;
use crate::cli::failure::Failure;
use crate::cli::group::named;
use crate::cli::image::Image;
use crate::cli::output::{Columns, Output};
use crate::domain::image_path::{ImageName, ImagePathError};
use crate::domain::platform::{Platform, PlatformError};
use crate::domain::upstream::Upstreams;

/// Arguments of `cache warm`.
#[derive(Debug, Args)]
pub(super) struct WarmArgs {
    #[command(flatten)]
    group: OfGroup,
    /// Images, such as alpine:3.22 or ghcr.io/acme/app:1.4
    images: Vec<Image>,
    /// File with one image per line, or - for standard input; empty lines and those that begin with # are ignored.
    /// If a line is no image, nothing is started
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Platform, such as linux/arm64; may be given several times. By default that of this machine
    #[arg(long = "platform", value_name = "OS/ARCH", value_parser = platform, conflicts_with = "all_platforms")]
    platforms: Vec<Platform>,
    /// All platforms of the images
    #[arg(long)]
    all_platforms: bool,
    /// Start the jobs and do not wait for their end
    #[arg(long)]
    detach: bool,
}

const IMAGES: Columns = &["image", "state", "message"];

/// Number of images of one job: their names fit into one request.
const IMAGES_PER_JOB: usize = 200;

/// Maximum number of lines that are no images that are shown.
const MAX_SHOWN: usize = 10;

/// Time between two requests for the state of a job.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

impl WarmArgs {
    /// Starts the jobs, one after the other, and waits for their ends. Where images failed, the result is printed here.
    pub(super) async fn run(self, api: &Api, as_json: bool) -> Result<Output, Failure> {
        let mut images = self.images;
        for image in &images {
            parsed(&image.to_string()).map_err(|error| Failure::Input(format!("'{image}' is no image: {error}")))?;
        }
        if let Some(list) = &self.list {
            images.extend(read_list(list)?);
        }
        if images.is_empty() {
            return Err(Failure::Input("no image is given; name images, or a file of them with --list".to_owned()));
        }
        let platforms = match (self.all_platforms, self.platforms.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => vec![Platform::of_linux_on(std::env::consts::ARCH)],
            (false, false) => self.platforms,
        };
        let group = named(api, &self.group.group).await?;
        let path = ["groups", group.as_str(), "dependency_proxy", "warm"];
        let (mut ended, all) = (Vec::new(), images.len());
        for images in images.chunks(IMAGES_PER_JOB) {
            let names: Vec<String> = images.iter().map(ToString::to_string).collect();
            let platforms: Vec<String> = platforms.iter().map(ToString::to_string).collect();
            let job = api.post(&path, &json!({ "images": names, "platforms": platforms })).await;
            let job = job.map_err(|failure| after(failure, ended.len(), all))?;
            ended.push(if self.detach { job } else { wait(api, path, &job["id"].to_string()).await? });
        }
        let images: Vec<Value> =
            ended.iter().flat_map(|job| job["images"].as_array().cloned().unwrap_or_default()).collect();
        let failed = images.iter().filter(|image| image["state"] == "failed").count();
        if failed > 0 {
            Output::Table { columns: IMAGES, rows: images.clone(), values: ended }.print(as_json);
            return Err(Failure::Warm { failed, images: images.len() });
        }
        Ok(Output::Table { columns: IMAGES, rows: images, values: ended })
    }
}

fn platform(text: &str) -> Result<Platform, String> {
    text.parse().map_err(|PlatformError| "a platform is needed, such as linux/amd64 or linux/arm/v7".to_owned())
}

/// Returns the failure to start a job after these jobs of all images.
fn after(failure: Failure, jobs: usize, all: usize) -> Failure {
    if jobs == 0 {
        return failure;
    }
    let started = jobs * IMAGES_PER_JOB;
    failure.with_note(&format!(
        "jobs for the first {started} of {all} images were started. Once they have ended, the same command goes on: \
         what is cached is not pulled again"
    ))
}

/// Returns the images of a list.
///
/// # Errors
///
/// Fails if it cannot be read, and with the first lines that are no images.
fn read_list(list: &PathBuf) -> Result<Vec<Image>, Failure> {
    let name = list.display();
    let broken = |error: std::io::Error| Failure::Input(format!("{name} cannot be read: {error}"));
    let lines: Vec<String> = if list.as_os_str() == "-" {
        std::io::stdin().lock().lines().collect::<Result<_, _>>().map_err(broken)?
    } else {
        std::fs::read_to_string(list).map_err(broken)?.lines().map(str::to_owned).collect()
    };
    let numbered = (1..).zip(lines.iter().map(|line| line.trim()));
    let (mut images, mut refused) = (Vec::new(), Vec::new());
    for (number, line) in numbered.filter(|(_, line): &(u32, &str)| !line.is_empty() && !line.starts_with('#')) {
        match parsed(line) {
            Ok(image) => images.push(image),
            Err(error) => refused.push(format!("line {number}: '{}' is no image: {error}", line.escape_debug())),
        }
    }
    if refused.is_empty() { Ok(images) } else { Err(Failure::Input(sentence(&name.to_string(), &refused))) }
}

/// Returns the image of a line, if the service can parse it.
fn parsed(line: &str) -> Result<Image, ImagePathError> {
    // Which registries the service has does not matter here: names of others have the same form.
    ImageName::parse(line, &Upstreams::default())?;
    Ok(line.parse()?)
}

/// Returns the problems of a list as a text.
fn sentence(list: &str, refused: &[String]) -> String {
    let shown = refused.iter().take(MAX_SHOWN).map(|problem| format!("\n{problem}")).collect::<String>();
    let more = refused.len().saturating_sub(MAX_SHOWN);
    let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
    format!("{list}: nothing was started, because not every line is an image{shown}{more}")
}

/// Shows the progress of a job until it ends, and returns its last state. Ctrl-C ends the job.
async fn wait(api: &Api, path: [&str; 4], number: &str) -> Result<Value, Failure> {
    let [groups, group, proxy, warm] = path;
    let path = [groups, group, proxy, warm, number];
    let mut shown = Shown::new();
    loop {
        let job = api.show(&path).await?;
        shown.update(&job);
        if job["state"] != "running" {
            shown.clear();
            return Ok(job);
        }
        tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => {}
            _ = tokio::signal::ctrl_c() => {
                shown.clear();
                api.delete(&path).await?;
                return Err(Failure::Unconfirmed("the job was ended; the same command continues with what is left"));
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_an_image_on_each_line_and_comments() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("images");
        std::fs::write(&list, "# base images\nalpine:3.22\n\n  ghcr.io/acme/app:a b \n").unwrap();
        let refused = read_list(&list).unwrap_err().to_string();
        assert!(refused.contains("line 4: 'ghcr.io/acme/app:a b' is no image"), "{refused}");
        std::fs::write(&list, "# base images\nalpine:3.22\n\n  ghcr.io/acme/app \n").unwrap();
        let names: Vec<String> = read_list(&list).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["alpine:3.22", "ghcr.io/acme/app:latest"]);
    }

    #[test]
    fn all_lines_that_are_no_images_are_named_with_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("images");
        std::fs::write(&list, "alpine\nbad..image:v1\nnot a valid image!!\n").unwrap();
        let refused = read_list(&list).unwrap_err().to_string();
        let lines: Vec<&str> = refused.lines().collect();
        assert!(lines.len() == 3 && lines[0].contains("nothing was started"), "{refused}");
        assert!(lines[1].starts_with("line 2: 'bad..image:v1' is no image"), "{refused}");
        assert!(lines[2].starts_with("line 3: 'not a valid image!!' is no image"), "{refused}");
        std::fs::write(&list, "alpine\n".to_owned() + &"a b\n".repeat(25)).unwrap();
        let refused = read_list(&list).unwrap_err().to_string();
        assert!(refused.contains("line 11: ") && !refused.contains("line 12: "), "{refused}");
        assert!(refused.ends_with("and 15 more"), "{refused}");
    }
}
