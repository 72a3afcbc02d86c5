//! How single images get the network's size.

use super::{Content, DataError, Recipe, Sample, Source, Wanted};

/// How an image gets the network's size, where the model file's recipe is not to decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resizing {
    /// The shorter side after resizing.
    pub resize: Option<u32>,
    /// Side of the square cut from the middle, after resizing.
    pub crop: Option<u32>,
}

impl Resizing {
    /// Reads an image as is said here; where nothing is, as the recipe says, or, where that leaves another
    /// size than the network's, resized until it covers that and cut from the middle. Then what was
    /// done is said, too.
    ///
    /// # Errors
    /// [`DataError`] naming the image.
    pub fn load(
        self,
        source: &Source,
        wanted: &Wanted,
    ) -> Result<(Sample, Option<String>), DataError> {
        if self == Self::default() {
            return source.load_fitting(wanted);
        }
        let path = || source.file().to_owned();
        let no_image = || DataError::NotResized { path: path() };
        let recipe = wanted.recipe.as_ref().ok_or_else(no_image)?;
        let (resize, crop) = (self.resize.or(recipe.resize), self.crop.or(recipe.crop));
        let recipe = Recipe { resize, crop, ..recipe.clone() };
        recipe.validate()?;
        let sample = source.load(&Wanted { recipe: Some(recipe), ..wanted.clone() })?;
        match sample.content {
            Content::Pixels(_) => Ok((sample, None)),
            Content::Real(_) => Err(no_image()),
        }
    }

    /// The flags of `fixnet run` that say the same.
    #[must_use]
    pub fn flags(self) -> Vec<String> {
        let flags = [("--resize", self.resize), ("--crop", self.crop)];
        let given =
            flags.into_iter().filter_map(|(flag, side)| Some([flag.to_owned(), side?.to_string()]));
        given.flatten().collect()
    }
}
