fn main() {
    bongsu::telemetry::install();
    let args: Vec<String> = std::env::args().collect();
    let folder = tempdir();
    let figures = bongsu::cli::bench::pipeline(&folder, args[1].parse().unwrap(), args[2].parse().unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
    println!("{}", serde_json::to_string(&figures.unwrap()).unwrap());
}
fn tempdir() -> std::path::PathBuf {
    let p = std::env::temp_dir().join(format!("bongsu-bench-{}", std::process::id()));
    std::fs::create_dir_all(&p).unwrap();
    p
}
