//! The `bongsu` program: what the library's command line does, with the process-wide choices that
//! only a program can make.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything can build a TLS client: without a provider, building one panics. The call
    // fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    bongsu::cli::main()
}
