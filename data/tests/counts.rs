//! The embedded data are the ones that the README describes.

use dice_data::{Brain, CLASSES, Digits, NiftiError};

#[test]
fn every_class_has_its_voxels_and_outside_is_black() -> Result<(), NiftiError> {
    let Brain { shape, t1, tissues } = Brain::load()?;
    assert_eq!(shape, [189, 233, 197]);
    assert_eq!(t1.len(), shape.iter().product());
    assert_eq!(tissues.len(), t1.len());

    let mut voxels = [0; CLASSES.len()];
    for &label in &tissues {
        voxels[usize::from(label)] += 1;
    }
    assert_eq!(voxels, [6_788_750, 160_496, 1_090_506, 635_537]);
    assert!(t1.iter().zip(&tissues).all(|(&t1, &label)| (t1 == 0.0) == (label == 0)));
    assert_eq!(t1.iter().copied().fold(0.0, f32::max), 255.0);
    Ok(())
}

#[test]
fn digits_are_white_on_black() -> Result<(), std::io::Error> {
    let Digits { images, digits } = Digits::load()?;
    assert_eq!(images.len(), 3000 * Digits::SIDE * Digits::SIDE);
    let mut count = [0; 10];
    digits.iter().for_each(|&digit| count[usize::from(digit)] += 1);
    assert_eq!(count, [300; 10]);
    let white = images.iter().filter(|&&white| f32::from(white) / 255.0 >= 0.4).count();
    assert_eq!((1000.0 * white as f64 / images.len() as f64).round(), 143.0);
    Ok(())
}
