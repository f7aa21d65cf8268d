//! Go's `math.Pow` with a whole exponent from 0 on, rounding by rounding: searches that end elsewhere for one bit more need it.

/// `x` to the power of `exponent`. `x` is finite.
pub fn pow(x: f64, exponent: u32) -> f64 {
    match exponent {
        0 => return 1.0,
        1 => return x,
        _ if x == 0.0 || x == 1.0 => return if exponent.is_multiple_of(2) { x.abs() } else { x },
        _ => {}
    }
    let (mut base, mut base_exponent) = split(x);
    let (mut power, mut power_exponent) = (1.0, 0_i64);
    let mut rest = exponent;
    while rest != 0 {
        if base_exponent.abs() > 1 << 12 {
            // Too great or too small in any case.
            power_exponent += base_exponent;
            break;
        }
        if rest & 1 == 1 {
            power *= base;
            power_exponent += base_exponent;
        }
        base *= base;
        base_exponent <<= 1;
        if base < 0.5 {
            base += base;
            base_exponent -= 1;
        }
        rest >>= 1;
    }
    scaled(power, power_exponent)
}

/// A fraction of 1/2 to 1, and the power of two that makes `x` of it. `x` is not 0.
fn split(x: f64) -> (f64, i64) {
    let (x, more) = if x.abs() < f64::MIN_POSITIVE { (x * (1_u64 << 52) as f64, -52) } else { (x, 0) };
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64 - 1022;
    (f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52), exponent + more)
}

fn scaled(mut x: f64, exponent: i64) -> f64 {
    let mut left = exponent.clamp(-4_000, 4_000);
    while left != 0 {
        let step = left.clamp(-1_000, 1_000);
        // The last step alone may round: the one before keeps what it scales normal.
        let step = if step < 0 && left + 1_000 < 0 && left > -2_000 { left + 1_000 } else { step };
        x *= f64::from_bits(((step + 1023) as u64) << 52);
        left -= step;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::pow;

    #[test]
    fn whole_powers() {
        for (x, exponent, expected) in [
            (2.0, 10, 1024.0),
            (-3.0, 3, -27.0),
            (0.5, 1_074, 5e-324),
            (0.5, 1_080, 0.0),
            (0.0, 4, 0.0),
            (1.0, 900, 1.0),
            (10.0, 400, f64::INFINITY),
            (0.1, 0, 1.0),
        ] {
            assert_eq!(pow(x, exponent), expected, "{x} to the {exponent}");
        }
        for exponent in 2..60 {
            let (seen, near) = (pow(0.7, exponent), 0.7_f64.powi(exponent as i32));
            assert!((seen - near).abs() <= 1e-14 * near, "{seen} and {near}");
        }
    }
}
