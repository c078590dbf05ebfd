//! The operator's program. All of it is in `tanist::ctl`; this file only hands over.

fn main() -> std::process::ExitCode {
    tanist::ctl::main()
}
