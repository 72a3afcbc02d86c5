//! What stands between a file and its first step, in criterion's view: reading it into aligned memory, checking
//! it, and checking its weights. `FIXNET_KERNEL_FILES="resnet1202.fxn" cargo bench --bench load`

use std::hint::black_box;

use criterion::Criterion;
use fixnet::{AlignedBytes, Model};

fn load(criterion: &mut Criterion, path: &str) -> anyhow::Result<()> {
    let bytes = AlignedBytes::from_slice(&std::fs::read(path)?);
    let model = Model::new_checked(&bytes)?;
    let mut group =
        criterion.benchmark_group(format!("{} of {} steps", model.name(), model.step_count()));
    group.bench_function("read", |bencher| {
        bencher.iter(|| AlignedBytes::from_slice(&std::fs::read(path).expect("a file")));
    });
    group.bench_function("new_checked", |bencher| {
        bencher.iter(|| Model::new_checked(black_box(&bytes)).map(|model| model.step_count()));
    });
    group.bench_function("verify_weights", |bencher| {
        bencher.iter(|| black_box(&model).verify_weights());
    });
    group.finish();
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    for path in kernel_bench::named_files() {
        load(&mut criterion, &path)?;
    }
    criterion.final_summary();
    Ok(())
}
