//! What a random graph may hold, by name: so that a failure says what is special about its graph,
//! that nothing goes untested in silence, and that what is known to be wrong can wait.

macro_rules! features {
    ($($feature:ident,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Feature {
            $($feature,)*
        }

        /// All of them.
        pub const ALL: &[Feature] = &[$(Feature::$feature,)*];
    };
}

features! {
    // How the file is written.
    SharedWeights,
    ConstantNodes,
    IdentityOfWeights,
    ComputedWeights,
    CastWeights,
    ShapeConstants,
    ShapeArithmetic,
    SymbolicBatch,
    NhwcInput,
    DeadBranch,
    ZerosOfShape,
    ZerosOfShapeByDefault,
    HalfPrecision,
    UnsortedNodes,
    // Windows.
    AutoPad,
    PadsOfTheWholeKernel,
    AsymmetricPads,
    Dilations,
    Groups,
    Depthwise,
    NoKernelShape,
    CeilMode,
    AveragePoolPadded,
    AveragePoolCountingPads,
    CeilModeOnMaxPoolValid,
    // Operators.
    BatchNorm,
    BatchNormOfParts,
    BatchNormZeroGamma,
    UnevenChannels,
    ZeroFilter,
    BatchNormFiveOutputs,
    BatchNormSpatial0,
    MulAdd,
    SubDiv,
    ConstantMinusMap,
    Clip,
    MinMax,
    OddClip,
    ClipAfterClip,
    MaxPool,
    AveragePool,
    GlobalAveragePool,
    ReduceMean,
    PadBeforeConv,
    PadBeforePool,
    PadAlone,
    StridedSlice,
    Transposed,
    Identity,
    Dropout,
    Cast,
    CastLike,
    Sum,
    // Blocks.
    FarAddition,
    OptionATimesZero,
    ZeroConstant,
    BasicBlock,
    Projection,
    Bottleneck,
    PreActivation,
    OptionASlicePad,
    OptionAConcat,
    PooledShortcut,
    AddOfItself,
    TwoConvolutionsAdded,
    SharedShortcut,
    InvertedResidual,
    // Ends.
    FlattenedMap,
    HiddenLayer,
    MatMul,
    GemmFactors,
    Squeeze,
    SqueezeAll,
    MeanOfPixels,
    UnflattenedScores,
    SoftmaxOfImage,
    ConvClassifier,
    PooledWithoutClassifier,
    HwcFlatten,
    VectorBatchNorm,
    Softmax,
    LogSoftmax,
    // What has no int8 form.
    ForeignHead,
    ForeignTail,
    ForeignMiddle,
}

/// Features that wait for a fault to be mended, which the second entry names.
const WAITING: &[(Feature, &str)] = &[];

/// Features that are right in ONNX and refused by name.
pub const REFUSED: &[Feature] = &[Feature::BatchNormFiveOutputs, Feature::SqueezeAll];

pub fn is_waiting(feature: Feature) -> bool {
    WAITING.iter().any(|(waiting, _)| *waiting == feature)
}
