//! Criterion benches of the passes: every level, 2, 4 and 14 classes, channels first and last, in the L2 cache and far beyond
//! the last one. Each checks its answer against the textbook reference, or the scalar level, before it is timed.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dice_bench::volume::Volume;
use dice_simd::core::loss::GeneralizedDice;
use dice_simd::core::{LossHead, Problem, View, ViewMut, reference};
use dice_simd::{Engine, Isa};
use std::hint::black_box;

/// Agreement of the loss with the reference.
const LOSS_TOLERANCE: f64 = 1e-6;

fn passes(criterion: &mut Criterion) {
    for classes in [2, 4, 14] {
        for (resident, side) in [("l2", 16), ("dram", 160)] {
            let volume = Volume::random([1, classes, side, side, side]);
            let last = volume.channels_last();
            let layouts = [
                ("first", View::channels_first(&volume.logits, &volume.shape)),
                ("last", View::channels_last(&last, &volume.shape)),
            ];
            for (layout, logits) in layouts {
                let logits = logits.expect("the volume is compact");
                bench_layout(criterion, &volume, &logits, &format!("{resident}/{layout}/C{classes}"));
            }
        }
    }
}

fn bench_layout(criterion: &mut Criterion, volume: &Volume, logits: &View<'_, f32>, name: &str) {
    let problem = Problem::new(volume.labels().expect("the volume is compact"));
    let loss = GeneralizedDice::default();
    let in_f64 = reference::statistics(logits, &problem, loss.request()).and_then(|sums| loss.evaluate(&sums));
    let expected = in_f64.expect("the problem is sound").value();
    let mut memory = vec![0.0_f32; volume.logits.len()];
    for isa in Isa::available().filter(|&isa| isa != Isa::Scalar) {
        let engine = Engine::new().with_isa(isa).expect("it is available");
        let evaluation = engine.value(logits, &problem, &loss).expect("the problem is sound");
        assert!((evaluation.value() - expected).abs() <= LOSS_TOLERANCE, "{isa} {name}: wrong loss");
        let checked = Problem { labels_checked: true, ..problem };

        let mut group = criterion.benchmark_group(name);
        group.sample_size(10);
        group.throughput(Throughput::Elements(volume.logits.len() as u64));
        group.bench_function(BenchmarkId::new("value", isa), |bencher| {
            bencher.iter(|| black_box(engine.statistics(logits, &problem, loss.request())));
        });
        group.bench_function(BenchmarkId::new("pullback", isa), |bencher| {
            let mut gradient = ViewMut::channels_first(&mut memory, &volume.shape).expect("the volume is compact");
            bencher.iter(|| engine.pullback(logits, &checked, &evaluation.cotangent, &[1.0], &mut gradient));
        });
        group.finish();
    }
}

criterion_group!(benches, passes);
criterion_main!(benches);
