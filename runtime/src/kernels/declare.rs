//! What is declared of a kernel and of an instruction set: one record each, in the table of the
//! instruction set's room. Names, lists, plans for other machines and tests follow from the records.
//!
//! What may not be broken: of a record all but the code is the same on every machine, so that a plan for a
//! board can be made on another one.

use core::fmt;

use super::layouts::Layouts;
use super::{
    ConcatArgs, ConvArgs, ConvShape, KernelFamily, KernelSet, LogitsArgs, PoolShape, SubsampleArgs,
};
use crate::error::Fault;
use crate::format::{Channels, WeightForm, WeightLayout};
use crate::numerics::{Addition, Channel, Multiplication, Requantization, TABLE_ENTRIES};

/// A convolution kernel.
pub(crate) struct Kernel {
    /// The name in latency tables, as `--kernel` takes it.
    pub name: &'static str,
    /// Weights that it reads, where the layout exists for the shape. OHWI are those of any target, and
    /// come first.
    pub reads: &'static [WeightForm],
    /// Whether it computes a convolution from such weights.
    pub computes: fn(&ConvShape) -> bool,
    /// Whether it is worth its preparations where another kernel of the set would do. It is not asked of
    /// packed weights, which are there, whether they were worth it or not.
    pub is_profitable: fn(&ConvShape) -> bool,
    /// Bytes of scratch.
    pub scratch_bytes: fn(&ConvShape, WeightLayout) -> usize,
    pub grain: Grain,
    /// The code, where this build has it. Arguments were checked.
    pub run: Option<Conv>,
}

impl Kernel {
    /// What is said of kernels where they do not differ.
    pub const fn with(grain: Grain) -> Self {
        Self {
            name: "",
            reads: OHWI,
            computes: always,
            is_profitable: always,
            scratch_bytes: |_, _| 0,
            grain,
            run: None,
        }
    }
}

/// How a kernel's work may be divided among threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grain {
    /// Output rows that it computes together.
    pub rows: usize,
    /// Output channels whose weights lie together and that it computes together; 0 if they may not be
    /// parted.
    pub channels: usize,
    /// Layouts whose weights it transforms, which every band of rows does anew, at a cost that counts.
    pub transforms: &'static [WeightLayout],
    /// Multiply-accumulates that are not worth a second thread.
    pub least_work: usize,
}

/// What a portable file holds, and a packed one where no layout of its own is better.
pub(crate) const OHWI: &[WeightForm] = &[WeightForm::PORTABLE];

/// For [`Kernel::computes`] and [`Kernel::is_profitable`].
pub(crate) fn always(_: &ConvShape) -> bool {
    true
}

/// A convolution kernel, of this machine or another.
#[derive(Clone, Copy)]
pub struct ConvKernel(&'static Kernel);

impl ConvKernel {
    /// What computes any convolution.
    pub const GENERIC: Self = Self(&super::portable::GENERIC.kernels[0]);

    /// All kernels that this build knows: where there is an operating system those of every machine, so that
    /// boards can be planned for, and in an image those of its own instruction set.
    pub fn all() -> impl Iterator<Item = Self> {
        let sets = KernelFamily::ALL.into_iter().filter_map(KernelFamily::set);
        sets.flat_map(|set| set.kernels).map(Self)
    }

    /// The kernel of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|kernel| kernel.name() == name)
    }

    /// The name in latency tables, as `--kernel` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether it reads weights of this form.
    pub(crate) fn reads(self, form: WeightForm) -> bool {
        match form.layout {
            WeightLayout::Ohwi => {
                self.0.reads.first().is_some_and(|first| first.layout == form.layout)
            }
            _ => self.0.reads.contains(&form),
        }
    }

    /// Whether it computes this convolution from weights of this form.
    #[must_use]
    pub fn computes(self, shape: &ConvShape, form: WeightForm) -> bool {
        let packed = form.layout != WeightLayout::Ohwi;
        self.reads(form)
            && (!packed || super::layouts::weights_bytes(form, shape).is_some())
            && (self.0.computes)(shape)
    }

    /// Whether it is worth its preparations, where another kernel of its family would do.
    #[must_use]
    pub fn is_profitable(self, shape: &ConvShape) -> bool {
        (self.0.is_profitable)(shape)
    }

    /// How its work may be divided.
    pub(crate) const fn grain(self) -> Grain {
        self.0.grain
    }

    /// Bytes of scratch that it needs; as much as is counted for a convolution that it does not compute
    /// has no meaning.
    #[must_use]
    pub fn scratch_bytes(self, shape: &ConvShape, form: WeightForm) -> usize {
        (self.0.scratch_bytes)(shape, form.layout)
    }

    /// Runs it, if this machine can: `set` says so. The arguments were checked.
    pub(super) fn run(self, set: KernelSet, args: ConvArgs<'_>) -> Result<(), Fault> {
        self.0.run.map_or(Err(Fault::Plan), |run| run(set, args))
    }
}

impl PartialEq for ConvKernel {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.0, other.0)
    }
}

impl Eq for ConvKernel {}

impl fmt::Debug for ConvKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An instruction set: everything that is known of it.
pub(crate) struct InstructionSet {
    pub family: KernelFamily,
    /// The instruction set whose kernels and packed files it runs, too, after its own.
    pub base: Option<&'static InstructionSet>,
    /// Its own convolution kernels, best first.
    pub kernels: &'static [Kernel],
    /// Its own orders of packed weights.
    pub layouts: Layouts,
    pub operators: Operators,
    /// Whether this machine has it; none where this build has no code for it.
    pub is_there: Option<fn() -> bool>,
}

impl InstructionSet {
    /// This set and those that it is based on.
    pub fn line(&'static self) -> impl Iterator<Item = &'static Self> {
        core::iter::successors(Some(self), |set| set.base)
    }

    /// The convolution kernels, best first: its own, then those of the sets that it is based on.
    pub fn conv_kernels(&'static self) -> impl Iterator<Item = ConvKernel> {
        self.line().flat_map(|set| set.kernels).map(ConvKernel)
    }

    /// Whether it is `family` or based on it.
    pub fn has(&'static self, family: KernelFamily) -> bool {
        self.line().any(|set| set.family == family)
    }
}

/// The code of an operator other than a convolution, and its name in latency tables.
pub(crate) struct Named<F> {
    pub name: &'static str,
    /// None where this build has no code for the instruction set.
    pub run: Option<F>,
}

impl<F: Copy> Named<F> {
    /// The code.
    ///
    /// # Errors
    /// [`Fault::Plan`] where there is none, which no set of this machine lacks.
    pub fn code(&self) -> Result<F, Fault> {
        self.run.ok_or(Fault::Plan)
    }
}

/// What an instruction set computes all other operators with. Arguments were checked; the set says that
/// this machine has the instructions. What is found while computing is a fault, and nothing is passed over.
pub(crate) struct Operators {
    pub max_pool: Named<MaxPool>,
    pub average_pool: Named<AveragePool>,
    pub average_pool_inside: Named<AveragePoolExcludingPadding>,
    pub add: Named<Add>,
    pub add_in_place: Named<AddInPlace>,
    pub subsample: Named<Subsample>,
    pub logits: Named<Logits>,
    pub lookup: Named<Lookup>,
    pub multiply: Named<Multiply>,
    pub multiply_in_place: Named<MultiplyInPlace>,
    pub concat: Named<Concat>,
}

pub(crate) type Conv = fn(KernelSet, ConvArgs<'_>) -> Result<(), Fault>;
pub(crate) type Logits = fn(KernelSet, LogitsArgs<'_>) -> Result<(), Fault>;
pub(crate) type Subsample = fn(KernelSet, SubsampleArgs<'_>) -> Result<(), Fault>;
/// Shape, clamp, input, output.
pub(crate) type MaxPool =
    fn(KernelSet, &PoolShape, (i8, i8), &[i8], &mut [i8]) -> Result<(), Fault>;
/// Shape, the constants of a window, input, output.
pub(crate) type AveragePool =
    fn(KernelSet, &PoolShape, Channel, &Requantization, &[i8], &mut [i8]) -> Result<(), Fault>;
/// Shape, the constants by the number of taps inside, input, output.
pub(crate) type AveragePoolExcludingPadding =
    fn(KernelSet, &PoolShape, Channels<'_>, &Requantization, &[i8], &mut [i8]) -> Result<(), Fault>;
/// Two inputs, output.
pub(crate) type Add = fn(KernelSet, &Addition, &[i8], &[i8], &mut [i8]) -> Result<(), Fault>;
/// The first input, and the second, which is the output.
pub(crate) type AddInPlace = fn(KernelSet, &Addition, &[i8], &mut [i8]) -> Result<(), Fault>;
/// One table, or one for each channel; clamp; the values, which are replaced.
pub(crate) type Lookup =
    fn(KernelSet, &[[i8; TABLE_ENTRIES]], (i8, i8), &mut [i8]) -> Result<(), Fault>;
/// Two inputs, output.
pub(crate) type Multiply =
    fn(KernelSet, &Multiplication, &[i8], &[i8], &mut [i8]) -> Result<(), Fault>;
/// The first input, and the second, which is the output.
pub(crate) type MultiplyInPlace =
    fn(KernelSet, &Multiplication, &[i8], &mut [i8]) -> Result<(), Fault>;
pub(crate) type Concat = fn(KernelSet, ConcatArgs<'_>) -> Result<(), Fault>;

/// Declares the macro `code!`, by which tables name functions of a room's module `native`:
/// `code!(Token: function, argument...)`, and `code!(is_there Token)` to ask the machine. Both are none in builds
/// without the code. The cfg is one of those that `build.rs` decides on.
#[allow(unused_macros, reason = "a build may know portable kernels alone")]
macro_rules! declare_code {
    ($d:tt $cfg:ident) => {
        #[cfg($cfg)]
        macro_rules! code {
                    (is_there $d token:ident) => {
                        Some(native::$d token::is_there)
                    };
                    ($d token:ident: $d function:ident, $d($d argument:ident),+) => {
                        Some(|set, $d($d argument),+| {
                            native::$d function(native::$d token::from_set(set)?, $d($d argument),+)
                        })
                    };
                }
        #[cfg(not($cfg))]
        macro_rules! code {
            ($d($d anything:tt)*) => {
                None
            };
        }
    };
}

/// A table of kernels, which have the names of their functions. They are divided as `grain` says, read OHWI,
/// need no scratch, compute everything and pay, unless a line says otherwise.
#[allow(unused_macros, reason = "a build may know portable kernels alone")]
macro_rules! kernels {
    ($grain:ident; $($name:ident($token:ident) { $($field:ident: $value:expr),* $(,)? })+) => {
        &[$(
            #[allow(clippy::needless_update, reason = "a line may say everything")]
            Kernel {
            name: stringify!($name),
            $($field: $value,)*
            run: code!($token: $name, args),
            ..Kernel::with($grain)
        }),+]
    };
}

/// [`Layouts`] as the functions of a module have them.
#[allow(unused_macros, reason = "a build may know portable kernels alone")]
macro_rules! layouts_of {
    ($module:ident) => {
        Layouts {
            bytes: $module::weights_bytes,
            #[cfg(feature = "write")]
            pack: $module::pack,
            #[cfg(feature = "write")]
            unpack: $module::unpack,
        }
    };
}

/// A token: proof that this machine has an instruction set, given to who holds a [`KernelSet`] that has it.
#[allow(unused_macros, reason = "a build may know portable kernels alone")]
macro_rules! token {
    ($(#[doc = $doc:literal])+ $token:ident, if $there:expr) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $token(());

        impl $token {
            /// Whether this machine has the instructions.
            #[must_use]
            pub fn is_there() -> bool {
                $there
            }

            /// The token.
            ///
            /// # Errors
            /// [`Fault::Plan`](crate::error::Fault::Plan) if the set lacks the instructions.
            pub fn from_set(set: crate::kernels::KernelSet) -> Result<Self, crate::error::Fault> {
                let has = set.has(crate::kernels::KernelFamily::$token);
                if has { Ok(Self(())) } else { Err(crate::error::Fault::Plan) }
            }
        }
    };
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use {declare_code, kernels, layouts_of, token};
