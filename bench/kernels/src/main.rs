//! `kernel-bench`: times, and with valgrind instructions, of every kernel on every layer shape.
//!
//!     kernel-bench FILE.fxn... [--callgrind] [--only=TEXT] [--threads=N]   one JSON object on standard output
//!     kernel-bench --one FILE.fxn STEP KERNEL THREADS RUNS   what is counted under valgrind

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use fixnet::kernels::ConvKernel;
use fixnet::{AlignedBytes, KernelFamily, KernelSet, Model};
use kernel_bench::{Case, Runner, Variant, cases, peak, variants};
use serde_json::{Value, json};

/// What one case may take, and the fewest runs.
const BUDGET: Duration = Duration::from_millis(250);
const LEAST_RUNS: usize = 5;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [one, file, step, kernel, threads, runs] = args.as_slice()
        && one == "--one"
    {
        let (step, threads, runs) = (step.parse()?, threads.parse()?, runs.parse()?);
        return run_one(Path::new(file), step, kernel, threads, runs);
    }
    let (flags, files): (Vec<&str>, Vec<&str>) =
        args.iter().map(String::as_str).partition(|arg| arg.starts_with("--"));
    let (mut callgrind, mut only, mut threads) = (false, "", 1);
    for flag in flags {
        match flag.split_once('=') {
            None if flag == "--callgrind" => callgrind = true,
            Some(("--only", text)) => only = text,
            Some(("--threads", text)) => threads = text.parse()?,
            _ => bail!("kernel-bench FILE.fxn... [--callgrind] [--only=TEXT] [--threads=N]"),
        }
    }
    ensure!(!files.is_empty(), "give portable model files");
    let mut rows = Vec::new();
    for file in files {
        let measured = measure(Path::new(file), callgrind, only, threads);
        rows.extend(measured.with_context(|| file.to_owned())?);
    }
    let set = KernelSet::detect();
    println!("{}", json!({ "peak_gmacs": peak::gmacs(), "kernels": set.name(), "rows": rows }));
    Ok(())
}

/// Cases whose layer and kernel, as they are printed, have `only` in them.
fn measure(path: &Path, callgrind: bool, only: &str, threads: usize) -> anyhow::Result<Vec<Value>> {
    let (bytes, set) = (std::fs::read(path)?, KernelSet::detect());
    let portable = AlignedBytes::from_slice(&bytes);
    let mut rows = Vec::new();
    for variant in variants(&portable, set)? {
        let file = path.with_extension(format!("{}.tmp", variant.form.layout.name()));
        if callgrind {
            std::fs::write(&file, &*variant.file)?;
        }
        for case in cases(&variant, set)? {
            if !format!("{} {} {}", case.network, case.what, case.kernel).contains(only) {
                continue;
            }
            let (best, median) = time(&variant, set, &case, threads)?;
            let instructions = match callgrind && runs_in_valgrind(&variant, &case) {
                true => Some(instructions(&file, &case, threads)?),
                false => None,
            };
            rows.push(row(&case, best, median, instructions));
            eprintln!("{} {} {} {}", case.network, case.what, case.kernel, best.as_nanos());
        }
        if callgrind {
            std::fs::remove_file(&file)?;
        }
    }
    Ok(rows)
}

fn row(case: &Case, best: Duration, median: Duration, instructions: Option<u64>) -> Value {
    json!({
        "network": case.network,
        "layer": case.layer,
        "what": case.what,
        "macs": case.macs,
        "kernel": case.kernel,
        "layout": case.layout,
        "chosen": case.chosen,
        "best_ns": best.as_nanos() as u64,
        "median_ns": median.as_nanos() as u64,
        "instructions": instructions,
    })
}

fn time(
    variant: &Variant,
    set: KernelSet,
    case: &Case,
    threads: usize,
) -> anyhow::Result<(Duration, Duration)> {
    let model = Model::new_checked(&variant.file)?;
    let mut memory = AlignedBytes::zeroed(Runner::memory(&model, set, case.kernel, threads)?);
    let mut runner =
        Runner::new(&model, memory.as_mut_slice(), set, case.kernel, threads, case.step)?;
    runner.run()?;
    let (begin, mut times) = (Instant::now(), Vec::new());
    while times.len() < LEAST_RUNS || begin.elapsed() < BUDGET {
        let start = Instant::now();
        runner.run()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok((times[0], times[times.len() / 2]))
}

fn run_one(
    path: &Path,
    step: usize,
    kernel: &str,
    threads: usize,
    runs: usize,
) -> anyhow::Result<()> {
    let file = AlignedBytes::from_slice(&std::fs::read(path)?);
    let (model, set) = (Model::new_checked(&file)?, KernelSet::detect());
    let mut memory = AlignedBytes::zeroed(Runner::memory(&model, set, kernel, threads)?);
    let mut runner = Runner::new(&model, memory.as_mut_slice(), set, kernel, threads, step)?;
    for _ in 0..runs {
        runner.run()?;
    }
    Ok(())
}

/// Whether valgrind's processor, which has neither AVX-VNNI nor AVX-512, runs the kernel.
fn runs_in_valgrind(variant: &Variant, case: &Case) -> bool {
    let able = KernelSet::available()
        .filter(|set| !set.family().line().any(|f| f == KernelFamily::AvxVnni));
    able.filter(|set| set.family().runs(variant.form.target)).any(|set| {
        ConvKernel::from_name(case.kernel).is_some_and(|k| set.with_conv_kernel(k).is_some())
    })
}

/// Instructions of one run: what it adds to a process that only gets ready.
fn instructions(file: &Path, case: &Case, threads: usize) -> anyhow::Result<u64> {
    let count = |runs: &str| -> anyhow::Result<u64> {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        valgrind.arg(std::env::current_exe()?).arg("--one").arg(file);
        valgrind.args([&case.step.to_string(), case.kernel, &threads.to_string(), runs]);
        let output = valgrind.output().context("valgrind is not installed, or not in PATH")?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "valgrind: {}", text.lines().last().unwrap_or_default());
        let collected = text.lines().find_map(|line| line.split("Collected :").nth(1));
        Ok(collected.context("valgrind gave no count")?.trim().parse()?)
    };
    Ok(count("1")?.saturating_sub(count("0")?))
}
