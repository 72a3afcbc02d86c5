//! Images, batches of images and mean images.

#![no_main]

use std::cell::OnceCell;

use fixnet_fuzz::files::{Folder, check_error, printed};
use libfuzzer_sys::fuzz_target;
use tools::data::{Dataset, Grid, InputShape, MeanImage, OpenOptions, Recipe, Wanted};

thread_local! {
    static FOLDER: OnceCell<Folder> = const { OnceCell::new() };
}

/// A network that takes images, or tensors as they are.
fn wanted(channels: usize, recipe: Option<&Recipe>) -> Wanted {
    let grid = Some(Grid { scale: 0.5, zero_point: -3 });
    Wanted { grid, ..Wanted::in_float(InputShape { height: 8, width: 8, channels }, recipe) }
}

fuzz_target!(|data: &[u8]| FOLDER.with(|folder| {
    let folder = folder.get_or_init(Folder::new);
    let recipe = Recipe { resize: Some(12), crop: Some(8), ..Recipe::default() };
    for name in ["image.png", "batch.bin", "tensor.npy"] {
        let path = folder.write(name, data);
        let set = match Dataset::open(&path, &OpenOptions::default()) {
            Ok(set) => set,
            Err(error) => {
                check_error(&error, &path);
                continue;
            }
        };
        for index in 0..set.len().min(3) {
            for (channels, recipe) in [(1, Some(&recipe)), (3, Some(&recipe)), (4, None)] {
                let wanted = wanted(channels, recipe);
                match set.sample(index, &wanted) {
                    Ok(sample) => assert_eq!(sample.content.real(&wanted).len(), 8 * 8 * channels),
                    Err(error) => drop(printed(&error)),
                }
            }
        }
    }
    let path = folder.write("mean.npy", data);
    match MeanImage::read(&path) {
        Ok(mean) => assert_eq!(mean.data.len(), mean.width * mean.height * mean.channels),
        Err(error) => check_error(&error, &path),
    }
}));
