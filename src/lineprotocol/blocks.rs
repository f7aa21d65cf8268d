//! Finds a byte in a block of 64 at once: one bit a byte, the first the lowest.
//!
//! `splitter` walks such bits instead of bytes. On x86-64 SSE2, which every such processor has, compares sixteen bytes at
//! a time; a portable loop, its slow twin, does elsewhere.

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// The bits of the bytes before that one; all for 64.
#[inline]
pub fn below(bit: u32) -> u64 {
    1_u64.checked_shl(bit).unwrap_or_default().wrapping_sub(1)
}

/// Where the block holds the byte.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn find(byte: u8, block: &[u8; BLOCK]) -> u64 {
    // SAFETY: SSE2 is part of x86-64: no processor of that kind is without it.
    unsafe { find_by_lanes(byte, block) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn find_by_lanes(byte: u8, block: &[u8; BLOCK]) -> u64 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    let (words, _) = block.as_chunks::<8>();
    let wanted = _mm_set1_epi8(byte as i8);
    let bits = |i: usize| {
        let lane = _mm_set_epi64x(i64::from_le_bytes(words[2 * i + 1]), i64::from_le_bytes(words[2 * i]));
        u64::from(_mm_movemask_epi8(_mm_cmpeq_epi8(lane, wanted)) as u16)
    };
    bits(0) | bits(1) << 16 | bits(2) << 32 | bits(3) << 48
}

#[cfg(not(target_arch = "x86_64"))]
pub use find_portably as find;

#[cfg_attr(target_arch = "x86_64", cfg(test))]
pub fn find_portably(byte: u8, block: &[u8; BLOCK]) -> u64 {
    block.iter().rev().fold(0, |bits, own| bits << 1 | u64::from(*own == byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_its_slow_twin(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"\n\"\\ =,".to_vec())], BLOCK)) {
            let block: [u8; BLOCK] = bytes.try_into().expect("as many as a block has");
            for byte in [b'\n', b'"', 0, 0xff, 0x7f, 0x80, block[0]] {
            prop_assert_eq!(find(byte, &block), find_portably(byte, &block));
            }
        }
    }

    #[test]
    fn bits_below() {
        assert_eq!((below(0), below(1), below(63), below(64)), (0, 1, u64::MAX >> 1, u64::MAX));
    }
}
