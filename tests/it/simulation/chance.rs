//! Draws that a seed decides: a stream, or one of its own for each thing that is named, so that no draw depends on the
//! order in which others are made.

/// SplitMix64 (Steele, Lea, Flood 2014): small, and quick in a debug build.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The draws of the `nth` thing of a name.
    pub fn of(seed: u64, name: &str, nth: u64) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ seed; // FNV-1a
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        let mut chance = Self(hash ^ nth.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        chance.draw();
        chance
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.draw() % (high - low + 1)
    }

    /// True in so many of a thousand.
    pub fn happens(&mut self, permille: u64) -> bool {
        self.draw() % 1000 < permille
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.between(0, of.len() as u64 - 1) as usize]
    }
}
