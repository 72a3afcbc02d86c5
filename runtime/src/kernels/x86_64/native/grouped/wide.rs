//! Four vectors of sums of AVX-512 VL, of 128, 256 or 512 bits each, in the order that
//! [`depthwise`](super::depthwise) describes: one lane for each byte of a vector.
//!
//! What may not be broken: vectors only come from functions whose caller vouches for the CPU.

use core::arch::x86_64::*;

use crate::kernels::x86_64::grouped::BLOCK;
use crate::numerics::Requantization;

/// Vectors of the sums of a vector of bytes.
pub(super) const VECTORS: usize = 4;

/// See the module.
pub(super) trait Wide: Copy {
    /// Bytes of a vector.
    const CHANNELS: usize;

    /// # Safety
    /// The CPU has the instructions.
    unsafe fn splat(value: i32) -> Self;

    /// # Safety
    /// The CPU has the instructions, and a vector is readable.
    unsafe fn load(from: *const i32) -> Self;

    /// # Safety
    /// A vector is writable.
    unsafe fn store(self, to: *mut i32);

    /// `count` bytes, at most a vector; zeros behind them.
    ///
    /// # Safety
    /// The CPU has the instructions, and the bytes are readable.
    unsafe fn bytes(from: *const i8, count: usize) -> Self;

    /// Writes `count` bytes, at most a vector.
    ///
    /// # Safety
    /// They are writable.
    unsafe fn write(self, to: *mut i8, count: usize);

    /// `x + 128` of each byte.
    fn unsigned(self) -> Self;

    /// One byte of each of four vectors to a lane.
    fn interleave(rows: [Self; VECTORS]) -> [Self; VECTORS];

    /// The bytes of a vector to lanes.
    fn widen(bytes: Self) -> [Self; VECTORS];

    /// Adds products of four unsigned bytes with four signed ones; it wraps.
    fn dot(sums: Self, unsigned: Self, signed: Self) -> Self;

    /// The odd lanes in even places.
    fn odd(self) -> Self;

    /// Sums without residual to fixed point, before the offset.
    fn scale(self, multipliers: Self, odd: Self, shift: __m128i) -> Self;

    fn plus(self, other: Self) -> Self;

    fn times(self, other: Self) -> Self;

    fn shifted_right(self, bits: __m128i) -> Self;

    /// To bytes, saturated and then clamped.
    fn narrow(sums: [Self; VECTORS], clamp: (Self, Self)) -> Self;

    /// Four vectors, one behind the other.
    ///
    /// # Safety
    /// As [`Wide::load`] for four.
    #[inline(always)]
    unsafe fn load_all(from: *const i32) -> [Self; VECTORS] {
        // SAFETY: the caller vouches for four vectors.
        unsafe {
            let mut vectors = [Self::load(from); VECTORS];
            for (n, vector) in vectors.iter_mut().enumerate().skip(1) {
                *vector = Self::load(from.add(n * Self::CHANNELS / VECTORS));
            }
            vectors
        }
    }

    /// # Safety
    /// As [`Wide::store`] for four.
    #[inline(always)]
    unsafe fn store_all(vectors: [Self; VECTORS], to: *mut i32) {
        for (n, vector) in vectors.into_iter().enumerate() {
            // SAFETY: the caller vouches for four vectors.
            unsafe { vector.store(to.add(n * Self::CHANNELS / VECTORS)) };
        }
    }

    #[inline(always)]
    fn dots(
        [a, b, c, d]: [Self; VECTORS],
        unsigned: [Self; VECTORS],
        signed: [Self; VECTORS],
    ) -> [Self; VECTORS] {
        [
            Self::dot(a, unsigned[0], signed[0]),
            Self::dot(b, unsigned[1], signed[1]),
            Self::dot(c, unsigned[2], signed[2]),
            Self::dot(d, unsigned[3], signed[3]),
        ]
    }
}

/// The constants of a block of channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Constants<V> {
    /// What sums begin with.
    pub first: [V; VECTORS],
    multipliers: [V; VECTORS],
    odd: [V; VECTORS],
    shift: __m128i,
    residual_multiplier: V,
    offset: V,
    fraction_bits: __m128i,
    clamp: (V, V),
}

impl<V: Wide> Constants<V> {
    /// From what sums begin with and multipliers, one behind the other.
    ///
    /// # Safety
    /// The CPU has the instructions, and both are readable.
    #[inline(always)]
    pub unsafe fn new(table: *const i32, rq: &Requantization) -> Self {
        let bytes = |value: i8| i32::from_ne_bytes([value as u8; 4]);
        // SAFETY: the caller vouches for the same.
        unsafe {
            let multipliers = V::load_all(table.add(V::CHANNELS));
            let [a, b, c, d] = multipliers;
            Self {
                first: V::load_all(table),
                multipliers,
                odd: [a.odd(), b.odd(), c.odd(), d.odd()],
                shift: _mm_cvtsi32_si128(rq.shift as i32),
                residual_multiplier: V::splat(rq.residual_multiplier),
                offset: V::splat(rq.offset),
                fraction_bits: _mm_cvtsi32_si128(rq.fraction_bits as i32),
                clamp: (V::splat(bytes(rq.clamp.0)), V::splat(bytes(rq.clamp.1))),
            }
        }
    }

    /// Sums, with their residual, to bytes.
    #[inline(always)]
    pub fn round(&self, mut sums: [V; VECTORS], residual: Option<[V; VECTORS]>) -> V {
        for (n, sum) in sums.iter_mut().enumerate() {
            let mut fixed = sum.scale(self.multipliers[n], self.odd[n], self.shift);
            if let Some(residual) = residual {
                fixed = fixed.plus(residual[n].times(self.residual_multiplier));
            }
            *sum = fixed.plus(self.offset).shifted_right(self.fraction_bits);
        }
        V::narrow(sums, self.clamp)
    }
}

macro_rules! wide {
    (
        $vector:ident, $all:expr, $even:expr;
        $splat:ident, $load:ident, $store:ident, $bytes:ident, $write:ident, $xor:ident,
        $low8:ident, $high8:ident, $low16:ident, $high16:ident, $dot:ident, $odd:ident, $shift_left:ident,
        $mul:ident, $shuffle:ident, $add:ident, $times:ident, $shift_right:ident, $arithmetic:ident,
        $pack32:ident, $pack16:ident, $max:ident, $min:ident
    ) => {
        impl Wide for $vector {
            const CHANNELS: usize = size_of::<Self>();

            #[inline(always)]
            unsafe fn splat(value: i32) -> Self {
                // SAFETY: the caller vouches for the instructions.
                unsafe { $splat(value) }
            }

            #[inline(always)]
            unsafe fn load(from: *const i32) -> Self {
                // SAFETY: the caller vouches for the vector; the load needs no alignment.
                unsafe { $load(from.cast()) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut i32) {
                // SAFETY: the caller vouches for the vector; the store needs no alignment.
                unsafe { $store(to.cast(), self) };
            }

            #[inline(always)]
            unsafe fn bytes(from: *const i8, count: usize) -> Self {
                // SAFETY: the caller vouches for the bytes; no others are read.
                unsafe {
                    if count >= Self::CHANNELS {
                        return $load(from.cast());
                    }
                    $bytes(!($all << count), from)
                }
            }

            #[inline(always)]
            unsafe fn write(self, to: *mut i8, count: usize) {
                // SAFETY: the caller vouches for the bytes; no others are written.
                unsafe {
                    if count >= Self::CHANNELS {
                        $store(to.cast(), self);
                    } else {
                        $write(to, !($all << count), self);
                    }
                }
            }

            #[inline(always)]
            fn unsigned(self) -> Self {
                // SAFETY: there are vectors only where there are their instructions.
                unsafe { $xor(self, $splat(i32::from_ne_bytes([128; 4]))) }
            }

            #[inline(always)]
            fn interleave([a, b, c, d]: [Self; VECTORS]) -> [Self; VECTORS] {
                // SAFETY: there are vectors only where there are their instructions.
                unsafe {
                    let (low, high) = ($low8(a, b), $high8(a, b));
                    let (low_cd, high_cd) = ($low8(c, d), $high8(c, d));
                    [
                        $low16(low, low_cd),
                        $high16(low, low_cd),
                        $low16(high, high_cd),
                        $high16(high, high_cd),
                    ]
                }
            }

            #[inline(always)]
            fn widen(bytes: Self) -> [Self; VECTORS] {
                let [a, b, c, d] = Self::interleave([bytes; VECTORS]);
                // SAFETY: there are vectors only where there are their instructions.
                unsafe {
                    [
                        $arithmetic::<24>(a),
                        $arithmetic::<24>(b),
                        $arithmetic::<24>(c),
                        $arithmetic::<24>(d),
                    ]
                }
            }

            #[inline(always)]
            fn dot(sums: Self, unsigned: Self, signed: Self) -> Self {
                // SAFETY: there are vectors only where there are their instructions.
                unsafe { $dot(sums, unsigned, signed) }
            }

            #[inline(always)]
            fn odd(self) -> Self {
                // SAFETY: there are vectors only where there are their instructions.
                unsafe { $odd::<32>(self) }
            }

            #[inline(always)]
            fn scale(self, multipliers: Self, odd: Self, shift: __m128i) -> Self {
                // SAFETY: there are vectors only where there are their instructions.
                unsafe {
                    let shifted = $shift_left(self, shift);
                    let even = $mul(shifted, multipliers);
                    let odd = $mul(shifted.odd(), odd);
                    $shuffle::<0b11_11_01_01>(odd, $even, even)
                }
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                // SAFETY: there are vectors only where there are their instructions.
                unsafe { $add(self, other) }
            }

            #[inline(always)]
            fn times(self, other: Self) -> Self {
                // SAFETY: there are vectors only where there are their instructions.
                unsafe { $times(self, other) }
            }

            #[inline(always)]
            fn shifted_right(self, bits: __m128i) -> Self {
                // SAFETY: there are vectors only where there are their instructions.
                unsafe { $shift_right(self, bits) }
            }

            #[inline(always)]
            fn narrow([a, b, c, d]: [Self; VECTORS], (low, high): (Self, Self)) -> Self {
                // SAFETY: there are vectors only where there are their instructions.
                unsafe {
                    let bytes = $pack16($pack32(a, b), $pack32(c, d));
                    $min($max(bytes, low), high)
                }
            }
        }
    };
}

wide! {
    __m512i, u64::MAX, 0x5555;
    _mm512_set1_epi32, _mm512_loadu_si512, _mm512_storeu_si512, _mm512_maskz_loadu_epi8,
    _mm512_mask_storeu_epi8, _mm512_xor_si512, _mm512_unpacklo_epi8, _mm512_unpackhi_epi8,
    _mm512_unpacklo_epi16, _mm512_unpackhi_epi16, _mm512_dpbusd_epi32, _mm512_srli_epi64,
    _mm512_sll_epi32, _mm512_mul_epi32, _mm512_mask_shuffle_epi32, _mm512_add_epi32,
    _mm512_mullo_epi32, _mm512_sra_epi32, _mm512_srai_epi32, _mm512_packs_epi32, _mm512_packs_epi16,
    _mm512_max_epi8, _mm512_min_epi8
}

wide! {
    __m256i, u32::MAX, 0x55;
    _mm256_set1_epi32, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_maskz_loadu_epi8,
    _mm256_mask_storeu_epi8, _mm256_xor_si256, _mm256_unpacklo_epi8, _mm256_unpackhi_epi8,
    _mm256_unpacklo_epi16, _mm256_unpackhi_epi16, _mm256_dpbusd_epi32, _mm256_srli_epi64,
    _mm256_sll_epi32, _mm256_mul_epi32, _mm256_mask_shuffle_epi32, _mm256_add_epi32,
    _mm256_mullo_epi32, _mm256_sra_epi32, _mm256_srai_epi32, _mm256_packs_epi32, _mm256_packs_epi16,
    _mm256_max_epi8, _mm256_min_epi8
}

wide! {
    __m128i, u16::MAX, 0x5;
    _mm_set1_epi32, _mm_loadu_si128, _mm_storeu_si128, _mm_maskz_loadu_epi8,
    _mm_mask_storeu_epi8, _mm_xor_si128, _mm_unpacklo_epi8, _mm_unpackhi_epi8,
    _mm_unpacklo_epi16, _mm_unpackhi_epi16, _mm_dpbusd_epi32, _mm_srli_epi64,
    _mm_sll_epi32, _mm_mul_epi32, _mm_mask_shuffle_epi32, _mm_add_epi32,
    _mm_mullo_epi32, _mm_sra_epi32, _mm_srai_epi32, _mm_packs_epi32, _mm_packs_epi16,
    _mm_max_epi8, _mm_min_epi8
}

const _: () = assert!(size_of::<__m128i>() == BLOCK);
