//! Parses the command line and hands over; decides nothing itself.
fn main() {}
