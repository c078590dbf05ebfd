//! The fencer's process: ends PostgreSQL at the deadline when the agent does not. All of it is in
//! `tanist::fencer`; this file only hands over the arguments.

fn main() {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    std::process::exit(tanist::fencer::start::main(&arguments));
}
