//! Images, batches of images and mean images.

#![no_main]

use std::cell::OnceCell;

use fixnet_fuzz::files::{Folder, check_error, printed};
use libfuzzer_sys::fuzz_target;
use tools::data::{Dataset, InputSize, MeanImage, OpenOptions, Recipe};

thread_local! {
    static FOLDER: OnceCell<Folder> = const { OnceCell::new() };
}

fuzz_target!(|data: &[u8]| FOLDER.with(|folder| {
    let folder = folder.get_or_init(Folder::new);
    let recipe = Recipe { resize: Some(12), crop: Some(8), ..Recipe::default() };
    let input = InputSize { height: 8, width: 8 };
    for name in ["image.png", "batch.bin"] {
        let path = folder.write(name, data);
        let set = match Dataset::open(&path, &OpenOptions::default()) {
            Ok(set) => set,
            Err(error) => {
                check_error(&error, &path);
                continue;
            }
        };
        for index in 0..set.len().min(3) {
            match set.sample(index, &recipe, input) {
                Ok(sample) => assert_eq!(sample.pixels.data.len(), 8 * 8 * 3),
                Err(error) => drop(printed(&error)),
            }
        }
    }
    let path = folder.write("mean.npy", data);
    match MeanImage::read(&path) {
        Ok(mean) => assert_eq!(mean.data.len(), mean.width * mean.height * 3),
        Err(error) => check_error(&error, &path),
    }
}));
