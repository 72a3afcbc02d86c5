//! Lists that people write: known models, labels.

#![no_main]

use std::cell::OnceCell;

use fixnet_fuzz::files::{Folder, check_error};
use libfuzzer_sys::fuzz_target;
use tools::data::{Dataset, OpenOptions};
use tools::zoo::Zoo;

thread_local! {
    static FOLDER: OnceCell<Folder> = const { OnceCell::new() };
}

fuzz_target!(|data: &[u8]| FOLDER.with(|folder| {
    let folder = folder.get_or_init(Folder::new);
    let path = folder.write("zoo.toml", data);
    match Zoo::open(Some(&path)) {
        Ok(zoo) => zoo.entries.iter().for_each(|entry| drop(entry.preprocessing())),
        Err(error) => check_error(&error, &path),
    }
    // Images are looked for, not opened.
    folder.write("images/a.png", b"");
    folder.write("images/b.jpg", b"");
    folder.write("images/labels.csv", data);
    let images = folder.path().join("images");
    match Dataset::open(&images, &OpenOptions::default()) {
        Ok(set) => assert!(set.has_labels() && set.len() == 2),
        Err(error) => check_error(&error, &images),
    }
}));
