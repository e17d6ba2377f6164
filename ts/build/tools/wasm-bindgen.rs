//! wasm-bindgen, with the arguments that wasm-pack gives it for `--target web`.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use wasm_bindgen_cli_support::Bindgen;

#[derive(Clone, ValueEnum)]
enum Target {
    Web,
}

#[derive(Parser)]
#[command(name = "wasm-bindgen", version)]
struct Arguments {
    input: PathBuf,
    #[arg(long)]
    out_dir: PathBuf,
    #[arg(long)]
    out_name: String,
    #[arg(long)]
    target: Target,
    /// The declarations that this program writes without being told.
    #[arg(long)]
    typescript: bool,
}

fn main() -> anyhow::Result<()> {
    let Arguments { input, out_dir, out_name, target: Target::Web, typescript: _ } = Arguments::parse();
    let mut bindgen = Bindgen::new();
    bindgen.input_path(input).out_name(&out_name).typescript(true).omit_default_module_path(false).web(true)?;
    bindgen.generate(out_dir)
}
