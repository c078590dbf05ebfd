//! The demonstration's program: `make demo` builds and runs it. All of it is in `tanist::demo`.

fn main() -> std::process::ExitCode {
    tanist::demo::main()
}
