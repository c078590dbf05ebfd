//! The benchmark's program: `make bench` builds and runs it. All of it is in `tanist::bench`.

fn main() -> std::process::ExitCode {
    tanist::bench::main()
}
