//! Parses the command line and hands over; decides nothing itself.

fn main() -> std::process::ExitCode {
    dependency_proxy::cli::run()
}
