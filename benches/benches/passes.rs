//! Criterion benches of every pass: each level, 2, 4 and 14 classes, every element type, channels first and last, in the L2 cache
//! and far beyond the last one. Each checks its answer against the scalar level before it is timed.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dice_bench::PORTABLE_TOLERANCE;
use dice_bench::data::{self, Aligned, Data, Element, Order};
use dice_simd::half::{bf16, f16};
use dice_simd::loss::GeneralizedDice;
use dice_simd::{Engine, Isa};
use dice_simd::{Problem, View};

fn passes(criterion: &mut Criterion) {
    for classes in [2, 4, 14] {
        for (resident, voxels) in [("l2", 4096), ("dram", 160 * 160 * 160)] {
            for order in [Order::ChannelsFirst, Order::ChannelsLast] {
                bench::<f32>(criterion, resident, classes, voxels, order);
                bench::<f64>(criterion, resident, classes, voxels, order);
                bench::<f16>(criterion, resident, classes, voxels, order);
                bench::<bf16>(criterion, resident, classes, voxels, order);
            }
            confusion(criterion, resident, classes, voxels);
        }
    }
}

fn levels() -> impl Iterator<Item = Isa> {
    Isa::available().filter(|&isa| isa != Isa::Scalar)
}

fn engine(isa: Isa) -> Engine {
    Engine::new().with_isa(isa).expect("it is available")
}

fn bench<T: Element>(criterion: &mut Criterion, resident: &str, classes: usize, voxels: usize, order: Order) {
    let labels = data::labels(Data::Random, classes, voxels);
    let logits = data::logits::<T>(Data::Random, classes, order, &labels);
    let mut memory = Aligned::<T>::new(logits.len());
    let z = data::view(&logits, classes, order).expect("the volume is compact");
    let problem = Problem::new(View::map(&labels, &[1, voxels]).expect("the map is compact"));
    let checked = Problem { labels_checked: true, ..problem };
    let loss = GeneralizedDice::default();
    let expected = engine(Isa::Scalar).value(&z, &problem, &loss).expect("the problem is sound");
    let mut group = criterion.benchmark_group(format!("{resident}/{}/{}/C{classes}", T::NAME, order.name()));
    group.sample_size(10);
    group.throughput(Throughput::Elements(logits.len() as u64));
    for isa in levels() {
        let engine = engine(isa);
        let found = engine.value(&z, &problem, &loss).expect("the problem is sound");
        let tolerance = if isa.is_exact() { 0.0 } else { PORTABLE_TOLERANCE };
        assert!((found.value() - expected.value()).abs() <= tolerance, "{isa}: wrong loss");
        group.bench_function(BenchmarkId::new("value", isa), |bencher| {
            bencher.iter(|| black_box(engine.value(&z, &problem, &loss)));
        });
        group.bench_function(BenchmarkId::new("pullback", isa), |bencher| {
            let mut gradient = data::view_mut(&mut memory, classes, order).expect("the volume is compact");
            bencher.iter(|| engine.pullback(&z, &checked, &found.cotangent, &[1.0], &mut gradient));
        });
    }
    group.finish();
}

fn confusion(criterion: &mut Criterion, resident: &str, classes: usize, voxels: usize) {
    let [truth, prediction] = [Data::Random, Data::Brain].map(|data| data::labels(data, classes, voxels));
    let problem = Problem::new(View::map(&truth, &[1, voxels]).expect("the map is compact"));
    let map = View::map(&prediction, &[1, voxels]).expect("the map is compact");
    let expected = engine(Isa::Scalar).confusion_of_labels(map, classes, &problem).expect("the maps are sound");
    let mut group = criterion.benchmark_group(format!("{resident}/u8/confusion/C{classes}"));
    group.sample_size(10);
    group.throughput(Throughput::Bytes(2 * voxels as u64));
    for isa in levels() {
        let engine = engine(isa);
        assert_eq!(engine.confusion_of_labels(map, classes, &problem).as_ref(), Ok(&expected), "{isa}: wrong counts");
        group.bench_function(BenchmarkId::new("confusion", isa), |bencher| {
            bencher.iter(|| black_box(engine.confusion_of_labels(map, classes, &problem)));
        });
    }
    group.finish();
}

criterion_group!(benches, passes);
criterion_main!(benches);
