//! What a random graph may hold, by name: so that a failure says what is special about its graph,
//! that nothing goes untested in silence, and that what is known to be wrong can wait.

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    // How the file is written.
    SharedWeights,
    ConstantNodes,
    IdentityOfWeights,
    ComputedWeights,
    ShapeArithmetic,
    SymbolicBatch,
    NhwcInput,
    DeadBranch,
    ZerosOfShape,
    ZerosOfShapeByDefault,
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
    BatchNormFiveOutputs,
    BatchNormSpatial0,
    MulAdd,
    SubDiv,
    ConstantMinusMap,
    Clip,
    MinMax,
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
    Sum,
    // Blocks.
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
    ConvClassifier,
    PooledWithoutClassifier,
    HwcFlatten,
    VectorBatchNorm,
    Softmax,
    LogSoftmax,
    // What has no int8 form.
    ForeignHead,
    ForeignTail,
}

/// Features that wait for a fault to be mended, which the second entry names.
const WAITING: &[(Feature, &str)] = &[
    (Feature::PadsOfTheWholeKernel, "convolutions padded by their whole kernel are refused late"),
    (Feature::AveragePoolPadded, "average pools that pad are refused by quantize alone"),
    (Feature::BatchNormFiveOutputs, "tract refuses them"),
    (Feature::BatchNormSpatial0, "statistics of one number a channel are refused"),
    (Feature::PadAlone, "padding before anything but a window is refused by quantize alone"),
    (Feature::CeilModeOnMaxPoolValid, "sizes differ from ONNX Runtime's"),
    (Feature::ConstantMinusMap, "tract subtracts the other way behind a convolution"),
    (Feature::ZerosOfShapeByDefault, "tract makes f64 of them"),
];

pub fn is_waiting(feature: Feature) -> bool {
    WAITING.iter().any(|(waiting, _)| *waiting == feature)
}
