//! The agent's program. All of it is in `tanist::agent`; this file only hands over.

fn main() -> std::process::ExitCode {
    tanist::agent::command_line::main()
}
