//! The question that this library starts from, its answer, and why this library's generalised Dice loss is neither.
//!
//! ```text
//! cargo run --release --example question
//! ```
//!
//! A class that is absent from a batch: the question's weights 1/(T² + 1e-5) stop the training, a fixed weight of 1e-6 cures
//! small images only. And a picture that does not change with its resolution: absolute smoothing makes its loss do so.

use dice_simd::loss::GeneralizedDice;
use dice_simd::{Activation, Engine, Error, Problem, View, ViewMut};

const CLASSES: usize = 4;

/// Softmax of one confident class: 1.1, 0, 0, 0 as logits gives 0.5 for the class and a sixth for each other.
const CONFIDENT: f32 = 1.1;

fn main() -> Result<(), Error> {
    println!("One of four classes is absent; half of each voxel's probability is on its class");
    println!("  {:16} {:>22} {:>22}", "", "28 x 28 pixels", "128 x 128 x 128 voxels");
    println!("  {:16} {:>12} {:>9} {:>12} {:>9}", "preset", "loss", "max |g|V", "loss", "max |g|V");
    for (name, make) in GeneralizedDice::PRESETS {
        let loss = make();
        let (small, steep) = absent_class(&loss, &[28, 28])?;
        let (large, steep_large) = absent_class(&loss, &[128, 128, 128])?;
        println!("  {name:16} {small:12.8} {steep:9.1e} {large:12.8} {steep_large:9.1e}");
    }
    println!(
        "  max |g|V: the steepest gradient by a logit, times the number of voxels; about 1 where the loss learns\n"
    );

    println!("A uniform prediction of four equal classes: the exact loss is 0.75 at every size");
    print!("  {:16}", "preset");
    let sides = [32, 64, 128, 160];
    sides.iter().for_each(|side| print!(" {:>11}", format!("{side}^3")));
    println!();
    for (name, loss) in [("generalized_dice", GeneralizedDice::default()), ("monai_gdl", GeneralizedDice::monai_gdl())]
    {
        print!("  {name:16}");
        for side in sides {
            print!(" {:11.8}", uniform(&loss, side)?);
        }
        println!();
    }
    Ok(())
}

/// Loss, and steepest gradient times voxels, of a picture in which class 3 is absent and the others have 90, 6 and 4 percent.
fn absent_class(loss: &GeneralizedDice, spatial: &[usize]) -> Result<(f64, f64), Error> {
    let voxels: usize = spatial.iter().product();
    let labels: Vec<u8> =
        (0..voxels).map(|voxel| [0, 1, 2][[90, 96].partition_point(|&p| p <= voxel * 100 / voxels)]).collect();
    let mut prediction = vec![0.0; CLASSES * voxels];
    for (voxel, &label) in labels.iter().enumerate() {
        for class in 0..CLASSES {
            let right = class == usize::from(label);
            prediction[class * voxels + voxel] = match loss.activation {
                // This preset expects probabilities.
                Activation::None if right => 0.5,
                Activation::None => 0.5 / 3.0,
                _ if right => CONFIDENT,
                _ => 0.0,
            };
        }
    }
    let shape: Vec<usize> = [1, CLASSES].iter().chain(spatial).copied().collect();
    let label_shape: Vec<usize> = [1].iter().chain(spatial).copied().collect();
    let mut gradient = vec![0.0_f32; prediction.len()];
    let evaluation = Engine::new().value_and_grad(
        &View::channels_first(&prediction, &shape)?,
        &Problem::new(View::map(&labels, &label_shape)?),
        loss,
        &[1.0],
        &mut ViewMut::channels_first(&mut gradient, &shape)?,
    )?;
    let steepest = gradient.iter().fold(0.0_f32, |steepest, g| steepest.max(g.abs()));
    Ok((evaluation.value(), f64::from(steepest) * voxels as f64))
}

/// The loss of probabilities of a quarter each against four classes of equal size.
fn uniform(loss: &GeneralizedDice, side: usize) -> Result<f64, Error> {
    let voxels = side * side * side;
    let labels: Vec<u8> = (0..voxels).map(|voxel| (voxel * CLASSES / voxels) as u8).collect();
    let logits = vec![0.0; CLASSES * voxels];
    let logits = View::channels_first(&logits, &[1, CLASSES, side, side, side])?;
    let problem = Problem::new(View::map(&labels, &[1, side, side, side])?);
    Ok(Engine::new().value(&logits, &problem, loss)?.value())
}
