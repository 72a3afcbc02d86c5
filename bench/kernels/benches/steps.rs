//! Criterion's view of the kernels: `FIXNET_KERNEL_FILES="resnet18.fxn resnet8.fxn" cargo bench --bench steps`,
//! with portable model files.

use criterion::{Criterion, Throughput};
use fixnet::{AlignedBytes, KernelSet, Model};
use kernel_bench::{Runner, cases, variants};

fn steps(criterion: &mut Criterion, path: &str) -> anyhow::Result<()> {
    let (bytes, set) = (std::fs::read(path)?, KernelSet::detect());
    for variant in variants(&AlignedBytes::from_slice(&bytes), set)? {
        let model = Model::new_checked(&variant.file)?;
        for case in cases(&variant, set)? {
            let mut memory = AlignedBytes::zeroed(Runner::memory(&model, set, case.kernel, 1)?);
            let memory = memory.as_mut_slice();
            let mut runner = Runner::new(&model, memory, set, case.kernel, 1, case.step)?;
            let mut group = criterion.benchmark_group(format!("{} {}", case.network, case.what));
            group.throughput(Throughput::Elements(case.macs));
            group.bench_function(format!("{} {}", case.kernel, case.layout), |bencher| {
                bencher.iter(|| runner.run().expect("a step of a checked model"));
            });
            group.finish();
        }
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    for path in kernel_bench::named_files() {
        steps(&mut criterion, &path)?;
    }
    criterion.final_summary();
    Ok(())
}
