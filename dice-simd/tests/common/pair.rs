//! Numbers of twice the digits of f64, and the elementary functions in them: what the f64 kernels are held against.

/// A sum of two f64 numbers, the second below half a unit in the last place of the first: 106 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair(pub(crate) f64, pub(crate) f64);

impl Pair {
    /// a + b exactly, for |a| ≥ |b| (Dekker).
    pub(crate) fn quick(a: f64, b: f64) -> Self {
        let sum = a + b;
        Self(sum, b - (sum - a))
    }

    /// a + b exactly (Knuth).
    pub(crate) fn sum(a: f64, b: f64) -> Self {
        let sum = a + b;
        let part = sum - a;
        Self(sum, (a - (sum - part)) + (b - part))
    }

    pub(crate) fn product(a: f64, b: f64) -> Self {
        let product = a * b;
        Self(product, a.mul_add(b, -product))
    }

    pub(crate) fn add(self, other: Self) -> Self {
        let Self(high, low) = Self::sum(self.0, other.0);
        Self::quick(high, low + self.1 + other.1)
    }

    pub(crate) fn mul(self, other: Self) -> Self {
        let Self(high, low) = Self::product(self.0, other.0);
        Self::quick(high, low + self.0.mul_add(other.1, self.1 * other.0))
    }
}

/// ln 2 in three parts; the first has 32 bits, so that its product with n is exact.
const LN_2: [f64; 3] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10, 1.161_222_722_936_253_2e-26];
/// 1/6.
const SIXTH: Pair = Pair(1.0 / 6.0, 9.251_858_538_542_97e-18);

/// exp(d) = 2^n · pair, of d to either side of 0, to about 76 bits.
pub(crate) fn exp(d: f64) -> (i32, Pair) {
    let n = (d * std::f64::consts::LOG2_E).round();
    // Both are multiples of the last bit of d, and so near each other that the difference is exact.
    let near = d - n * LN_2[0];
    let rest = Pair::product(-n, LN_2[1]);
    let r = Pair::sum(near, rest.0);
    let r = Pair::quick(r.0, r.1 + rest.1 - n * LN_2[2]);
    // exp(r) = exp(r/16)^16, and of |r/16| < 0.022 what follows the cube is 1e-8 of the whole.
    let s = Pair(r.0 / 16.0, r.1 / 16.0);
    let tail = [3_628_800.0, 362_880.0, 40_320.0, 5040.0, 720.0, 120.0];
    let tail = tail.into_iter().fold(1.0 / 39_916_800.0, |tail: f64, k: f64| tail * s.0 + 1.0 / k);
    let tail = Pair(1.0 / 24.0 + tail * s.0, 0.0);
    let mut p = SIXTH.add(s.mul(tail));
    p = Pair(0.5, 0.0).add(s.mul(p));
    p = Pair(1.0, 0.0).add(s.mul(p));
    p = Pair(1.0, 0.0).add(s.mul(p));
    for _ in 0..4 {
        p = p.mul(p);
    }
    (n as i32, p)
}

/// 2^n of a normal number.
pub(crate) fn power_of_two(n: i32) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

/// x · 2^n.
fn scaled(Pair(high, low): Pair, n: i32) -> Pair {
    // In two steps: 2^n alone may be out of range.
    let (first, second) = (power_of_two(n / 2), power_of_two(n - n / 2));
    Pair(high * first * second, low * first * second)
}

/// Below it functions are taken from their series, to the same relative error however small the argument is.
const NEAR: f64 = 1.0 / 64.0;
/// 1/3.
const THIRD: Pair = Pair(1.0 / 3.0, 1.850_371_707_708_594e-17);
/// 1/5.
const FIFTH: Pair = Pair(1.0 / 5.0, -1.110_223_024_625_156_6e-17);

/// x · (c₀ + x · (c₁ + …)) of some pairs, then f64 numbers.
fn series(x: f64, first: &[Pair], rest: impl DoubleEndedIterator<Item = f64>) -> Pair {
    let rest = rest.rev().fold(0.0, |sum: f64, c| sum * x + c);
    let sum = first.iter().rev().fold(Pair(rest, 0.0), |sum, &c| c.add(sum.mul(Pair(x, 0.0))));
    sum.mul(Pair(x, 0.0))
}

/// exp(d) − 1, to 70 bits at least.
pub(crate) fn exp_m1(d: f64) -> Pair {
    if d.abs() < NEAR {
        let first = [Pair(1.0, 0.0), Pair(0.5, 0.0), SIXTH];
        return series(d, &first, (4..14).map(|k| 1.0 / (1..=k).product::<u64>() as f64));
    }
    let (n, p) = exp(d);
    if n < -1000 { Pair(-1.0, 0.0) } else { Pair(-1.0, 0.0).add(scaled(p, n)) }
}

/// ln(1 + f), to 70 bits at least.
pub(crate) fn ln_1p(f: f64) -> Pair {
    if f.abs() < NEAR {
        let first = [Pair(1.0, 0.0), Pair(-0.5, 0.0), THIRD, Pair(-0.25, 0.0), FIFTH];
        return series(f, &first, (6..16).map(|k| if k % 2 == 0 { -1.0 } else { 1.0 } / f64::from(k)));
    }
    ln_of(Pair::sum(1.0, f))
}

/// ln x of a normal number, to 70 bits at least.
pub(crate) fn ln(x: f64) -> Pair {
    // The difference is exact near 1.
    if (x - 1.0).abs() < NEAR { ln_1p(x - 1.0) } else { ln_of(Pair(x, 0.0)) }
}

/// ln x = y + ln(x · exp(−y)), where y is nearly ln x.
fn ln_of(x: Pair) -> Pair {
    let y = x.0.ln();
    let (n, p) = exp(-y);
    let Pair(high, low) = scaled(x, n).mul(p);
    let rest = (high - 1.0) + low;
    Pair::quick(y, rest - rest * rest / 2.0)
}

/// r^γ = 2^n · pair, for 0 < r ≤ 1.
pub(crate) fn pow(r: f64, exponent: f64) -> (i32, Pair) {
    let Pair(high, low) = ln(r).mul(Pair(exponent, 0.0));
    let (n, p) = exp(high);
    (n, p.mul(Pair::quick(1.0, low)))
}

/// The error of `found`, in units in the last place of `exact`.
pub(crate) fn error_of(found: f64, Pair(high, low): Pair) -> f64 {
    let exponent = ((high.to_bits() >> 52) & 0x7ff) as i32 - 1023;
    // The unit of the least results would be no normal number.
    ((found - high) - low).abs() / power_of_two(exponent.max(-970) - 52)
}
