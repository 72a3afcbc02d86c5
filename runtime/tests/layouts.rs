//! Packed weights keep their order: files of a released version stay readable.

mod support;

use std::fmt::Write;

use fixnet::format::{CRC32, Target, WeightForm, WeightLayout};
use fixnet::kernels::ConvShape;
use fixnet::layouts;
use support::Random;

/// Kernel, stride, input and output channels of the convolutions that layouts are for.
const CONVOLUTIONS: [[usize; 4]; 6] =
    [[3, 1, 32, 48], [3, 2, 16, 32], [1, 1, 24, 16], [1, 2, 32, 64], [7, 2, 3, 32], [3, 1, 3, 16]];

fn shape([kernel, stride, in_c, out_c]: [usize; 4]) -> ConvShape {
    ConvShape {
        input: [18, 18, in_c],
        output: [18usize.div_ceil(stride), 18usize.div_ceil(stride), out_c],
        kernel: [kernel; 2],
        strides: [stride; 2],
        pads: [kernel / 2; 4],
        dilations: [1; 2],
        groups: 1,
        input_zero_point: -128,
        input_range: (-128, -1),
    }
}

/// Length and checksum of every layout of every convolution, a line each.
fn table() -> String {
    let mut table = String::new();
    for target in Target::ALL {
        let own =
            |layout: &WeightLayout| (*layout == WeightLayout::Ohwi) == (target == Target::Portable);
        for layout in WeightLayout::ALL.into_iter().filter(own) {
            for convolution @ [kernel, stride, in_c, out_c] in CONVOLUTIONS {
                let (shape, form) = (shape(convolution), WeightForm { target, layout });
                let random = &mut Random::new(convolution.iter().sum::<usize>() as u64);
                let weights = random.int8(out_c * shape.patch_len());
                let weights: Vec<i8> = weights.into_iter().map(|w| w.max(-127)).collect();
                let Some(packed) = layouts::pack(form, &shape, &weights) else { continue };
                assert_eq!(Some(packed.len() as u64), layouts::weights_bytes(form, &shape));
                assert_eq!(layouts::unpack(form, &shape, &packed), Some(weights));
                let (name, layout) = (target.name(), layout.name());
                let (bytes, crc32) = (packed.len(), CRC32.checksum(&packed));
                let _ = writeln!(
                    table,
                    "{name} {layout} {kernel}x{kernel}/{stride} {in_c}->{out_c} {bytes} {crc32:08x}"
                );
            }
        }
    }
    table
}

/// `FIXNET_BLESS=1` stores the table anew; a released format version must never need that.
#[test]
fn layouts_keep_their_bytes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/layouts.txt");
    let table = table();
    if std::env::var_os("FIXNET_BLESS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), table);
}

#[test]
fn bytes_that_no_weights_have_are_not_unpacked() {
    let convolution = CONVOLUTIONS[0];
    let shape = shape(convolution);
    let weights = Random::new(1).int8(convolution[3] * shape.patch_len());
    let weights: Vec<i8> = weights.into_iter().map(|w| w.max(-127)).collect();
    for target in Target::ALL {
        for layout in [WeightLayout::Winograd2, WeightLayout::Winograd4] {
            let form = WeightForm { target, layout };
            let Some(mut packed) = layouts::pack(form, &shape, &weights) else { continue };
            packed[77] ^= 0x40;
            assert_eq!(layouts::unpack(form, &shape, &packed), None, "{form:?}");
            packed.pop();
            assert_eq!(layouts::unpack(form, &shape, &packed), None, "{form:?}");
        }
    }
}

/// What a sum of all channels could not hold is not transformed.
#[test]
fn weights_beyond_the_bound_of_a_layout_are_not_packed() {
    let shape = shape([3, 1, 512, 16]);
    let weights = vec![127i8; 16 * shape.patch_len()];
    for target in Target::ALL {
        let form = WeightForm { target, layout: WeightLayout::Winograd4 };
        assert_eq!(layouts::pack(form, &shape, &weights), None, "{}", target.name());
    }
}

/// Too many large weights have no place to stand alone, and not every input has few values.
#[test]
fn sums_of_bytes_that_may_saturate_are_not_packed() {
    let form = WeightForm { target: Target::X86_64Avx2, layout: WeightLayout::U8s8 };
    let few = shape([1, 1, 512, 16]);
    let weights = |weight| vec![weight; 16 * few.patch_len()];
    assert_eq!(layouts::pack(form, &few, &weights(127)), None);
    let packed = layouts::pack(form, &few, &weights(64)).unwrap();
    assert_eq!(layouts::unpack(form, &few, &packed), Some(weights(64)));
    let many = ConvShape { input_range: (-128, 0), ..few };
    assert_eq!(layouts::weights_bytes(form, &many), None);
    assert_eq!(layouts::pack(form, &many, &weights(64)), None);
}

#[test]
fn numbers_of_quads_that_there_are_not_are_not_unpacked() {
    let form = WeightForm { target: Target::X86_64Avx2, layout: WeightLayout::U8s8 };
    let shape = shape([1, 1, 24, 16]);
    let mut packed = layouts::pack(form, &shape, &vec![127; 16 * 24]).unwrap();
    assert!(layouts::unpack(form, &shape, &packed).is_some());
    // The first number, behind sixteen sums.
    packed[64..68].copy_from_slice(&6u32.to_le_bytes());
    assert_eq!(layouts::unpack(form, &shape, &packed), None);
}
